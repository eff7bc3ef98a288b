// Post-quantum envelopes: HPKE with X-Wing, a key id, and padding.
// SPEC.md, "Hybrid envelopes". Runs in a browser.

import { bytesOf, joined, u16 } from "../hpke/bytes.ts";
import { hpkeOpen, hpkeSeal } from "../hpke/hpke.ts";
import type { Decapsulator, Encapsulator, Primitives } from "../hpke/primitives.ts";
import { ENCAPSULATED_BYTES } from "../hpke/xwing.ts";
import type { Envelope } from "./envelope.ts";

/** The name of this kind of envelope, and of the kind of key that opens it. */
export const HYBRID = "hybrid";

/**
 * The first bytes: read as the length of an RSA key part they would be 15,629, so the original
 * treats such an envelope as one that no key opens. The low six bits of the third byte are the
 * suite.
 */
const MARK = [0x3d, 0x0d] as const;
const SUITE_BITS = 0x40;
const XWING_AES256GCM = SUITE_BITS | 0;
const NO_FLAGS = 0;

const KEY_ID_BYTES = 8;
const HEAD_BYTES = 4 + KEY_ID_BYTES;
const TAG_BYTES = 16;

const INFO = bytesOf("kube-signet/value/1");

/** A parsed hybrid envelope. */
export interface HybridEnvelope extends Envelope {
  readonly kind: typeof HYBRID;
  /** The bytes before `encapsulated`; the last 8 are the key's id. */
  readonly head: Uint8Array;
  readonly encapsulated: Uint8Array;
  /** The padded value, encrypted, and the tag. */
  readonly ciphertext: Uint8Array;
}

/** Returns the id of the key with this X-Wing public key. */
export function keyIdOf({ sha256 }: Pick<Primitives, "sha256">, publicKey: Uint8Array): Uint8Array {
  return sha256(publicKey).slice(0, KEY_ID_BYTES);
}

/** Whether the envelope says that it was sealed with the key of this id. */
export function isUnderKey({ head }: HybridEnvelope, keyId: Uint8Array): boolean {
  return head.subarray(4).every((byte, index) => byte === keyId[index]);
}

/** Whether bytes begin as an envelope of a post-quantum suite, known or not. */
export function claimsEnvelope(bytes: Uint8Array): boolean {
  const [first, second, third = 0] = bytes;
  return first === MARK[0] && second === MARK[1] && (third & 0xc0) === SUITE_BITS;
}

/** Parses the bytes of an envelope. Returns null if its suite, flags or length is not supported. */
export function parseHybridEnvelope(bytes: Uint8Array): HybridEnvelope | null {
  if (!claimsEnvelope(bytes) || bytes[2] !== XWING_AES256GCM || bytes[3] !== NO_FLAGS) return null;
  const padded = bytes.length - HEAD_BYTES - ENCAPSULATED_BYTES - TAG_BYTES;
  if (padded < MIN_PADDED_BYTES || paddedLength(padded) !== padded) return null;
  return {
    kind: HYBRID,
    head: bytes.slice(0, HEAD_BYTES),
    encapsulated: bytes.slice(HEAD_BYTES, HEAD_BYTES + ENCAPSULATED_BYTES),
    ciphertext: bytes.slice(HEAD_BYTES + ENCAPSULATED_BYTES),
  };
}

/** Encrypts one value for the key with this id and public key, bound to `label`. */
export async function sealHybrid(
  primitives: Primitives,
  { keyId, publicKey }: { readonly keyId: Uint8Array; readonly publicKey: Encapsulator },
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<Uint8Array> {
  const head = joined(Uint8Array.of(...MARK, XWING_AES256GCM, NO_FLAGS), keyId);
  const { encapsulated, ciphertext } = await hpkeSeal(
    primitives,
    publicKey,
    { info: INFO, aad: aadOf(head, label) },
    pad(plaintext),
  );
  return joined(head, encapsulated, ciphertext);
}

/** Decrypts one value. Returns null if it was not encrypted for this key and this label. */
export async function openHybrid(
  primitives: Primitives,
  privateKey: Decapsulator,
  envelope: HybridEnvelope,
  label: Uint8Array,
): Promise<Uint8Array | null> {
  const binding = { info: INFO, aad: aadOf(envelope.head, label) };
  const padded = await hpkeOpen(primitives, privateKey, binding, envelope);
  return padded === null ? null : unpad(padded);
}

function aadOf(head: Uint8Array, label: Uint8Array): Uint8Array {
  // A label is a namespace and a name, which Kubernetes bounds to a few hundred bytes.
  if (label.length > 0xffff) throw new Error("the label is too long");
  return joined(head, u16(label.length), label);
}

/**
 * Short values are all padded to this length, so that they do not reveal how long a password is.
 */
const MIN_PADDED_BYTES = 64;
const PAD_START = 0x80;

/**
 * Returns the length that `length` bytes are padded to: 64, or that of Padme, which is at most 12%
 * more. "Reducing Metadata Leakage from Encrypted Files", Nikitin and others, 2019, section 4.
 * @internal for its test
 */
export function paddedLength(length: number): number {
  if (length <= MIN_PADDED_BYTES) return MIN_PADDED_BYTES;
  const exponent = 31 - Math.clz32(length);
  const step = 2 ** (exponent - (32 - Math.clz32(exponent)));
  return Math.ceil(length / step) * step;
}

function pad(value: Uint8Array): Uint8Array {
  const padded = new Uint8Array(paddedLength(value.length + 1));
  padded.set(value);
  padded[value.length] = PAD_START;
  return padded;
}

/**
 * Returns null if the padding is not the one that `pad` creates: each value has only one encoding.
 */
function unpad(padded: Uint8Array): Uint8Array | null {
  let end = padded.length - 1;
  while (end > 0 && padded[end] === 0) end--;
  if (padded[end] !== PAD_START || paddedLength(end + 1) !== padded.length) return null;
  return new Uint8Array(padded.subarray(0, end));
}
