// The clock that tests run under: a shifted one shows what holds only on the day it was written.
import { join } from "node:path";

/** Set where Node programs have a clock of ours (see clock.cjs). */
const OFFSET_VARIABLE = "CLOCK_OFFSET_MS";

const UNITS_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000 };

/** Milliseconds of an offset such as `400d`, `-30d` or `12h`; undefined where it is no such text. */
export function parseOffset(text: string): number | undefined {
  const [, sign, digits, unit = ""] = /^([+-]?)(\d{1,5})([dh])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  return unitMs === undefined ? undefined : (sign === "-" ? -1 : 1) * Number(digits) * unitMs;
}

/** The variables that shift the clock of a Node program and of the Node programs it starts. */
export function shiftedClock(root: string, offsetMs: number, nodeOptions = ""): ClockVariables {
  const preload = join(root, "test/clock.cjs").replace(/[\\"]/g, "\\$&");
  return {
    NODE_OPTIONS: `${nodeOptions} --require="${preload}"`.trim(),
    [OFFSET_VARIABLE]: String(offsetMs),
  };
}

type ClockVariables = Record<string, string>;

/**
 * What a program needs of our environment to have the clock of its test; nothing unless that is
 * shifted. Git's clock cannot be shifted; it gets the time in its environment, so call this for
 * each program.
 */
export function clockOfChildren(): ClockVariables {
  const { [OFFSET_VARIABLE]: offset, NODE_OPTIONS = "" } = process.env;
  if (offset === undefined) return {};
  const now = new Date().toISOString();
  return {
    NODE_OPTIONS,
    [OFFSET_VARIABLE]: offset,
    GIT_AUTHOR_DATE: now,
    GIT_COMMITTER_DATE: now,
  };
}
