// Waiting in tests with a stopped clock: for data on sockets, and for time that the test advances.
import { vi } from "vitest";

// Taken before any clock is replaced.
const later = setImmediate;
const realMs = performance.now.bind(performance);
/** Of real time: only a test that fails waits for so long. */
const LONGEST_MS = 5_000;

/** Stops the clocks that the controller goes by: the date, and timers. Sockets go on. */
export function stopClocks(now: Date): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now });
}

/** Waits until `isSo`, while sockets work and the clock stays stopped. */
export async function until(isSo: () => boolean): Promise<void> {
  const startedMs = realMs();
  while (!isSo()) {
    if (realMs() - startedMs > LONGEST_MS)
      throw new Error(`it never came true: ${isSo.toString()}`);
    await new Promise((resolve) => later(resolve));
  }
}

/** In the place of `node:timers/promises`, which no stopped clock stops: see vi.mock in the tests. */
export function sleep(
  ms: number,
  value: unknown,
  { signal }: { signal?: AbortSignal } = {},
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve(value);
    }, ms);
    const stop = (): void => {
      clearTimeout(timer);
      reject(new Error("aborted"));
    };
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
