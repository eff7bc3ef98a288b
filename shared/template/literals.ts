// Parses the constants in a template's source: numbers, characters, quoted and raw text.
import { SourceFault, type Token } from "./lexer.ts";
import { parseFloat64, parseInt64, parseUint64 } from "./numbers.ts";
import { encode, encodeRune } from "./unicode.ts";
import type { Bytes } from "./value.ts";

export interface NumberNode {
  readonly type: "number";
  readonly line: number;
  readonly int: bigint | undefined;
  readonly float: number | undefined;
  /** The type that the constant has if its context does not require one. */
  readonly ideal: "int" | "float" | "overflow";
}

/** Parses a number or a character. @throws SourceFault */
export function number(token: Token): NumberNode {
  const { line, text } = token;
  if (token.type === "charconstant") {
    const [only, ...others] = unescape(text.slice(1, -1), "'", line);
    if (only === undefined || others.length > 0) {
      throw new SourceFault("malformed character constant", line);
    }
    return { type: "number", line, int: BigInt(only.value), float: only.value, ideal: "int" };
  }
  if (text.endsWith("i")) throw new SourceFault("complex numbers are not supported", line);
  const signed = parseInt64(text, 0);
  if ("ok" in signed) {
    return { type: "number", line, int: signed.ok, float: Number(signed.ok), ideal: "int" };
  }
  const unsigned = parseUint64(text, 0);
  if ("ok" in unsigned) {
    const float = Number(unsigned.ok);
    return { type: "number", line, int: undefined, float, ideal: "overflow" };
  }
  const parsed = parseFloat64(text);
  if (!("ok" in parsed)) throw new SourceFault("bad number", line);
  if (!/[.eEpP]/.test(text)) throw new SourceFault("a number is too large", line);
  const whole = Number.isInteger(parsed.ok) && Math.abs(parsed.ok) < 2 ** 63;
  const int = whole ? BigInt(parsed.ok) : undefined;
  return { type: "number", line, int, float: parsed.ok, ideal: "float" };
}

/** One element of quoted text: a rune, or a byte if it is written as \x or in octal. */
interface Element {
  readonly value: number;
  readonly isByte: boolean;
}

/** Returns the bytes of a quoted or raw text. @throws SourceFault */
export function unquote(token: Token): Bytes {
  if (token.type === "rawstring") return encode(token.text.slice(1, -1).replaceAll("\r", ""));
  return unescape(token.text.slice(1, -1), '"', token.line)
    .map(({ value, isByte }) => (isByte ? String.fromCharCode(value) : encodeRune(value)))
    .join("");
}

const SIMPLE: ReadonlyMap<string, number> = new Map([
  ["a", 7],
  ["b", 8],
  ["f", 12],
  ["n", 10],
  ["r", 13],
  ["t", 9],
  ["v", 11],
  ["\\", 92],
]);
const NUMERIC: readonly [RegExp, number][] = [
  [/^x([0-9a-fA-F]{2})/, 16],
  [/^u([0-9a-fA-F]{4})/, 16],
  [/^U([0-9a-fA-F]{8})/, 16],
  [/^([0-7]{3})/, 8],
];

function unescape(text: string, mark: string, line: number): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < text.length;) {
    const point = text.codePointAt(at) ?? 0;
    at += point > 0xffff ? 2 : 1;
    if (point !== 0x5c) {
      found.push({ value: point, isByte: false });
      continue;
    }
    const char = text.charAt(at);
    const simple = char === mark ? mark.charCodeAt(0) : SIMPLE.get(char);
    if (simple !== undefined) {
      found.push({ value: simple, isByte: false });
      at += 1;
      continue;
    }
    const rest = text.slice(at, at + 9);
    const numeric = NUMERIC.find(([pattern]) => pattern.test(rest));
    const [whole = "", digits = ""] = numeric?.[0].exec(rest) ?? [];
    const value = parseInt(digits, numeric?.[1] ?? 10);
    const isByte = !/^u/i.test(whole);
    const valid = isByte ? value <= 0xff : value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    if (whole === "" || !valid) throw new SourceFault("invalid escape in quoted text", line);
    found.push({ value, isByte });
    at += whole.length;
  }
  return found;
}
