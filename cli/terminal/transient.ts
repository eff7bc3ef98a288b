// The one line on a terminal that goes away again: progress, and what the command waits for.

import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { shownLine } from "./shown.ts";

const STDERR = 2;
const WIPE = "\r\u001b[K";

let isShown = false;

/** Shows a line in place of the one before, cut to the terminal's width; nothing if there is no terminal. */
export function showTransient(text: string): void {
  if (!isatty(STDERR) || process.env["TERM"] === "dumb") return;
  const width = process.stderr.columns || 80;
  write(`${WIPE}${shownLine(text).slice(0, width - 1)}`);
  isShown = true;
}

/** Before anything else is printed, and at the end. */
export function wipeTransient(): void {
  if (!isShown) return;
  isShown = false;
  write(WIPE);
}

function write(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {
    // A terminal that is slow or gone misses a line of progress.
  }
}
