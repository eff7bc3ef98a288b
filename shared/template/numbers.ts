// Parses and formats numbers as Go does, and computes with exact decimals.
import { type Bytes, Fault, Integer, type Value } from "./value.ts";

const MAX_INT64 = (1n << 63n) - 1n;
const MIN_INT64 = -(1n << 63n);
const MAX_UINT64 = (1n << 64n) - 1n;

/** A parsed number; `range` is Go's clamped value if the number is out of range. */
export type Parsed<T> = { ok: T } | { range: T } | { syntax: true };

const LITERALS: readonly [RegExp, bigint][] = [
  [/^0[xX](_?[0-9a-fA-F])+$/, 16n],
  [/^0[bB](_?[01])+$/, 2n],
  [/^0[oO](_?[0-7])+$/, 8n],
  [/^0(_?[0-7])+$/, 8n],
  [/^[0-9](_?[0-9])*$/, 10n],
];

function magnitude(digits: string, base: 0 | 8 | 10): bigint | undefined {
  if (base === 10) return /^[0-9]+$/.test(digits) ? fromDigits(digits) : undefined;
  if (base === 8) return /^[0-7]+$/.test(digits) ? fromDigits(`0o${digits}`) : undefined;
  for (const [pattern, radix] of LITERALS) {
    if (!pattern.test(digits)) continue;
    const clean = digits.replaceAll("_", "");
    if (radix === 10n)
      return clean.length > 1 && clean.startsWith("0") ? undefined : fromDigits(clean);
    return fromDigits(/^0[0-7]/.test(clean) ? `0o${clean}` : clean);
  }
  return undefined;
}

function fromDigits(text: string): bigint {
  // BigInt takes quadratic time on a long text, and beyond 64 bits the value does not matter.
  const short = text.replace(/^(0[xob]|)0*(?=.)/i, "$1");
  return short.length > 70 ? MAX_UINT64 + 1n : BigInt(short);
}

/** As Go's strconv.ParseInt(text, base, 64). */
export function parseInt64(text: Bytes, base: 0 | 8 | 10): Parsed<bigint> {
  const negative = text.startsWith("-");
  const size = magnitude(/^[+-]/.test(text) ? text.slice(1) : text, base);
  if (size === undefined) return { syntax: true };
  const value = negative ? -size : size;
  if (value > MAX_INT64) return { range: MAX_INT64 };
  return value < MIN_INT64 ? { range: MIN_INT64 } : { ok: value };
}

/** As Go's strconv.ParseUint(text, base, 64). */
export function parseUint64(text: Bytes, base: 0 | 10): Parsed<bigint> {
  const value = magnitude(text, base);
  if (value === undefined) return { syntax: true };
  return value > MAX_UINT64 ? { range: MAX_UINT64 } : { ok: value };
}

/** As Go's strconv.ParseFloat(text, 64). */
export function parseFloat64(text: Bytes): Parsed<number> {
  if (/^[+-]?(inf|infinity)$/i.test(text))
    return { ok: text.startsWith("-") ? -Infinity : Infinity };
  if (/^nan$/i.test(text)) return { ok: NaN };
  const clean = text.replaceAll("_", "");
  if (text !== clean && /(^|[^0-9a-fA-FxX])_|_([^0-9a-fA-F]|$)|^[+-]?0_?[bBoO]/.test(text)) {
    return { syntax: true };
  }
  let value: number;
  const asHex = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?[0-9]+)$/.exec(clean);
  if (asHex !== null) {
    const [, sign, whole = "", fraction = "", exponent] = asHex;
    if (whole + fraction === "") return { syntax: true };
    value = Number(BigInt(`0x${whole}${fraction}`)) * 2 ** (Number(exponent) - 4 * fraction.length);
    if (sign === "-") value = -value;
  } else {
    // Go accepts an underscore in a literal such as 1_0, and in 0_8 too.
    if (!/^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(clean)) return { syntax: true };
    value = Number(clean);
  }
  return Number.isFinite(value) ? { ok: value } : { range: value };
}

/** As Go's int64(float) on amd64: a number that is out of range becomes the smallest integer. */
function truncate(value: number): bigint {
  if (!(value >= -(2 ** 63) && value < 2 ** 63)) return MIN_INT64;
  return BigInt(Math.trunc(value));
}

