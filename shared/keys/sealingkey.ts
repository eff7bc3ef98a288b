// One sealing key: its properties, whether it may seal, and how it opens a value.
// SPEC.md, "Sealing keys and certificates", "States of a key".

import type { Envelope } from "../envelopes/envelope.ts";
import type { Certificate, PrivateHalf } from "./keykind.ts";

/** A sealing key in memory. */
export interface SealingKey {
  /** The name of the Secret or file that the key was read from. */
  readonly name: string;
  /** `SHA256:` and unpadded base64. Certificates, stamps and reports identify the key by it. */
  readonly fingerprint: string;
  /** The private halves, one for each kind of envelope that the key opens. */
  readonly halves: readonly PrivateHalf[];
  /** Null for a private key without a certificate, which opens values but cannot seal. */
  readonly certificate: Certificate | null;
  /**
   * The time by which keys are ordered: the certificate's notBefore, but no later than the creation
   * of the key Secret; or `createdAt`.
   */
  readonly orderedAt: Date;
  /** When the key Secret was created. If `orderedAt` is equal, the key created first seals. */
  readonly createdAt: Date;
  /** Whether an administrator marked the key as compromised: it opens values, but must not seal. */
  readonly compromised: boolean;
  /**
   * Whether the controller created the key or a person confirmed it. Any other key only opens:
   * whoever gets a key Secret into the namespace must not read what is sealed from then on.
   */
  readonly confirmed: boolean;
  /** Whether it must not seal yet, because nobody could recover it. */
  readonly awaitsRecovery?: boolean;
}

/** Returns the names of the kinds of envelopes that a key opens. */
export function kindsOf({ halves }: Pick<SealingKey, "halves">): string[] {
  return halves.map(({ kind }) => kind);
}

/** Whether the key may seal: it has a certificate, is confirmed, not compromised, and recoverable. */
export function maySeal(
  key: SealingKey,
): key is SealingKey & { readonly certificate: Certificate } {
  const isHeldBack = key.compromised || key.awaitsRecovery === true;
  return key.certificate !== null && key.confirmed && !isHeldBack;
}

/** Mostly one: a file may hold several of a kind, as where the RSA key between them was lost. */
function halvesFor({ halves }: SealingKey, envelope: Envelope): PrivateHalf[] {
  return halves.filter((half) => half.kind === envelope.kind && half.couldOpen(envelope));
}

/** A cheap check: returns false only if the envelope cannot have been sealed with this key. */
export function couldOpen(key: SealingKey, envelope: Envelope): boolean {
  return halvesFor(key, envelope).length > 0;
}

/** Returns the value, or null if the envelope was not sealed with this key and this label. */
export async function openWith(
  key: SealingKey,
  envelope: Envelope,
  label: Uint8Array,
): Promise<Uint8Array | null> {
  for (const half of halvesFor(key, envelope)) {
    const opened = await half.open(envelope, label);
    if (opened !== null) return opened;
  }
  return null;
}
