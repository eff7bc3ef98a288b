// Calls the methods of dates and versions that templates may use.
import { clockOf, formatTime, timeText, UTC, zoneByName } from "./dates.ts";
import { compareVersions, versionText } from "./semver.ts";
import { describe } from "./show.ts";
import { type Bytes, Fault, Integer, Time, type Value, Version } from "./value.ts";

/** Evaluates `.name` on a value other than a dict. @throws Fault if Go has no such method or field */
export function callMethod(receiver: Value, name: Bytes, given: readonly Value[]): Value {
  if (receiver instanceof Time) return timeMethod(receiver, name, given);
  if (receiver instanceof Version) return versionMethod(receiver, name, given);
  if (receiver instanceof Integer && name === "String" && given.length === 0) {
    const text = describe(receiver);
    if (text !== undefined) return text;
  }
  throw new Fault("this type has no such field");
}

const TIME_NUMBERS: ReadonlyMap<string, (time: Time) => Value> = new Map<
  string,
  (time: Time) => Value
>([
  ["Year", (time) => BigInt(clockOf(time).year)],
  ["Month", (time) => new Integer("time.Month", BigInt(clockOf(time).month))],
  ["Day", (time) => BigInt(clockOf(time).day)],
  ["Hour", (time) => BigInt(clockOf(time).hour)],
  ["Minute", (time) => BigInt(clockOf(time).minute)],
  ["Second", (time) => BigInt(clockOf(time).second)],
  ["Nanosecond", (time) => BigInt(time.nanos)],
  ["Weekday", (time) => new Integer("time.Weekday", BigInt(clockOf(time).weekday))],
  ["YearDay", (time) => BigInt(clockOf(time).yearDay)],
  ["Unix", (time) => new Integer("int64", BigInt(time.seconds))],
  [
    "UnixMilli",
    (time) => new Integer("int64", BigInt(time.seconds) * 1000n + BigInt(time.nanos) / 1_000_000n),
  ],
  [
    "UnixNano",
    (time) => {
      const nanos = BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos);
      return new Integer("int64", BigInt.asIntN(64, nanos));
    },
  ],
  ["UTC", (time) => new Time(time.seconds, time.nanos, UTC)],
  ["Local", (time) => new Time(time.seconds, time.nanos, zoneByName("Local"))],
  ["String", (time) => timeText(time)],
  ["IsZero", (time) => time.seconds === -62_135_596_800 && time.nanos === 0],
]);

function timeMethod(time: Time, name: Bytes, given: readonly Value[]): Value {
  const simple = TIME_NUMBERS.get(name);
  if (simple !== undefined) {
    if (given.length > 0) throw new Fault("wrong number of arguments");
    return simple(time);
  }
  const [argument] = given;
  if (name === "Format" && given.length === 1 && typeof argument === "string") {
    return formatTime(time, argument);
  }
  if (argument instanceof Time && given.length === 1) {
    const order = time.seconds - argument.seconds || time.nanos - argument.nanos;
    if (name === "Before") return order < 0;
    if (name === "After") return order > 0;
    if (name === "Equal") return order === 0;
  }
  throw new Fault("not a supported method of a date");
}

function versionMethod(version: Version, name: Bytes, given: readonly Value[]): Value {
  const [argument] = given;
  if (given.length === 0) {
    const [major, minor, patch] = version.numbers;
    switch (name) {
      case "Major":
        return new Integer("uint64", major);
      case "Minor":
        return new Integer("uint64", minor);
      case "Patch":
        return new Integer("uint64", patch);
      case "Prerelease":
        return version.pre;
      case "Metadata":
        return version.metadata;
      case "String":
        return versionText(version);
      case "Original":
        if (version.pointer) return version.original;
        break;
      case "IncMajor":
        return next([major + 1n, 0n, 0n]);
      case "IncMinor":
        return next([major, minor + 1n, 0n]);
      case "IncPatch":
        return next([major, minor, version.pre === "" ? patch + 1n : patch]);
    }
  }
  if (version.pointer && argument instanceof Version && argument.pointer && given.length === 1) {
    const order = compareVersions(version, argument);
    switch (name) {
      case "Compare":
        return BigInt(order);
      case "Equal":
        return order === 0;
      case "LessThan":
        return order < 0;
      case "LessThanEqual":
        return order <= 0;
      case "GreaterThan":
        return order > 0;
      case "GreaterThanEqual":
        return order >= 0;
    }
  }
  throw new Fault("not a supported method of a version");
}

function next(numbers: readonly [bigint, bigint, bigint]): Version {
  return new Version(numbers, "", "", numbers.join("."), false);
}
