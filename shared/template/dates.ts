// Parses and formats times with Go's layouts, and looks up time zones.
import { type Bytes, Fault, Time, type Zone } from "./value.ts";

export const UTC: Zone = { name: "UTC", offset: 0 };
const MONTHS =
  "January February March April May June July August September October November December".split(
    " ",
  );
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const DAY_SECONDS = 86_400;

/** The parts of a layout that have a meaning; longer parts come first. */
const LAYOUT =
  /(January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|__2|_2(?!006)|2|3|4|5|PM|pm|[-Z]07(?:0000|:00:00|00|:00)?|[.,](?:0+|9+)(?![0-9]))/;

function chunks(layout: Bytes): string[] {
  return layout.split(LAYOUT);
}

/** Converts a proleptic Gregorian date to days since 1970; `dateOf` does the reverse. */
function daysOf(year: number, month: number, day: number): number {
  const shifted = month > 2 ? year : year - 1;
  const era = Math.floor(shifted / 400);
  const ofEra = shifted - era * 400;
  const ofYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146_097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear - 719_468
  );
}

function dateOf(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const ofEra = z - era * 146_097;
  const years = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) /
      365,
  );
  const ofYear = ofEra - (365 * years + Math.floor(years / 4) - Math.floor(years / 100));
  const shifted = Math.floor((5 * ofYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: years + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: ofYear - Math.floor((153 * shifted + 2) / 5) + 1,
  };
}

/** Returns the zone with an IANA name; UTC if the name is unknown, as in sprig. */
export function zoneByName(name: Bytes): Zone {
  if (name === "" || name === "UTC" || name === "Local") return UTC;
  if (!/^[A-Za-z0-9_+/-]{1,64}$/.test(name)) return UTC;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
  } catch {
    return UTC;
  }
  return { iana: name, name: "", offset: 0 };
}

/** Returns how many seconds a zone is ahead of UTC at an instant. */
function offsetAt(zone: Zone, seconds: number): number {
  if (zone.iana === undefined) return zone.offset;
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone.iana,
    hourCycle: "h23",
    era: "short",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  const parts = new Map<string, string>();
  for (const { type, value } of format.formatToParts(seconds * 1000)) parts.set(type, value);
  const part = (name: string): number => Number(parts.get(name));
  const year = parts.get("era") === "BC" ? 1 - part("year") : part("year");
  const days = daysOf(year, part("month"), part("day"));
  const local = days * DAY_SECONDS + part("hour") * 3600 + part("minute") * 60 + part("second");
  if (!Number.isFinite(local)) throw new Fault("a date too far from today for a time zone");
  return local - seconds;
}

export interface Clock {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly weekday: number;
  /** Starts at 1. */
  readonly yearDay: number;
  readonly offset: number;
}

/** The local date and time at an instant, as a clock and a calendar show them. */
export function clockOf(time: Time): Clock {
  const offset = offsetAt(time.zone, time.seconds);
  const local = time.seconds + offset;
  const days = Math.floor(local / DAY_SECONDS);
  const rest = local - days * DAY_SECONDS;
  const date = dateOf(days);
  return {
    ...date,
    hour: Math.floor(rest / 3600),
    minute: Math.floor((rest % 3600) / 60),
    second: rest % 60,
    weekday: (((days + 4) % 7) + 7) % 7,
    yearDay: days - daysOf(date.year, 1, 1) + 1,
    offset,
  };
}

const pad = (value: number, width: number, fill = "0"): string => {
  const digits = String(Math.abs(value)).padStart(width, fill);
  return value < 0 ? `-${digits}` : digits;
};

/** As Go's time.Time.Format. */
export function formatTime(time: Time, layout: Bytes): Bytes {
  const clock = clockOf(time);
  return chunks(layout)
    .map((chunk, i) => (i % 2 === 0 ? chunk : formatChunk(time, clock, chunk)))
    .join("");
}

