// Implements sprig's regular expressions with Go's syntax, in linear time, on byte strings.
import { type Matcher, RE2JS } from "re2js";
import { type Builtin, fn, type Table } from "./signature.ts";
import { decodeRune, encode, REPLACEMENT } from "./unicode.ts";
import { type Budget, type Bytes, Fault, List, strings, Text, type Value } from "./value.ts";

/** Maximum number of instructions in a pattern, estimated before the engine compiles it. */
const MAX_SIZE = 20_000;
const MAX_LENGTH = 2_000;

// The engine gets an invalid byte as a lone surrogate, so that the byte can be restored.
const ESCAPE = 0xdc00;

function toText(bytes: Bytes): string {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  const parts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const { rune, size } = decodeRune(bytes, at);
    const isInvalid = rune === REPLACEMENT && size === 1;
    parts.push(String.fromCodePoint(isInvalid ? ESCAPE + bytes.charCodeAt(at) : rune));
    at += size;
  }
  return parts.join("");
}

function toBytes(text: string): Bytes {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  return text
    .split(/([\udc80-\udcff])/u)
    .map((part, i) =>
      i % 2 === 1 ? String.fromCharCode(part.charCodeAt(0) - ESCAPE) : encode(part),
    )
    .join("");
}

/** Returns an upper bound of a pattern's size; a counted repetition multiplies what it repeats. */
function estimate(pattern: string): number {
  const outer: number[] = [];
  let total = 0;
  let last = 0;
  for (let at = 0; at < pattern.length;) {
    const rest = pattern.slice(at, at + 16);
    const counted = /^\{([0-9]{1,4})(,([0-9]{0,4}))?\}/.exec(rest);
    if (counted !== null) {
      const [whole, low = "0", , high = ""] = counted;
      const repeated = last * Math.max(1, Number(low) + 1, Number(high));
      total += repeated - last;
      last = repeated;
      at += whole.length;
      continue;
    }
    const char = pattern.charAt(at);
    at += char === "\\" ? 2 : 1;
    if (char === "(") {
      outer.push(total);
      total = 0;
      last = 0;
      continue;
    }
    if (char === ")") {
      last = total + 2;
      total = (outer.pop() ?? 0) + last;
      continue;
    }
    last = 4;
    total += last;
  }
  return outer.reduce((sum, each) => sum + each, total);
}

interface Found {
  readonly start: number;
  readonly end: number;
}

interface Search {
  readonly matcher: Matcher;
  readonly text: string;
  /** Finds the next match at or after `at`, and counts the work. */
  readonly find: (at: number) => boolean;
}

/** Compiles a pattern and prepares a text for it. @throws Fault */
function start(budget: Budget, pattern: Bytes, bytes: Bytes): Search {
  const source = toText(pattern);
  const size = estimate(source);
  if (source.length > MAX_LENGTH || size > MAX_SIZE) throw new Fault("the pattern is too large");
  budget.step(size / 8);
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(source);
  } catch {
    // The engine's error would quote the pattern, which may come from a value.
    throw new Fault("not a valid regular expression");
  }
  const text = toText(bytes);
  // In the worst case the engine's work is the product of both sizes, and it cannot be interrupted.
  budget.step(((text.length + 1) * (size + 16)) / 1024);
  const matcher = compiled.matcher(text);
  const find = (at: number): boolean => {
    // Each search may read to the end of the text, so finding all matches may take quadratic time.
    budget.step(1 + ((text.length - at) * (size + 16)) / 16_384);
    return matcher.find(at);
  };
  return { matcher, text, find };
}

