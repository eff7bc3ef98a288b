// How much each name used lately, so that whoever used the least comes first.

/** What was used this long ago counts half. */
const HALF_LIFE_MS = 30_000;
/** Above this many names, those that used the least are forgotten: half of them. */
const MAX_NAMES = 4096;

export class Usage {
  readonly #clock: () => number;
  readonly #used = new Map<string, { readonly amount: number; readonly atMs: number }>();

  /** `clock`: milliseconds of a monotonic clock. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  of(name: string): number {
    const used = this.#used.get(name);
    return used === undefined
      ? 0
      : used.amount * 0.5 ** ((this.#clock() - used.atMs) / HALF_LIFE_MS);
  }

  add(name: string, amount: number): void {
    this.#used.set(name, { amount: this.of(name) + amount, atMs: this.#clock() });
    if (this.#used.size <= MAX_NAMES) return;
    const byUse = [...this.#used.keys()].map((each) => ({ each, used: this.of(each) }));
    byUse.sort((a, b) => a.used - b.used);
    for (const { each } of byUse.slice(0, MAX_NAMES / 2)) this.#used.delete(each);
  }
}
