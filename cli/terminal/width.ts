// How wide the terminal is, and the paragraphs of help made to fit a narrow one.

import { isatty } from "node:tty";

const STDOUT = 1;
/** Help is written for this width, and is not printed wider. */
const WIDEST = 100;
/** Narrower, the columns of options leave no room for words. */
const NARROWEST = 40;

/** The columns of the terminal; Infinity where standard output is no terminal, or does not say. */
export function terminalWidth(): number {
  // Setting up Node's stream takes milliseconds.
  const columns = isatty(STDOUT) ? process.stdout.columns : 0;
  return columns > 0 ? columns : Infinity;
}

/** The width of the terminal within bounds. */
export function helpWidth(): number {
  return Math.min(WIDEST, Math.max(NARROWEST, terminalWidth()));
}

/**
 * Breaks paragraphs between words where a line is wider than `width`. Indented lines stay: they are
 * commands to copy, or laid out already.
 */
export function reflowed(text: string, width: number): string {
  const paragraphs: string[][] = [];
  for (const line of text.split("\n")) {
    const last = paragraphs.at(-1);
    const before = last?.at(-1);
    const isStart =
      before === undefined || !isProse(before) || !isProse(line) || /[.:]$/.test(before);
    if (isStart || last === undefined) paragraphs.push([line]);
    else last.push(line);
  }
  return paragraphs
    .flatMap((lines) =>
      lines.every((line) => line.length <= width || !isProse(line))
        ? lines
        : wrapped(lines.join(" "), width),
    )
    .join("\n");
}

const isProse = (line: string): boolean => /^(?!- )\S/.test(line);

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
