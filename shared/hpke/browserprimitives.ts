// The primitives in a browser: AES comes from WebCrypto, everything else from libraries, because
// not every browser has X25519, and none has ML-KEM and SHA-3.

import { x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { nobleMlKem768 } from "./noblemlkem.ts";
import type { GcmKeys, Primitives } from "./primitives.ts";

const importKey = (key: Uint8Array, usage: "encrypt" | "decrypt") =>
  crypto.subtle.importKey("raw", key, "AES-GCM", false, [usage]);

const algorithm = ({ nonce, aad }: GcmKeys) => ({
  name: "AES-GCM",
  iv: nonce,
  additionalData: aad,
});

export const browserPrimitives: Primitives = {
  mlKem768: nobleMlKem768,
  x25519: (secret) => ({
    publicKey: x25519.getPublicKey(secret),
    agree: (point) => x25519.getSharedSecret(secret, point),
  }),
  sha256,
  sha3: sha3_256,
  shake256: (message, length) => shake256(message, { dkLen: length }),
  hmacSha256: (key, message) => hmac(sha256, key, message),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  aes256Gcm: {
    seal: async (keys, plaintext) => {
      const key = await importKey(keys.key, "encrypt");
      return new Uint8Array(await crypto.subtle.encrypt(algorithm(keys), key, plaintext));
    },
    open: async (keys, ciphertext) => {
      const key = await importKey(keys.key, "decrypt");
      try {
        return new Uint8Array(await crypto.subtle.decrypt(algorithm(keys), key, ciphertext));
      } catch {
        return null;
      }
    },
  },
};
