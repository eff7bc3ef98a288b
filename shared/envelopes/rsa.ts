// The original's envelopes: a session key encrypted with RSA-OAEP, a value with AES-256-GCM.
// SPEC.md, "Envelope". Runs in a browser, where it uses WebCrypto instead of node:crypto.

import type * as NodeCryptoModule from "node:crypto";
import { type NodeCrypto, nodeCrypto } from "../nodecrypto.ts";
import type { Envelope } from "./envelope.ts";

type CryptoKey = NodeCryptoModule.webcrypto.CryptoKey;

/**
 * Sizes in bytes of the AES-256 session key and the GCM tag, and the GCM nonce. The nonce is all
 * zeros, which is safe because each session key is used only once.
 */
const SESSION_KEY_BYTES = 32;
const TAG_BYTES = 16;
const NONCE = new Uint8Array(12);

const RSA_OAEP = { name: "RSA-OAEP", hash: "SHA-256" } as const;

/** The name of this kind of envelope, and of the kind of key that opens it. */
export const RSA = "rsa";

/** A parsed RSA envelope. */
export interface RsaEnvelope extends Envelope {
  readonly kind: typeof RSA;
  /** The session key, encrypted with RSA-OAEP; as many bytes as the RSA modulus. */
  readonly wrappedKey: Uint8Array;
  /** The value, encrypted with AES-256-GCM, followed by the 16-byte tag. */
  readonly ciphertext: Uint8Array;
}

/**
 * The imported public half of a sealing key. Uses node:crypto if it is available: sealing is so
 * cheap that WebCrypto's threads and start-up would cost more than the work itself.
 */
export type PublicKey =
  | { readonly crypto: NodeCrypto; readonly key: NodeCryptoModule.KeyObject }
  | { readonly crypto: undefined; readonly key: CryptoKey };

/**
 * Imports the public half of a sealing key. `spki`: DER SubjectPublicKeyInfo. `native`: undefined
 * to use WebCrypto.
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

/** Encodes an envelope: the wrapped key's length as 16 bits, the wrapped key, the ciphertext. */
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

/** Parses the bytes of an envelope. Returns null if they are too short. */
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

/** Encrypts one value with a new session key, bound to `label`. */
export async function encryptValue(
  publicKey: PublicKey,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<RsaEnvelope> {
  if (publicKey.crypto === undefined) return encryptInBrowser(publicKey.key, plaintext, label);
  const { publicEncrypt, randomBytes, createCipheriv, createSecretKey, constants } =
    publicKey.crypto;
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
  const cipher = createCipheriv("aes-256-gcm", createSecretKey(session), NONCE);
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
 * Decrypts one value. Returns null if it was not encrypted for this key and this label. `native`:
 * null to use only WebCrypto, as in a browser.
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
    // WebCrypto throws OperationError for every mismatch. Distinguishing them would be an oracle.
    return null;
  }
}

/**
 * Runs AES on this thread: unlike RSA, it costs less than waiting for another thread. Node 24 takes
 * three times as long with a key that is plain bytes.
 */
function decryptNatively(
  { createDecipheriv, createSecretKey }: NodeCrypto,
  session: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const key = createSecretKey(session);
  const cipher = createDecipheriv("aes-256-gcm", key, NONCE, { authTagLength: TAG_BYTES });
  cipher.setAuthTag(ciphertext.subarray(-TAG_BYTES));
  const plaintext = cipher.update(ciphertext.subarray(0, -TAG_BYTES));
  cipher.final();
  return new Uint8Array(plaintext);
}
