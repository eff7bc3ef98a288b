// Converts text to snake_case, kebab-case and PascalCase as xstrings does.
import {
  decodeRune,
  encodeRune,
  isLetter,
  isNumber,
  isPunct,
  isSpace,
  isUpper,
  REPLACEMENT,
  runes,
  toLower,
  toUpper,
} from "./unicode.ts";
import type { Bytes } from "./value.ts";

const isConnector = (rune: number): boolean => rune === 0x2d || rune === 0x5f || isSpace(rune);

/** As xstrings.ToPascalCase. */
export function pascalCase(bytes: Bytes): Bytes {
  const all = runes(bytes);
  let out = "";
  let at = 0;
  let current = REPLACEMENT;
  let wasUpper = false;
  while (at < all.length) {
    current = all[at++] ?? REPLACEMENT;
    if (!isConnector(current)) {
      wasUpper = isUpper(current);
      current = toUpper(current);
      break;
    }
    out += encodeRune(current);
  }
  // If a text consists of connectors only, xstrings prints its last rune twice.
  if (at >= all.length) return all.length === 0 ? "" : out + encodeRune(current);
  while (at < all.length) {
    const previous = current;
    current = all[at++] ?? REPLACEMENT;
    if (isConnector(current) && isConnector(previous)) {
      out += encodeRune(previous);
      continue;
    }
    if (isConnector(previous)) {
      wasUpper = isUpper(current);
      current = toUpper(current);
      continue;
    }
    if (wasUpper) {
      if (isUpper(current)) current = toLower(current);
      else wasUpper = false;
    }
    out += encodeRune(previous);
  }
  return out + encodeRune(current);
}

type WordType = "none" | "number" | "upper" | "alphabet" | "connector" | "punct" | "other";
interface Word {
  readonly type: WordType;
  readonly text: Bytes;
  readonly end: number;
}

/** Whether a rune is a letter outside the ranges that xstrings treats as CJK. */
const isAlphabet = (rune: number): boolean =>
  isLetter(rune) &&
  !(rune >= 0x4e00 && rune <= 0x9fcc) &&
  !(rune >= 0x3400 && rune <= 0x4d85) &&
  !(rune >= 0x20000 && rune <= 0x2b81d);

/** As xstrings.nextWord: reads the word at `start`; all its characters have one type. */
function nextWord(bytes: Bytes, start: number): Word {
  if (start >= bytes.length) return { type: "none", text: "", end: start };
  const valid = (at: number, previous: number): { rune: number; size: number } => {
    let size = 0;
    while (at + size < bytes.length) {
      const found = decodeRune(bytes, at + size);
      size += found.size;
      if (found.rune !== REPLACEMENT) return { rune: found.rune, size };
    }
    return { rune: previous, size };
  };
  const first = valid(start, REPLACEMENT);
  let end = start + first.size;
  if (first.rune === REPLACEMENT) return { type: "none", text: bytes.slice(start, end), end };
  let last = first.rune;
  const run = (accepts: (rune: number) => boolean, mayEnd = true): number => {
    let lastSize = 0;
    while (end < bytes.length) {
      const { rune, size } = valid(end, last);
      last = rune;
      if (!accepts(rune) || (!mayEnd && size === 0)) break;
      lastSize = size;
      end += size;
    }
    return lastSize;
  };
  const word = (type: WordType): Word => ({ type, text: bytes.slice(start, end), end });
  const inWord = (rune: number): boolean => isAlphabet(rune) && !isUpper(rune);
  if (isConnector(first.rune)) {
    run(isConnector);
    return word("connector");
  }
  if (isPunct(first.rune)) {
    run(isPunct);
    return word("punct");
  }
  if (isUpper(first.rune)) {
    if (end >= bytes.length) return word("upper");
    if (isUpper(valid(end, last).rune)) {
      const lastSize = run(isUpper);
      // "HTTPStatus" is HTTP and Status, so the last capital belongs to the next word.
      if (end < bytes.length && isAlphabet(last)) end -= lastSize;
    } else run(inWord);
    return word("upper");
  }
  if (isAlphabet(first.rune)) {
    run(inWord);
    return word("alphabet");
  }
  if (isNumber(first.rune)) {
    run(isNumber);
    return word("number");
  }
  run((rune) => !isConnector(rune) && !isAlphabet(rune) && !isNumber(rune) && !isPunct(rune));
  return word("other");
}

/** As xstrings.ToSnakeCase and ToKebabCase. */
export function lowerWords(bytes: Bytes, connector: Bytes): Bytes {
  let out = "";
  const lower = ({ type, text }: Word): void => {
    if (type !== "upper" && type !== "connector") {
      out += text;
      return;
    }
    out += runes(text)
      .map((rune) =>
        isConnector(rune) ? connector : encodeRune(isUpper(rune) ? toLower(rune) : rune),
      )
      .join("");
  };
  let word = nextWord(bytes, 0);
  const advance = (): void => {
    word = nextWord(bytes, word.end);
  };
  const more = (): boolean => word.end < bytes.length;
  const isOneOf = (...types: WordType[]): boolean => types.includes(word.type);
  while (more()) {
    if (!isOneOf("connector")) lower(word);
    const previous = word;
    advance();
    if (previous.type === "number") {
      while (isOneOf("alphabet", "number")) {
        lower(word);
        advance();
      }
      if (!isOneOf("none", "punct", "connector")) out += connector;
    } else if (previous.type === "connector") lower(previous);
    else if (previous.type !== "punct") {
      if (!isOneOf("number")) {
        if (!isOneOf("connector", "punct")) out += connector;
        continue;
      }
      if (!more()) continue;
      const number = word;
      advance();
      if (!isOneOf("alphabet")) {
        lower(number);
        if (!isOneOf("connector", "punct")) out += connector;
        continue;
      }
      out += connector;
      lower(number);
      while (isOneOf("alphabet", "number")) {
        lower(word);
        advance();
      }
      if (!isOneOf("none", "connector", "punct")) out += connector;
    }
  }
  lower(word);
  return out;
}
