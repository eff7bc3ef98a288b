// Kubernetes objects as values: lists, names and metadata, parsed from untrusted manifests.
// SPEC.md, "Secrets".

import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";

export type JsonObject = { [key: string]: Json };

/** An object's metadata. Labels and annotations are empty if absent, and their values are text. */
export interface ObjectMeta {
  /** Empty if absent. */
  readonly name: string;
  /** Empty if absent. */
  readonly namespace: string;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
  /** All other fields (finalizers, uid, ...), unchanged. */
  readonly rest: JsonObject;
}

/** A DNS subdomain (RFC 1123), as Kubernetes defines it. */
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** A DNS label (RFC 1123), as Kubernetes defines it. */
const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/**
 * Which names of an object are accepted: those that Kubernetes accepts, or any text, such as an
 * expression that Helm replaces later.
 */
export type Names = "valid" | "any";

/**
 * Returns the objects in a document: the document itself, or the members of a `List`, `SecretList`
 * or `SealedSecretList`.
 * @throws SignetError wrong-kind if the document or a member is not an object; manifest-syntax if
 *   `items` is not a list
 */
export function objectsOf(document: { readonly value: Json }): JsonObject[] {
  return placedObjectsOf(document).map(({ object }) => object);
}

/** An object and its place in a document. */
export interface PlacedObject {
  readonly object: JsonObject;
  /** Field names and list indexes that lead to the object; empty for the document itself. */
  readonly path: readonly string[];
}

/** Returns the objects in a document as `objectsOf` does, with the path of each. */
export function placedObjectsOf(
  document: { readonly value: Json },
  path: readonly string[] = [],
): PlacedObject[] {
  const object = asObject(document.value);
  if (object === null) {
    throw new SignetError("wrong-kind", "expected a Kubernetes object");
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
    // Members of a typed list may omit their own kind.
    const typed =
      kind === "List" ? {} : { kind: kind.slice(0, -4), apiVersion: object["apiVersion"] };
    const value = { ...(typed as JsonObject), ...item };
    return placedObjectsOf({ value }, [...path, "items", String(index)]);
  });
}

/**
 * Returns the whole objects of a kind in a document: itself, members of a List, and those inside
 * another object or a list, such as a template of OpenShift or tasks of Ansible. A mere reference
 * to one has no `spec`.
 * @throws SignetError as `placedObjectsOf`
 */
export function placedObjectsOfKind(
  document: { readonly value: Json },
  { kind, apiVersion }: { readonly kind: string; readonly apiVersion: string },
): PlacedObject[] {
  const isWanted = (object: JsonObject): boolean =>
    object["kind"] === kind && object["apiVersion"] === apiVersion;
  const inside = (value: Json, path: readonly string[]): PlacedObject[] => {
    if (typeof value !== "object" || value === null) return [];
    return Object.entries(value).flatMap(([key, inner]) => {
      const object = asObject(inner);
      const below = [...path, key];
      const isWhole =
        object !== null && isWanted(object) && asObject(object["spec"] ?? null) !== null;
      return isWhole ? [{ object, path: below }] : inside(inner, below);
    });
  };
  if (asObject(document.value) === null) return inside(document.value, []);
  return placedObjectsOf(document).flatMap((placed) =>
    isWanted(placed.object) ? [placed] : inside(placed.object, placed.path),
  );
}

/**
 * Whether a text may declare an object of a kind; most files need not be parsed. With an escape or
 * a tag, the kind can be spelled with other characters.
 */
export function mayDeclare(kind: string, text: string): boolean {
  return text.includes(kind) || /\\|!/.test(text);
}

/**
 * Whether a text that cannot be parsed names a kind, so that it may be a broken manifest of it.
 * Comment lines, including those of a chart's templates, declare nothing.
 */
