// Implements sprig's date functions, except those that read the current time.
import { addNanos, formatTime, parseTime, UTC, ZERO_TIME, zoneByName } from "./dates.ts";
import { durationText, parseDuration } from "../duration.ts";
import { parseInt64 } from "./numbers.ts";
import { fn, type Table } from "./signature.ts";
import { type Budget, type Bytes, Fault, Integer, Time, type Value } from "./value.ts";

const MAX_SECONDS = 8_640_000_000_000n;

function formatDate(budget: Budget, layout: Bytes, date: Value, zone: Bytes): Bytes {
  // Setting up a time zone is slow in Node.
  budget.step(20);
  let time: Time;
  if (date instanceof Time) time = date;
  else if (typeof date === "bigint" || (date instanceof Integer && date.type === "int64")) {
    const seconds = typeof date === "bigint" ? date : date.value;
    if (seconds > MAX_SECONDS || seconds < -MAX_SECONDS) throw new Fault("a date out of range");
    time = new Time(Number(seconds), 0, UTC);
  } else {
    // Sprig uses the current time here, which would change the Secret at every reconcile.
    throw new Fault("not a date");
  }
  return formatTime(new Time(time.seconds, time.nanos, zoneByName(zone)), layout);
}

const dateInZone = fn(["string", "any", "string"], (budget, layout, date, zone) =>
  formatDate(budget, layout, date, zone),
);
const dateModify = fn(["string", "time"], (_, change, time) => {
  const nanos = parseDuration(change);
  return nanos === undefined ? time : addNanos(time, nanos);
});
const mustDateModify = fn(["string", "time"], (_, change, time) => {
  const nanos = parseDuration(change);
  if (nanos === undefined) throw new Fault("not a duration");
  return addNanos(time, nanos);
});

const ROUNDED: readonly [bigint, string][] = [
  [365n * 24n * 3_600_000_000_000n, "y"],
  [30n * 24n * 3_600_000_000_000n, "mo"],
  [24n * 3_600_000_000_000n, "d"],
  [3_600_000_000_000n, "h"],
  [60_000_000_000n, "m"],
  [1_000_000_000n, "s"],
];

function roundDuration(value: Value): Bytes {
  let nanos = 0n;
  if (value instanceof Time) throw new Fault("it would need the current time");
  if (typeof value === "string") nanos = parseDuration(value) ?? 0n;
  else if (value instanceof Integer && value.type === "int64") nanos = value.value;
  const size = nanos < 0n ? -nanos : nanos;
  const found = ROUNDED.find(([unit]) => size > unit);
  return found === undefined ? "0s" : `${(size / found[0]).toString()}${found[1]}`;
}

export const DATE_FUNCTIONS: Table = {
  date: fn(["string", "any"], (budget, layout, date) => formatDate(budget, layout, date, "Local")),
  dateInZone,
  date_in_zone: dateInZone,
  dateModify,
  date_modify: dateModify,
  mustDateModify,
  must_date_modify: mustDateModify,
  htmlDate: fn(["any"], (budget, date) => formatDate(budget, "2006-01-02", date, "Local")),
  htmlDateInZone: fn(["any", "string"], (budget, date, zone) =>
    formatDate(budget, "2006-01-02", date, zone),
  ),
  toDate: fn(["string", "string"], (_, layout, text) => parseTime(layout, text) ?? ZERO_TIME),
  mustToDate: fn(["string", "string"], (_, layout, text) => {
    const time = parseTime(layout, text);
    if (time === undefined) throw new Fault("the text does not fit the layout");
    return time;
  }),
  unixEpoch: fn(["time"], (_, time) => String(time.seconds)),
  duration: fn(["any"], (_, value) => {
    let seconds = 0n;
    if (typeof value === "string") {
      const parsed = parseInt64(value, 10);
      seconds = "ok" in parsed ? parsed.ok : "range" in parsed ? parsed.range : 0n;
    } else if (value instanceof Integer && value.type === "int64") seconds = value.value;
    return durationText(BigInt.asIntN(64, seconds * 1_000_000_000n));
  }),
  durationRound: fn(["any"], (_, value) => roundDuration(value)),
};