/** As cast.ToInt64: 0 if the value cannot be converted. */
export function toInteger(value: Value): bigint {
  if (typeof value === "bigint") return value;
  if (value instanceof Integer) return BigInt.asIntN(64, value.value);
  if (typeof value === "number") return truncate(value);
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value !== "string") return 0n;
  const parsed = parseInt64(/^(.*?)\.0+$/s.exec(value)?.[1] ?? value, 0);
  return "ok" in parsed ? parsed.ok : 0n;
}

/** As cast.ToFloat64: 0 if the value cannot be converted. */
export function toFloat(value: Value): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Integer) return Number(value.value);
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value !== "string") return 0;
  const parsed = parseFloat64(value);
  return "ok" in parsed ? parsed.ok : 0;
}

interface Digits {
  /** Significant digits; the decimal point comes after the first. */
  readonly digits: string;
  readonly exponent: number;
}

function shortest(value: number): Digits {
  const [mantissa = "0", exponent = "0"] = value.toExponential().split("e");
  return { digits: mantissa.replace(".", ""), exponent: Number(exponent) };
}

/** Splits a finite, non-negative value so that value = mantissa * 2 ** exponent exactly. */
function parts(value: number): { mantissa: bigint; exponent: number } {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const raw = bits.getBigUint64(0);
  const stored = Number((raw >> 52n) & 0x7ffn);
  const fraction = raw & ((1n << 52n) - 1n);
  const mantissa = stored === 0 ? fraction : fraction | (1n << 52n);
  return { mantissa, exponent: (stored === 0 ? 1 : stored) - 1075 };
}

/** Returns value as an exact fraction, numerator / denominator. */
function ratio(value: number): [bigint, bigint] {
  const { mantissa, exponent } = parts(value);
  return exponent >= 0 ? [mantissa << BigInt(exponent), 1n] : [mantissa, 1n << BigInt(-exponent)];
}

