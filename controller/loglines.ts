// Writes log lines in batches: a controller with work writes hundreds a second, and to write to a pipe takes
// as long for one as for many.

/** The longest that a line waits. */
const WAIT_MS = 100;
/** More than this does not wait. */
const MAX_WAITING = 16_384;

/** The lines of one stream. Lines that wait are written before the process exits; a killed one loses them. */
export class LogLines {
  readonly #write: (text: string) => void;
  #waiting = "";
  #timer: NodeJS.Timeout | undefined;

  /** `write`: writes a text at once. */
  constructor(write: (text: string) => void) {
    this.#write = write;
    process.once("exit", () => {
      this.flush();
    });
  }

  add(line: string): void {
    this.#waiting += `${line}\n`;
    if (this.#waiting.length > MAX_WAITING) this.flush();
    else
      this.#timer ??= setTimeout(() => {
        this.flush();
      }, WAIT_MS).unref();
  }

  /** Writes the lines that wait. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    this.#waiting = "";
    if (text !== "") this.#write(text);
  }
}
