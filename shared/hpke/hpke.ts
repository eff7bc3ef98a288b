// HPKE in base mode, for one message: KEM 0x647A, HKDF-SHA256, AES-256-GCM.
// RFC 9180, draft-ietf-hpke-hpke, draft-ietf-hpke-pq. SPEC.md, "Hybrid envelopes".

import { bytesOf, joined, u16 } from "./bytes.ts";
import type { Decapsulator, Encapsulator, Primitives } from "./primitives.ts";

/** The identifiers of an HPKE cipher suite. */
interface Suite {
  readonly kem: number;
  readonly kdf: number;
  readonly aead: number;
}

/** MLKEM768-X25519, HKDF-SHA256, AES-256-GCM. */
const SUITE: Suite = { kem: 0x647a, kdf: 0x0001, aead: 0x0002 };

const MODE_BASE = Uint8Array.of(0);
const VERSION = bytesOf("HPKE-v1");
const NOTHING = new Uint8Array(0);
/** Sizes in bytes of the AEAD's key and nonce. Neither is longer than one output of SHA-256. */
const KEY_BYTES = 32;
const NONCE_BYTES = 12;

/** What a message is bound to. */
export interface Binding {
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
}

/** Encrypts `plaintext` for the owner of a public key. */
export async function hpkeSeal(
  primitives: Primitives,
  publicKey: Encapsulator,
  { info, aad }: Binding,
  plaintext: Uint8Array,
): Promise<{ readonly encapsulated: Uint8Array; readonly ciphertext: Uint8Array }> {
  const { sharedSecret, ciphertext: encapsulated } = publicKey.encapsulate();
  const keys = keySchedule(primitives, sharedSecret, info);
  return {
    encapsulated,
    ciphertext: await primitives.aes256Gcm.seal({ ...keys, aad }, plaintext),
  };
}

/** Decrypts a message. Returns null if it is not for this key and this binding. */
export async function hpkeOpen(
  primitives: Primitives,
  privateKey: Decapsulator,
  { info, aad }: Binding,
  { encapsulated, ciphertext }: { encapsulated: Uint8Array; ciphertext: Uint8Array },
): Promise<Uint8Array | null> {
  let sharedSecret: Uint8Array;
  try {
    sharedSecret = privateKey.decapsulate(encapsulated);
  } catch {
    // A share of low order. To the caller this is like any other value that does not open.
    return null;
  }
  const keys = keySchedule(primitives, sharedSecret, info);
  return primitives.aes256Gcm.open({ ...keys, aad }, ciphertext);
}

/**
 * Derives the AEAD's key, and the nonce of the first message. RFC 9180, section 5.1.
 * @internal for its test: `suite`
 */
export function keySchedule(
  primitives: Primitives,
  sharedSecret: Uint8Array,
  info: Uint8Array,
  suite: Suite = SUITE,
): { readonly key: Uint8Array; readonly nonce: Uint8Array } {
  // HKDF-Expand to one block is one HMAC (RFC 5869).
  const expand = (secret: Uint8Array, label: string, context: Uint8Array, length: number) => {
    const labelled = joined(u16(length), VERSION, idOf(suite), bytesOf(label), context);
    return primitives.hmacSha256(secret, joined(labelled, Uint8Array.of(1))).subarray(0, length);
  };
  const context = contextOf(primitives, info, suite);
  const secret = extract(primitives, suite, { salt: sharedSecret, label: "secret" });
  return {
    key: expand(secret, "key", context, KEY_BYTES),
    nonce: expand(secret, "base_nonce", context, NONCE_BYTES),
  };
}

/** What depends on `info` and the suite alone, so that it is computed for the first message only. */
const contexts = new WeakMap<Uint8Array, { readonly suite: Suite; readonly context: Uint8Array }>();

function contextOf(primitives: Primitives, info: Uint8Array, suite: Suite): Uint8Array {
  const known = contexts.get(info);
  if (known?.suite === suite) return known.context;
  const pskIdHash = extract(primitives, suite, { label: "psk_id_hash" });
  const infoHash = extract(primitives, suite, { label: "info_hash", input: info });
  const context = joined(MODE_BASE, pskIdHash, infoHash);
  contexts.set(info, { suite, context });
  return context;
}

function idOf({ kem, kdf, aead }: Suite): Uint8Array {
  return joined(bytesOf("HPKE"), u16(kem), u16(kdf), u16(aead));
}

/** HKDF-Extract, which is one HMAC (RFC 5869). */
function extract(
  primitives: Primitives,
  suite: Suite,
  {
    salt = NOTHING,
    label,
    input = NOTHING,
  }: { salt?: Uint8Array; label: string; input?: Uint8Array },
): Uint8Array {
  return primitives.hmacSha256(salt, joined(VERSION, idOf(suite), bytesOf(label), input));
}
