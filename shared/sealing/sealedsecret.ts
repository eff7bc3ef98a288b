// SealedSecrets as values: parsing, validation, formatting, stamps and merging, without any crypto.
// SPEC.md, "SealedSecrets".

import { decodeBase64, encodeBase64 } from "../base64.ts";
import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";
import { bindsNamespace, labelBytes, scopeFault, scopeOf, SELECTOR_ANNOTATION } from "./scope.ts";
import {
  asObject,
  describeObject,
  formatMetadata,
  fromEntries,
  type JsonObject,
  type ObjectMeta,
  type Names,
  parseMetadata,
  sorted,
} from "../kubernetes/object.ts";
import { isItemName } from "../kubernetes/secret.ts";
import {
  formatSealedFor,
  parseStamp,
  SEALED_FOR_ANNOTATION,
  type Stamp,
  STAMP_ANNOTATION,
  withSealedFor,
  withStamp,
} from "./stamp.ts";

export const API_VERSION = "bitnami.com/v1alpha1";
export const KIND = "SealedSecret";

/** The properties of the unsealed Secret other than its sealed values. */
export interface SecretTemplate {
  readonly metadata: ObjectMeta;
  readonly type: string;
  readonly immutable: boolean | undefined;
  /** Go text/template sources by item name. */
  readonly data: ReadonlyMap<string, string>;
}

/** A parsed SealedSecret. */
export interface SealedSecret {
  readonly metadata: ObjectMeta;
  /** Envelopes as base64 text, by item name. */
  readonly encryptedData: ReadonlyMap<string, string>;
  readonly template: SecretTemplate;
  /** The legacy form, used before 2019: one envelope that holds the JSON of the whole Secret. */
  readonly legacyData: Uint8Array | undefined;
}

/**
 * Parses an untrusted object as a SealedSecret. `names`: which names and namespaces it may have.
 * @throws SignetError wrong-kind if it is another kind of object; sealedsecret-invalid
 */
export function parseSealedSecret(object: JsonObject, names: Names = "valid"): SealedSecret {
  if (object["kind"] !== KIND || object["apiVersion"] !== API_VERSION) {
    throw new SignetError(
      "wrong-kind",
      `expected a ${KIND} (${API_VERSION}), found ${describeObject(object)}`,
    );
  }
  const spec = mapping(object["spec"], "spec");
  const encryptedData = new Map<string, string>();
  for (const [item, value] of Object.entries(
    mapping(spec["encryptedData"], "spec.encryptedData"),
  )) {
    const field = `spec.encryptedData.${item}`;
    if (!isItemName(item)) throw sealedSecretError("is not a valid item name", field);
    if (typeof value !== "string") throw sealedSecretError("must be text", field);
    encryptedData.set(item, value);
  }
  const legacy = spec["data"] ?? null;
  const legacyData = typeof legacy === "string" ? decodeBase64(legacy) : null;
  if (legacy !== null && legacyData === null)
    throw sealedSecretError("must be base64", "spec.data");
  const metadata = parseMetadata(object["metadata"] ?? null, "sealedsecret-invalid", { names });
  const fault = scopeFault(metadata.annotations);
  if (fault !== null) {
    throw sealedSecretError(fault, `metadata.annotations.${SELECTOR_ANNOTATION}`);
  }
  return {
    metadata,
    encryptedData,
    template: parseTemplate(mapping(spec["template"], "spec.template"), names),
    legacyData: legacyData ?? undefined,
  };
}

function parseTemplate(template: JsonObject, names: Names): SecretTemplate {
  const { type = null, immutable = null } = template;
  if (type !== null && typeof type !== "string")
    throw sealedSecretError("must be text", "spec.template.type");
  if (immutable !== null && typeof immutable !== "boolean") {
    throw sealedSecretError("must be true or false", "spec.template.immutable");
  }
  const data = new Map<string, string>();
  for (const [item, source] of Object.entries(mapping(template["data"], "spec.template.data"))) {
    const field = `spec.template.data.${item}`;
    if (!isItemName(item)) throw sealedSecretError("is not a valid item name", field);
    if (typeof source !== "string") throw sealedSecretError("must be text", field);
    data.set(item, source);
  }
  return {
    metadata: parseMetadata(template["metadata"] ?? null, "sealedsecret-invalid", {
      path: "spec.template.metadata",
      names,
    }),
    type: type ?? "",
    immutable: immutable ?? undefined,
    data,
  };
}

/** Formats a SealedSecret as a manifest, with sorted fields and without empty optional ones. */
export function formatSealedSecret(sealed: SealedSecret): JsonObject {
  const { metadata, encryptedData, template, legacyData } = sealed;
  const templateMetadata = formatMetadata(template.metadata);
  const formatted: JsonObject = {
    ...(template.data.size === 0 ? {} : { data: sorted(fromEntries(template.data)) }),
    ...(template.immutable === undefined ? {} : { immutable: template.immutable }),
    ...(Object.keys(templateMetadata).length === 0 ? {} : { metadata: templateMetadata }),
    ...(template.type === "" ? {} : { type: template.type }),
  };
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: formatMetadata(metadata),
    spec: {
      ...(legacyData === undefined ? {} : { data: encodeBase64(legacyData) }),
      encryptedData: sorted(fromEntries(encryptedData)),
      ...(Object.keys(formatted).length === 0 ? {} : { template: formatted }),
    },
  };
}

