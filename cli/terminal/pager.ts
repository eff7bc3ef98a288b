// Long results through a pager, as Git shows them.
// SPEC.md, "Command line".

import { isatty } from "node:tty";
import type { Line } from "./line.ts";
import { textOf } from "./line.ts";

const STDOUT = 1;

/** Only Git knows its settings. */
let chosenPager: () => Promise<string> = () => Promise.resolve("");
let isWanted = true;

/** From now on long results go through the pager that `choose` tells; empty for none. */
export function pageThrough(choose: () => Promise<string>): void {
  chosenPager = choose;
}

/** What --no-pager says. */
export function neverPage(): void {
  isWanted = false;
}

/** Whether lines are more than the terminal shows at once, and a person reads them there. */
export function needsPager(lines: readonly Line[]): boolean {
  if (!isWanted || !isatty(STDOUT) || process.env["TERM"] === "dumb") return false;
  const { columns, rows } = process.stdout;
  if (!(columns > 0) || !(rows > 0)) return false;
  const shown = lines.reduce(
    (sum, line) => sum + Math.max(1, Math.ceil(lengthOf(line) / columns)),
    0,
  );
  return shown >= rows;
}

function lengthOf(line: Line): number {
  const parts = typeof line === "string" ? [line] : line;
  return parts.reduce((sum, part) => sum + textOf(part).length, 0);
}

/**
 * Shows a text in the pager. False if there is none, or it did not start.
 */
export async function page(text: string): Promise<boolean> {
  const pager = await chosenPager();
  if (pager === "" || pager === "cat") return false;
  const { LESS = "FRX", LV = "-c" } = process.env;
  const { spawnShell } = await import("../../host/shell.ts");
  const child = spawnShell(pager, [], {
    stdio: ["pipe", "inherit", "inherit"],
    env: { ...process.env, LESS, LV },
  });
  // Ctrl-C is for the pager, as with Git.
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  try {
    const status = await new Promise<number | null>((resolve) => {
      child.on("error", () => {
        resolve(NOT_FOUND);
      });
      child.on("close", resolve);
      // Who quits early closes the pipe.
      child.stdin?.on("error", ignore);
      child.stdin?.end(text);
    });
    return status !== NOT_FOUND && status !== NOT_RUN;
  } finally {
    process.removeListener("SIGINT", ignore);
  }
}

/** Of a shell that cannot run the command. */
const NOT_RUN = 126;
const NOT_FOUND = 127;
