// A sealing key that a key service protects: `tls.key.wrapped` in place of `tls.key`.
// SPEC.md, "Wrapped keys".

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { decodeBase64, encodeBase64 } from "../base64.ts";
import { locate, SignetError } from "../errors.ts";
import { asObject, type JsonObject, jsonObjectIn, metadataOf } from "../kubernetes/object.ts";
import type { Secret } from "../kubernetes/secret.ts";
import type { Json } from "../manifest/manifest.ts";
import { parseCertificate } from "./certificate.ts";
import { CONFIRMED_ANNOTATION, KEY_LABEL } from "./keyfile.ts";
import {
  KMS_PROVIDERS,
  type KeyContext,
  type KeyService,
  type KmsProvider,
  type WrappedDataKey,
} from "./keyservice.ts";
import type { SealingKey } from "./sealingkey.ts";

/**
 * The label of a Secret with a wrapped key, with the values of KEY_LABEL. The original exits when
 * it finds a Secret with its own label that it cannot read.
 */
export const WRAPPED_KEY_LABEL = "kube-signet/sealing-key";

/** The item that holds the wrapped key. */
export const WRAPPED_ITEM = "tls.key.wrapped";

/**
 * An annotation on a key Secret that asks the controller to wrap the key, to wrap it again or to
 * store it in plain text: `wrap`, `rewrap` or `unwrap`.
 */
export const WRAPPING_ANNOTATION = "kube-signet/wrapping";

/** The type of the Secret. The type of plain key Secrets requires a `tls.key`. */
export const WRAPPED_TYPE = "kube-signet/wrapped-key";

/** A wrapped key as its Secret has it. Anyone who may write the Secret may have written it. */
export interface WrappedKey extends WrappedDataKey {
  readonly provider: KmsProvider;
  readonly fingerprint: string;
  /** When it was wrapped, RFC 3339 to the second. */
  readonly since: string;
  /** When the sealing key was first stored, in the same form: its Secret may be younger. */
  readonly created: string;
  readonly nonce: Uint8Array;
  /** AES-256-GCM of the PEM text, with the tag at the end. */
  readonly sealed: Uint8Array;
}

const VERSION = 1;
const DATA_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_PEM_BYTES = 64 * 1024;
const MAX_TEXT_BYTES = 256 * 1024;
const MAX_DATA_KEY_BYTES = 8 * 1024;
const MAX_KEY_LENGTH = 1024;
const MAX_ANNOTATIONS = 64;
/** A KMS v2 plugin may return 32 kB of them. */
const MAX_ANNOTATION_BYTES = 48 * 1024;
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;
const REQUIRED = [
  ...["version", "provider", "key", "fingerprint", "since", "created"],
  ...["wrappedDataKey", "nonce", "ciphertext"],
];

/** Whether a Secret holds a wrapped key, well-formed or not. */
export function isWrapped({ data }: Pick<Secret, "data">): boolean {
  return data.has(WRAPPED_ITEM);
}

/** Whether an object from the API server has the label of a wrapped key. */
export function hasWrappedLabel(object: JsonObject): boolean {
  return WRAPPED_KEY_LABEL in (asObject(metadataOf(object)["labels"] ?? null) ?? {});
}

/**
 * Reads `tls.key.wrapped` of a Secret, without opening it.
 * @throws SignetError key-invalid; the message quotes nothing
 */
