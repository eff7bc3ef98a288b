// The forms in which sealing keys come in files and key Secrets.
// SPEC.md, "Sealing keys and certificates".

import { parseCertificate, parsePrivateKey } from "./certificate.ts";
import type { SealingKeyPair } from "./keypair.ts";
import { encodeBase64 } from "../base64.ts";
import { locate, SignetError } from "../errors.ts";
import type { SealingKey } from "./keyring.ts";
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
  const privateKey = locate({ field: "tls.key" }, () => parsePrivateKey(decoder.decode(keyBytes)));
  const certificateBytes = secret.data.get("tls.crt");
  const certificate =
    certificateBytes === undefined
      ? null
      : locate({ field: "tls.crt" }, () => parseCertificate(decoder.decode(certificateBytes)));
  if (certificate !== null && certificate.fingerprint !== privateKey.fingerprint) {
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
    privateKey,
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

function readPemKeys(text: string, file: string): SealingKey[] {
  const blocks = text.match(/-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----[\s\S]*?-----END \1-----/g);
  if (blocks === null) throw new SignetError("key-invalid", "there is no PEM private key in it");
  return blocks.map((block) => ({
    name: file,
    privateKey: parsePrivateKey(block),
    certificate: null,
    orderedAt: new Date(0),
    createdAt: new Date(0),
    compromised: false,
  }));
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
