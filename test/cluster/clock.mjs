// A clock that jumps, for a program started with `--import` of this file: the wall clock is off by
// the milliseconds in the file that $CLOCK_OFFSET_FILE names, as it says at each moment.
import { readFileSync } from "node:fs";

const real = Date;
let offsetMs = 0;
let readAtMs = -Infinity;

function now() {
  if (performance.now() - readAtMs > 50) {
    readAtMs = performance.now();
    offsetMs = Number(readFileSync(process.env.CLOCK_OFFSET_FILE, "utf8"));
  }
  return real.now() + offsetMs;
}

globalThis.Date = class extends real {
  constructor(...given) {
    if (given.length === 0) super(now());
    else super(...given);
  }
  static now() {
    return now();
  }
};