function formatChunk(time: Time, clock: Clock, chunk: string): string {
  const month = MONTHS[clock.month - 1] ?? "";
  const weekday = DAYS[clock.weekday] ?? "";
  const hour12 = clock.hour % 12 || 12;
  switch (chunk) {
    case "January":
      return month;
    case "Jan":
      return month.slice(0, 3);
    case "Monday":
      return weekday;
    case "Mon":
      return weekday.slice(0, 3);
    case "01":
      return pad(clock.month, 2);
    case "1":
      return pad(clock.month, 0);
    case "02":
      return pad(clock.day, 2);
    case "2":
      return pad(clock.day, 0);
    case "_2":
      return pad(clock.day, 2, " ");
    case "002":
      return pad(clock.yearDay, 3);
    case "__2":
      return pad(clock.yearDay, 3, " ");
    case "15":
      return pad(clock.hour, 2);
    case "03":
      return pad(hour12, 2);
    case "3":
      return pad(hour12, 0);
    case "04":
      return pad(clock.minute, 2);
    case "4":
      return pad(clock.minute, 0);
    case "05":
      return pad(clock.second, 2);
    case "5":
      return pad(clock.second, 0);
    case "06":
      return pad(Math.abs(clock.year) % 100, 2);
    case "2006":
      return pad(clock.year, 4);
    case "PM":
      return clock.hour >= 12 ? "PM" : "AM";
    case "pm":
      return clock.hour >= 12 ? "pm" : "am";
    case "MST":
      return abbreviation(time.zone, clock.offset);
  }
  if (/^[-Z]07/.test(chunk)) return formatOffset(chunk, clock.offset);
  const nanos = pad(time.nanos, 9).slice(0, chunk.length - 1);
  const digits = nanos.padEnd(Math.min(9, chunk.length - 1), "0");
  const mark = chunk.charAt(0);
  if (chunk.charAt(1) === "0") return mark + digits;
  const trimmed = digits.replace(/0+$/, "");
  return trimmed === "" ? "" : mark + trimmed;
}

function abbreviation(zone: Zone, offset: number): string {
  // Intl has no abbreviations such as CET; a missing one is better than a wrong one.
  if (zone.iana !== undefined) throw new Fault("MST is only supported for UTC");
  return zone.name === "" ? formatOffset("-0700", offset) : zone.name;
}

function formatOffset(chunk: string, offset: number): string {
  if (chunk.startsWith("Z") && offset === 0) return "Z";
  const sign = Math.trunc(offset / 60) < 0 ? "-" : "+";
  const size = Math.abs(offset);
  const colon = chunk.includes(":") ? ":" : "";
  let text = sign + pad(Math.floor(size / 3600), 2);
  if (chunk.length > 3) text += colon + pad(Math.floor(size / 60) % 60, 2);
  if (/(:00:00|0000)$/.test(chunk)) text += colon + pad(size % 60, 2);
  return text;
}

/** As Go's time.Time.String. */
export function timeText(time: Time): Bytes {
  return formatTime(time, "2006-01-02 15:04:05.999999999 -0700 MST");
}

/** As Go's time.Time.MarshalJSON, without the quotes. */
export function timeJson(time: Time): Bytes {
  const { year } = clockOf(time);
  if (year < 0 || year > 9999) throw new Fault("a date that JSON cannot hold");
  return formatTime(time, "2006-01-02T15:04:05.999999999Z07:00");
}

/** Go's zero time, which toDate returns for a text that it cannot parse. */
export const ZERO_TIME = new Time(daysOf(1, 1, 1) * DAY_SECONDS, 0, UTC);

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const monthDays = (month: number, year: number): number =>
  month === 2 && isLeap(year) ? 29 : new Date(Date.UTC(2001, month, 0)).getUTCDate();

interface Reading {
  year: number;
  month: number;
  day: number;
  yearDay: number;
  hour: number;
  minute: number;
  second: number;
  nanos: number;
  half: "AM" | "PM" | undefined;
  offset: number | undefined;
  zoneName: string;
}

/** As Go's time.Parse, with UTC as the local zone; undefined if text and layout do not match. */
export function parseTime(layout: Bytes, text: Bytes): Time | undefined {
  const reading: Reading = {
    year: 0,
    month: -1,
    day: -1,
    yearDay: -1,
    hour: 0,
    minute: 0,
    second: 0,
    nanos: 0,
    half: undefined,
    offset: undefined,
    zoneName: "",
  };
  const parts = chunks(layout);
  let rest: Bytes | undefined = text;
  for (let i = 0; i < parts.length && rest !== undefined; i++) {
    const chunk = parts[i] ?? "";
    rest =
      i % 2 === 0
        ? skip(rest, chunk)
        : readChunk(reading, chunk, rest, parts[i + 2] ?? "", parts[i + 1] ?? "");
  }
  return rest === "" ? complete(reading) : undefined;
}

