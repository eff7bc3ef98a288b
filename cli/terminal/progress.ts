// The progress of a long job.

import { fstatSync } from "node:fs";
import { messagePrefix } from "./messages.ts";

const STDERR = 2;

/** One line that changes, on a terminal; nothing is printed elsewhere. */
export class Progress {
  readonly #verb: string;
  readonly #total: number;
  #done = 0;
  #shownAt = 0;
  #shown = false;

  constructor(verb: string, total: number) {
    this.#verb = verb;
    this.#total = total;
  }

  step(): void {
    this.#done++;
    const now = Date.now();
    if (now - this.#shownAt < 100 || !fstatSync(STDERR).isCharacterDevice()) return;
    this.#shownAt = now;
    this.#shown = true;
    process.stderr.write(`\r${messagePrefix()}${this.#verb} ${this.#done} of ${this.#total}`);
  }

  end(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
  }
}
