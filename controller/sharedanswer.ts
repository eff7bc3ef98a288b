// An answer that is costly to make, shared by all who ask for it at about the same time.

/** An answer is reused for this many times as long as it took to make: a tenth of the time, at most. */
const REUSE_FACTOR = 9;

/**
 * Returns `make`, with answers shared: those who ask while it is made wait for the same answer, and it
 * serves those who ask soon after. So requests cannot take up the thread, however many there are.
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
