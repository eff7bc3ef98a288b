// Limits the private-key operations that the values of an object, or of a request, may cost.
// SPEC.md, "Limits".

import { SignetError } from "../errors.ts";
import type { SealingKey } from "./sealingkey.ts";

/**
 * What the controller allows for an object or a request: about a minute of CPU time, with keys of
 * 4096 bits. The 4,000 values that etcd can hold in one object need that many only if they are
 * sealed with more than two old keys in turn, without a record of which.
 */
export const MAX_TRIALS = 10_000;

/** Opening the values takes more operations than allowed. A retry would take as many. */
export class TrialsExceeded extends SignetError {
  constructor(limit: number) {
    super(
      "sealedsecret-invalid",
      `opening its values takes more than ${limit} attempts with sealing keys`,
      {
        hint: "split it, or re-seal it with `signet reseal`, which records the key of each value",
      },
    );
  }
}

export interface TrialsOptions {
  readonly limit?: number;
  /** How many values to open in parallel. A limit leaves threads for other objects. */
  readonly atOnce?: number;
  /**
   * Runs one operation when its turn comes. `count`: the number of operations so far, including
   * this one. An error that it throws ends the work.
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
