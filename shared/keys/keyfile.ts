// The forms in which sealing keys come in files and key Secrets.
// SPEC.md, "Sealing keys and certificates".

import { parseCertificate } from "./certificate.ts";
import { parsePrivateKey, rsaHalf } from "./rsakey.ts";
import type { PrivateHalf } from "./keykind.ts";
import { halfBeside, privateKeyBlocks } from "./kinds.ts";
import type { SealingKeyPair } from "./keypair.ts";
import { encodeBase64 } from "../base64.ts";
import { locate, SignetError } from "../errors.ts";
import type { SealingKey } from "./sealingkey.ts";
import { parseManifests } from "../manifest/manifest.ts";
import { type JsonObject, objectsOf } from "../kubernetes/object.ts";
import { parseSecret, type Secret } from "../kubernetes/secret.ts";

export const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";

/** The label's values with which a controller holds the key; with any other, such as `retired`, it does not. */
export const HELD_KEY_LABELS = ["active", "compromised"];

/** On the key Secret that seals now, with any value: make a new key. */
export const RENEW_ANNOTATION = "kube-signet/renew";

/** How a locked backup begins, a file of age: in armor, and without. */
const LOCKED_STARTS = ["-----BEGIN AGE ENCRYPTED FILE-----", "age-encryption.org/"];

/** Whether it is a locked backup of keys, going by how it begins. */
export function isLockedBackup(bytes: Uint8Array): boolean {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  return LOCKED_STARTS.some((each) => start.startsWith(each));
}

/** Which moment orders keys: the certificate's notBefore, or the creation of the key Secret. */
export const KEY_ORDERS = ["CertNotBefore", "SecretCreationTimestamp"] as const;
export type KeyOrder = (typeof KEY_ORDERS)[number];

/**
 * Reads a key Secret (`tls.key`, and `tls.crt` where it is to seal).
 * @throws SignetError key-invalid, certificate-invalid; nothing of the key is quoted
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
    throw new SignetError("key-invalid", "tls.crt and tls.key do not belong together");
  }
  const created = secret.metadata.rest["creationTimestamp"];
  // What is no date counts as none: an order by it would be none either.
  const createdAt = new Date((typeof created === "string" ? Date.parse(created) : 0) || 0);
  const orderedAt =
    order === "CertNotBefore" && certificate !== null ? certificate.notBefore : createdAt;
  const compromised = secret.metadata.labels[KEY_LABEL] === "compromised";
  return {
    name: secret.metadata.name,
    fingerprint,
    halves,
    certificate,
    orderedAt,
    createdAt,
    compromised,
  };
}

/**
 * Reads every sealing key in a file: PEM, or Secrets as YAML or JSON, alone, in a `List`, or several
 * of both in one stream.
 * @throws SignetError key-invalid where there is none; nothing of the file is quoted
 */
export function readKeyFile(text: string, file: string): SealingKey[] {
  return locate({ file }, () => {
    // Other programs put words before a block; in a manifest a block never begins a line.
    if (/^-----BEGIN /m.test(text)) return readPemKeys(text, file);
    const secrets = parseManifests(text).flatMap(objectsOf);
    const keys = secrets.map((object) => readKeySecret(parseSecret(object)));
    if (keys.length === 0) throw new SignetError("key-invalid", "there is no sealing key in it");
    return keys;
  });
}

/** The first RSA key of a `tls.key`, and the halves of other kinds that stand beside it. */
function readTlsKey(text: string): Pick<SealingKey, "fingerprint" | "halves"> {
  const privateKey = parsePrivateKey(text);
  const beside = privateKeyBlocks(text).map(halfBeside);
  return {
    fingerprint: privateKey.fingerprint,
    halves: [rsaHalf(privateKey), ...beside.filter((half) => half !== null)],
  };
}

/** Each RSA key of the text, with the halves of other kinds that follow it. */
function readPemKeys(text: string, file: string): SealingKey[] {
  const keys: (SealingKey & { readonly halves: PrivateHalf[] })[] = [];
  for (const block of privateKeyBlocks(text)) {
    const half = halfBeside(block);
    const last = keys.at(-1);
    if (half !== null && last !== undefined) {
      last.halves.push(half);
      continue;
    }
    const privateKey = parsePrivateKey(block);
    keys.push({
      name: file,
      fingerprint: privateKey.fingerprint,
      halves: [rsaHalf(privateKey)],
      certificate: null,
      orderedAt: new Date(0),
      createdAt: new Date(0),
      compromised: false,
    });
  }
  if (keys.length > 0) return keys;
  throw new SignetError("key-invalid", "there is no PEM private key in it");
}

/** The manifest of a key Secret, as the original writes it but for the name. */
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