function skip(text: Bytes, prefix: Bytes): Bytes | undefined {
  let [rest, at] = [text, 0];
  while (at < prefix.length) {
    if (prefix[at] === " ") {
      if (rest !== "" && !rest.startsWith(" ")) return undefined;
      while (prefix[at] === " ") at += 1;
      rest = rest.replace(/^ +/, "");
      continue;
    }
    if (rest === "" || rest[0] !== prefix[at]) return undefined;
    at += 1;
    rest = rest.slice(1);
  }
  return rest;
}

const NUMBERS: Readonly<
  Record<
    string,
    readonly [
      RegExp,
      "year" | "month" | "day" | "yearDay" | "hour" | "minute" | "second",
      number,
      number,
    ]
  >
> = {
  "2006": [/^[0-9]{4}/, "year", 0, 9999],
  "1": [/^[0-9]{1,2}/, "month", 1, 12],
  "01": [/^[0-9]{2}/, "month", 1, 12],
  "2": [/^[0-9]{1,2}/, "day", 0, 99],
  _2: [/^ ?[0-9]{1,2}/, "day", 0, 99],
  "02": [/^[0-9]{2}/, "day", 0, 99],
  __2: [/^ ? ?[0-9]{1,3}/, "yearDay", 0, 999],
  "002": [/^[0-9]{3}/, "yearDay", 0, 999],
  "15": [/^[0-9]{1,2}/, "hour", 0, 23],
  "3": [/^[0-9]{1,2}/, "hour", 0, 12],
  "03": [/^[0-9]{2}/, "hour", 0, 12],
  "4": [/^[0-9]{1,2}/, "minute", 0, 59],
  "04": [/^[0-9]{2}/, "minute", 0, 59],
  "5": [/^[0-9]{1,2}/, "second", 0, 59],
  "05": [/^[0-9]{2}/, "second", 0, 59],
};

const NAMES: Readonly<Record<string, readonly string[]>> = {
  January: MONTHS,
  Jan: MONTHS.map((name) => name.slice(0, 3)),
  Monday: DAYS,
  Mon: DAYS.map((name) => name.slice(0, 3)),
};

function readChunk(
  reading: Reading,
  chunk: string,
  text: Bytes,
  next: string,
  between: string,
): Bytes | undefined {
  const number = NUMBERS[chunk];
  if (number !== undefined) {
    const [pattern, field, low, high] = number;
    const found = pattern.exec(text)?.[0];
    if (found === undefined) return undefined;
    const value = Number(found);
    if (value < low || value > high) return undefined;
    reading[field] = value;
    const rest = text.slice(found.length);
    // Go accepts a fraction after the seconds even if the layout has none.
    const fraction = /^[.,][0-9]+/.exec(rest)?.[0];
    const follows = between === "" && /^[.,]/.test(next);
    if (field !== "second" || fraction === undefined || follows) return rest;
    reading.nanos = nanosOf(fraction);
    return rest.slice(fraction.length);
  }
  const names = NAMES[chunk];
  if (names !== undefined) {
    const lower = text.toLowerCase();
    const at = names.findIndex((name) => lower.startsWith(name.toLowerCase()));
    if (at < 0) return undefined;
    if (chunk.startsWith("J")) reading.month = at + 1;
    return text.slice(names[at]?.length);
  }
  if (chunk === "06") {
    const found = /^[0-9]{2}/.exec(text)?.[0];
    if (found === undefined) return undefined;
    reading.year = Number(found) + (Number(found) >= 69 ? 1900 : 2000);
    return text.slice(2);
  }
  if (chunk === "PM" || chunk === "pm") {
    const half = text.slice(0, 2);
    if (half !== chunk && half !== (chunk === "PM" ? "AM" : "am")) return undefined;
    reading.half = half.toUpperCase() === "PM" ? "PM" : "AM";
    return text.slice(2);
  }
  if (chunk === "MST") return readZoneName(reading, text);
  if (/^[-Z]07/.test(chunk)) return readOffset(reading, chunk, text);
  if (chunk.charAt(1) === "9") {
    const found = /^[.,][0-9]+/.exec(text)?.[0] ?? "";
    if (found !== "") reading.nanos = nanosOf(found);
    return text.slice(found.length);
  }
  const found = text.slice(0, chunk.length);
  if (found.length < chunk.length || !/^[.,][0-9]+$/.test(found)) return undefined;
  reading.nanos = nanosOf(found);
  return text.slice(chunk.length);
}

