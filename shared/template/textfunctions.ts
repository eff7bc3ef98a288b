// Implements sprig's text functions: case, trimming, wrapping, joining, splitting.
import { fn, type Table, variadic } from "./signature.ts";
import { print, textOf, textsOf } from "./show.ts";
import { parseInt64, toInteger } from "./numbers.ts";
import {
  encodeRune,
  isDigit,
  isLetter,
  isLower,
  isSpace,
  isTitle,
  isUpper,
  quote,
  runes,
  runeSlices,
  toLower,
  toTitle,
  toUpper,
  trimRunes,
  trimSpace,
} from "./unicode.ts";
import { lowerWords, pascalCase } from "./words.ts";
import { type Budget, type Bytes, Dict, Fault, List, strings, Text, type Value } from "./value.ts";

/** As Go's s[start:end]. @throws Fault if Go panics */
function cut(bytes: Bytes, start: number, end: number): Bytes {
  if (start < 0 || end > bytes.length || start > end) throw new Fault("out of range");
  return bytes.slice(start, end);
}

const mapRunes = (bytes: Bytes, change: (rune: number) => number): Bytes =>
  runes(bytes)
    .map((rune) => encodeRune(change(rune)))
    .join("");

/** As Go's strings.Title: capitalizes after every character but letters, digits and underscores. */
function title(bytes: Bytes): Bytes {
  let previous = 0x20;
  return mapRunes(bytes, (rune) => {
    const starts = isSeparator(previous);
    previous = rune;
    return starts ? toTitle(rune) : rune;
  });
}

function isSeparator(rune: number): boolean {
  if (rune < 0x80) return !/\w/.test(String.fromCharCode(rune));
  return !isLetter(rune) && !isDigit(rune) && isSpace(rune);
}

/** As goutils.Uncapitalize. */
function untitle(bytes: Bytes): Bytes {
  let starts = true;
  return mapRunes(bytes, (rune) => {
    if (isSpace(rune)) {
      starts = true;
      return rune;
    }
    const changes = starts;
    starts = false;
    return changes ? toLower(rune) : rune;
  });
}

/** As goutils.SwapCase. */
function swapCase(bytes: Bytes): Bytes {
  let starts = true;
  return mapRunes(bytes, (rune) => {
    if (isUpper(rune) || isTitle(rune)) {
      starts = false;
      return toLower(rune);
    }
    if (!isLower(rune)) {
      starts = isSpace(rune);
      return rune;
    }
    const changed = starts ? toTitle(rune) : toUpper(rune);
    starts = false;
    return changed;
  });
}

/** As goutils.Abbreviate and AbbreviateFull; returns an empty text for an error, as sprig does. */
function abbreviate(bytes: Bytes, from: number, width: number): Bytes {
  if (bytes === "" || width < 4) return "";
  if (bytes.length <= width) return bytes;
  let offset = Math.min(from, bytes.length);
  if (bytes.length - offset < width - 3) offset = bytes.length - (width - 3);
  if (offset <= 4) return `${bytes.slice(0, width - 3)}...`;
  if (width < 7) return "";
  if (offset + width - 3 < bytes.length)
    return `...${abbreviate(bytes.slice(offset), 0, width - 3)}`;
  return `...${bytes.slice(bytes.length - (width - 3))}`;
}

/** As goutils.WrapCustom, which works on bytes. */
function wrap(budget: Budget, bytes: Bytes, width: number, separator: Bytes, hard: boolean): Bytes {
  const text = new Text(budget);
  const size = Math.max(1, width);
  const mark = separator === "" ? "\n" : separator;
  let offset = 0;
  while (bytes.length - offset > size) {
    budget.step();
    if (bytes[offset] === " ") {
      offset += 1;
      continue;
    }
    let breakAt = bytes.slice(offset, offset + size + 1).lastIndexOf(" ");
    if (breakAt < 0 && !hard) {
      breakAt = bytes.indexOf(" ", offset + size) - offset;
      if (breakAt < 0) {
        text.add(bytes.slice(offset));
        offset = bytes.length;
        continue;
      }
    }
    const isWord = breakAt >= 0;
    text.add(bytes.slice(offset, offset + (isWord ? breakAt : size)));
    text.add(mark);
    offset += isWord ? breakAt + 1 : size;
  }
  text.add(bytes.slice(offset));
  return text.toString();
}

/** As Go's strings.Replace(text, old, by, -1). */
function replace(budget: Budget, text: Bytes, old: Bytes, by: Bytes): Bytes {
  const parts = old === "" ? ["", ...runeSlices(text), ""] : text.split(old);
  budget.step(parts.length);
  budget.bytes(text.length + Math.max(0, by.length - old.length) * (parts.length - 1));
  return parts.join(by);
}

