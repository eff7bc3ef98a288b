// One sealing key: what it tells of itself, what it may do, and how it opens a value.
// SPEC.md, "Sealing keys and certificates", "States of a key".

import type { Envelope } from "../envelopes/envelope.ts";
import type { Certificate, PrivateHalf } from "./keykind.ts";

/** A sealing key as held in memory. */
export interface SealingKey {
  /** Where it comes from: the name of its Secret or file. */
  readonly name: string;
  /** `SHA256:` and unpadded base64: its certificate's, and what stamps and reports call it by. */
  readonly fingerprint: string;
  /** What opens, one for each kind of envelope. */
  readonly halves: readonly PrivateHalf[];
  /** Null for a bare private key: it opens values but cannot seal. */
  readonly certificate: Certificate | null;
  /** The newest seals: the certificate's notBefore, or the Secret's creation, as configured. */
  readonly orderedAt: Date;
  /** Of the key Secret; of two keys ordered alike, the one that was created first seals. */
  readonly createdAt: Date;
  /** Somebody marked it so: it still opens, and no longer seals. */
  readonly compromised: boolean;
}

/** Names of the kinds of envelopes that a key opens. */
export function kindsOf({ halves }: SealingKey): string[] {
  return halves.map(({ kind }) => kind);
}

/** Whether the key has a certificate and may be used to seal. */
export function maySeal(
  key: SealingKey,
): key is SealingKey & { readonly certificate: Certificate } {
  return key.certificate !== null && !key.compromised;
}

/** Whether the envelope could be under this key, as far as that costs nothing to tell. */
export function couldOpen({ halves }: SealingKey, envelope: Envelope): boolean {
  return halves.some((half) => half.kind === envelope.kind && half.couldOpen(envelope));
}

/** The value in the envelope. Null if this key, this label and this envelope do not belong together. */
export async function openWith(
  { halves }: SealingKey,
  envelope: Envelope,
  label: Uint8Array,
): Promise<Uint8Array | null> {
  const half = halves.find(({ kind }) => kind === envelope.kind);
  return half === undefined ? null : half.open(envelope, label);
}
