// Handles UTF-8 in byte strings, Go's rune classes and case mappings, and Go's quoting.
import type { Bytes } from "./value.ts";

export const REPLACEMENT = 0xfffd;

/** Encodes a JavaScript string as UTF-8; a lone surrogate becomes U+FFFD. */
export function encode(text: string): Bytes {
  return /^[\0-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** Encodes one rune as UTF-8. */
export function encodeRune(rune: number): Bytes {
  if (rune < 0x80 && rune >= 0) return String.fromCharCode(rune);
  const valid = rune >= 0 && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
  return encode(String.fromCodePoint(valid ? rune : REPLACEMENT));
}

/** Decodes the rune at `at`; an invalid byte is U+FFFD with size 1, and the end has size 0. */
export function decodeRune(bytes: Bytes, at: number): { rune: number; size: number } {
  const first = bytes.charCodeAt(at);
  if (at >= bytes.length) return { rune: REPLACEMENT, size: 0 };
  if (first < 0x80) return { rune: first, size: 1 };
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const invalid = { rune: REPLACEMENT, size: 1 };
  if (first < 0xc2 || first > 0xf4 || at + size > bytes.length) return invalid;
  let rune = first & (0xff >> (size + 1));
  for (let i = 1; i < size; i++) {
    const next = bytes.charCodeAt(at + i);
    if ((next & 0xc0) !== 0x80) return invalid;
    rune = (rune << 6) | (next & 0x3f);
  }
  const tooShort = (size === 3 && rune < 0x800) || (size === 4 && rune < 0x10000);
  if (tooShort || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) return invalid;
  return { rune, size };
}

/** Decodes the rune that ends before `end`; `end` must not be 0. */
function decodeLastRune(bytes: Bytes, end: number): { rune: number; size: number } {
  // The longest comes first, because the last bytes of a longer rune are not a rune.
  for (let start = Math.max(0, end - 4); start < end; start++) {
    const found = decodeRune(bytes.slice(start, end), 0);
    if (found.size === end - start) return found;
  }
  return { rune: REPLACEMENT, size: 1 };
}

/** As Go's `[]rune(s)`: every invalid byte becomes U+FFFD. */
export function runes(bytes: Bytes): number[] {
  const found: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const { rune, size } = decodeRune(bytes, at);
    found.push(rune);
    at += size;
  }
  return found;
}

/** Splits bytes into runes; an invalid byte is a slice of its own. */
export function runeSlices(bytes: Bytes): Bytes[] {
  const found: Bytes[] = [];
  for (let at = 0; at < bytes.length;) {
    const { size } = decodeRune(bytes, at);
    found.push(bytes.slice(at, at + size));
    at += size;
  }
  return found;
}

export function runeCount(bytes: Bytes): number {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes.length;
  let count = 0;
  for (let at = 0; at < bytes.length; count++) at += decodeRune(bytes, at).size;
  return count;
}

/** Decodes bytes to a JavaScript string; each invalid byte becomes U+FFFD. */
export function decode(bytes: Bytes): string {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  return runes(bytes)
    .map((rune) => String.fromCodePoint(rune))
    .join("");
}

const inClass = (pattern: RegExp) => (rune: number) => pattern.test(String.fromCodePoint(rune));
export const isLetter = inClass(/^\p{L}$/u);
export const isDigit = inClass(/^\p{Nd}$/u);
export const isNumber = inClass(/^\p{N}$/u);
export const isUpper = inClass(/^\p{Lu}$/u);
export const isLower = inClass(/^\p{Ll}$/u);
export const isTitle = inClass(/^\p{Lt}$/u);
export const isPunct = inClass(/^\p{P}$/u);
export const isPrint = inClass(/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u);
/** As Go's unicode.IsSpace: White_Space. JavaScript's \s differs, because it includes U+FEFF. */
export const isSpace = inClass(/^\p{White_Space}$/u);

/** As Go's unicode.ToUpper: maps one rune to one rune, so "ß" does not become "SS". */
export function toUpper(rune: number): number {
  // Greek letters with iota subscript have a one-rune capital; JavaScript produces two runes.
  if (
    (rune >= 0x1f80 && rune <= 0x1f87) ||
    (rune >= 0x1f90 && rune <= 0x1f97) ||
    (rune >= 0x1fa0 && rune <= 0x1fa7)
  ) {
    return rune + 8;
  }
  if (rune === 0x1fb3 || rune === 0x1fc3 || rune === 0x1ff3) return rune + 9;
  return single(String.fromCodePoint(rune).toUpperCase(), rune);
}

export function toLower(rune: number): number {
  if (rune === 0x130) return 0x69;
  return single(String.fromCodePoint(rune).toLowerCase(), rune);
}

/** As Go's unicode.ToTitle: the same as ToUpper, except for digraphs and Georgian. */
export function toTitle(rune: number): number {
  if (rune >= 0x1c4 && rune <= 0x1cc) return rune <= 0x1c6 ? 0x1c5 : rune <= 0x1c9 ? 0x1c8 : 0x1cb;
  if (rune >= 0x1f1 && rune <= 0x1f3) return 0x1f2;
  if ((rune >= 0x10d0 && rune <= 0x10fa) || (rune >= 0x10fd && rune <= 0x10ff)) return rune;
  return toUpper(rune);
}

function single(mapped: string, rune: number): number {
  const first = mapped.codePointAt(0) ?? rune;
  return String.fromCodePoint(first) === mapped ? first : rune;
}

/** As Go's strings.TrimSpace. */
export function trimSpace(bytes: Bytes): Bytes {
  return trimRunes(bytes, isSpace);
}

/** Removes runes that `cut` accepts from both ends. */
export function trimRunes(bytes: Bytes, cut: (rune: number) => boolean): Bytes {
  let start = 0;
  let end = bytes.length;
  while (start < end) {
    const { rune, size } = decodeRune(bytes, start);
    if (!cut(rune)) break;
    start += size;
  }
  while (end > start) {
    const { rune, size } = decodeLastRune(bytes, end);
    if (!cut(rune)) break;
    end -= size;
  }
  return bytes.slice(start, end);
}

const hex = (value: number, width: number): string => value.toString(16).padStart(width, "0");
const SHORT: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** As Go's strconv.Quote and QuoteRune, by `mark`; `ascii` escapes all runes above U+007E. */
export function quote(bytes: Bytes, mark: '"' | "'" = '"', ascii = false): Bytes {
  const out: string[] = [mark];
  for (let at = 0; at < bytes.length;) {
    const { rune, size } = decodeRune(bytes, at);
    const raw = bytes.slice(at, at + size);
    at += size;
    if (rune === REPLACEMENT && size === 1) out.push(`\\x${hex(raw.charCodeAt(0), 2)}`);
    else out.push(quotedRune(rune, raw, mark, ascii));
  }
  out.push(mark);
  return out.join("");
}

function quotedRune(rune: number, raw: Bytes, mark: string, ascii: boolean): Bytes {
  if (raw === mark || raw === "\\") return `\\${raw}`;
  if (rune < 0x80 ? rune >= 0x20 && rune < 0x7f : !ascii && isPrint(rune)) return raw;
  const short = SHORT[raw];
  if (short !== undefined) return short;
  if (rune < 0x20 || rune === 0x7f) return `\\x${hex(rune, 2)}`;
  return rune < 0x10000 ? `\\u${hex(rune, 4)}` : `\\U${hex(rune, 8)}`;
}
