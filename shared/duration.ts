// Go durations, parsed from and formatted as text.

/** A byte string: each character of the JavaScript string is one byte. */
type Bytes = string;

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\xc2\xb5s", 1_000n],
  ["\xce\xbcs", 1_000n],
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);

/** Parses text as Go's `time.ParseDuration` does. Returns nanoseconds, or undefined if invalid. */
export function parseDuration(text: Bytes): bigint | undefined {
  const negative = text.startsWith("-");
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0n;
  if (rest === "" || text.length > 200) return undefined;
  let total = 0n;
  while (rest !== "") {
    const found = /^([0-9]*)(?:\.([0-9]*))?([^.0-9]+)/.exec(rest);
    if (found === null) return undefined;
    const [whole, digits = "", fraction = "", name = ""] = found;
    const unit = UNITS.get(name);
    if (unit === undefined || digits + fraction === "") return undefined;
    total += BigInt(digits === "" ? "0" : digits) * unit;
    const used = fraction.slice(0, 18);
    if (Number(used) > 0) {
      total += BigInt(Math.trunc(Number(used) * (Number(unit) / 10 ** used.length)));
    }
    if (total > 1n << 63n) return undefined;
    rest = rest.slice(whole.length);
  }
  if (negative) return -total;
  return total > (1n << 63n) - 1n ? undefined : total;
}

/** Formats nanoseconds as Go's `time.Duration.String` does. */
export function durationText(nanos: bigint): Bytes {
  const size = nanos < 0n ? -nanos : nanos;
  const sign = nanos < 0n ? "-" : "";
  const fraction = (value: bigint, places: number): string => {
    const digits = (value % 10n ** BigInt(places)).toString().padStart(places, "0");
    const trimmed = digits.replace(/0+$/, "");
    return (value / 10n ** BigInt(places)).toString() + (trimmed === "" ? "" : `.${trimmed}`);
  };
  if (size === 0n) return "0s";
  if (size < 1_000n) return `${sign}${size.toString()}ns`;
  if (size < 1_000_000n) return `${sign}${fraction(size, 3)}\xc2\xb5s`;
  if (size < 1_000_000_000n) return `${sign}${fraction(size, 6)}ms`;
  const minutes = size / 60_000_000_000n;
  let text = `${fraction(size % 60_000_000_000n, 9)}s`;
  if (minutes > 0n) text = `${(minutes % 60n).toString()}m${text}`;
  if (minutes >= 60n) text = `${(minutes / 60n).toString()}h${text}`;
  return sign + text;
}
