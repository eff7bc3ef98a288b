// The built `signet`, or any command, in a real terminal: what it shows, keys typed to it, how it
// leaves the terminal.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { cleanEnvironment, waitFor } from "../cluster/program.ts";

const ROWS = 40;
const COLUMNS = 200;

export const ENTER = "\r";
export const DOWN = "\u001b[B";
export const CTRL_C = "\u0003";

export interface Terminal {
  /** What a person sees now: the rows without the spaces behind them and the empty rows below. */
  readonly screen: () => string;
  /** Everything that was ever written to the terminal, also what was wiped again. */
  readonly written: () => string;
  readonly cursorShown: () => boolean;
  readonly type: (keys: string) => void;
  /** @throws Error with the screen where it does not come, or the program ends before */
  readonly waitFor: (text: string | RegExp) => Promise<void>;
  /** Waits for a question to be the one that is asked, and types. */
  readonly answer: (question: string, keys: string) => Promise<void>;
  /** Of the program in the terminal. */
  readonly pid: () => Promise<number>;
  /** The window is closed: the kernel sends SIGHUP. */
  readonly close: () => void;
  /** The exit status; 128 and the signal's number where one ended it. */
  readonly exited: Promise<number>;
  /** Whether the program left line editing and echo as they were; once it has ended. */
  readonly leftSane: () => boolean;
}

export interface InTerminal {
  readonly cwd: string;
  readonly env?: Record<string, string>;
  readonly columns?: number;
}

/** @throws Error where there is no `script` */
export function signetInTerminal(args: readonly string[], options: InTerminal): Terminal {
  return commandInTerminal([process.execPath, resolve("dist/signet.cjs"), ...args], options);
}

/** @throws Error where there is no `script` */
export function commandInTerminal(
  program: readonly string[],
  { cwd, env, columns = COLUMNS }: InTerminal,
): Terminal {
  const notes = mkdtempSync(join(tmpdir(), "signet-terminal-"));
  const launcher = join(notes, "run.sh");
  writeFileSync(
    launcher,
    `trap : INT; cd "$TERMINAL_NOTES" && stty rows ${ROWS} cols ${columns} && stty -g > before || exit 99
    cd "$TERMINAL_WORK" && sh -c 'echo $$ > "$TERMINAL_NOTES/pid" && exec "$@"' signet "$@"
    status=$?; stty -g > "$TERMINAL_NOTES/after"; exit $status\n`,
  );
  const command = ["sh", launcher, ...program];
  // It dies with the process that started it, and the kernel then hangs up on what is in the terminal.
  const make = ["script", "-qfec", `exec ${command.map(quoted).join(" ")}`, "/dev/null"];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...make], {
    env: cleanEnvironment({
      HOME: cwd,
      TERM: "xterm",
      LANG: "C.UTF-8",
      ...env,
      SHELL: "/bin/sh",
      TERMINAL_NOTES: notes,
      TERMINAL_WORK: cwd,
    }),
  });
  const screen = new Screen();
  const chunks: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    chunks.push(text);
    screen.write(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => chunks.push(text));
  // Keys for a program that has ended are no error.
  child.stdin.on("error", () => undefined);
  let status: number | undefined;
  let isSane = false;
  const note = (name: string): string => readFileSync(join(notes, name), "utf8");
  const exited = new Promise<number>((done, fail) => {
    child.once("error", (error) => {
      fail(
        new Error("there is no `setpriv` and `script` of util-linux to make a terminal", {
          cause: error,
        }),
      );
    });
    child.once("close", (code, signal) => {
      status = code ?? (signal === null ? 1 : 128);
      try {
        isSane = note("before") === note("after");
      } catch {
        // It was closed.
      }
      rmSync(notes, { recursive: true, force: true });
      done(status);
    });
  });
  exited.catch(() => undefined);
  const wait = async (text: string | RegExp): Promise<void> => {
    const seen = (): boolean =>
      typeof text === "string" ? screen.text().includes(text) : text.test(screen.text());
    try {
      await waitFor(String(text), () => seen() || status !== undefined);
    } catch (error) {
      throw new Error(`${(error as Error).message} on\n${screen.text()}`, { cause: error });
    }
    if (!seen()) {
      throw new Error(`ended with ${status ?? "?"} before ${String(text)}:\n${screen.text()}`);
    }
  };
  const type = (keys: string): void => {
    child.stdin.write(keys);
  };
  return {
    screen: () => screen.text(),
    written: () => chunks.join(""),
    cursorShown: () => screen.cursorShown,
    type,
    waitFor: wait,
    answer: async (question, keys) => {
      await wait(`? ${question}`);
      type(keys);
    },
    pid: () => waitFor("the program's process", () => Number(note("pid").trim()) || undefined),
    close: () => child.kill("SIGKILL"),
    exited,
    leftSane: () => isSane,
  };
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Of a VT100 what programs that ask questions use. */
class Screen {
  cursorShown = true;
  readonly #rows: string[][] = [[]];
  #row = 0;
  #column = 0;
  /** The beginning of a sequence whose end has not come yet. */
  #rest = "";

  write(text: string): void {
    const parts = /\u001b\[([?>=]?)([\d;]*)([@-~])|\u001b[^[]|[^]/gu;
    const all = this.#rest + text;

    const open = /\u001b(\[[?>=]?[\d;]*)?$/.exec(all);
    this.#rest = open?.[0] ?? "";
    for (const [part, mark, numbers = "", final] of all
      .slice(0, all.length - this.#rest.length)
      .matchAll(parts)) {
      if (final === undefined) this.#put(part);
      else if (mark === "?") this.#mode(numbers, final);
      else this.#control(final, Number(numbers.split(";")[0] ?? 0));
    }
  }

  text(): string {
    return this.#rows
      .map((row) => row.join("").trimEnd())
      .join("\n")
      .trimEnd();
  }

  #put(part: string): void {
    if (part === "\r") this.#column = 0;
    else if (part === "\n") this.#move(this.#row + 1, this.#column);
    else if (part === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (part >= " " && part !== "\u007f" && !part.startsWith("\u001b")) {
      if (this.#column === COLUMNS) this.#move(this.#row + 1, 0);
      this.#place(this.#column, part);
      this.#column++;
    }
  }

  #place(column: number, character: string): void {
    const row = (this.#rows[this.#row] ??= []);
    while (row.length < column) row.push(" ");
    row[column] = character;
  }

  #move(row: number, column: number): void {
    this.#row = Math.max(0, row);
    this.#column = Math.max(0, column);
    while (this.#rows.length <= this.#row) this.#rows.push([]);
  }

  #mode(numbers: string, final: string): void {
    if (numbers === "25") this.cursorShown = final === "h";
  }

  #control(final: string, number: number): void {
    const step = Math.max(1, number);
    if (final === "A") this.#move(this.#row - step, this.#column);
    else if (final === "B") this.#move(this.#row + step, this.#column);
    else if (final === "C") this.#move(this.#row, this.#column + step);
    else if (final === "D") this.#move(this.#row, this.#column - step);
    else if (final === "G") this.#move(this.#row, step - 1);
    else if (final === "K") this.#eraseLine(number);
    else if (final === "J") {
      this.#eraseLine(number);
      if (number === 0) this.#rows.length = this.#row + 1;
    }
  }

  #eraseLine(number: number): void {
    const row = (this.#rows[this.#row] ??= []);
    if (number === 2) row.length = 0;
    else if (number === 0) row.length = Math.min(row.length, this.#column);
    else for (let column = 0; column <= this.#column; column++) this.#place(column, " ");
  }
}