export function namesKind(kind: string, text: string): boolean {
  return text.replace(/^[ \t]*(#.*|\{\{-? ?\/\*[^*\n]*\*\/ ?-?\}\}[ \t\r]*)$/gm, "").includes(kind);
}

/** Whether a file that is not UTF-8 names a kind, in any encoding. */
export function bytesNameKind(kind: string, bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes).replaceAll("\0", "").includes(kind);
}

/** Returns the object, with `kind` and `apiVersion` added if they are missing. */
export function withKind(object: JsonObject, kind: string, apiVersion: string): JsonObject {
  return {
    ...object,
    apiVersion: object["apiVersion"] ?? apiVersion,
    kind: object["kind"] ?? kind,
  };
}

/**
 * Describes an object for error messages: `Secret (v1) "demo/db"`. Omits whatever cannot be a kind,
 * a version or a name, because in a broken manifest it may be a value.
 */
export function describeObject(object: JsonObject): string {
  const { apiVersion, kind } = object;
  const metadata = asObject(object["metadata"] ?? null) ?? {};
  const isKind = typeof kind === "string" && /^[A-Za-z]{1,63}$/.test(kind);
  const what = isKind ? kind : kind ? "object of an unknown kind" : "object without a kind";
  const isVersion =
    typeof apiVersion === "string" && /^[a-z0-9.-]{1,100}(\/[a-z0-9]{1,20})?$/.test(apiVersion);
  const version = isVersion ? ` (${apiVersion})` : "";
  const name = [metadata["namespace"], metadata["name"]].filter(
    (part): part is string => typeof part === "string" && part.length <= 253 && NAME.test(part),
  );
  return name.length === 0 ? `${what}${version}` : `${what}${version} "${name.join("/")}"`;
}

/**
 * Whether an annotation of this name, from kubectl or another tool, quotes the whole object. In a
 * Secret it would contain the values.
 */
export function quotesObject(annotation: string): boolean {
  return annotation.endsWith("last-applied-configuration");
}

/** Returns `NAMESPACE/NAME`, or only the part that is not empty. */
export function objectName({ namespace, name }: Pick<ObjectMeta, "namespace" | "name">): string {
  return [namespace, name].filter((part) => part !== "").join("/");
}

/** The fields among name and namespace that Kubernetes would refuse. An empty one is accepted. */
export function invalidNames({
  name,
  namespace,
}: Pick<ObjectMeta, "name" | "namespace">): ("name" | "namespace")[] {
  const isValid = (text: string, pattern: RegExp, longest: number): boolean =>
    text === "" || (text.length <= longest && pattern.test(text));
  const invalid: ("name" | "namespace")[] = [];
  if (!isValid(name, NAME, 253)) invalid.push("name");
  if (!isValid(namespace, NAMESPACE, 63)) invalid.push("namespace");
  return invalid;
}

/**
 * Parses untrusted metadata. `path`: where it is in the manifest, for errors.
 * @throws SignetError `code` if a field has the wrong type or a name is not among `names`
 */
export function parseMetadata(
  value: Json,
  code: "secret-invalid" | "sealedsecret-invalid",
  { path = "metadata", names = "valid" }: { readonly path?: string; readonly names?: Names } = {},
): ObjectMeta {
  const metadata = asObject(value ?? {});
  if (metadata === null)
    throw new SignetError(code, "must be a mapping", { place: { field: path } });
  const { name = null, namespace = null, labels, annotations, ...rest } = metadata;
  const badName = (field: string): SignetError =>
    new SignetError(code, "is not a valid Kubernetes name", {
      hint: "lower-case letters, digits and '-' only; quote it if it looks like a number",
      place: { field: `${path}.${field}` },
    });
  const text = (field: string, part: Json): string => {
    if (part !== null && typeof part !== "string") throw badName(field);
    return part ?? "";
  };
  const identity = { name: text("name", name), namespace: text("namespace", namespace) };
  const [invalid] = names === "any" ? [] : invalidNames(identity);
  if (invalid !== undefined) throw badName(invalid);
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
    ...identity,
    labels: texts("labels", labels),
    annotations: texts("annotations", annotations),
    rest,
  };
}

/** Formats metadata for a manifest, with fields in alphabetical order and without empty ones. */
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

/** Fields of metadata that the API server sets, not the author. */
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

/** Returns the fields of metadata without those that the API server sets. */
export function serverFieldsRemoved(rest: JsonObject): JsonObject {
  return fromEntries(Object.entries(rest).filter(([field]) => !SERVER_FIELDS.includes(field)));
}

/** Creates an object from entries. Even `__proto__` becomes an ordinary property. */
export function fromEntries<T extends Json>(
  entries: Iterable<readonly [string, T]>,
): Record<string, T> {
  return Object.fromEntries(entries);
}

/** Returns a copy of an object with its properties in alphabetical order. */
export function sorted<T extends Json>(object: Record<string, T>): Record<string, T> {
  return fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Returns the value if it is a mapping, else null. */
export function asObject(value: Json): JsonObject | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}

/** Returns the object that a JSON text holds; null if it is not JSON, or JSON of something else. */
export function jsonObjectIn(text: string): JsonObject | null {
  try {
    return asObject(JSON.parse(text) as Json);
  } catch {
    // The parser's message would quote the text.
    return null;
  }
}

/** Returns the members of a list that are objects; an empty list if `value` is not a list. */
export function objectsIn(value: Json | undefined): JsonObject[] {
  return (Array.isArray(value) ? value : []).map(asObject).filter((object) => object !== null);
}

/** Returns an object's metadata, or an empty object if it has none. */
export function metadataOf(object: JsonObject): JsonObject {
  return asObject(object["metadata"] ?? null) ?? {};
}

/** Returns an object's annotations, of which nobody checked the values, or an empty object. */
export function annotationsOf(object: JsonObject): JsonObject {
  return asObject(metadataOf(object)["annotations"] ?? null) ?? {};
}
