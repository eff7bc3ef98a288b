// Warns the operator about sealing keys that are too short, once for each.
// SPEC.md, "Sealing keys and certificates".

import { isShort, SAFE_RSA_BITS } from "../shared/keys/rsakey.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import type { Log } from "./log.ts";

export class ShortKeys {
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Call with all keys whenever they have changed. */
  tell(keys: readonly SealingKey[]): void {
    for (const { name, fingerprint, certificate } of keys) {
      if (certificate === null || !isShort(certificate) || this.#told.has(fingerprint)) continue;
      this.#told.add(fingerprint);
      this.#log.warn(`sealing key is shorter than ${SAFE_RSA_BITS} bits and may be broken`, {
        name,
        fingerprint,
        bits: certificate.bits,
        hint: "signet keys rotate",
      });
    }
  }
}
