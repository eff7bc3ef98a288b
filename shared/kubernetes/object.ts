// Kubernetes objects as values: what every manifest has, read from untrusted ones, and metadata.
// SPEC.md, "Secrets".

import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";

export type JsonObject = { [key: string]: Json };

/** Labels and annotations are always there, and always text; everything else stays as it came. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
  /** Further fields (finalizers, uid, ...), untouched. */
  readonly rest: JsonObject;
}

/** A DNS subdomain (RFC 1123), as Kubernetes has it. */
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/**
 * The objects of a document: itself, or the items of a `List`, `SecretList` or `SealedSecretList`.
 * @throws SignetError wrong-kind where it is no object
 */
export function objectsOf(document: { readonly value: Json }): JsonObject[] {
  return placedObjectsOf(document).map(({ object }) => object);
}

/** An object of a document. */
export interface PlacedObject {
  readonly object: JsonObject;
  /** Keys and list positions down to it; empty for the document itself. */
  readonly path: readonly string[];
}

/** The same, each with where it stands. @throws SignetError wrong-kind where it is no object */
export function placedObjectsOf(
  document: { readonly value: Json },
  path: readonly string[] = [],
): PlacedObject[] {
  const object = asObject(document.value);
  if (object === null) {
    throw new SignetError("wrong-kind", "expected a Kubernetes object, found something else");
  }
  const kind = object["kind"];
  if (typeof kind !== "string" || !/^(Secret|SealedSecret)?List$/.test(kind)) {
    return [{ object, path }];
  }
  const items = object["items"] ?? [];
  if (!Array.isArray(items)) {
    throw new SignetError("manifest-syntax", "must be a list", { place: { field: "items" } });
  }
  return items.flatMap((each, index) => {
    const item = asObject(each);
    if (item === null) {
      throw new SignetError("wrong-kind", "expected a Kubernetes object", {
        place: { field: `items[${index}]` },
      });
    }
    // Items of a typed list may leave their own kind out.
    const typed =
      kind === "List" ? {} : { kind: kind.slice(0, -4), apiVersion: object["apiVersion"] };
    const value = { ...(typed as JsonObject), ...item };
    return placedObjectsOf({ value }, [...path, "items", String(index)]);
  });
}

/** The object; one that does not say what it is, said to be of `kind`. */
export function withKind(object: JsonObject, kind: string, apiVersion: string): JsonObject {
  return {
    ...object,
    apiVersion: object["apiVersion"] ?? apiVersion,
    kind: object["kind"] ?? kind,
  };
}

/** `Secret (v1) "demo/db"`: how an object is named in a refusal. */
export function describeObject(object: JsonObject): string {
  const { apiVersion, kind } = object;
  const metadata = asObject(object["metadata"] ?? null) ?? {};
  const what = typeof kind === "string" && kind !== "" ? kind : "object without a kind";
  const version = typeof apiVersion === "string" ? ` (${apiVersion})` : "";
  const name = [metadata["namespace"], metadata["name"]].filter((part) => typeof part === "string");
  return name.length === 0 ? `${what}${version}` : `${what}${version} "${name.join("/")}"`;
}

/** Whether an annotation, kubectl's or another tool's, quotes a whole object: of a Secret, with its values. */
export function quotesObject(annotation: string): boolean {
  return annotation.endsWith("last-applied-configuration");
}

/** `NAMESPACE/NAME`, or the one of them that is said. */
export function objectName({ namespace, name }: Pick<ObjectMeta, "namespace" | "name">): string {
  return [namespace, name].filter((part) => part !== "").join("/");
}

/** @throws SignetError with `code` where a part has the wrong shape or name */
export function parseMetadata(
  value: Json,
  code: "secret-invalid" | "sealedsecret-invalid",
  path = "metadata",
): ObjectMeta {
  const metadata = asObject(value ?? {});
  if (metadata === null)
    throw new SignetError(code, "must be a mapping", { place: { field: path } });
  const { name = null, namespace = null, labels, annotations, ...rest } = metadata;
  const identifier = (field: string, part: Json, pattern: RegExp, longest: number): string => {
    if (part === null || part === "") return "";
    if (typeof part !== "string" || part.length > longest || !pattern.test(part)) {
      throw new SignetError(code, "is not a name that Kubernetes accepts", {
        hint: "lower-case letters, digits and '-' only; quote it if it looks like a number",
        place: { field: `${path}.${field}` },
      });
    }
    return part;
  };
  const texts = (field: string, part: Json | undefined): Record<string, string> => {
    const mapping = asObject(part ?? {});
    const entries = Object.entries(mapping ?? {});
    if (mapping === null || entries.some(([, text]) => typeof text !== "string")) {
      throw new SignetError(code, "must map text to text; quote numbers and true/false", {
        place: { field: `${path}.${field}` },
      });
    }
    return fromEntries(entries as [string, string][]);
  };
  return {
    name: identifier("name", name, NAME, 253),
    namespace: identifier("namespace", namespace, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 63),
    labels: texts("labels", labels),
    annotations: texts("annotations", annotations),
    rest,
  };
}

/** The manifest form of metadata, fields in the order of the alphabet, empty ones left out. */
export function formatMetadata(metadata: ObjectMeta): JsonObject {
  const { name, namespace, labels, annotations, rest } = metadata;
  const all: JsonObject = {
    ...rest,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations: sorted(annotations) }),
    ...(Object.keys(labels).length === 0 ? {} : { labels: sorted(labels) }),
    ...(name === "" ? {} : { name }),
    ...(namespace === "" ? {} : { namespace }),
  };
  return sorted(all);
}

/** Left behind by the cluster: no part of what the author declared. */
const SERVER_FIELDS = [
  "selfLink",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "ownerReferences",
  "managedFields",
];

/** Fields of metadata without those that only a cluster writes. */
export function serverFieldsRemoved(rest: JsonObject): JsonObject {
  return fromEntries(Object.entries(rest).filter(([field]) => !SERVER_FIELDS.includes(field)));
}

/** A plain object from entries, in which even `__proto__` is an ordinary key. */
export function fromEntries<T extends Json>(
  entries: Iterable<readonly [string, T]>,
): Record<string, T> {
  return Object.fromEntries(entries);
}

export function sorted<T extends Json>(object: Record<string, T>): Record<string, T> {
  return fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The value as a mapping, or null where it is none. */
export function asObject(value: Json): JsonObject | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}

/** The objects of a list; what is no object, or no list, is left out. */
export function objectsIn(value: Json | undefined): JsonObject[] {
  return (Array.isArray(value) ? value : []).map(asObject).filter((object) => object !== null);
}

/** An object's metadata; empty where it has none. */
export function metadataOf(object: JsonObject): JsonObject {
  return asObject(object["metadata"] ?? null) ?? {};
}
