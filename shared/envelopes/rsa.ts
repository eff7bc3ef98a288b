// The envelope of the original: a session key under RSA-OAEP, the value under AES-256-GCM. Bytes only.
// SPEC.md, "Envelope". Runs in a browser: WebCrypto where there is no node:crypto.

import type * as NodeCryptoModule from "node:crypto";
import { type NodeCrypto, nodeCrypto } from "../nodecrypto.ts";
import type { Envelope } from "./envelope.ts";

type CryptoKey = NodeCryptoModule.webcrypto.CryptoKey;

/** Bytes of AES-256 session key, GCM tag and GCM nonce. The nonce is all zero: each key is used once. */
const SESSION_KEY_BYTES = 32;
const TAG_BYTES = 16;
const NONCE = new Uint8Array(12);

const RSA_OAEP = { name: "RSA-OAEP", hash: "SHA-256" } as const;

/** Name of this kind of envelope, and of the keys that open it. */
export const RSA = "rsa";

/** An RSA envelope taken apart. */
export interface RsaEnvelope extends Envelope {
  readonly kind: typeof RSA;
  /** The session key under RSA-OAEP; as many bytes as the RSA modulus has. */
  readonly wrappedKey: Uint8Array;
  /** AES-256-GCM of the value, with its 16-byte tag at the end. */
  readonly ciphertext: Uint8Array;
}

/**
 * The public half of a sealing key, ready to encrypt with. Node's own crypto where there is one:
 * sealing is so cheap that WebCrypto's threads and start-up cost more than the work.
 */
export type PublicKey =
  | { readonly crypto: NodeCrypto; readonly key: NodeCryptoModule.KeyObject }
  | { readonly crypto: undefined; readonly key: CryptoKey };

/**
 * Imports the public half of a sealing key. `spki`: DER SubjectPublicKeyInfo. `native`: undefined
 * for WebCrypto.
 */
export async function importPublicKey(
  spki: Uint8Array,
  native: NodeCrypto | undefined = nodeCrypto,
): Promise<PublicKey> {
  return native === undefined
    ? {
        crypto: undefined,
        key: await crypto.subtle.importKey("spki", spki, RSA_OAEP, false, ["encrypt"]),
      }
    : {
        crypto: native,
        key: native.createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
      };
}

/** Imports the private half of a sealing key. `pkcs8`: DER PrivateKeyInfo. */
export function importPrivateKey(pkcs8: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", pkcs8, RSA_OAEP, false, ["decrypt"]);
}

/** The bytes of an envelope: a 16-bit length, the wrapped key, the ciphertext. */
export function envelopeBytes({
  wrappedKey,
  ciphertext,
}: Pick<RsaEnvelope, "wrappedKey" | "ciphertext">): Uint8Array {
  const bytes = new Uint8Array(2 + wrappedKey.length + ciphertext.length);
  new DataView(bytes.buffer).setUint16(0, wrappedKey.length);
  bytes.set(wrappedKey, 2);
  bytes.set(ciphertext, 2 + wrappedKey.length);
  return bytes;
}

/** Takes raw envelope bytes apart. Null where they are too short to be one. */
export function parseEnvelopeBytes(bytes: Uint8Array): RsaEnvelope | null {
  if (bytes.length < 2) return null;
  const keyBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0);
  if (bytes.length < 2 + keyBytes + TAG_BYTES) return null;
  return {
    kind: RSA,
    wrappedKey: bytes.slice(2, 2 + keyBytes),
    ciphertext: bytes.slice(2 + keyBytes),
  };
}

/** Encrypts one value under a fresh session key, bound to `label`. */
export async function encryptValue(
  publicKey: PublicKey,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<RsaEnvelope> {
  if (publicKey.crypto === undefined) return encryptInBrowser(publicKey.key, plaintext, label);
  const { publicEncrypt, randomBytes, createCipheriv, constants } = publicKey.crypto;
  const session = randomBytes(SESSION_KEY_BYTES);
  const wrappedKey = publicEncrypt(
    {
      key: publicKey.key,
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
      oaepLabel: label,
    },
    session,
  );
  const cipher = createCipheriv("aes-256-gcm", session, NONCE);
  const body = [cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return { kind: RSA, wrappedKey, ciphertext: Buffer.concat(body) };
}

async function encryptInBrowser(
  publicKey: CryptoKey,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<RsaEnvelope> {
  const session = crypto.getRandomValues(new Uint8Array(SESSION_KEY_BYTES));
  const aes = await crypto.subtle.importKey("raw", session, "AES-GCM", false, ["encrypt"]);
  const [wrappedKey, ciphertext] = await Promise.all([
    crypto.subtle.encrypt({ name: "RSA-OAEP", label }, publicKey, session),
    crypto.subtle.encrypt({ name: "AES-GCM", iv: NONCE }, aes, plaintext),
  ]);
  return {
    kind: RSA,
    wrappedKey: new Uint8Array(wrappedKey),
    ciphertext: new Uint8Array(ciphertext),
  };
}

/**
 * Opens one value. Null where this key, this label and these bytes do not belong together. `native`:
 * null for WebCrypto alone, as in a browser.
 */
export async function decryptValue(
  privateKey: CryptoKey,
  { wrappedKey, ciphertext }: Pick<RsaEnvelope, "wrappedKey" | "ciphertext">,
  label: Uint8Array,
  native: NodeCrypto | null = nodeCrypto ?? null,
): Promise<Uint8Array | null> {
  try {
    const session = await crypto.subtle.decrypt(
      { name: "RSA-OAEP", label },
      privateKey,
      wrappedKey,
    );
    if (session.byteLength !== SESSION_KEY_BYTES) return null;
    if (native !== null) return decryptNatively(native, new Uint8Array(session), ciphertext);
    const aes = await crypto.subtle.importKey("raw", session, "AES-GCM", false, ["decrypt"]);
    const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: NONCE }, aes, ciphertext);
    return new Uint8Array(plain);
  } catch {
    // WebCrypto says OperationError for every mismatch; telling them apart would be an oracle.
    return null;
  }
}

/** RSA belongs on a thread of its own; for AES, waiting for one costs more than the work. */
function decryptNatively(
  { createDecipheriv }: NodeCrypto,
  session: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const cipher = createDecipheriv("aes-256-gcm", session, NONCE, { authTagLength: TAG_BYTES });
  cipher.setAuthTag(ciphertext.subarray(-TAG_BYTES));
  const plaintext = cipher.update(ciphertext.subarray(0, -TAG_BYTES));
  cipher.final();
  return new Uint8Array(plaintext);
}
