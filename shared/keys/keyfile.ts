// Reads and writes sealing keys as PEM files and as key Secrets.
// SPEC.md, "Sealing keys and certificates".

import { parseCertificate } from "./certificate.ts";
import { isPrivateKeyBlock, parsePrivateKey, rsaHalf } from "./rsakey.ts";
import type { PrivateHalf } from "./keykind.ts";
import { halfBeside, privateKeyBlocks } from "./kinds.ts";
import type { SealingKeyPair } from "./keypair.ts";
import { encodeBase64 } from "../base64.ts";
import { locate, SignetError } from "../errors.ts";
import { kindsOf, type SealingKey } from "./sealingkey.ts";
import { parseManifests } from "../manifest/manifest.ts";
import { type JsonObject, objectsOf } from "../kubernetes/object.ts";
import { parseSecret, type Secret } from "../kubernetes/secret.ts";

/** The label that marks a Secret as a sealing key. Its value says what the key is used for. */
export const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";

/**
 * The values of the label for which a controller loads the key. It ignores a key with any other
 * value, such as `retired`.
 */
export const HELD_KEY_LABELS = ["active", "compromised"];

/**
 * An annotation on the Secret of the current sealing key. With any value that is not empty, it
 * makes the controller create a new key.
 */
export const RENEW_ANNOTATION = "kube-signet/renew";

/**
 * An annotation on a key Secret that lets its key seal. Its value is the fingerprint of that key,
 * so it has no effect on another Secret, or after the key was replaced.
 */
export const CONFIRMED_ANNOTATION = "kube-signet/confirmed";

/**
 * An annotation on a key Secret that was restored from a backup, with the fingerprint of its key. A
 * controller that starts later does not mistake such a key for one of an earlier controller.
 */
export const RESTORED_ANNOTATION = "kube-signet/restored";

/** The first bytes of an encrypted backup, which is an age file: armored and binary. */
const LOCKED_STARTS = ["-----BEGIN AGE ENCRYPTED FILE-----", "age-encryption.org/"];

/** Whether the bytes are an encrypted backup of keys, judging by their first bytes. */
export function isLockedBackup(bytes: Uint8Array): boolean {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  return LOCKED_STARTS.some((each) => start.startsWith(each));
}

/** What keys are ordered by: the certificate's notBefore, or the key Secret's creation time. */
export const KEY_ORDERS = ["CertNotBefore", "SecretCreationTimestamp"] as const;
export type KeyOrder = (typeof KEY_ORDERS)[number];

/**
 * Reads a key Secret: `tls.key`, and `tls.crt` if present. Without `tls.crt` the key cannot seal.
 * @throws SignetError key-invalid or certificate-invalid; the message never quotes the key
 */
export function readKeySecret(secret: Secret, order: KeyOrder = "CertNotBefore"): SealingKey {
  const decoder = new TextDecoder();
  const keyBytes = secret.data.get("tls.key");
  if (keyBytes === undefined) {
    throw new SignetError("key-invalid", "the Secret has no tls.key", {
      place: { field: "data" },
    });
  }
  const { fingerprint, halves } = locate({ field: "tls.key" }, () =>
    readTlsKey(decoder.decode(keyBytes)),
  );
  const certificateBytes = secret.data.get("tls.crt");
  const certificate =
    certificateBytes === undefined
      ? null
      : locate({ field: "tls.crt" }, () => parseCertificate(decoder.decode(certificateBytes)));
  if (certificate !== null && certificate.fingerprint !== fingerprint) {
    throw new SignetError("key-invalid", "tls.crt and tls.key do not match");
  }
  if (certificate !== null && !halves.every((half) => half.couldBelongTo(certificate))) {
    throw new SignetError("key-invalid", "the second keys of tls.crt and tls.key do not match");
  }
  // Otherwise values would be sealed for a private half that is missing.
  const held = kindsOf({ halves });
  const missing = certificate?.kinds.find((kind) => !held.includes(kind));
  if (missing !== undefined) {
    throw new SignetError("key-invalid", `tls.key lacks the ${missing} key of tls.crt`);
  }
  const created = secret.metadata.rest["creationTimestamp"];
  // An invalid date would make comparisons return NaN, so it counts as missing.
  const createdAt = new Date((typeof created === "string" ? Date.parse(created) : 0) || 0);
  const isDated = createdAt.getTime() > 0;
  const notBefore = order === "CertNotBefore" ? certificate?.notBefore : undefined;
  // A certificate can carry any date: a key from the future would remain the newest forever.
  const orderedAt =
    notBefore === undefined || (isDated && createdAt < notBefore) ? createdAt : notBefore;
  const compromised = secret.metadata.labels[KEY_LABEL] === "compromised";
  return {
    name: secret.metadata.name,
    fingerprint,
    halves,
    certificate,
    orderedAt,
    createdAt,
    compromised,
    confirmed: secret.metadata.annotations[CONFIRMED_ANNOTATION] === fingerprint,
  };
}

