// SealedSecrets as values: checks on an untrusted one, its manifest, what it says of itself, and
// two of them put together. Nothing here opens or seals a value.
// SPEC.md, "SealedSecrets".

import { decodeBase64, encodeBase64 } from "../base64.ts";
import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";
import { labelBytes, scopeOf } from "./scope.ts";
import { asObject, describeObject, formatMetadata, fromEntries, type JsonObject, type ObjectMeta, parseMetadata, sorted } from "../kubernetes/object.ts";
import { isItemName } from "../kubernetes/secret.ts";
import { formatSealedFor, parseStamp, SEALED_FOR_ANNOTATION, type Stamp, STAMP_ANNOTATION, withSealedFor, withStamp } from "./stamp.ts";

export const API_VERSION = "bitnami.com/v1alpha1";
export const KIND = "SealedSecret";

/** What the unsealed Secret gets besides the values. */
export interface SecretTemplate {
  readonly metadata: ObjectMeta;
  readonly type: string;
  readonly immutable: boolean | undefined;
  /** Go text/template sources by item name. */
  readonly data: ReadonlyMap<string, string>;
}

export interface SealedSecret {
  readonly metadata: ObjectMeta;
  readonly encryptedData: ReadonlyMap<string, string>;
  readonly template: SecretTemplate;
  /** The form before 2019: one envelope around the JSON of the whole Secret. */
  readonly legacyData: Uint8Array | undefined;
}

/**
 * Checks an untrusted object and takes it as a SealedSecret.
 * @throws SignetError wrong-kind, sealedsecret-invalid
 */
export function parseSealedSecret(object: JsonObject): SealedSecret {
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
    if (!isItemName(item)) throw sealedSecretError("is not a name for an item", field);
    if (typeof value !== "string") throw sealedSecretError("must be text", field);
    encryptedData.set(item, value);
  }
  const legacy = spec["data"] ?? null;
  const legacyData = typeof legacy === "string" ? decodeBase64(legacy) : null;
  if (legacy !== null && legacyData === null)
    throw sealedSecretError("must be base64", "spec.data");
  return {
    metadata: parseMetadata(object["metadata"] ?? null, "sealedsecret-invalid"),
    encryptedData,
    template: parseTemplate(mapping(spec["template"], "spec.template")),
    legacyData: legacyData ?? undefined,
  };
}

function parseTemplate(template: JsonObject): SecretTemplate {
  const { type = null, immutable = null } = template;
  if (type !== null && typeof type !== "string")
    throw sealedSecretError("must be text", "spec.template.type");
  if (immutable !== null && typeof immutable !== "boolean") {
    throw sealedSecretError("must be true or false", "spec.template.immutable");
  }
  const data = new Map<string, string>();
  for (const [item, source] of Object.entries(mapping(template["data"], "spec.template.data"))) {
    const field = `spec.template.data.${item}`;
    if (!isItemName(item)) throw sealedSecretError("is not a name for an item", field);
    if (typeof source !== "string") throw sealedSecretError("must be text", field);
    data.set(item, source);
  }
  return {
    metadata: parseMetadata(
      template["metadata"] ?? null,
      "sealedsecret-invalid",
      "spec.template.metadata",
    ),
    type: type ?? "",
    immutable: immutable ?? undefined,
    data,
  };
}

/** The manifest of a SealedSecret, fields in the order of the alphabet, empty ones left out. */
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
 * What a SealedSecret says its values were sealed for, and what they would have to be sealed for to
 * open where it stands; null where it does not say. A hint, like the stamp.
 */
export function sealedForOf({
  metadata,
}: SealedSecret): { readonly said: string; readonly needed: string } | null {
  const { name, namespace, annotations } = metadata;
  const said = annotations[SEALED_FOR_ANNOTATION];
  const scope = scopeOf(annotations);
  // Where the file says no namespace, whoever applies it does.
  if (said === undefined || (namespace === "" && scope !== "cluster-wide")) return null;
  return { said, needed: formatSealedFor(scope, labelBytes(scope, namespace, name)) };
}

/** The key that each value is under, by the object's own stamp: a hint. */
export function stampOf({ metadata, encryptedData }: SealedSecret): Stamp {
  return parseStamp(metadata.annotations[STAMP_ANNOTATION], encryptedData.keys());
}

/**
 * `target` with the values, template labels, annotations and template data of `update` added or put
 * in place of its own. Name, namespace, scope, type and everything else stay the target's.
 * @throws SignetError secret-invalid where `update` was sealed for another place or scope;
 *   sealedsecret-invalid where either has the legacy form, which holds no values by name
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
      "the deprecated form cannot be merged: seal all values anew",
      "spec.data",
    );
  }
  const encryptedData = new Map([...target.encryptedData, ...update.encryptedData]);
  const kept = [...stampOf(target)].filter(([item]) => !update.encryptedData.has(item));
  const stamp = new Map([...kept, ...stampOf(update)]);
  const { annotations } = target.metadata;
  // Where no old value is left, neither is the place that they were sealed for.
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
 * `before` with the values of a controller's answer, and what they are under; null where the answer
 * is not to what was asked. All else stays: the original's controller takes templates for values, and
 * what the object says of itself for what it says of its Secret.
 */
export function withValuesOf(before: SealedSecret, after: SealedSecret): SealedSecret | null {
  const place = ({ metadata }: SealedSecret): string =>
    [scopeOf(metadata.annotations), metadata.namespace, metadata.name].join(" ");
  if (place(before) !== place(after)) return null;
  if ((before.legacyData === undefined) !== (after.legacyData === undefined)) return null;
  const encryptedData = new Map<string, string>();
  for (const item of before.encryptedData.keys()) {
    const value = after.encryptedData.get(item);
    // An original that renders templates may have put one in the place of the value of that name.
    const frozen = before.template.data.has(item) && !after.template.data.has(item);
    if (value === undefined || frozen) return null;
    encryptedData.set(item, value);
  }
  const { [STAMP_ANNOTATION]: stamp, ...annotations } = before.metadata.annotations;
  const newStamp = after.metadata.annotations[STAMP_ANNOTATION];
  const changed = [...encryptedData].some(
    ([item, value]) => before.encryptedData.get(item) !== value,
  );
  // An original keeps the stamp and changes the values: then it says nothing true any more.
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

export function sealedSecretError(reason: string, field: string): SignetError {
  return new SignetError("sealedsecret-invalid", reason, { place: { field } });
}
