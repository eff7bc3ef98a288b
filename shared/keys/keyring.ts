// The private keys held: their order, which one seals, which one opens a value.
// SPEC.md, "Choosing a key".

import type { Envelope } from "../envelopes/envelope.ts";
import type { Certificate } from "./keykind.ts";
import { couldOpen, maySeal, openWith, type SealingKey } from "./sealingkey.ts";

/** A value opened, and the fingerprint of the key that it was under. */
export interface OpenedValue {
  readonly plaintext: Uint8Array;
  readonly fingerprint: string;
}

/**
 * Holds sealing keys and opens values of any age. Opening costs one private key operation where the
 * caller hints at the right key, or the last success was with it; otherwise one per key tried.
 */
export class Keyring {
  #keys: readonly SealingKey[] = [];
  #lastSuccess: SealingKey | undefined;

  constructor(keys: readonly SealingKey[] = []) {
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
    const held = new Map<string, SealingKey>();
    for (const key of newestFirst) {
      const newer = held.get(key.fingerprint);
      if (newer !== undefined && (newer.certificate !== null || key.certificate === null)) continue;
      held.delete(key.fingerprint);
      held.set(key.fingerprint, key);
    }
    this.#keys = [...held.values()];
    this.#lastSuccess = undefined;
  }

  /** All keys, the newest first. */
  get keys(): readonly SealingKey[] {
    return this.#keys;
  }

  /** The key that seals: the newest that may. Null where there is none. */
  get newest(): (SealingKey & { readonly certificate: Certificate }) | null {
    return this.#keys.find(maySeal) ?? null;
  }

  /** What a held key is used for: it seals, or only opens, or should not be trusted any more. */
  stateOf(key: SealingKey): "sealing" | "former" | "compromised" {
    if (key.compromised) return "compromised";
    return key.fingerprint === this.newest?.fingerprint ? "sealing" : "former";
  }

  /**
   * Opens `envelope` with whichever key fits. `hint`: fingerprint of the key it probably is under;
   * a wrong hint costs time only. Null where no key held fits this envelope and label.
   */
  async open(envelope: Envelope, label: Uint8Array, hint?: string): Promise<OpenedValue | null> {
    for (const key of this.#candidates(envelope, hint)) {
      const plaintext = await openWith(key, envelope, label);
      if (plaintext !== null) {
        this.#lastSuccess = key;
        return { plaintext, fingerprint: key.fingerprint };
      }
    }
    return null;
  }

  #candidates(envelope: Envelope, hint: string | undefined): SealingKey[] {
    const hinted = this.#keys.find((key) => key.fingerprint === hint);
    const ordered = new Set([hinted, this.#lastSuccess, ...this.#keys]);
    return [...ordered].filter(
      (key): key is SealingKey => key !== undefined && couldOpen(key, envelope),
    );
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