/**
 * Returns the place that a SealedSecret says its values were sealed for (`said`), and the place
 * that they must be sealed for to open (`needed`). Returns null if the object does not state one of
 * them. `said` is a hint, like the stamp.
 */
export function sealedForOf({
  metadata,
}: SealedSecret): { readonly said: string; readonly needed: string } | null {
  const { name, namespace, annotations } = metadata;
  const said = annotations[SEALED_FOR_ANNOTATION];
  const scope = scopeOf(annotations);
  // Without a namespace in the file, `kubectl apply` chooses one.
  if (said === undefined || (namespace === "" && bindsNamespace(scope))) return null;
  return { said, needed: formatSealedFor(scope, labelBytes(scope, namespace, name)) };
}

/** Returns the key that each value was sealed with, according to the object's stamp: a hint. */
export function stampOf({ metadata, encryptedData }: SealedSecret): Stamp {
  return parseStamp(metadata.annotations[STAMP_ANNOTATION], encryptedData.keys());
}

/**
 * Returns a copy of `target` with the values, template labels, template annotations and template
 * data of `update`. Entries of `update` replace entries of `target` that have the same name. Name,
 * namespace, scope, type and everything else come from `target`.
 * @throws SignetError secret-invalid if `update` was sealed for another place or scope;
 *   sealedsecret-invalid if either has the legacy form, which does not hold values by name
 */
export function merge(target: SealedSecret, update: SealedSecret): SealedSecret {
  const place = ({ metadata }: SealedSecret): string => {
    const scope = scopeOf(metadata.annotations);
    return formatSealedFor(scope, labelBytes(scope, metadata.namespace, metadata.name));
  };
  if (place(target) !== place(update)) {
    throw new SignetError(
      "secret-invalid",
      `cannot merge what is sealed for ${place(update)} into ${place(target)}`,
    );
  }
  if (target.legacyData !== undefined || update.legacyData !== undefined) {
    throw sealedSecretError(
      "the deprecated format cannot be merged: re-seal all values",
      "spec.data",
    );
  }
  const encryptedData = new Map([...target.encryptedData, ...update.encryptedData]);
  const kept = [...stampOf(target)].filter(([item]) => !update.encryptedData.has(item));
  const stamp = new Map([...kept, ...stampOf(update)]);
  const { annotations } = target.metadata;
  // If every old value is replaced, what the annotation says about their place no longer applies.
  const isAllNew = [...target.encryptedData.keys()].every((item) => update.encryptedData.has(item));
  const said = isAllNew ? withSealedFor(annotations, place(update)) : annotations;
  return {
    ...target,
    metadata: {
      ...target.metadata,
      annotations: withStamp(said, stamp, encryptedData.keys()),
    },
    encryptedData,
    template: {
      ...target.template,
      metadata: {
        ...target.template.metadata,
        labels: { ...target.template.metadata.labels, ...update.template.metadata.labels },
        annotations: {
          ...target.template.metadata.annotations,
          ...update.template.metadata.annotations,
        },
      },
      data: new Map([...target.template.data, ...update.template.data]),
    },
  };
}

/**
 * Returns a copy of `before` with the values and the stamp from a controller's response, `after`.
 * Returns null if the response is not for the same object and items. Takes nothing else from the
 * response, because the original's controller confuses templates with values, and the object's own
 * metadata with that of its Secret.
 */
export function withValuesOf(before: SealedSecret, after: SealedSecret): SealedSecret | null {
  const place = ({ metadata }: SealedSecret): string =>
    [scopeOf(metadata.annotations), metadata.namespace, metadata.name].join(" ");
  if (place(before) !== place(after)) return null;
  if ((before.legacyData === undefined) !== (after.legacyData === undefined)) return null;
  const encryptedData = new Map<string, string>();
  for (const item of before.encryptedData.keys()) {
    const value = after.encryptedData.get(item);
    // An original that renders templates may have replaced the value by a rendered template of the
    // same name.
    const frozen = before.template.data.has(item) && !after.template.data.has(item);
    if (value === undefined || frozen) return null;
    encryptedData.set(item, value);
  }
  const { [STAMP_ANNOTATION]: stamp, ...annotations } = before.metadata.annotations;
  const newStamp = after.metadata.annotations[STAMP_ANNOTATION];
  const changed = [...encryptedData].some(
    ([item, value]) => before.encryptedData.get(item) !== value,
  );
  // The original changes the values but keeps the stamp, which is then stale.
  const stale = changed && newStamp === stamp;
  const known = newStamp === undefined || stale ? {} : { [STAMP_ANNOTATION]: newStamp };
  return {
    ...before,
    encryptedData,
    legacyData: after.legacyData,
    metadata: { ...before.metadata, annotations: { ...annotations, ...known } },
  };
}

function mapping(value: Json | undefined, field: string): JsonObject {
  const object = asObject(value ?? {});
  if (object === null) throw sealedSecretError("must be a mapping", field);
  return object;
}

/** Creates a sealedsecret-invalid error for a field of a SealedSecret. */
export function sealedSecretError(reason: string, field: string): SignetError {
  return new SignetError("sealedsecret-invalid", reason, { place: { field } });
}