/** Divides, and rounds half to even. */
function roundedQuotient(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const up = twice > denominator || (twice === denominator && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

/** Formats as Go's 'f', with `precision` digits after the point. */
function fixed(value: number, precision: number): string {
  const [numerator, denominator] = ratio(value);
  const scaled = roundedQuotient(numerator * 10n ** BigInt(precision), denominator);
  const digits = scaled.toString().padStart(precision + 1, "0");
  const whole = digits.slice(0, digits.length - precision);
  return precision === 0 ? whole : `${whole}.${digits.slice(-precision)}`;
}

/** Returns `count` significant digits of the exact value, rounded half to even. */
function significant(value: number, count: number): Digits {
  if (value === 0) return { digits: "0".repeat(count), exponent: 0 };
  const [numerator, denominator] = ratio(value);
  let exponent = shortest(value).exponent;
  // The shortest form may have been rounded up to the next power of ten.
  const power = (n: number): [bigint, bigint] =>
    n >= 0 ? [10n ** BigInt(n), 1n] : [1n, 10n ** BigInt(-n)];
  const [up, down] = power(exponent);
  if (numerator * down < denominator * up) exponent -= 1;
  const [scaleDown, scaleUp] = power(exponent - count + 1);
  let digits = roundedQuotient(numerator * scaleUp, denominator * scaleDown).toString();
  if (digits.length > count) {
    digits = digits.slice(0, count);
    exponent += 1;
  }
  return { digits, exponent };
}

function exponential({ digits, exponent }: Digits, mark: string): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${digits.charAt(0)}${fraction}${mark}${exponent < 0 ? "-" : "+"}${size}`;
}

function plain({ digits, exponent }: Digits): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const fraction = digits.slice(exponent + 1);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/**
 * As Go's strconv.FormatFloat(value, verb, precision, 64). Precision -1 means the shortest text that
 * parses back to the same number.
 */
export function formatFloat(value: number, verb: string, precision: number): string {
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const size = Math.abs(value);
  if (size === Infinity) return `${sign === "" ? "+" : "-"}Inf`;
  // Enough for any exact double; further digits are only zeros, and slow.
  if (precision > 1100) throw new Fault("a precision is too large");
  return sign + formatMagnitude(size, verb, precision);
}

function formatMagnitude(size: number, verb: string, precision: number): string {
  switch (verb) {
    case "f":
      return precision < 0 ? plain(shortest(size)) : fixed(size, precision);
    case "e":
    case "E":
      return exponential(precision < 0 ? shortest(size) : significant(size, precision + 1), verb);
    case "g":
    case "G": {
      const found = precision < 0 ? shortest(size) : significant(size, precision || 1);
      const digits = found.digits.replace(/0+$/, "") || "0";
      let limit = precision < 0 ? 6 : precision || 1;
      if (precision >= 0 && limit > digits.length && digits.length > found.exponent) {
        limit = digits.length;
      }
      const tooWide = found.exponent < -4 || found.exponent >= limit;
      const clean = { digits, exponent: found.exponent };
      return tooWide ? exponential(clean, verb === "g" ? "e" : "E") : plain(clean);
    }
    case "b": {
      const { mantissa, exponent } = parts(size);
      return `${mantissa.toString()}p${exponent < 0 ? "-" : "+"}${Math.abs(exponent)}`;
    }
    case "x":
    case "X": {
      const text = hexFloat(size, precision);
      return verb === "X" ? text.toUpperCase() : text;
    }
    default:
      throw new Fault("this verb is not supported for a number with a point");
  }
}

function hexFloat(value: number, precision: number): string {
  if (precision >= 0) throw new Fault("a precision is not supported for this verb");
  const { mantissa, exponent } = parts(value);
  const bits = mantissa.toString(2);
  const power = value === 0 ? 0 : exponent + bits.length - 1;
  const fraction = bits.slice(1).replace(/0+$/, "");
  const padded = fraction.padEnd(Math.ceil(fraction.length / 4) * 4, "0");
  const digits = padded.replace(/.{4}/g, (four) => parseInt(four, 2).toString(16));
  const point = digits === "" ? "" : `.${digits}`;
  return `0x${bits.charAt(0)}${point}p${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** An exact decimal: value * 10 ** exponent. */
export interface Decimal {
  readonly value: bigint;
  readonly exponent: number;
}

/** As decimal.NewFromFloat. @throws Fault for NaN and infinities, for which Go panics */
export function decimal(value: number): Decimal {
  if (!Number.isFinite(value)) throw new Fault("not a finite number");
  if (value === 0) return { value: 0n, exponent: 0 };
  const { digits, exponent } = shortest(Math.abs(value));
  const size = BigInt(digits);
  return { value: value < 0 ? -size : size, exponent: exponent - digits.length + 1 };
}

/** Returns the nearest double. */
export function decimalToFloat({ value, exponent }: Decimal): number {
  return Number(`${value.toString()}e${exponent}`);
}

function align(a: Decimal, b: Decimal): [bigint, bigint, number] {
  const exponent = Math.min(a.exponent, b.exponent);
  const grow = (d: Decimal): bigint => d.value * 10n ** BigInt(d.exponent - exponent);
  return [grow(a), grow(b), exponent];
}

export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const [x, y, exponent] = align(a, b);
  return { value: x + y, exponent };
}

export function subtractDecimals(a: Decimal, b: Decimal): Decimal {
  return addDecimals(a, { value: -b.value, exponent: b.exponent });
}

export function multiplyDecimals(a: Decimal, b: Decimal): Decimal {
  return { value: a.value * b.value, exponent: a.exponent + b.exponent };
}

/** As decimal.Div: 16 decimal places, rounded half away from zero. @throws Fault if `b` is zero */
export function divideDecimals(a: Decimal, b: Decimal): Decimal {
  if (b.value === 0n) throw new Fault("division by zero");
  const shift = a.exponent - b.exponent + 16;
  const numerator = shift >= 0 ? a.value * 10n ** BigInt(shift) : a.value;
  const denominator = shift >= 0 ? b.value : b.value * 10n ** BigInt(-shift);
  const size = (n: bigint): bigint => (n < 0n ? -n : n);
  const quotient = numerator / denominator;
  const twice = size(numerator % denominator) * 2n;
  const away = a.value < 0n !== b.value < 0n ? -1n : 1n;
  return { value: twice < size(denominator) ? quotient : quotient + away, exponent: -16 };
}
