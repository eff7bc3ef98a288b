// X-Wing, which combines ML-KEM-768 with X25519: the KEM 0x647A of HPKE (MLKEM768-X25519).
// draft-connolly-cfrg-xwing-kem, draft-irtf-cfrg-concrete-hybrid-kems. SPEC.md, "Hybrid envelopes".

import { bytesOf, joined } from "./bytes.ts";
import type { Decapsulator, Encapsulator, Primitives, X25519Pair } from "./primitives.ts";

/** Sizes in bytes. */
export const SEED_BYTES = 32;
export const PUBLIC_KEY_BYTES = 1216;
export const ENCAPSULATED_BYTES = 1120;
const ML_KEM_SEED_BYTES = 64;
const ML_KEM_PUBLIC_KEY_BYTES = 1184;
const ML_KEM_CIPHERTEXT_BYTES = 1088;
const X25519_BYTES = 32;

const LABEL = bytesOf("\\.//^\\");

interface Secrets {
  readonly mlKem: Uint8Array;
  readonly x25519: Uint8Array;
}

/** Returns the key pair of a seed. */
export function xwingFromSeed(primitives: Primitives, seed: Uint8Array): Decapsulator {
  const expanded = primitives.shake256(seed, ML_KEM_SEED_BYTES + X25519_BYTES);
  const mlKem = primitives.mlKem768.fromSeed(expanded.subarray(0, ML_KEM_SEED_BYTES));
  const pair = primitives.x25519(expanded.subarray(ML_KEM_SEED_BYTES));
  return {
    publicKey: joined(mlKem.publicKey, pair.publicKey),
    decapsulate: (ciphertext) => {
      const share = ciphertext.subarray(ML_KEM_CIPHERTEXT_BYTES);
      const secrets = {
        mlKem: mlKem.decapsulate(ciphertext.subarray(0, ML_KEM_CIPHERTEXT_BYTES)),
        x25519: agree(pair, share),
      };
      return combined(primitives, secrets, share, pair.publicKey);
    },
  };
}

/** Imports a public key. @throws Error if it is not valid */
export function xwingFromPublicKey(primitives: Primitives, publicKey: Uint8Array): Encapsulator {
  const mlKem = primitives.mlKem768.fromPublicKey(publicKey.slice(0, ML_KEM_PUBLIC_KEY_BYTES));
  const point = publicKey.slice(ML_KEM_PUBLIC_KEY_BYTES);
  return {
    encapsulate: () => {
      const ephemeral = primitives.x25519(primitives.randomBytes(X25519_BYTES));
      const { sharedSecret, ciphertext } = mlKem.encapsulate();
      const secrets = { mlKem: sharedSecret, x25519: agree(ephemeral, point) };
      return {
        sharedSecret: combined(primitives, secrets, ephemeral.publicKey, point),
        ciphertext: joined(ciphertext, ephemeral.publicKey),
      };
    },
  };
}

/** @throws Error if the point is of low order: every implementation refuses it */
function agree(pair: X25519Pair, point: Uint8Array): Uint8Array {
  const secret = pair.agree(point);
  if (secret.every((byte) => byte === 0)) throw new Error("the point is of low order");
  return secret;
}

function combined(
  primitives: Primitives,
  { mlKem, x25519 }: Secrets,
  share: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  return primitives.sha3(joined(mlKem, x25519, share, publicKey, LABEL));
}
