// The progress of a long job, on a terminal; nothing is printed elsewhere.

import { messagePrefix } from "./messages.ts";
import { showTransient, wipeTransient } from "./transient.ts";

/** A count that changes. */
export class Progress {
  readonly #verb: string;
  readonly #total: number;
  #done = 0;
  #shownAt = 0;

  constructor(verb: string, total: number) {
    this.#verb = verb;
    this.#total = total;
  }

  step(): void {
    this.#done++;
    const now = Date.now();
    if (now - this.#shownAt < 100) return;
    this.#shownAt = now;
    showTransient(`${messagePrefix()}${this.#verb} ${this.#done} of ${this.#total}`);
  }

  end(): void {
    wipeTransient();
  }
}

/** Shorter work is not worth a line. */
const WORTH_A_LINE_MS = 1000;

/** Says what the command waits for and for how long, once `work` takes more than a second. `kubeseal` does not. */
export async function whileWaiting<T>(words: string, work: () => Promise<T>): Promise<T> {
  if (messagePrefix() === "") return work();
  const startedAt = Date.now();
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    showTransient(`${messagePrefix()}${words} (${seconds}s)`);
  }, WORTH_A_LINE_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    wipeTransient();
  }
}

/** Says what is done, for work that may take more than a second and lets no timer run. */
export function busy<T>(words: string, work: () => T): T {
  if (messagePrefix() !== "") showTransient(`${messagePrefix()}${words}`);
  try {
    return work();
  } finally {
    wipeTransient();
  }
}

/** The same of work that other work may go on beside. */
export async function whileBusy<T>(words: string, work: () => Promise<T>): Promise<T> {
  if (messagePrefix() !== "") showTransient(`${messagePrefix()}${words}`);
  try {
    return await work();
  } finally {
    wipeTransient();
  }
}
