// Converts template values to text, dates and versions included; the function tables share it.
import { timeText } from "./dates.ts";
import { Printer } from "./format.ts";
import { versionText } from "./semver.ts";
import { type Budget, type Bytes, Integer, List, Time, type Value, Version } from "./value.ts";

const MONTHS =
  "January February March April May June July August September October November December".split(
    " ",
  );
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Calls a value's String method; returns undefined if its Go type has none. */
export function describe(value: Value): Bytes | undefined {
  if (value instanceof Time) return timeText(value);
  if (value instanceof Version) return versionText(value);
  if (!(value instanceof Integer)) return undefined;
  if (value.type === "time.Month") return MONTHS[Number(value.value) - 1];
  return value.type === "time.Weekday" ? DAYS[Number(value.value)] : undefined;
}

export function print(budget: Budget, values: readonly Value[]): Bytes {
  return new Printer(budget, describe).print(values);
}

export function println(budget: Budget, values: readonly Value[]): Bytes {
  return new Printer(budget, describe).println(values);
}

export function printf(budget: Budget, format: Bytes, values: readonly Value[]): Bytes {
  return new Printer(budget, describe).printf(format, values);
}

/** Formats a value as `{{ }}` prints it. */
export function output(budget: Budget, value: Value): Bytes {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "<no value>" : print(budget, [value]);
}

/** As sprig's strval: %v, and <nil> for a nil. */
export function textOf(budget: Budget, value: Value): Bytes {
  return typeof value === "string" ? value : print(budget, [value]);
}

/** As sprig's strslice: the text of every non-nil item; any other value counts as one item. */
export function textsOf(budget: Budget, value: Value): Bytes[] {
  if (value instanceof List) {
    budget.step(value.items.length);
    return value.items
      .filter((item) => item !== null && item !== undefined)
      .map((item) => textOf(budget, item));
  }
  return value === undefined || value === null ? [] : [textOf(budget, value)];
}
