// Kubernetes Secrets as values: parsing, validation and formatting.
// SPEC.md, "Secrets".

import { decodeBase64, encodeBase64 } from "../base64.ts";
import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";
import {
  asObject,
  describeObject,
  formatMetadata,
  fromEntries,
  type JsonObject,
  type ObjectMeta,
  type Names,
  parseMetadata,
} from "./object.ts";

/** A parsed Secret, with `stringData` merged into `data`. */
export interface Secret {
  readonly metadata: ObjectMeta;
  /** Empty if absent; the API server then sets it to `Opaque`. */
  readonly type: string;
  readonly immutable: boolean | undefined;
  /** Values by item name. */
  readonly data: ReadonlyMap<string, Uint8Array>;
}

/** The API server's limit for the total size of all values, in bytes (`MaxSecretSize`). */
const MAX_DATA_BYTES = 1024 * 1024;

/**
 * Parses an untrusted object as a Secret. `names`: which names and namespaces it may have.
 * @throws SignetError wrong-kind if it is another kind of object; secret-invalid, whose place names
 *   the field and whose message never quotes a value
 */
export function parseSecret(object: JsonObject, names: Names = "valid"): Secret {
  if (object["kind"] !== "Secret" || object["apiVersion"] !== "v1") {
    throw new SignetError("wrong-kind", `expected a Secret (v1), found ${describeObject(object)}`, {
      hint: 'only Secrets can be sealed; a Secret has "apiVersion: v1" and "kind: Secret"',
    });
  }
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of fields(object, "data")) {
    const place = { field: `data.${key}` };
    const bytes = decodeBase64(textValue(value ?? "", place.field));
    if (bytes === null) {
      throw new SignetError("secret-invalid", "is not valid base64", {
        hint: "put plain text under stringData instead",
        place,
      });
    }
    data.set(key, bytes);
  }
  for (const [key, value] of fields(object, "stringData")) {
    data.set(key, new TextEncoder().encode(textValue(value ?? "", `stringData.${key}`)));
  }
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  if (bytes > MAX_DATA_BYTES) {
    throw new SignetError("secret-invalid", "is larger than 1 MiB, which no cluster accepts", {
      place: { field: "data" },
    });
  }
  const { type, immutable } = object;
  if (type !== undefined && type !== null && typeof type !== "string") {
    throw new SignetError("secret-invalid", "must be text", { place: { field: "type" } });
  }
  if (immutable !== undefined && immutable !== null && typeof immutable !== "boolean") {
    throw new SignetError("secret-invalid", "must be true or false", {
      place: { field: "immutable" },
    });
  }
  return {
    metadata: parseMetadata(object["metadata"] ?? null, "secret-invalid", { names }),
    type: type ?? "",
    immutable: immutable ?? undefined,
    data,
  };
}

/** Formats a Secret as a manifest, with fields in alphabetical order and without empty ones. */
export function formatSecret({ metadata, type, immutable, data }: Secret): JsonObject {
  const encoded = [...data]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, encodeBase64(value)] as const);
  return {
    apiVersion: "v1",
    ...(encoded.length === 0 ? {} : { data: fromEntries(encoded) }),
    ...(immutable === undefined ? {} : { immutable }),
    kind: "Secret",
    metadata: formatMetadata(metadata),
    ...(type === "" ? {} : { type }),
  };
}

/** Whether Kubernetes accepts `key` as the name of an item (`IsConfigMapKey`). */
export function isItemName(key: string): boolean {
  return key.length <= 253 && /^[-._a-zA-Z0-9]+$/.test(key) && !/^\.\.?$|^\.\./.test(key);
}

function fields(object: JsonObject, field: "data" | "stringData"): [string, Json][] {
  const mapping = asObject(object[field] ?? {});
  if (mapping === null) {
    throw new SignetError("secret-invalid", "must be a mapping", { place: { field } });
  }
  const entries = Object.entries(mapping);
  for (const [index, [key]] of entries.entries()) {
    if (!isItemName(key)) {
      // Never quote the name: in `{password:value}`, without a space, it contains the value.
      throw new SignetError("secret-invalid", `the name of item ${index + 1} is invalid`, {
        hint: "letters, digits, '-', '_' and '.' only, then a colon and a space",
        place: { field },
      });
    }
  }
  return entries;
}

function textValue(value: Json, field: string): string {
  if (typeof value === "string") return value;
  const found =
    typeof value === "object" ? "a mapping or a list" : `a ${typeof value} to Kubernetes`;
  throw new SignetError("secret-invalid", `must be text, but is ${found}`, {
    hint: "put the value in quotes",
    place: { field },
  });
}
