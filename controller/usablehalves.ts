// Decides which halves of a sealing key this Node may use. The routes serve untrusted clients, who
// could measure how long JavaScript takes with a private key, so post-quantum halves are not used
// if Node has no ML-KEM.
// SPEC.md, "Keys of two halves".

import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { nativePrimitives } from "../shared/hpke/chosenprimitives.ts";
import { kindsOf, type SealingKey } from "../shared/keys/sealingkey.ts";
import type { Log } from "./log.ts";

const NEEDED = "Node 24.7 or newer, with OpenSSL 3.5";

/** @throws Error if a key with a post-quantum half would be made and could not be used */
export function checkHybridKeys(hybridKeys: boolean): void {
  if (!hybridKeys || nativePrimitives() !== undefined) return;
  throw new Error(`--hybrid-keys requires ${NEEDED}; this is Node ${process.versions.node}`);
}

/**
 * Removes post-quantum halves from keys if this Node cannot open values with them, and warns once
 * for each.
 */
export class UsableHalves {
  readonly #log: Log;
  readonly #isNative: boolean;
  readonly #told = new Set<string>();

  constructor(log: Log, isNative = nativePrimitives() !== undefined) {
    this.#log = log;
    this.#isNative = isNative;
  }

  usable(key: SealingKey): SealingKey {
    if (this.#isNative || !kindsOf(key).includes(HYBRID)) return key;
    const { name, fingerprint, halves, certificate } = key;
    if (!this.#told.has(fingerprint)) {
      this.#told.add(fingerprint);
      this.#log.warn(`the sealing key's post-quantum half is not used: it requires ${NEEDED}`, {
        secret: name,
        fingerprint,
      });
    }
    return {
      ...key,
      halves: halves.filter(({ kind }) => kind !== HYBRID),
      // Values are not re-sealed to an algorithm that cannot be opened here.
      certificate:
        certificate === null
          ? null
          : { ...certificate, kinds: certificate.kinds.filter((kind) => kind !== HYBRID) },
    };
  }
}
