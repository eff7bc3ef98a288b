// Owns: SealedSecrets as values: checks on an untrusted one, seal, unseal, merge, change, re-seal.
// Does not own: one value's bytes (envelope.ts), key choice (keyring.ts), owner references and status
// (controller/). SPEC.md, "SealedSecrets".

import { decodeBase64, encodeBase64 } from "./base64.ts";
import type { Certificate } from "./certificate.ts";
import {
  decodeEnvelope,
  encodeEnvelope,
  encryptValue,
  envelopeBytes,
  importPublicKey,
  type PublicKey,
  parseEnvelopeBytes,
} from "./envelope.ts";
import { locate, SignetError } from "./errors.ts";
import type { Keyring, OpenedValue } from "./keyring.ts";
import type { Json } from "./manifest.ts";
import { labelBytes, type Scope, scopeAnnotations, scopeOf, withScope } from "./scope.ts";
import {
  asObject,
  describeObject,
  formatMetadata,
  fromEntries,
  isItemName,
  type JsonObject,
  type ObjectMeta,
  parseMetadata,
  parseSecret,
  QUOTING_ANNOTATIONS,
  type Secret,
  serverFieldsRemoved,
  sorted,
} from "./secret.ts";
import {
  formatStamp,
  parseStamp,
  SEALED_FOR_ANNOTATION,
  type Stamp,
  STAMP_ANNOTATION,
} from "./stamp.ts";

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

/** Renders `spec.template.data`; handed in so that who never renders need not load it. */
export type RenderTemplate = (
  source: string,
  values: ReadonlyMap<string, Uint8Array>,
  /** The item's name, by which a template may call itself. */
  name: string,
) => Uint8Array;

