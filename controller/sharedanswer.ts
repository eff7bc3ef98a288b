// Shares an answer that is expensive to compute between all who request it at about the same time.

/**
 * An answer is reused for this many times as long as it took to compute, so that computing takes at
 * most a tenth of the time.
 */
const REUSE_FACTOR = 9;

/**
 * Returns `make` with shared answers: callers who ask while it runs wait for the same answer, which
 * also serves those who ask soon after. So requests cannot monopolize the thread, no matter how
 * many there are.
 */
export function shared<T>(make: () => T | Promise<T>, clock: () => number): () => Promise<T> {
  let latest: Promise<T> | undefined;
  let reuseUntil = Infinity;
  return () => {
    if (latest !== undefined && clock() < reuseUntil) return latest;
    const startedMs = clock();
    reuseUntil = Infinity;
    const made = (async () => make())();
    latest = made;
    const settle = (): void => {
      const nowMs = clock();
      reuseUntil = nowMs + (nowMs - startedMs) * REUSE_FACTOR;
    };
    const fail = (): void => {
      latest = undefined;
    };
    made.then(settle, fail);
    return made;
  };
}