/**
 * Reads every sealing key in a file. The file is either PEM, or a YAML or JSON stream of Secrets
 * and `List`s of Secrets. `file`: the name of the file, for errors. Whoever provides the file vouches
 * for its keys, so they are confirmed.
 * @throws SignetError key-invalid if the file has no key; certificate-invalid, manifest-syntax,
 *   manifest-ambiguous, wrong-kind or secret-invalid. The message never quotes the file.
 */
export function readKeyFile(text: string, file: string): SealingKey[] {
  return locate({ file }, () => {
    // Other programs write text before a PEM block. In a manifest a block is always indented.
    if (/^-----BEGIN /m.test(text)) return readPemKeys(text, file);
    const secrets = parseManifests(text).flatMap(objectsOf);
    const keys = secrets.map((object) => ({
      ...readKeySecret(parseSecret(object)),
      confirmed: true,
    }));
    if (keys.length === 0) throw new SignetError("key-invalid", "no sealing key found");
    return keys;
  });
}

/** Reads the first RSA key in a `tls.key`, and the private halves of other kinds next to it. */
function readTlsKey(text: string): Pick<SealingKey, "fingerprint" | "halves"> {
  const privateKey = parsePrivateKey(text);
  const beside = privateKeyBlocks(text).map(halfBeside);
  return {
    fingerprint: privateKey.fingerprint,
    halves: [rsaHalf(privateKey), ...beside.filter((half) => half !== null)],
  };
}

/** Reads each RSA key in the text, with the private halves of other kinds that follow it. */
function readPemKeys(text: string, file: string): SealingKey[] {
  const keys: (SealingKey & { readonly halves: PrivateHalf[] })[] = [];
  const blocks = privateKeyBlocks(text);
  const last = blocks.at(-1) ?? "";
  const behind = text.slice(text.lastIndexOf(last) + last.length);
  if (/-----BEGIN [A-Z0-9 ]{0,64}PRIVATE KEY-----/.test(behind)) {
    // Without it the key would open some of its values, and nobody would know why not the others.
    throw new SignetError("key-invalid", "the last PEM block of a private key is cut off");
  }
  for (const block of blocks) {
    const half = halfBeside(block);
    const previous = keys.at(-1);
    if (half !== null && previous !== undefined) {
      previous.halves.push(half);
      continue;
    }
    // A kind that this version does not support is ignored, as in a `tls.key`.
    if (half === null && !isPrivateKeyBlock(block)) continue;
    const privateKey = parsePrivateKey(block);
    keys.push({
      name: file,
      fingerprint: privateKey.fingerprint,
      halves: [rsaHalf(privateKey)],
      certificate: null,
      orderedAt: new Date(0),
      createdAt: new Date(0),
      compromised: false,
      confirmed: true,
    });
  }
  if (keys.length > 0) return keys;
  throw new SignetError("key-invalid", "no PEM private key found");
}

/** Formats a key Secret as the original does, except for the name. */
export function formatKeySecret(
  pair: SealingKeyPair,
  metadata: { name?: string; generateName?: string; namespace?: string } & JsonObject,
  labels: Record<string, string> = {},
  annotations: Record<string, string> = {},
): JsonObject {
  const encode = (text: string): string => encodeBase64(new TextEncoder().encode(text));
  return {
    apiVersion: "v1",
    data: { "tls.crt": encode(pair.certificatePem), "tls.key": encode(pair.privateKeyPem) },
    kind: "Secret",
    metadata: {
      ...metadata,
      labels: { ...labels, [KEY_LABEL]: "active" },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    type: "kubernetes.io/tls",
  };
}
