// Repeats work at a steady rate, no matter how long each piece takes.

/**
 * Starts `work` this many times per second, unless `atOnce` pieces of it are still running. Ignores
 * errors of the work. Returns a function that stops it and waits for running pieces.
 */
export function repeatedly(
  perSecond: number,
  atOnce: number,
  work: () => Promise<void> | void,
): () => Promise<void> {
  const running = new Set<Promise<void>>();
  const timer = setInterval(() => {
    if (running.size >= atOnce) return;
    const piece = Promise.resolve(work())
      .catch(() => undefined)
      .finally(() => running.delete(piece));
    running.add(piece);
  }, 1000 / perSecond);
  return async () => {
    clearInterval(timer);
    await Promise.all(running);
  };
}
