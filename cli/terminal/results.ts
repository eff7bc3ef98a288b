// Prints results, the only text on standard output.
// SPEC.md, "Command line".

import { writeSync } from "node:fs";
import { errnoOf, ioError } from "../../host/errno.ts";
import { isInColor } from "./color.ts";
import { type Line, shownStyled } from "./line.ts";
import { wipeTransient } from "./transient.ts";
import { shownJson } from "./shown.ts";

const STDOUT = 1;

let isPrinted = false;

/** Whether this run has printed a result, or a part of it. */
export const hasPrintedResult = (): boolean => isPrinted;

/**
 * Prints a result. It writes to the descriptor, as setting up Node's stream takes milliseconds.
 * @throws SignetError io; a reader that closed the pipe is not an error
 */
export function printResult(text: string): Promise<void> {
  return printBytes(Buffer.from(text));
}

/** The same of bytes. */
export async function printBytes(content: Uint8Array): Promise<void> {
  let bytes = Buffer.from(content);
  isPrinted = true;
  wipeTransient();
  try {
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(STDOUT, bytes));
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EPIPE") return;
    if (code !== "EAGAIN") throw ioError("cannot write standard output", error);
    // The pipe is non-blocking: the stream knows how to wait.
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

/**
 * Prints a result for people. What a stranger wrote and a terminal would act upon is replaced.
 */
export function printLines(lines: readonly Line[]): Promise<void> {
  return printResult(textOfLines(lines));
}

function textOfLines(lines: readonly Line[]): string {
  const colors = isInColor(STDOUT);
  return lines.map((line) => `${shownStyled(line, colors)}\n`).join("");
}

/** The same, through a pager if it is more than the terminal shows at once. */
export async function printPages(lines: readonly Line[]): Promise<void> {
  const { needsPager, page } = await import("./pager.ts");
  const text = textOfLines(lines);
  wipeTransient();
  isPrinted = true;
  if (!needsPager(lines) || !(await page(text))) await printResult(text);
}

/** Prints a result for programs. */
export function printJson(value: unknown): Promise<void> {
  return printResult(shownJson(value));
}
