// The wall clock of Node programs that start with `--require` of this file: ahead of the machine's,
// or behind it, by $CLOCK_OFFSET_MS, or by what the file $CLOCK_OFFSET_FILE holds at each moment.
// Durations and timers are those of the machine; so are file times and what OpenSSL reads.
"use strict";
const { readFileSync } = require("node:fs");

const FILE_IS_READ_EVERY_MS = 50;

const { CLOCK_OFFSET_FILE: file, CLOCK_OFFSET_MS: fixed } = process.env;
const RealDate = Date;
const realNow = RealDate.now;
let offsetMs = Number(fixed ?? 0);
let readAtMs = -Infinity;

function offset() {
  if (file !== undefined && performance.now() - readAtMs > FILE_IS_READ_EVERY_MS) {
    readAtMs = performance.now();
    offsetMs = Number(readFileSync(file, "utf8"));
  }
  if (!Number.isSafeInteger(offsetMs)) throw new Error("the clock's offset is not a number of ms");
  return offsetMs;
}

RealDate.now = function now() {
  return realNow() + offset();
};

// A proxy, so that `instanceof Date` holds for the dates that Node makes as well.
const ShiftedDate = new Proxy(RealDate, {
  construct(target, given, newTarget) {
    return Reflect.construct(target, given.length === 0 ? [RealDate.now()] : given, newTarget);
  },
  apply() {
    return new ShiftedDate().toString();
  },
});
RealDate.prototype.constructor = ShiftedDate;
globalThis.Date = ShiftedDate;

const { timeOrigin } = performance;
Object.defineProperty(performance, "timeOrigin", {
  configurable: true,
  get: () => timeOrigin + offset(),
});