export function readWrappedKey({ data }: Pick<Secret, "data">): WrappedKey {
  const bytes = data.get(WRAPPED_ITEM);
  if (bytes === undefined) throw damaged("is missing");
  if (bytes.length > MAX_TEXT_BYTES) throw damaged("is too long");
  const fields = parseFields(new TextDecoder().decode(bytes));
  const text = (name: string, form: RegExp): string => {
    const value = fields[name];
    if (typeof value !== "string" || !form.test(value)) throw damaged(`has no valid ${name}`);
    return value;
  };
  const binary = (name: string, least: number, most: number): Uint8Array => {
    const decoded = canonicalBase64(fields[name]);
    if (decoded === null || decoded.length < least || decoded.length > most) {
      throw damaged(`has no valid ${name}`);
    }
    return decoded;
  };
  const provider = KMS_PROVIDERS.find((name) => name === fields["provider"]);
  if (provider === undefined) throw damaged("has no known provider");
  const annotations = readAnnotations(fields["annotations"]);
  return {
    provider,
    key: text("key", new RegExp(`^[ -~]{1,${MAX_KEY_LENGTH}}$`)),
    fingerprint: text("fingerprint", FINGERPRINT),
    since: text("since", MOMENT),
    created: text("created", MOMENT),
    ciphertext: binary("wrappedDataKey", 1, MAX_DATA_KEY_BYTES),
    nonce: binary("nonce", NONCE_BYTES, NONCE_BYTES),
    sealed: binary("ciphertext", TAG_BYTES + 1, MAX_PEM_BYTES + TAG_BYTES),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function parseFields(text: string): JsonObject {
  const fields = jsonObjectIn(text);
  if (fields === null) throw damaged("is not a JSON object");
  if (fields["version"] !== VERSION) {
    throw damaged("is of an unknown version", "a newer version of Signet may have written it");
  }
  const names = Object.keys(fields);
  const known = [...REQUIRED, "annotations"];
  if (!names.every((name) => known.includes(name))) throw damaged("has an unknown field");
  return fields;
}

function readAnnotations(value: Json | undefined): Readonly<Record<string, string>> | undefined {
  if (value === undefined) return undefined;
  const entries = Object.entries(asObject(value) ?? { "": null });
  const size = entries.reduce((sum, [name, text]) => sum + name.length + lengthOf(text), 0);
  const isValid = entries.every(
    ([name, text]) => /^[a-z0-9.-]{1,253}$/.test(name) && canonicalBase64(text) !== null,
  );
  if (!isValid || entries.length > MAX_ANNOTATIONS || size > MAX_ANNOTATION_BYTES) {
    throw damaged("has no valid annotations");
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

function lengthOf(value: Json): number {
  return typeof value === "string" ? value.length : 0;
}

/** Two texts of the same bytes would be two wrapped keys of the same content. */
function canonicalBase64(value: Json | undefined): Uint8Array | null {
  if (typeof value !== "string") return null;
  const decoded = decodeBase64(value);
  return decoded !== null && encodeBase64(decoded) === value ? decoded : null;
}

function damaged(reason: string, hint?: string): SignetError {
  return new SignetError("key-invalid", `the wrapped key ${reason}`, {
    place: { field: WRAPPED_ITEM },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** What the cipher binds besides the text, so that nothing that a report shows can be replaced. */
function boundTo(
  { provider, key, since, created }: Pick<WrappedKey, "provider" | "key" | "since" | "created">,
  { namespace, name, fingerprint }: KeyContext,
): Uint8Array {
  const parts = [namespace, name, fingerprint, provider, key, since, created];
  return new TextEncoder().encode(["kube-signet/wrapped-key/1", ...parts].join("\0"));
}

/** RFC 3339 in UTC, to the second. */
function momentOf(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/**
 * Encrypts the text of a `tls.key` with a fresh data key, and has `service` wrap that key. Opens
 * the result again through the service, so that the returned key is known to open.
 * @throws SignetError as the service does
 */
export async function wrapKey(
  pem: string,
  context: KeyContext,
  service: KeyService,
  { since, created }: { readonly since: Date; readonly created: Date },
): Promise<WrappedKey> {
  const dataKey = randomBytes(DATA_KEY_BYTES);
  try {
    const wrapped = await service.wrap(dataKey, context);
    const facts = {
      ...wrapped,
      provider: service.provider,
      fingerprint: context.fingerprint,
      since: momentOf(since),
      created: momentOf(created),
    };
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", dataKey, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(boundTo(facts, context));
    const sealed = Buffer.concat([cipher.update(pem, "utf8"), cipher.final(), cipher.getAuthTag()]);
    const made = { ...facts, nonce, sealed };
    if ((await openWrappedKey(made, context, service)) !== pem) {
      throw new SignetError("network", `${service.describe()} does not return what it was given`);
    }
    return made;
  } finally {
    dataKey.fill(0);
  }
}

/**
 * Returns the text of the `tls.key`.
 * @throws SignetError as the service does; key-invalid if the key was changed, or belongs to another
 *   Secret
 */
export async function openWrappedKey(
  wrapped: WrappedKey,
  context: KeyContext,
  service: KeyService,
): Promise<string> {
  const dataKey = await service.unwrap(wrapped, context);
  try {
    if (dataKey.length !== DATA_KEY_BYTES) throw damaged("cannot be opened");
    const { nonce, sealed } = wrapped;
    const decipher = createDecipheriv("aes-256-gcm", dataKey, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(wrapped, context));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const text = [decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()];
    return Buffer.concat(text).toString("utf8");
  } catch {
    throw damaged("cannot be opened", "it was changed, or copied from another Secret");
  } finally {
    dataKey.fill(0);
  }
}

/**
 * Reads a Secret with a wrapped key as far as it can be read without the key service: the returned
 * key cannot open values.
 * @throws SignetError key-invalid or certificate-invalid
 */
export function readClosedKey(secret: Secret): SealingKey {
  const { fingerprint, created } = readWrappedKey(secret);
  const { name, labels, annotations } = secret.metadata;
  const pem = secret.data.get("tls.crt");
  const certificate =
    pem === undefined
      ? null
      : locate({ field: "tls.crt" }, () => parseCertificate(new TextDecoder().decode(pem)));
  if (certificate !== null && certificate.fingerprint !== fingerprint) {
    throw new SignetError("key-invalid", "tls.crt and tls.key.wrapped do not match");
  }
  const createdAt = new Date(created);
  const notBefore = certificate?.notBefore ?? createdAt;
  return {
    name,
    fingerprint,
    halves: [],
    certificate,
    createdAt,
    orderedAt: createdAt < notBefore ? createdAt : notBefore,
    compromised: labels[WRAPPED_KEY_LABEL] === "compromised",
    confirmed: annotations[CONFIRMED_ANNOTATION] === fingerprint,
  };
}

/** Formats the content of `tls.key.wrapped`. */
export function formatWrappedKey(wrapped: WrappedKey): string {
  const { provider, key, fingerprint, since, created, annotations } = wrapped;
  return JSON.stringify({
    version: VERSION,
    provider,
    key,
    fingerprint,
    since,
    created,
    wrappedDataKey: encodeBase64(wrapped.ciphertext),
    ...(annotations === undefined ? {} : { annotations }),
    nonce: encodeBase64(wrapped.nonce),
    ciphertext: encodeBase64(wrapped.sealed),
  });
}

/** Formats the Secret of a wrapped key. `labels`: those besides the one that says what it is. */
export function formatWrappedKeySecret(
  { certificatePem, wrapped }: { certificatePem: string | undefined; wrapped: WrappedKey },
  metadata: { readonly name: string; readonly namespace: string },
  state: string,
  labels: Readonly<Record<string, string>>,
  annotations: Readonly<Record<string, string>>,
): JsonObject {
  const encode = (text: string): string => encodeBase64(new TextEncoder().encode(text));
  return {
    apiVersion: "v1",
    data: {
      ...(certificatePem === undefined ? {} : { "tls.crt": encode(certificatePem) }),
      [WRAPPED_ITEM]: encode(formatWrappedKey(wrapped)),
    },
    kind: "Secret",
    metadata: { ...metadata, labels: { ...labels, [WRAPPED_KEY_LABEL]: state }, annotations },
    type: WRAPPED_TYPE,
  };
}

/**
 * The Secret as it would be with the key in plain text, for code that reads keys. It is as old as
 * the key, but never younger than its Secret.
 */
export function plainSecret(secret: Secret, { created }: WrappedKey, pem: string): Secret {
  const { metadata } = secret;
  const { [WRAPPED_KEY_LABEL]: state = "", ...labels } = metadata.labels;
  const stored = metadata.rest["creationTimestamp"];
  const creationTimestamp = typeof stored === "string" && stored < created ? stored : created;
  const data = new Map([...secret.data].filter(([item]) => item !== WRAPPED_ITEM));
  return {
    ...secret,
    type: "kubernetes.io/tls",
    data: data.set("tls.key", new TextEncoder().encode(pem)),
    metadata: {
      ...metadata,
      labels: { ...labels, [KEY_LABEL]: state },
      rest: { ...metadata.rest, creationTimestamp },
    },
  };
}
