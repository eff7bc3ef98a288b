// The private keys held: their order, which one seals, which one opens a value.
// SPEC.md, "Choosing a key".

import type { webcrypto } from "node:crypto";
import type { Certificate, PrivateKey } from "./certificate.ts";
import { decryptValue, type Envelope, importPrivateKey } from "../envelopes/rsa.ts";

/** One sealing key as held in memory. */
export interface SealingKey {
  /** Where it comes from: the name of its Secret or file. */
  readonly name: string;
  readonly privateKey: PrivateKey;
  /** Null for a bare private key: it opens values but cannot seal. */
  readonly certificate: Certificate | null;
  /** The newest seals: the certificate's notBefore, or the Secret's creation, as configured. */
  readonly orderedAt: Date;
  /** Of the key Secret; of two keys ordered alike, the one that was there first seals. */
  readonly createdAt: Date;
  /** Marked so by someone: it opens what it sealed, and seals no more. */
  readonly compromised: boolean;
}

/** A value opened, and the fingerprint of the key that it was under. */
export interface OpenedValue {
  readonly plaintext: Uint8Array;
  readonly fingerprint: string;
}

interface HeldKey extends SealingKey {
  /** One import of the key per slot: operations on a single import never run side by side. */
  readonly slots: Promise<webcrypto.CryptoKey>[];
  next: number;
}

/**
 * Holds sealing keys and opens values of any age. Opening costs one RSA operation where the caller
 * hints at the right key, or the last success was with it; otherwise one per key tried.
 */
export class Keyring {
  #keys: HeldKey[] = [];
  #lastSuccess: HeldKey | undefined;
  readonly #parallel: number;

  /** `parallel`: RSA operations that may run at once on one key; twice the cores keeps them busy. */
  constructor(keys: readonly SealingKey[] = [], parallel = 1) {
    this.#parallel = parallel;
    this.replace(keys);
  }

  /**
   * Holds `keys` from now on, and no others. Of two with one fingerprint the newer stays, or the
   * one that can seal.
   */
  replace(keys: readonly SealingKey[]): void {
    const newestFirst = [...keys].sort(
      (a, b) =>
        b.orderedAt.getTime() - a.orderedAt.getTime() ||
        a.createdAt.getTime() - b.createdAt.getTime() ||
        (a.name < b.name ? -1 : 1),
    );
    const before = new Map(this.#keys.map((key) => [key.privateKey.fingerprint, key]));
    const held = new Map<string, HeldKey>();
    for (const key of newestFirst) {
      const { fingerprint } = key.privateKey;
      const newer = held.get(fingerprint);
      if (newer !== undefined && (newer.certificate !== null || key.certificate === null)) continue;
      held.delete(fingerprint);
      const slots = before.get(fingerprint)?.slots ?? [];
      held.set(fingerprint, { ...key, slots, next: 0 });
    }
    this.#keys = [...held.values()];
    this.#lastSuccess = undefined;
  }

  /** All keys, the newest first. */
  get keys(): readonly SealingKey[] {
    return this.#keys;
  }

  /** The key that seals: the newest with a certificate. Null where there is none. */
  get newest(): (SealingKey & { readonly certificate: Certificate }) | null {
    for (const { slots: _slots, next: _next, certificate, ...key } of this.#keys) {
      if (certificate !== null && !key.compromised) return { ...key, certificate };
    }
    return null;
  }

  /**
   * Opens `envelope` with whichever key fits. `hint`: fingerprint of the key it probably is under;
   * a wrong hint costs time only. Null where no key held fits this envelope and label.
   */
  async open(envelope: Envelope, label: Uint8Array, hint?: string): Promise<OpenedValue | null> {
    for (const key of this.#candidates(envelope, hint)) {
      const plaintext = await decryptValue(await this.#slot(key), envelope, label);
      if (plaintext !== null) {
        this.#lastSuccess = key;
        return { plaintext, fingerprint: key.privateKey.fingerprint };
      }
    }
    return null;
  }

  #candidates({ wrappedKey }: Envelope, hint: string | undefined): HeldKey[] {
    const hinted = this.#keys.find((key) => key.privateKey.fingerprint === hint);
    const ordered = new Set([hinted, this.#lastSuccess, ...this.#keys]);
    return [...ordered].filter(
      (key): key is HeldKey => key !== undefined && couldBeUnder(wrappedKey, key.privateKey),
    );
  }

  async #slot(key: HeldKey): Promise<webcrypto.CryptoKey> {
    const index = key.next++ % this.#parallel;
    return (key.slots[index] ??= importPrivateKey(key.privateKey.pkcs8));
  }
}

/**
 * The notBefore for a key made `now`: certificates count in whole seconds, and a new key must be
 * newer than the one it takes over from.
 */
export function nextNotBefore(newest: SealingKey | null, now: Date): Date {
  const second = Math.floor(now.getTime() / 1000);
  const last = newest === null ? 0 : Math.floor(newest.orderedAt.getTime() / 1000);
  return new Date(Math.max(second, last + 1) * 1000);
}

/** RSA ciphertext is a number below the modulus, written in as many bytes: that much is free to check. */
function couldBeUnder(wrappedKey: Uint8Array, { modulus }: PrivateKey): boolean {
  if (wrappedKey.length !== modulus.length) return false;
  for (let index = 0; index < modulus.length; index++) {
    const difference = (wrappedKey[index] ?? 0) - (modulus[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