const nanosOf = (fraction: string): number => Number(fraction.slice(1, 10).padEnd(9, "0"));

function readOffset(reading: Reading, chunk: string, text: Bytes): Bytes | undefined {
  if (chunk.startsWith("Z") && text.startsWith("Z")) {
    reading.offset = 0;
    reading.zoneName = "UTC";
    return text.slice(1);
  }
  const colon = chunk.includes(":") ? ":" : "";
  let pattern = "([+-])([0-9]{2})";
  if (chunk.length > 3) pattern += `${colon}([0-9]{2})`;
  if (/(:00:00|0000)$/.test(chunk)) pattern += `${colon}([0-9]{2})`;
  const found = new RegExp(`^${pattern}`).exec(text);
  if (found === null) return undefined;
  const [whole, sign, hours, minutes = "0", seconds = "0"] = found;
  if (Number(hours) > 24 || Number(minutes) > 60 || Number(seconds) > 60) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  reading.offset = sign === "-" ? -offset : offset;
  return text.slice(whole.length);
}

function readZoneName(reading: Reading, text: Bytes): Bytes | undefined {
  if (text.startsWith("UTC")) {
    reading.zoneName = "UTC";
    return text.slice(3);
  }
  const upper = /^[A-Z]{0,6}/.exec(text)?.[0] ?? "";
  const found =
    /^(ChST|MeST)/.exec(text)?.[0] ??
    /^GMT([+-][0-9]+)?/.exec(text)?.[0] ??
    /^[+-][0-9]+/.exec(text)?.[0] ??
    (/^([A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3})$/.test(upper) ? upper : undefined);
  if (found === undefined || Number(/[0-9]+/.exec(found)?.[0] ?? 0) > 23) return undefined;
  reading.zoneName = found;
  return text.slice(found.length);
}

function complete(reading: Reading): Time | undefined {
  let { year, month, day, hour } = reading;
  if (reading.half === "PM" && hour < 12) hour += 12;
  if (reading.half === "AM" && hour === 12) hour = 0;
  if (reading.yearDay >= 0) {
    if (reading.yearDay < 1 || reading.yearDay > (isLeap(year) ? 366 : 365)) return undefined;
    const date = dateOf(daysOf(year, 1, 1) + reading.yearDay - 1);
    if ((month >= 0 && month !== date.month) || (day >= 0 && day !== date.day)) return undefined;
    ({ year, month, day } = date);
  }
  if (month < 0) month = 1;
  if (day < 0) day = 1;
  if (day < 1 || day > monthDays(month, year)) return undefined;
  const local =
    daysOf(year, month, day) * DAY_SECONDS + hour * 3600 + reading.minute * 60 + reading.second;
  const name = reading.zoneName;
  let zone = UTC;
  if (name !== "UTC") {
    if (reading.offset !== undefined && (reading.offset !== 0 || name !== "")) {
      zone = { name, offset: reading.offset };
    } else if (name !== "") {
      const hours = name.startsWith("GMT") ? Number(name.slice(3) || 0) : 0;
      zone = { name, offset: hours * 3600 };
    }
  }
  // The offset of a named zone other than GMT+n is unknown; Go uses 0.
  const known = reading.offset ?? 0;
  return new Time(local - known, reading.nanos, zone);
}

/** Adds `nanos` nanoseconds to a time. */
export function addNanos(time: Time, nanos: bigint): Time {
  const total = BigInt(time.nanos) + nanos;
  const rest = ((total % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = time.seconds + Number((total - rest) / 1_000_000_000n);
  return new Time(seconds, Number(rest), time.zone);
}