/** As Go's strings.SplitN. */
function splitText(budget: Budget, text: Bytes, separator: Bytes, limit = -1): Bytes[] {
  if (limit === 0) return [];
  const parts = separator === "" ? runeSlices(text) : text.split(separator);
  budget.step(parts.length);
  if (limit < 0 || parts.length <= limit) return parts;
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

const numbered = (parts: readonly Bytes[]): Dict =>
  new Dict(new Map(parts.map((part, i) => [`_${i}`, part])), "string");

function indent(budget: Budget, spaces: bigint, text: Bytes): Bytes {
  if (spaces < 0n) throw new Fault("a negative count");
  const lines = text.split("\n");
  budget.bytes(text.length + Number(spaces) * lines.length);
  const pad = " ".repeat(Number(spaces));
  return pad + lines.join(`\n${pad}`);
}

const trimAll = fn(["string", "string"], (_, cutset, text) => {
  const set = new Set(runes(cutset));
  return trimRunes(text, (rune) => set.has(rune));
});

const notNil = (values: readonly Value[]): Value[] =>
  values.filter((value) => value !== null && value !== undefined);

export const TEXT_FUNCTIONS: Table = {
  hello: fn([], () => "Hello!"),
  abbrev: fn(["int", "string"], (_, width, text) =>
    width < 4n ? text : abbreviate(text, 0, Number(width)),
  ),
  abbrevboth: fn(["int", "int", "string"], (_, left, right, text) =>
    right < 4n || (left > 0n && right < 7n) ? text : abbreviate(text, Number(left), Number(right)),
  ),
  trunc: fn(["int", "string"], (_, count, text) => {
    const size = Number(count);
    if (size < 0) return text.length + size > 0 ? text.slice(text.length + size) : text;
    return text.slice(0, size);
  }),
  trim: fn(["string"], (_, text) => trimSpace(text)),
  upper: fn(["string"], (_, text) => mapRunes(text, toUpper)),
  lower: fn(["string"], (_, text) => mapRunes(text, toLower)),
  title: fn(["string"], (_, text) => title(text)),
  untitle: fn(["string"], (_, text) => untitle(text)),
  swapcase: fn(["string"], (_, text) => swapCase(text)),
  snakecase: fn(["string"], (_, text) => lowerWords(text, "_")),
  kebabcase: fn(["string"], (_, text) => lowerWords(text, "-")),
  camelcase: fn(["string"], (_, text) => pascalCase(text)),
  substr: fn(["int", "int", "string"], (_, start, end, text) => {
    const [from, to] = [Number(start), Number(end)];
    if (from < 0) return cut(text, 0, to);
    return cut(text, from, to < 0 || to > text.length ? text.length : to);
  }),
  repeat: fn(["int", "string"], (budget, count, text) => {
    if (count < 0n) throw new Fault("a negative count");
    budget.bytes(text.length * Number(count));
    return text === "" ? "" : text.repeat(Number(count));
  }),
  trimall: trimAll,
  trimAll,
  trimSuffix: fn(["string", "string"], (_, end, text) =>
    text.endsWith(end) ? text.slice(0, text.length - end.length) : text,
  ),
  trimPrefix: fn(["string", "string"], (_, start, text) =>
    text.startsWith(start) ? text.slice(start.length) : text,
  ),
  // As in goutils, bytes are treated as runes, so "é" becomes two characters.
  nospace: fn(["string"], (_, text) => {
    const kept = Array.from(text).filter((char) => !isSpace(char.charCodeAt(0)));
    if (kept.length === text.length) return text;
    return kept.map((char) => encodeRune(char.charCodeAt(0))).join("");
  }),
  initials: fn(["string"], (_, text) => {
    let afterGap = true;
    let out = "";
    for (const char of text) {
      const gap = isSpace(char.charCodeAt(0));
      if (!gap && afterGap) out += encodeRune(char.charCodeAt(0));
      afterGap = gap;
    }
    return out;
  }),
  wrap: fn(["int", "string"], (budget, width, text) =>
    wrap(budget, text, Number(width), "", false),
  ),
  wrapWith: fn(["int", "string", "string"], (budget, width, separator, text) =>
    wrap(budget, text, Number(width), separator, true),
  ),
  contains: fn(["string", "string"], (_, part, text) => text.includes(part)),
  hasPrefix: fn(["string", "string"], (_, start, text) => text.startsWith(start)),
  hasSuffix: fn(["string", "string"], (_, end, text) => text.endsWith(end)),
  quote: variadic([], "any", (budget, values) =>
    notNil(values)
      .map((value) => quote(textOf(budget, value)))
      .join(" "),
  ),
  squote: variadic([], "any", (budget, values) =>
    notNil(values)
      .map((value) => `'${print(budget, [value])}'`)
      .join(" "),
  ),
  cat: variadic([], "any", (budget, values) =>
    notNil(values)
      .map((value) => print(budget, [value]))
      .join(" "),
  ),
  indent: fn(["int", "string"], indent),
  nindent: fn(["int", "string"], (budget, spaces, text) => `\n${indent(budget, spaces, text)}`),
  replace: fn(["string", "string", "string"], (budget, old, by, text) =>
    replace(budget, text, old, by),
  ),
  plural: fn(["string", "string", "int"], (_, one, many, count) => (count === 1n ? one : many)),
  toString: fn(["any"], textOf),
  toStrings: fn(["any"], (budget, value) =>
    value instanceof List && value.element === "string" ? value : strings(textsOf(budget, value)),
  ),
  join: fn(["string", "any"], (budget, separator, value) => {
    const texts = textsOf(budget, value);
    const length = texts.reduce((sum, text) => sum + text.length + separator.length, 0);
    budget.bytes(Math.max(0, length - separator.length));
    return texts.join(separator);
  }),
  split: fn(["string", "string"], (budget, separator, text) =>
    numbered(splitText(budget, text, separator)),
  ),
  splitn: fn(["string", "int", "string"], (budget, separator, limit, text) =>
    numbered(splitText(budget, text, separator, Number(limit))),
  ),
  splitList: fn(["string", "string"], (budget, separator, text) =>
    strings(splitText(budget, text, separator)),
  ),
  sortAlpha: fn(["any"], (budget, value) => {
    const texts = textsOf(budget, value);
    if (!(value instanceof List)) return strings([textOf(budget, value)]);
    texts.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    if (value.element !== "string") return strings(texts);
    // Go sorts a []string in place.
    value.items.splice(0, value.items.length, ...texts);
    return value;
  }),
  atoi: fn(["string"], (_, text) => {
    const parsed = parseInt64(text, 10);
    return "ok" in parsed ? parsed.ok : "range" in parsed ? parsed.range : 0n;
  }),
  int: fn(["any"], (_, value) => toInteger(value)),
};