export interface UnsealedSecret {
  readonly secret: Secret;
  /** The key that each value was under. Empty for the legacy form. */
  readonly stamp: Stamp;
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
    if (!isItemName(item)) throw invalid("is not a name for an item", field);
    if (typeof value !== "string") throw invalid("must be text", field);
    encryptedData.set(item, value);
  }
  const legacy = spec["data"] ?? null;
  const legacyData = typeof legacy === "string" ? decodeBase64(legacy) : null;
  if (legacy !== null && legacyData === null) throw invalid("must be base64", "spec.data");
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
    throw invalid("must be text", "spec.template.type");
  if (immutable !== null && typeof immutable !== "boolean") {
    throw invalid("must be true or false", "spec.template.immutable");
  }
  const data = new Map<string, string>();
  for (const [item, source] of Object.entries(mapping(template["data"], "spec.template.data"))) {
    const field = `spec.template.data.${item}`;
    if (!isItemName(item)) throw invalid("is not a name for an item", field);
    if (typeof source !== "string") throw invalid("must be text", field);
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
 * Seals a Secret. `scope`: overrides the one that its annotations ask for.
 * @throws SignetError secret-invalid where it lacks the name or namespace that its scope binds to
 */
export async function seal(
  secret: Secret,
  certificate: Certificate,
  scope: Scope = scopeOf(secret.metadata.annotations),
): Promise<SealedSecret> {
  const { name, namespace, labels, annotations, rest } = secret.metadata;
  if (name === "") {
    throw new SignetError("secret-invalid", "missing metadata.name in input Secret");
  }
  if (namespace === "" && scope !== "cluster-wide") {
    throw new SignetError("secret-invalid", "secret must declare a namespace", {
      hint: "say metadata.namespace in the manifest, or --namespace",
    });
  }
  const publicKey = await publicKeyOf(certificate);
  const label = labelBytes(scope, namespace, name);
  const items = [...secret.data].sort(([a], [b]) => (a < b ? -1 : 1));
  const sealedItems = await Promise.all(
    items.map(
      async ([item, value]) =>
        [item, encodeEnvelope(await encryptValue(publicKey, value, label))] as const,
    ),
  );
  const stamp = new Map(items.map(([item]) => [item, certificate.fingerprint]));
  return {
    metadata: {
      name,
      namespace,
      labels: {},
      annotations: stamped(
        { ...scopeAnnotations(scope), [SEALED_FOR_ANNOTATION]: placeWords(scope, label) },
        stamp,
      ),
      rest: {},
    },
    encryptedData: new Map(sealedItems),
    template: {
      metadata: {
        name,
        namespace,
        labels,
        annotations: without(withScope(annotations, scope), QUOTING_ANNOTATIONS),
        rest: serverFieldsRemoved(rest),
      },
      type: secret.type,
      immutable: secret.immutable,
      data: new Map(),
    },
    legacyData: undefined,
  };
}

/** Such as `strict demo/db`, `namespace-wide demo`, `cluster-wide`. */
function placeWords(scope: Scope, label: Uint8Array): string {
  return `${scope} ${new TextDecoder().decode(label)}`.trimEnd();
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
  return { said, needed: placeWords(scope, labelBytes(scope, namespace, name)) };
}

const publicKeys = new WeakMap<Certificate, Promise<PublicKey>>();

/** Imported once, however many Secrets are sealed with it. */
function publicKeyOf(certificate: Certificate): Promise<PublicKey> {
  let publicKey = publicKeys.get(certificate);
  if (publicKey === undefined) {
    publicKey = importPublicKey(certificate.spki);
    publicKeys.set(certificate, publicKey);
  }
  return publicKey;
}

/**
 * Opens every value, or none: the Secret as it is to be, without an owner.
 * @throws SignetError decrypt-failed (naming the items), template-failed, sealedsecret-invalid
 */
export async function unseal(
  sealed: SealedSecret,
  keyring: Keyring,
  options: { readonly render: RenderTemplate; readonly acceptLegacy?: boolean },
): Promise<UnsealedSecret> {
  if (sealed.legacyData !== undefined) {
    return unsealLegacy(sealed, sealed.legacyData, keyring, options.acceptLegacy ?? true);
  }
  const { values, stamp } = await openValues(sealed, keyring);
  const data = new Map(values);
  const context = new Map(values);
  for (const [item, source] of sealed.template.data) {
    if (!context.has(item)) context.set(item, new TextEncoder().encode(source));
  }
  for (const [item, source] of sealed.template.data) {
    if (values.has(item)) continue;
    const field = `spec.template.data.${item}`;
    data.set(
      item,
      locate({ field }, () => options.render(source, context, item)),
    );
  }
  const { template, metadata } = sealed;
  return {
    secret: {
      metadata: { ...template.metadata, name: metadata.name, namespace: metadata.namespace },
      type: template.type,
      immutable: template.immutable,
      data,
    },
    stamp,
  };
}

/** What the one value of the legacy form, which holds all items, is called where values are told by name. */
export const LEGACY_ITEM = "spec.data";

async function unsealLegacy(
  { metadata, encryptedData }: SealedSecret,
  legacyData: Uint8Array,
  keyring: Keyring,
  accept: boolean,
): Promise<UnsealedSecret> {
  if (!accept) {
    throw new SignetError(
      "sealedsecret-invalid",
      "using deprecated 'data' field, use 'encryptedData' or flip the feature flag",
    );
  }
  if (encryptedData.size > 0) {
    throw new SignetError(
      "sealedsecret-invalid",
      "cannot use the field 'encryptedData' and the deprecated field 'data' at the same time",
    );
  }
  const { name, namespace } = metadata;
  const opened = await openLegacy(metadata, legacyData, keyring);
  let object: JsonObject | null;
  try {
    object = asObject(JSON.parse(new TextDecoder().decode(opened.plaintext)) as Json);
  } catch {
    // The parser's own message would quote the plaintext.
    object = null;
  }
  if (object === null) throw invalid("holds no Secret", "spec.data");
  const secret = parseSecret({ ...object, kind: "Secret", apiVersion: "v1" });
  return {
    secret: {
      ...secret,
      metadata: {
        ...secret.metadata,
        name,
        namespace,
        rest: serverFieldsRemoved(secret.metadata.rest),
      },
    },
    stamp: new Map([[LEGACY_ITEM, opened.fingerprint]]),
  };
}

async function openLegacy(
  { name, namespace, annotations }: ObjectMeta,
  legacyData: Uint8Array,
  keyring: Keyring,
): Promise<OpenedValue> {
  const envelope = parseEnvelopeBytes(legacyData);
  const label = labelBytes(scopeOf(annotations), namespace, name);
  const opened = envelope === null ? null : await keyring.open(envelope, label);
  if (opened === null) throw decryptFailed([]);
  return opened;
}

/** Values of one object that are opened side by side: others have a right to the threads as well. */
const OPEN_AT_ONCE = 4;
/** Each value that does not open costs a try with every key: after so many, the rest is not tried. */
const MAX_FAILURES = 8;

/**
 * Opens the values alone; templates are not looked at. Gives up after `maxFailures`.
 * @throws SignetError decrypt-failed, naming the items that no key held opens
 */
export async function openValues(
  sealed: SealedSecret,
  keyring: Keyring,
  maxFailures = MAX_FAILURES,
): Promise<{ values: Map<string, Uint8Array>; stamp: Map<string, string> }> {
  const { name, namespace, annotations } = sealed.metadata;
  const label = labelBytes(scopeOf(annotations), namespace, name);
  const hints = stampOf(sealed);
  const opened = new Map<string, OpenedValue>();
  const failed: string[] = [];
  const waiting = sealed.encryptedData.entries();
  const work = async (): Promise<void> => {
    for (const [item, text] of waiting) {
      const envelope = decodeEnvelope(text);
      const value = envelope === null ? null : await keyring.open(envelope, label, hints.get(item));
      if (value === null) failed.push(item);
      else opened.set(item, value);
      if (failed.length >= maxFailures) return;
    }
  };
  await Promise.all(Array.from({ length: OPEN_AT_ONCE }, work));
  if (failed.length > 0) {
    throw decryptFailed(failed, opened.size + failed.length < sealed.encryptedData.size);
  }
  const values = new Map<string, Uint8Array>();
  const stamp = new Map<string, string>();
  for (const item of sealed.encryptedData.keys()) {
    const value = opened.get(item);
    if (value === undefined) continue;
    values.set(item, value.plaintext);
    stamp.set(item, value.fingerprint);
  }
  return { values, stamp };
}

/** Whether the held keys open every value, of either form; templates are not looked at. */
export async function opens(sealed: SealedSecret, keyring: Keyring): Promise<boolean> {
  try {
    if (sealed.legacyData !== undefined) {
      await openLegacy(sealed.metadata, sealed.legacyData, keyring);
    }
    await openValues(sealed, keyring, 1);
    return true;
  } catch (error) {
    if (error instanceof SignetError && error.code === "decrypt-failed") return false;
    throw error;
  }
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
    return placeWords(scope, labelBytes(scope, metadata.namespace, metadata.name));
  };
  if (place(target) !== place(update)) {
    throw new SignetError(
      "secret-invalid",
      `cannot merge what is sealed for ${place(update)} into ${place(target)}`,
    );
  }
  if (target.legacyData !== undefined || update.legacyData !== undefined) {
    throw invalid("the deprecated form cannot be merged: seal all values anew", "spec.data");
  }
  const encryptedData = new Map([...target.encryptedData, ...update.encryptedData]);
  const kept = [...stampOf(target)].filter(([item]) => !update.encryptedData.has(item));
  const stamp = new Map([...kept, ...stampOf(update)]);
  const { annotations } = target.metadata;
  // Where no old value is left, neither is the place that they were sealed for.
  const isAllNew = [...target.encryptedData.keys()].every((item) => update.encryptedData.has(item));
  const saysPlace = annotations[SEALED_FOR_ANNOTATION] !== undefined;
  const sealedFor = isAllNew && saysPlace ? { [SEALED_FOR_ANNOTATION]: place(update) } : {};
  return {
    ...target,
    metadata: {
      ...target.metadata,
      annotations: stamped({ ...annotations, ...sealedFor }, stamp, encryptedData.keys()),
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

/** What is to become of the items of a SealedSecret; each is named once. */
export interface ItemChanges {
  /** New values, and those to be put in place of others. */
  readonly set?: ReadonlyMap<string, Uint8Array>;
  readonly unset?: readonly string[];
  /** New names by old ones: an envelope does not bind its item's name. */
  readonly rename?: ReadonlyMap<string, string>;
}

/**
 * Checks that a SealedSecret itself says what a new value is to be bound to: who applies it may add a
 * namespace, and a value that was sealed without one would never open.
 * @throws SignetError secret-invalid
 */
export function checkPlace({ metadata }: SealedSecret): void {
  const scope = scopeOf(metadata.annotations);
  const needed = { strict: ["namespace", "name"], "namespace-wide": ["namespace"] } as const;
  if (scope === "cluster-wide") return;
  const field = needed[scope].find((each) => metadata[each] === "");
  if (field === undefined) return;
  throw new SignetError("secret-invalid", `says no ${field}, which a value is sealed for`, {
    hint: `say metadata.${field} in the file, or use \`signet seal --merge-into\` with --${field}`,
    place: { field: `metadata.${field}` },
  });
}

/**
 * The same SealedSecret with some items changed. A certificate is needed where values are set, and
 * every other value keeps its ciphertext.
 * @throws SignetError secret-invalid where an item is not there, one of the new name is, or it is not
 *   said what a new value is for; sealedsecret-invalid for the legacy form
 */
export async function changeItems(
  sealed: SealedSecret,
  { set = new Map(), unset = [], rename = new Map() }: ItemChanges,
  certificate: Certificate | null,
): Promise<SealedSecret> {
  if (sealed.legacyData !== undefined) {
    throw invalid("the deprecated form holds no values by name: seal it anew", "spec.data");
  }
  const { name, namespace, annotations } = sealed.metadata;
  const before = sealed.encryptedData;
  for (const item of [...unset, ...rename.keys()]) {
    if (!before.has(item)) throw itemError("is not there", item);
  }
  const encryptedData = new Map<string, string>();
  const known = stampOf(sealed);
  const stamp = new Map<string, string>();
  for (const [item, text] of before) {
    if (unset.includes(item)) continue;
    const newName = rename.get(item) ?? item;
    if (encryptedData.has(newName)) throw itemError("is there already", newName);
    encryptedData.set(newName, text);
    const fingerprint = known.get(item);
    if (fingerprint !== undefined) stamp.set(newName, fingerprint);
  }
  if (set.size > 0) checkPlace(sealed);
  const scope = scopeOf(annotations);
  const label = labelBytes(scope, namespace, name);
  for (const [item, value] of set) {
    if (certificate === null) throw new Error("values cannot be sealed without a certificate");
    if (!isItemName(item)) throw itemError("is not a name for an item", item);
    const publicKey = await publicKeyOf(certificate);
    encryptedData.set(item, encodeEnvelope(await encryptValue(publicKey, value, label)));
    stamp.set(item, certificate.fingerprint);
  }
  // Of a file that was moved no value is left then that was sealed for the former place.
  const isAllNew = set.size > 0 && set.size === encryptedData.size;
  const saysPlace = annotations[SEALED_FOR_ANNOTATION] !== undefined;
  const place = isAllNew && saysPlace ? { [SEALED_FOR_ANNOTATION]: placeWords(scope, label) } : {};
  return {
    ...sealed,
    metadata: {
      ...sealed.metadata,
      annotations: stamped({ ...annotations, ...place }, stamp, encryptedData.keys()),
    },
    encryptedData,
  };
}

function itemError(reason: string, item: string): SignetError {
  const field = `spec.encryptedData.${item}`;
  return new SignetError("secret-invalid", reason, { place: { field } });
}

/**
 * The same SealedSecret with every value that is not under the key of `certificate` sealed with it,
 * by default the newest key's. Name, namespace, scope and template stay as they are; templates are
 * not rendered.
 * @throws SignetError decrypt-failed; key-invalid where no key held can seal
 */
export async function reseal(
  sealed: SealedSecret,
  keyring: Keyring,
  maxFailures = MAX_FAILURES,
  certificate = keyring.newest?.certificate,
): Promise<SealedSecret> {
  if (certificate === undefined) {
    throw new SignetError("key-invalid", "no key held has a certificate");
  }
  const { fingerprint } = certificate;
  const { name, namespace, annotations } = sealed.metadata;
  const label = labelBytes(scopeOf(annotations), namespace, name);
  const publicKey = await publicKeyOf(certificate);
  if (sealed.legacyData !== undefined) {
    const opened = await openLegacy(sealed.metadata, sealed.legacyData, keyring);
    if (opened.fingerprint === fingerprint) return sealed;
    const envelope = await encryptValue(publicKey, opened.plaintext, label);
    return { ...sealed, legacyData: envelopeBytes(envelope) };
  }
  const { values, stamp } = await openValues(sealed, keyring, maxFailures);
  const encryptedData = new Map(sealed.encryptedData);
  for (const [item, value] of values) {
    if (stamp.get(item) === fingerprint) continue;
    encryptedData.set(item, encodeEnvelope(await encryptValue(publicKey, value, label)));
    stamp.set(item, fingerprint);
  }
  return {
    ...sealed,
    metadata: { ...sealed.metadata, annotations: stamped(annotations, stamp) },
    encryptedData,
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

/** What is not known of a value is not claimed. */
function stamped(
  annotations: Record<string, string>,
  stamp: Stamp,
  items: Iterable<string> = stamp.keys(),
): Record<string, string> {
  return stamp.size === 0
    ? without(annotations, [STAMP_ANNOTATION])
    : { ...annotations, [STAMP_ANNOTATION]: formatStamp(stamp, items) };
}

/** All that can be said of why a value does not open. */
export const DECRYPT_HINT =
  "it was sealed for another cluster, name, namespace or scope, or its text is damaged";

/** One message for every way in which values do not open. */
function decryptFailed(items: readonly string[], more = false): SignetError {
  const names = [...items].sort().concat(more ? ["others were not tried"] : []);
  const named = names.length === 0 ? "" : ` (${names.join(", ")})`;
  return new SignetError("decrypt-failed", `no key could decrypt secret${named}`, {
    hint: DECRYPT_HINT,
  });
}

function mapping(value: Json | undefined, field: string): JsonObject {
  const object = asObject(value ?? {});
  if (object === null) throw invalid("must be a mapping", field);
  return object;
}

function invalid(reason: string, field: string): SignetError {
  return new SignetError("sealedsecret-invalid", reason, { place: { field } });
}

function without<T>(object: Record<string, T>, keys: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}
