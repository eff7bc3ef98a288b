// Refuses YAML that js-yaml accepts but go-yaml rejects or reads differently.

import { EVENT_ID, SCALAR_STYLE } from "js-yaml";
import type { Event } from "js-yaml";
import type { Fail, Node } from "./tree.ts";

/** A document's text; `base` is its offset in the file, which is added to every fault's offset. */
export interface Source {
  readonly text: string;
  readonly base: number;
  readonly fail: Fail;
}

const CONTROL = /[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x84\x86-\x9F\uFFFE\uFFFF]/;
const LINE_BREAK_OF_YAML_1_1 = /[\x85\u2028\u2029]/;
// go-yaml does not support `\/`, and rejects surrogates and numbers beyond Unicode.
const ESCAPE_NOT_OF_GO = /^\/|^u[dD][89a-fA-F]|^U(?!000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})/;
// js-yaml drops these empty lines; go-yaml keeps them.
const ESCAPED_BREAK_AND_EMPTY_LINE = /\\(?:\r\n?|\n)[ \t]*[\r\n]/y;
const SURROGATE_ESCAPE = /^U0000[dD][89a-fA-F]/;

export function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 32 || code === 9 || code === 10 || code === 13;
}

export function skipLine(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== "\n" && text[at] !== "\r") at++;
  return at;
}

export function refuseCharacters({ text, base, fail }: Source): void {
  const control = text.search(CONTROL);
  if (control !== -1) fail("a control character", base + control);
  if (text.startsWith("\uFEFF")) fail("a byte order mark within the file", base);
  const old = text.search(LINE_BREAK_OF_YAML_1_1);
  if (old === -1) return;
  const reason = "an unescaped U+0085, U+2028 or U+2029, which is a line break to some parsers";
  fail(reason, base + old, "manifest-ambiguous");
}

/**
 * go-yaml rejects a tab before a block key, item or comment; js-yaml accepts some of these. `flows`:
 * where brackets open and close, between which go-yaml accepts tabs.
 */
export function refuseTabs(
  c: Source,
  events: readonly Event[],
  flows: readonly (readonly [number, number])[],
): void {
  let tab = c.text.indexOf("\t");
  if (tab === -1) return;
  const safe: (readonly [number, number])[] = [...flows];
  for (const event of events) {
    if (event.type !== EVENT_ID.SCALAR || event.valueStart === -1) continue;
    if (event.style !== SCALAR_STYLE.PLAIN) safe.push([event.valueStart, event.valueEnd]);
  }
  safe.sort(([a], [b]) => a - b);
  let range = 0;
  // One pass: a walk back from each tab would take the square of a line of tabs.
  let at = 0;
  let leads = true;
  for (; tab !== -1; tab = c.text.indexOf("\t", tab + 1)) {
    for (; at < tab; at++) {
      const char = c.text.charAt(at);
      if (char === "\n" || char === "\r") leads = true;
      else if (leads) leads = /[\s?:-]/.test(char);
    }
    while (range < safe.length && (safe[range]?.[1] ?? 0) <= tab) range++;
    if ((safe[range]?.[0] ?? Infinity) <= tab) continue;
    if (leads) c.fail("a tab where only spaces may indent", c.base + tab);
  }
}

export function refuseEscapes(c: Source, start: number, end: number): void {
  for (
    let at = c.text.indexOf("\\", start);
    at !== -1 && at < end;
    at = c.text.indexOf("\\", at + 2)
  ) {
    const escape = c.text.slice(at + 1, at + 10);
    if (ESCAPE_NOT_OF_GO.test(escape) || SURROGATE_ESCAPE.test(escape)) {
      c.fail("an unknown escape after a backslash", c.base + at);
    }
    ESCAPED_BREAK_AND_EMPTY_LINE.lastIndex = at;
    if (ESCAPED_BREAK_AND_EMPTY_LINE.test(c.text)) {
      c.fail("an empty line after an escaped line break", c.base + at, "manifest-ambiguous");
    }
  }
}

/** In brackets, a plain scalar of YAML 1.1 ends at `?`, but not at `:` before a bracket. */
export function refusePlainInFlow(c: Source, start: number, end: number): void {
  const text = c.text.slice(start, end);
  let after = end;
  while (isSpace(c.text, after)) after++;
  const colon = c.text[after] === ":" && /[,[\]{}]/.test(c.text.charAt(after + 1));
  if (colon || text.startsWith(":") || text.includes("?")) {
    const reason =
      "a ? or : between brackets that YAML parsers read differently: put the text in quotes";
    c.fail(reason, c.base + start, "manifest-ambiguous");
  }
}

/** go-yaml requires a key without `?` to be on one line and, with its colon, in 1024 characters. */
export function refuseKeyThatGoDoesNotFind(
  c: Source,
  start: number,
  key: Node,
  flow: boolean,
): void {
  const from = start - c.base;
  const end = key.end - c.base;
  if (!flow && end - from < 1000) return;
  let before = from - 1;
  while (isSpace(c.text, before)) before--;
  if (c.text[before] === "?") return;
  let colon = end;
  while (c.text[colon] === " " || c.text[colon] === "\t") colon++;
  if (/[\r\n#]/.test(c.text[colon] ?? "")) {
    while (/[\s#]/.test(c.text[colon] ?? "")) {
      colon = c.text[colon] === "#" ? skipLine(c.text, colon) : colon + 1;
    }
    if (c.text[colon] !== ":") return;
  }
  const tooLong = colon - from > 1024 && c.text[colon] === ":";
  if (tooLong || (c.text[colon] === ":" && /[\r\n]/.test(c.text.slice(from, colon)))) {
    c.fail("a key of more than 1024 characters or one line", start);
  }
}

/** js-yaml accepts a key on the same line as the last item of a list. */
export function refuseKeyInLine(c: Source, start: number): void {
  let at = start - c.base - 1;
  while (c.text[at] === " ") at--;
  if (c.text[at] === "?") {
    do at--;
    while (c.text[at] === " ");
  }
  if (at >= 0 && !/[\r\n]/.test(c.text.charAt(at))) {
    c.fail("a key that does not begin its line", start);
  }
}

/** js-yaml accepts a block on the line of its key if a tag or anchor is between them. */
export function refuseBlockOnLineOf(c: Source, offset: number, value: Node): void {
  if (value.type === "scalar" || value.type === "alias" || value.flow) return;
  if (!/[\r\n]/.test(c.text.slice(offset - c.base, value.start - c.base))) {
    c.fail("a mapping or list that does not begin on a line of its own", value.start);
  }
}
