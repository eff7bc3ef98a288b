// Tracks how much each name used recently, so that the one that used the least comes first.

/** Usage from this long ago counts half. */
const HALF_LIFE_MS = 30_000;
/** A name that used less than this no longer counts, after at most two half-lives. */
const LEAST = 1;
/**
 * Names that recently used this many times the average count as busy. Relative to the average, because
 * all work takes longer on a busy machine.
 */
const BUSY_TIMES = 2;
/** A name that recently used less than this is not busy. */
const BUSY_LEAST = 1_000;
/** Above this many names, those that used the least are forgotten: half of them. */
const MAX_NAMES = 4096;

interface Used {
  readonly amount: number;
  readonly atMs: number;
}

const NOTHING: Used = { amount: 0, atMs: 0 };

export class Usage {
  readonly #clock: () => number;
  readonly #used = new Map<string, Used>();
  #total = NOTHING;
  #prunedMs: number;

  /** `clock`: milliseconds of a monotonic clock. */
  constructor(clock: () => number) {
    this.#clock = clock;
    this.#prunedMs = clock();
  }

  of(name: string): number {
    return this.#now(this.#used.get(name) ?? NOTHING);
  }

  /** The average of those that recently used anything. */
  average(): number {
    return this.#now(this.#total) / Math.max(1, this.#used.size);
  }

  /** Above this amount, a name is busy. */
  busyFrom(): number {
    return Math.max(BUSY_LEAST, BUSY_TIMES * this.average());
  }

  add(name: string, amount: number): void {
    const atMs = this.#clock();
    this.#used.set(name, { amount: this.of(name) + amount, atMs });
    this.#total = { amount: this.#now(this.#total) + amount, atMs };
    if (this.#used.size > MAX_NAMES) this.#keep(MAX_NAMES / 2);
    else if (atMs - this.#prunedMs > HALF_LIFE_MS) this.#keep(MAX_NAMES);
  }

  #now({ amount, atMs }: Used): number {
    return amount * 0.5 ** ((this.#clock() - atMs) / HALF_LIFE_MS);
  }

  /** Keeps those that used the most, at most `count`, of those that still count. */
  #keep(count: number): void {
    const atMs = this.#clock();
    const byUse = [...this.#used.keys()].map((name) => ({ name, amount: this.of(name) }));
    byUse.sort((a, b) => b.amount - a.amount);
    let total = 0;
    for (const [index, { name, amount }] of byUse.entries()) {
      if (index >= count || amount < LEAST) this.#used.delete(name);
      else total += amount;
    }
    this.#total = { amount: total, atMs };
    this.#prunedMs = atMs;
  }
}
