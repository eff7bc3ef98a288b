// How often to retry an object whose processing ran out of time.
// SPEC.md, "Limits".

/** On a busy machine an honest object may run out of time, but not this many times. */
const MAX_ATTEMPTS = 4;
const FIRST_WAIT_MS = 60_000;

/** Counts attempts by name, as long as the source is the same. */
export class Attempts {
  readonly #failed = new Map<string, { readonly source: string; readonly count: number }>();

  /** Counts a failure. Returns the milliseconds until the next attempt; null if it was the last. */
  failed(key: string, source: string): number | null {
    const before = this.#failed.get(key);
    const count = before?.source === source ? before.count + 1 : 1;
    this.#failed.set(key, { source, count });
    return count < MAX_ATTEMPTS ? FIRST_WAIT_MS * 2 ** (count - 1) : null;
  }

  forget(key: string): void {
    this.#failed.delete(key);
  }
}
