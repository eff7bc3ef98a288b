// Parses one JSON document of a sequence into the tree of tree.ts, with positions.

import { type Entry, type Fail, MAX_DEPTH, type Node, type ScalarNode } from "./tree.ts";
import type { Resolved } from "./scalar.ts";

interface Reader {
  readonly text: string;
  readonly end: number;
  readonly fail: Fail;
  at: number;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Returns the first offset at or after `at` that is not JSON white space. */
export function skipSpace(text: string, at: number, end: number): number {
  let next = at;
  while (next < end) {
    const code = text.charCodeAt(next);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) break;
    next++;
  }
  return next;
}

/**
 * Parses the JSON value that starts at `start`, which must not be white space. The value may end
 * anywhere before `end`. Errors are passed to `fail`.
 */
export function composeJson(text: string, start: number, end: number, fail: Fail): Node {
  return readValue({ text, end, fail, at: start }, 0);
}

function readValue(reader: Reader, depth: number): Node {
  if (depth > MAX_DEPTH) reader.fail(`nested deeper than ${MAX_DEPTH} levels`, reader.at);
  switch (reader.text[reader.at]) {
    case "{":
      return readObject(reader, depth);
    case "[":
      return readArray(reader, depth);
    case '"':
      return readString(reader);
    case "t":
      return readWord(reader, "true", { kind: "boolean", value: true });
    case "f":
      return readWord(reader, "false", { kind: "boolean", value: false });
    case "n":
      return readWord(reader, "null", { kind: "null", value: null });
    default:
      return readNumber(reader);
  }
}

function scalar(
  start: number,
  end: number,
  style: "plain" | "double",
  resolved: Resolved,
): ScalarNode {
  const surprising = resolved.integer !== undefined;
  return { type: "scalar", start, end, marked: false, style, resolved, surprising };
}

function readWord(reader: Reader, word: string, resolved: Resolved): Node {
  const start = reader.at;
  if (!reader.text.startsWith(word, start)) reader.fail("not a JSON value", start);
  reader.at += word.length;
  return scalar(start, reader.at, "plain", resolved);
}

function readNumber(reader: Reader): Node {
  const start = reader.at;
  NUMBER.lastIndex = start;
  const match = NUMBER.exec(reader.text);
  if (match === null) reader.fail("not a JSON value", start);
  reader.at += match[0].length;
  const value = Number(match[0]);
  if (!Number.isFinite(value)) reader.fail("a number that is too large", start);
  const whole = match[1] === undefined && match[2] === undefined;
  if (!whole) return scalar(start, reader.at, "plain", { kind: "float", value });
  const lossy = Number.isSafeInteger(value) ? {} : { integer: BigInt(match[0]) };
  return scalar(start, reader.at, "plain", { kind: "integer", value, ...lossy });
}

function readString(reader: Reader): ScalarNode {
  const { text, fail } = reader;
  const start = reader.at;
  let escaped = false;
  let at = start + 1;
  for (; ; at++) {
    const code = text.charCodeAt(at);
    if (code === 34 && at < reader.end) break;
    if (code === 92) {
      escaped = true;
      at++;
    } else if (at >= reader.end) {
      fail("a quote is not closed", start);
    } else if (code < 32) {
      fail("a control character in a string", at);
    }
  }
  reader.at = at + 1;
  const value = escaped ? decode(reader, start) : text.slice(start + 1, at);
  return scalar(start, reader.at, "double", { kind: "string", value });
}

function decode(reader: Reader, start: number): string {
  let value: string;
  try {
    value = JSON.parse(reader.text.slice(start, reader.at)) as string;
  } catch {
    return reader.fail("an unknown escape after a backslash", start);
  }
  if (LONE_SURROGATE.test(value)) reader.fail("an escape that is half a character", start);
  return value;
}

function skip(reader: Reader): string | undefined {
  reader.at = skipSpace(reader.text, reader.at, reader.end);
  if (reader.at >= reader.end) reader.fail("a bracket or brace is not closed", reader.at);
  return reader.text[reader.at];
}

function readArray(reader: Reader, depth: number): Node {
  const start = reader.at++;
  const items: Node[] = [];
  if (skip(reader) === "]") reader.at++;
  else {
    for (;;) {
      skip(reader);
      items.push(readValue(reader, depth + 1));
      if (next(reader, "]")) break;
    }
  }
  return { type: "sequence", start, end: reader.at, marked: false, flow: true, items };
}

/** Consumes a comma or `close`; returns true for `close`. */
function next(reader: Reader, close: string): boolean {
  const char = skip(reader);
  if (char !== "," && char !== close) {
    reader.fail("a comma is missing between brackets or braces", reader.at);
  }
  reader.at++;
  return char === close;
}

function readObject(reader: Reader, depth: number): Node {
  const start = reader.at++;
  const entries: Entry[] = [];
  const keys = new Set<string>();
  if (skip(reader) === "}") reader.at++;
  else {
    for (;;) {
      if (skip(reader) !== '"') reader.fail("a key that is not in double quotes", reader.at);
      const keyNode = readString(reader);
      const key = String(keyNode.resolved.value);
      if (keys.has(key)) {
        reader.fail("a duplicate key", keyNode.start, "manifest-ambiguous");
      }
      keys.add(key);
      if (skip(reader) !== ":") reader.fail("a colon is missing after a key", reader.at);
      reader.at++;
      skip(reader);
      const value = readValue(reader, depth + 1);
      const { start: keyStart, end: keyEnd } = keyNode;
      entries.push({ key, keyNode, start: keyStart, keyEnd, value, merged: false });
      if (next(reader, "}")) break;
    }
  }
  return { type: "mapping", start, end: reader.at, marked: false, flow: true, entries };
}
