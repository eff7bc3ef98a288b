// The set of sealing keys: their order, which one seals, and which one opens a value.
// SPEC.md, "Choosing a key".

import type { Envelope } from "../envelopes/envelope.ts";
import type { Certificate } from "./keykind.ts";
import { couldOpen, maySeal, openWith, type SealingKey } from "./sealingkey.ts";
import { Trials } from "./trials.ts";

/** A decrypted value, and the fingerprint of the key that opened it. */
export interface OpenedValue {
  readonly plaintext: Uint8Array;
  readonly fingerprint: string;
}

/**
 * Holds sealing keys and opens values sealed with any of them. Opening costs one private key
 * operation if the caller's hint is right or the key is the one that last succeeded; otherwise it
 * costs one operation per key tried.
 */
export class Keyring {
  #keys: readonly SealingKey[] = [];
  #lastSuccess: SealingKey | undefined;

  constructor(keys: readonly SealingKey[] = []) {
    this.replace(keys);
  }

  /**
   * Replaces all keys with `keys`. Of two keys with the same fingerprint, it keeps one that may
   * seal, otherwise the newer one, unless only the older one has a certificate.
   */
  replace(keys: readonly SealingKey[]): void {
    const newestFirst = [...keys].sort(
      (a, b) =>
        b.orderedAt.getTime() - a.orderedAt.getTime() ||
        a.createdAt.getTime() - b.createdAt.getTime() ||
        notBeforeOf(b) - notBeforeOf(a) ||
        (a.name < b.name ? -1 : 1),
    );
    const compromised = new Set(
      keys.filter((key) => key.compromised).map(({ fingerprint }) => fingerprint),
    );
    const held = new Map<string, SealingKey>();
    for (const key of newestFirst) {
      const { fingerprint } = key;
      const newer = held.get(fingerprint);
      if (newer !== undefined && worth(newer) >= worth(key)) continue;
      held.delete(fingerprint);
      held.set(fingerprint, { ...key, compromised: compromised.has(fingerprint) });
    }
    this.#keys = [...held.values()];
    this.#lastSuccess = undefined;
  }

  /** All keys, newest first. */
  get keys(): readonly SealingKey[] {
    return this.#keys;
  }

  /** The current sealing key, which is the newest that may seal. Null if there is none. */
  get newest(): (SealingKey & { readonly certificate: Certificate }) | null {
    return this.#keys.find(maySeal) ?? null;
  }

  /** The state of a key in this keyring; see keystate.ts. */
  stateOf(key: SealingKey): "sealing" | "former" | "compromised" | "unconfirmed" {
    if (key.compromised) return "compromised";
    if (!key.confirmed) return "unconfirmed";
    return key.fingerprint === this.newest?.fingerprint ? "sealing" : "former";
  }

  /**
   * Opens `envelope` with whichever key fits. `hint`: the fingerprint of the key that it was
   * probably sealed with; a wrong hint only costs time. `trials`: shared by all values of the
   * object. Returns null if no key opens the envelope with this label.
   * @throws TrialsExceeded, or what `trials` throws
   */
  async open(
    envelope: Envelope,
    label: Uint8Array,
    hint?: string,
    trials = new Trials(),
  ): Promise<OpenedValue | null> {
    for (const key of this.#candidates(envelope, hint, trials.proven)) {
      const plaintext = await trials.try(() => openWith(key, envelope, label));
      if (plaintext !== null) {
        this.#lastSuccess = key;
        trials.opened(key);
        return { plaintext, fingerprint: key.fingerprint };
      }
    }
    return null;
  }

  #candidates(
    envelope: Envelope,
    hint: string | undefined,
    proven: readonly SealingKey[],
  ): SealingKey[] {
    const hinted = this.#keys.find((key) => key.fingerprint === hint);
    // A key that was removed after it opened a value must not be used again.
    const held = proven.filter((key) => this.#keys.includes(key));
    const ordered = new Set([hinted, ...held, this.#lastSuccess, ...this.#keys]);
    return [...ordered].filter(
      (key): key is SealingKey => key !== undefined && couldOpen(key, envelope),
    );
  }
}

/** Decides between keys of the same second. */
function notBeforeOf({ certificate }: SealingKey): number {
  return certificate?.notBefore.getTime() ?? 0;
}

/**
 * Ranks copies of a key by what they can do: seal, be sealed for, or only open; then by the number
 * of kinds of envelopes that they open.
 */
function worth({ certificate, confirmed, halves }: SealingKey): number {
  return (certificate === null ? 0 : confirmed ? 2 : 1) + halves.length / 100;
}

/** A certificate that is further in the future does not belong to a key that was just created. */
const NEAR_MS = 60_000;

/**
 * Returns the notBefore for a key created at `now`: a whole second, as certificates require, and
 * later than `newest`, which the new key replaces.
 */
export function nextNotBefore(newest: SealingKey | null, now: Date): Date {
  const second = Math.floor(now.getTime() / 1000);
  // Keys that are created within one second get certificates of the following seconds.
  const nearMs = newest === null ? 0 : Math.min(notBeforeOf(newest), now.getTime() + NEAR_MS);
  const last = Math.floor(Math.max(newest?.orderedAt.getTime() ?? 0, nearMs) / 1000);
  return new Date(Math.max(second, last + 1) * 1000);
}
