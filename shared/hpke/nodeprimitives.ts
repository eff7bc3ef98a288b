// The primitives of node:crypto. ML-KEM is part of it since Node 24.7.

import type * as NodeCryptoModule from "node:crypto";
import { type NodeCrypto, nodeVersion } from "../nodecrypto.ts";
import type { MlKem768, Primitives, X25519Pair } from "./primitives.ts";

type KeyObject = NodeCryptoModule.KeyObject;

/** Functions that the types of Node 20 lack. */
interface KemCrypto {
  encapsulate(key: KeyObject): { sharedKey: Buffer; ciphertext: Buffer };
  decapsulate(key: KeyObject, ciphertext: Uint8Array): Buffer;
}

/** Does not use Buffer, because a browser loads this module too. */
const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));

/** The DER before the bytes of a key. RFC 8410, RFC 9935. */
const X25519_PKCS8 = fromHex("302e020100300506032b656e04220420");
const X25519_SPKI = fromHex("302a300506032b656e032100");
const ML_KEM_PKCS8 = fromHex("3054020100300b060960864801650304040204428040");
const ML_KEM_SPKI = fromHex("308204b2300b0609608648016503040402038204a100");

const TAG_BYTES = 16;

/** Whether this Node has ML-KEM. Its functions exist since Node 24.7, and require OpenSSL 3.5. */
export function hasMlKem(native: NodeCrypto): boolean {
  if (typeof (native as Partial<KemCrypto>).decapsulate !== "function") return false;
  try {
    privateKey(native, ML_KEM_PKCS8, new Uint8Array(64));
    return true;
  } catch {
    return false;
  }
}

function privateKey(native: NodeCrypto, prefix: Uint8Array, bytes: Uint8Array): KeyObject {
  const key = Buffer.concat([prefix, bytes]);
  return native.createPrivateKey({ key, format: "der", type: "pkcs8" });
}

function publicKey(native: NodeCrypto, prefix: Uint8Array, bytes: Uint8Array): KeyObject {
  const key = Buffer.concat([prefix, bytes]);
  return native.createPublicKey({ key, format: "der", type: "spki" });
}

function publicBytes(native: NodeCrypto, key: KeyObject, prefix: Uint8Array): Uint8Array {
  const spki = native.createPublicKey(key).export({ type: "spki", format: "der" });
  return new Uint8Array(spki.subarray(prefix.length));
}

function nodeMlKem768(native: NodeCrypto): MlKem768 {
  const kem = native as NodeCrypto & KemCrypto;
  return {
    fromSeed: (seed) => {
      const key = privateKey(native, ML_KEM_PKCS8, seed);
      return {
        publicKey: publicBytes(native, key, ML_KEM_SPKI),
        decapsulate: (ciphertext) => kem.decapsulate(key, ciphertext),
      };
    },
    fromPublicKey: (bytes) => {
      const key = publicKey(native, ML_KEM_SPKI, bytes);
      return {
        encapsulate: () => {
          const { sharedKey, ciphertext } = kem.encapsulate(key);
          return { sharedSecret: sharedKey, ciphertext };
        },
      };
    },
  };
}

function x25519Pair(native: NodeCrypto, secret: Uint8Array): X25519Pair {
  const key = privateKey(native, X25519_PKCS8, secret);
  return {
    publicKey: publicBytes(native, key, X25519_SPKI),
    agree: (point) =>
      native.diffieHellman({ privateKey: key, publicKey: importPoint(native, point) }),
  };
}

/** Imports a public key of X25519 in the form that takes this version of Node the least time. */
function importPoint(native: NodeCrypto, point: Uint8Array): KeyObject {
  // Node 24 tests with an exception whether an object is a key object, so a text is twice as fast.
  if (nodeVersion?.startsWith("v24.") === true) {
    const spki = Buffer.concat([X25519_SPKI, point]).toString("base64");
    return native.createPublicKey(
      `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`,
    );
  }
  // Twice to ten times as fast as from DER.
  const jwk = { kty: "OKP", crv: "X25519", x: Buffer.from(point).toString("base64url") };
  return native.createPublicKey({ key: jwk, format: "jwk" });
}

/**
 * Secret keys become key objects: Node 24 takes three to six times as long with a key that is plain
 * bytes. `mlKem768`: the implementation to use if node:crypto has none.
 */
export function nodePrimitives(
  native: NodeCrypto,
  mlKem768: MlKem768 = nodeMlKem768(native),
): Primitives {
  const { createCipheriv, createDecipheriv, createHash, createHmac, createSecretKey } = native;
  return {
    mlKem768,
    x25519: (secret) => x25519Pair(native, secret),
    sha256: (message) => createHash("sha256").update(message).digest(),
    sha3: (message) => createHash("sha3-256").update(message).digest(),
    shake256: (message, outputLength) =>
      createHash("shake256", { outputLength }).update(message).digest(),
    hmacSha256: (key, message) =>
      createHmac("sha256", createSecretKey(key)).update(message).digest(),
    randomBytes: (length) => native.randomBytes(length),
    aes256Gcm: {
      seal: ({ key, nonce, aad }, plaintext) => {
        const cipher = createCipheriv("aes-256-gcm", createSecretKey(key), nonce).setAAD(aad);
        const body = [cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
        return Promise.resolve(Buffer.concat(body));
      },
      open: ({ key, nonce, aad }, ciphertext) => {
        const secret = createSecretKey(key);
        const cipher = createDecipheriv("aes-256-gcm", secret, nonce, { authTagLength: TAG_BYTES });
        cipher.setAAD(aad).setAuthTag(ciphertext.subarray(-TAG_BYTES));
        const plaintext = cipher.update(ciphertext.subarray(0, -TAG_BYTES));
        try {
          cipher.final();
        } catch {
          return Promise.resolve(null);
        }
        return Promise.resolve(plaintext);
      },
    },
  };
}