/** Yields matches as Go does: it skips an empty match right after another match. */
function findAll({ matcher, text, find: search }: Search, limit: number): Found[] {
  const found: Found[] = [];
  let previousEnd = -1;
  for (let at = 0; at <= text.length && (limit < 0 || found.length < limit);) {
    if (!search(at)) break;
    const match = { start: matcher.start(), end: matcher.end() };
    const isEmpty = match.end === match.start;
    if (!isEmpty || match.start !== previousEnd) found.push(match);
    previousEnd = match.end;
    at = match.end;
    if (isEmpty) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return found;
}

function isMatch(budget: Budget, pattern: Bytes, text: Bytes): boolean {
  return start(budget, pattern, text).matcher.find();
}

function find(budget: Budget, pattern: Bytes, bytes: Bytes): Bytes {
  const { matcher, text } = start(budget, pattern, bytes);
  return matcher.find() ? toBytes(text.slice(matcher.start(), matcher.end())) : "";
}

function allMatches(budget: Budget, pattern: Bytes, bytes: Bytes, limit: bigint): List {
  const search = start(budget, pattern, bytes);
  const found = findAll(search, Number(limit));
  if (found.length === 0) return new List([], "string", true);
  return strings(found.map((match) => toBytes(search.text.slice(match.start, match.end))));
}

function replaceAll(
  budget: Budget,
  pattern: Bytes,
  bytes: Bytes,
  replacement: (matcher: Matcher) => string,
): Bytes {
  const { matcher, text, find: search } = start(budget, pattern, bytes);
  const out = new Text(budget);
  let [copied, at] = [0, 0];
  while (at <= text.length && search(at)) {
    const [from, to] = [matcher.start(), matcher.end()];
    out.add(text.slice(copied, from));
    // Go does not replace an empty match right after another match.
    if (to > copied || from === 0) out.add(replacement(matcher));
    copied = to;
    const width = (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    if (at + width > to) at += width;
    else at = to;
  }
  out.add(text.slice(copied));
  const result = toBytes(out.toString());
  budget.bytes(result.length);
  return result;
}

/** As Go's regexp.Expand: replaces $1 and ${name}; $$ is a dollar; $name is as long as possible. */
function expand(template: string, matcher: Matcher): string {
  return template.replace(
    /\$(?:(\$)|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu,
    (_, dollar?: string, braced?: string, bare?: string) => {
      if (dollar !== undefined) return "$";
      const name = braced ?? bare ?? "";
      if (/^(0|[1-9][0-9]{0,7})$/.test(name)) {
        const group = Number(name);
        return group <= matcher.groupCount() ? (matcher.group(group) ?? "") : "";
      }
      const groups = matcher.getNamedGroups();
      return Object.hasOwn(groups, name) ? (groups[name] ?? "") : "";
    },
  );
}

function split(budget: Budget, pattern: Bytes, bytes: Bytes, limit: bigint): List {
  const search = start(budget, pattern, bytes);
  const { text } = search;
  if (limit === 0n) return new List([], "string", true);
  if (pattern !== "" && bytes === "") return strings([""]);
  const parts: Bytes[] = [];
  let [begin, end] = [0, 0];
  for (const match of findAll(search, Number(limit))) {
    if (limit > 0n && parts.length === Number(limit) - 1) break;
    end = match.start;
    if (match.end !== 0) parts.push(toBytes(text.slice(begin, end)));
    begin = match.end;
  }
  if (end !== text.length) parts.push(toBytes(text.slice(begin)));
  return strings(parts);
}

const both = (name: string, builtin: Builtin): Table => ({
  [name]: builtin,
  [`must${name.charAt(0).toUpperCase()}${name.slice(1)}`]: builtin,
});

export const REGEX_FUNCTIONS: Table = {
  // The variant without `must` treats an invalid pattern as one that does not match.
  regexMatch: fn(["string", "string"], (budget, pattern, text) => {
    try {
      return isMatch(budget, pattern, text);
    } catch (error) {
      if (error instanceof Fault && error.message.startsWith("not a valid")) return false;
      throw error;
    }
  }),
  mustRegexMatch: fn(["string", "string"], (budget, p, text): Value => isMatch(budget, p, text)),
  ...both("regexFind", fn(["string", "string"], find)),
  ...both("regexFindAll", fn(["string", "string", "int"], allMatches)),
  ...both(
    "regexReplaceAll",
    fn(["string", "string", "string"], (budget, pattern, text, by) => {
      const template = toText(by);
      return replaceAll(budget, pattern, text, (matcher) => expand(template, matcher));
    }),
  ),
  ...both(
    "regexReplaceAllLiteral",
    fn(["string", "string", "string"], (budget, pattern, text, by) => {
      const literal = toText(by);
      return replaceAll(budget, pattern, text, () => literal);
    }),
  ),
  ...both("regexSplit", fn(["string", "string", "int"], split)),
  regexQuoteMeta: fn(["string"], (_, text) => text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&")),
};
