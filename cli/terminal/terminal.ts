// What a person or a pipe reads: results on stdout, words on stderr, errors and hints in words.
// SPEC.md, "Command line".
//
// The rules: stdout carries the result and nothing else; every word to the user goes to stderr; an
// error is one line `signet: error: what failed: why`, then `signet: hint: what to do` where there
// is something to do; no line ever quotes a Secret's value or a line of a confidential file.

import { fstatSync, readSync, writeSync } from "node:fs";
import { errnoOf, ioError } from "../../host/errno.ts";
import { ERROR_CODES, formatPlace, SignetError } from "../../shared/errors.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** How many errors of one run are printed before the rest is only counted. */
const MAX_ERRORS_SHOWN = 20;

/**
 * Prints a result. Written to the descriptor itself: setting up Node's stream costs milliseconds.
 * @throws SignetError io where it cannot be written; a reader that went away is not an error
 */
export async function printResult(text: string): Promise<void> {
  let bytes = Buffer.from(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(STDOUT, bytes));
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EPIPE") return;
    if (code !== "EAGAIN") throw ioError("cannot write standard output", error);
    // Someone set the pipe to non-blocking: the stream knows how to wait.
    await new Promise<void>((resolve, reject) => {
      const fail = (cause: Error): void => {
        if (errnoOf(cause) === "EPIPE") resolve();
        else reject(ioError("cannot write standard output", cause));
      };
      process.stdout.once("error", fail);
      process.stdout.write(bytes, (cause) => {
        if (cause) fail(cause);
        else resolve();
      });
    });
  }
}

/** Who speaks: `signet`, or `kubeseal`, which says less to programs than to people. */
let voice = { prefix: "signet: ", advises: true, tellsDetails: false };

/** From now on words are those of `kubeseal`. `verbosity`: its flag -v. */
export function speakAsKubeseal(verbosity: number): void {
  // Told without loading what asks a terminal, where there surely is none.
  const toPerson = fstatSync(STDERR).isCharacterDevice() && process.stderr.isTTY;
  voice = { prefix: "", advises: verbosity > 0 || toPerson, tellsDetails: verbosity > 0 };
}

/** A word to the user. What would steer a terminal, in a name that is quoted, is taken out. */
export function say(text: string): void {
  const line = Buffer.from(`${voice.prefix}${text.replace(/\p{Cc}/gu, "?")}\n`);
  try {
    writeSync(STDERR, line);
  } catch {
    process.stderr.write(line);
  }
}

export function warn(text: string): void {
  say(`warning: ${text}`);
}

/** A warning that the Go original does not have: `kubeseal` keeps it from programs that read stderr. */
export function advise(text: string): void {
  sayToPerson(`warning: ${text}`);
}

/** A word that `kubeseal` keeps from programs that read stderr. */
export function sayToPerson(text: string): void {
  if (voice.advises) say(text);
}

/** What `kubeseal -v 1` tells besides. */
export function detail(text: string): void {
  if (voice.tellsDetails) say(text);
}

/** Prints an error in words; the exit status that it asks for. */
export function reportError(error: unknown): number {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const hints = new Set<string>();
  for (const [index, each] of errors.entries()) {
    if (index === MAX_ERRORS_SHOWN) {
      say(`error: and ${errors.length - index} more`);
      break;
    }
    const place = each instanceof SignetError ? formatPlace(each.place) : "";
    say(`error: ${place === "" ? "" : `${place}: `}${wordsOf(each)}`);
    if (each instanceof SignetError && each.hint !== undefined && !hints.has(each.hint)) {
      hints.add(each.hint);
      say(`hint: ${each.hint}`);
    }
  }
  const [first] = errors;
  return first instanceof SignetError ? ERROR_CODES[first.code].exitStatus : 1;
}

function wordsOf(error: unknown): string {
  if (error instanceof SignetError) return error.message;
  const code = errnoOf(error);
  // An error that nobody foresaw may quote what it choked on: its kind and place must do.
  const name = error instanceof Error ? error.name : typeof error;
  const where =
    error instanceof Error ? /\n\s+at ([^\n]*)/.exec(error.stack ?? "")?.[1] : undefined;
  return `unexpected ${code ?? name}${where === undefined ? "" : ` at ${where}`}: please report this`;
}

/**
 * All of standard input; says `prompt` on stderr where a person would type it.
 * @throws SignetError io
 */
export async function readStdin(prompt: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    if (fstatSync(STDIN).isCharacterDevice() && (await import("node:tty")).isatty(STDIN)) {
      say(prompt);
    }
    for (;;) {
      const chunk = Buffer.allocUnsafe(65_536);
      const length = readSync(STDIN, chunk);
      if (length === 0) break;
      chunks.push(chunk.subarray(0, length));
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EAGAIN") for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    else if (code !== "EOF") throw ioError("cannot read standard input", error);
  }
  return Buffer.concat(chunks);
}

/** `1 file`, `3 files`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Enough of a fingerprint to tell keys apart: `SHA256:pV1EkPSm`. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, "SHA256:".length + 8);
}

/** A result that a person reads. What would steer a terminal, in a name or a commit, is taken out. */
export function printLines(lines: readonly string[]): Promise<void> {
  return printResult(lines.map((line) => `${line.replace(/\p{Cc}/gu, "?")}\n`).join(""));
}

/** A result that a program reads. */
export function printJson(value: unknown): Promise<void> {
  return printResult(`${JSON.stringify(value, null, 2)}\n`);
}

/** How far a long job is: one line that changes on a terminal, nothing elsewhere. */
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
    process.stderr.write(`\r${voice.prefix}${this.#verb} ${this.#done} of ${this.#total}`);
  }

  end(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
  }
}
