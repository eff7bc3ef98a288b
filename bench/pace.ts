// Repeats work at a steady rate, whatever each piece of it takes.

/**
 * Starts `work` so many times a second, unless `atOnce` pieces of it are still running. Errors of the
 * work end nothing. Returns a function that stops it and waits for what is running.
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
