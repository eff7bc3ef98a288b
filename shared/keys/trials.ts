// Limits the private-key operations that the values of an object, or of a request, may cost.
// SPEC.md, "Limits".

import { SignetError } from "../errors.ts";
import type { SealingKey } from "./sealingkey.ts";

/**
 * What the controller allows for an object or a request: about a minute of a processor, with keys of
 * 4096 bits. The values that etcd can hold in one object, 4,000, need that many only if they are under
 * more than two old keys in turn, and nothing says which.
 */
export const MAX_TRIALS = 10_000;

/** Opening the values takes more operations than allowed. Trying again would take as many. */
export class TrialsExceeded extends SignetError {
  constructor(limit: number) {
    super("sealedsecret-invalid", `its values need more than ${limit} tries of sealing keys`, {
      hint: "split it, or re-seal it with `signet reseal`, which records the key of each value",
    });
  }
}

export interface TrialsOptions {
  readonly limit?: number;
  /** How many values to open in parallel. A limit leaves threads for other objects. */
  readonly atOnce?: number;
  /**
   * Runs one operation, when its turn comes. `count`: how many there were, with this one.
   * What it throws ends the work.
   */
  readonly run?: <T>(operation: () => Promise<T>, count: number) => Promise<T>;
}

/**
 * Counts the operations, and remembers which keys opened a value. These are tried first for the next
 * values, so that values under one old key cost one operation each after the first.
 */
export class Trials {
  readonly atOnce: number;
  readonly #limit: number;
  readonly #run: NonNullable<TrialsOptions["run"]>;
  #count = 0;
  #proven: readonly SealingKey[] = [];

  constructor({
    limit = Infinity,
    atOnce = 4,
    run = (operation) => operation(),
  }: TrialsOptions = {}) {
    this.atOnce = atOnce;
    this.#limit = limit;
    this.#run = run;
  }

  /** The keys that opened a value, the latest first. */
  get proven(): readonly SealingKey[] {
    return this.#proven;
  }

  /** @throws TrialsExceeded, or what `run` throws */
  async try<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#count >= this.#limit) throw new TrialsExceeded(this.#limit);
    return this.#run(operation, ++this.#count);
  }

  opened(key: SealingKey): void {
    if (key === this.#proven[0]) return;
    this.#proven = [key, ...this.#proven.filter((each) => each !== key)];
  }
}
