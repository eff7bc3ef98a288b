// Reads YAML in the form in which tools write most manifests, many times as fast as a whole parser.
// docs/decisions/2026-11-plain-yaml.md.

import { isSurprising, keyText, type Resolved, resolvePlain } from "./scalar.ts";
import type { Node, ScalarNode } from "./tree.ts";

/** Matches tabs, carriage returns, other control characters, and letters beyond ASCII. */
const OTHER_CHARACTER = /[^\n\x20-\x7E]/;

/** Deeper documents are for the whole parser, which limits the depth. */
const MAX_NESTING = 60;
/** Longer keys are for the whole parser, because Go's does not find the colon of some. */
const MAX_KEY = 500;

const SPACE = 0x20;
const HASH = 0x23;
const DASH = 0x2d;
const COLON = 0x3a;
const DOUBLE = 0x22;
const SINGLE = 0x27;

/** Thrown for a text that is for the whole parser. It is always caught here. */
const NOT_PLAIN = new Error("not plain");
/** Thrown for a scalar that Kubernetes does not read as it looks: only the tree can say where it is. */
const SURPRISING = new Error("surprising");

/**
 * Composes the document in `text` as `composeYaml` does, or returns null if it has anything but block
 * mappings and lists of keys and values that each take one line: then only the whole parser can tell
 * what it is, or that it is not valid. `text` ends with a line end; `base` is added to every offset.
 */
export function composePlainYaml(text: string, base: number): Node | null {
  if (OTHER_CHARACTER.test(text)) return null;
  try {
    return new TreeReader(text, base).document();
  } catch (error) {
    if (error === NOT_PLAIN) return null;
    throw error;
  }
}

/** The same as `Json`. */
type PlainValue = null | boolean | number | string | PlainValue[] | { [key: string]: PlainValue };

export interface PlainDocument {
  readonly value: PlainValue;
  /** The offset of its first key. */
  readonly start: number;
}

/**
 * Reads the value alone, without a tree, which takes half as long. Returns `"tree"` if a tree is needed
 * for it, as some scalar is not read as it looks, and null where `composePlainYaml` does.
 */
export function readPlainYaml(text: string): PlainDocument | "tree" | null {
  if (OTHER_CHARACTER.test(text)) return null;
  const reader = new ValueReader(text);
  try {
    return { value: reader.document(), start: reader.start };
  } catch (error) {
    if (error === NOT_PLAIN) return null;
    if (error === SURPRISING) return "tree";
    throw error;
  }
}

/** What a map and a list are made of. `N`: a node, or its value. `K`: a key. */
abstract class PlainReader<N, K> {
  readonly text: string;
  /** The first character of the document. */
  start = 0;
  /** The end of the last node. */
  #cursor = 0;
  /** The next line: its first character that is not a space, that one's column, and its end. */
  #at = 0;
  #indent = 0;
  #lineEnd = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** @throws NOT_PLAIN unless it reads this key. */
  protected abstract key(start: number, end: number): K;
  protected abstract scalar(start: number, end: number, style: ScalarNode["style"]): N;
  /** @throws NOT_PLAIN if a key is there twice */
  protected abstract map(start: number, end: number, flow: boolean, keys: K[], values: N[]): N;
  protected abstract list(start: number, end: number, flow: boolean, items: N[]): N;

  document(): N {
    this.#nextLine(0);
    if (this.#indent !== 0) throw NOT_PLAIN;
    this.start = this.#at;
    const root = this.#map(0, 0);
    if (!this.#isAtEnd()) throw NOT_PLAIN;
    return root;
  }

  #isAtEnd(): boolean {
    return this.#indent === -1;
  }

  /** Goes to the next line with anything but spaces and comments; its indent is -1 at the end. */
  #nextLine(from: number): void {
    const { text } = this;
    let start = from;
    while (start < text.length) {
      let at = start;
      while (text.charCodeAt(at) === SPACE) at++;
      const end = text.indexOf("\n", at);
      if (end === -1) throw NOT_PLAIN;
      if (at !== end && text.charCodeAt(at) !== HASH) {
        this.#at = at;
        this.#indent = at - start;
        this.#lineEnd = end;
        return;
      }
      start = end + 1;
    }
    this.#indent = -1;
  }

  /** Reads the map whose first key is next. `indent`: the column of its keys. */
  #map(indent: number, depth: number): N {
    if (depth > MAX_NESTING) throw NOT_PLAIN;
    const { text } = this;
    const start = this.#at;
    const keys: K[] = [];
    const values: N[] = [];
    do {
      const at = this.#at;
      const colon = keyEnd(text, at);
      if (colon === -1 || colon - at > MAX_KEY) throw NOT_PLAIN;
      keys.push(this.key(at, colon));
      this.#cursor = colon;
      const isBelow = colon + 1 === this.#lineEnd;
      values.push(isBelow ? this.#below(indent, depth) : this.#oneLine(colon + 1, indent));
    } while (this.#indent === indent);
    return this.map(start, this.#cursor, false, keys, values);
  }

  /** Reads the value on the lines below a key; there may be none. */
  #below(indent: number, depth: number): N {
    this.#nextLine(this.#lineEnd + 1);
    // A list may have the indent of its key.
    if (this.#indent >= indent && this.#isItem()) return this.#list(this.#indent, depth + 1);
    if (this.#indent > indent) return this.#map(this.#indent, depth + 1);
    return this.scalar(this.#cursor, this.#cursor, "empty");
  }

  #isItem(): boolean {
    return this.text.charCodeAt(this.#at) === DASH && this.text.charCodeAt(this.#at + 1) === SPACE;
  }

  /** Reads the list whose first dash is next. `indent`: the column of its dashes. */
  #list(indent: number, depth: number): N {
    if (depth > MAX_NESTING) throw NOT_PLAIN;
    const start = this.#at;
    const items: N[] = [];
    do {
      items.push(this.#item(indent, depth));
    } while (this.#indent === indent && this.#isItem());
    return this.list(start, this.#cursor, false, items);
  }

  #item(indent: number, depth: number): N {
    const dash = this.#at;
    let at = dash + 1;
    while (this.text.charCodeAt(at) === SPACE) at++;
    if (keyEnd(this.text, at) === -1) return this.#oneLine(dash + 1, indent);
    this.#at = at;
    this.#indent = indent + at - dash;
    return this.#map(this.#indent, depth + 1);
  }

  /** Reads a value that ends with the line that it is on, and goes to the next line. */
  #oneLine(from: number, indent: number): N {
    const { text } = this;
    const end = this.#lineEnd;
    let at = from;
    while (text.charCodeAt(at) === SPACE) at++;
    this.#cursor = end;
    const value = this.#valueIn(at, end);
    this.#nextLine(end + 1);
    // A line further in would continue the value.
    if (this.#indent > indent) throw NOT_PLAIN;
    return value;
  }

  #valueIn(at: number, end: number): N {
    const { text } = this;
    const first = text.charCodeAt(at);
    const value = text.slice(at, end);
    if (isPlainStart(first)) {
      const last = text.charCodeAt(end - 1);
      const ends = last !== SPACE && last !== COLON;
      if (!ends || value.includes(": ") || value.includes(" #")) throw NOT_PLAIN;
      return this.scalar(at, end, "plain");
    }
    if (first === DOUBLE || first === SINGLE) {
      const isOne = text.indexOf(value.charAt(0), at + 1) === end - 1;
      if (!isOne || value.includes("\\")) throw NOT_PLAIN;
      return this.scalar(at, end, first === DOUBLE ? "double" : "single");
    }
    if (value === "{}") return this.map(at, end, true, [], []);
    if (value === "[]") return this.list(at, end, true, []);
    throw NOT_PLAIN;
  }
}

class TreeReader extends PlainReader<Node, ScalarNode> {
  readonly #base: number;

  constructor(text: string, base: number) {
    super(text);
    this.#base = base;
  }

  protected override key(start: number, end: number): ScalarNode {
    return this.scalar(start, end, "plain");
  }

  protected override scalar(start: number, end: number, style: ScalarNode["style"]): ScalarNode {
    const isQuoted = style === "double" || style === "single";
    const text = isQuoted ? this.text.slice(start + 1, end - 1) : this.text.slice(start, end);
    const resolved: Resolved = isQuoted ? { kind: "string", value: text } : resolvePlain(text);
    const surprising = !isQuoted && isSurprising(text, resolved);
    return { type: "scalar", ...this.#span(start, end), style, resolved, surprising };
  }

  protected override map(
    start: number,
    end: number,
    flow: boolean,
    keys: ScalarNode[],
    values: Node[],
  ): Node {
    const seen = new Set<string>();
    const entries = keys.map((keyNode, index) => {
      const key = keyText(keyNode.resolved);
      const value = values[index];
      if (key === undefined || value === undefined || seen.has(key)) throw NOT_PLAIN;
      seen.add(key);
      return { key, keyNode, start: keyNode.start, keyEnd: keyNode.end, value, merged: false };
    });
    return { type: "mapping", ...this.#span(start, end), flow, entries };
  }

  protected override list(start: number, end: number, flow: boolean, items: Node[]): Node {
    return { type: "sequence", ...this.#span(start, end), flow, items };
  }

  #span(start: number, end: number) {
    return { start: this.#base + start, end: this.#base + end, marked: false };
  }
}

class ValueReader extends PlainReader<PlainValue, string> {
  protected override key(start: number, end: number): string {
    const text = this.text.slice(start, end);
    const resolved = resolvePlain(text);
    if (resolved.kind === "string") return text;
    const key = keyText(resolved);
    if (key === undefined) throw NOT_PLAIN;
    if (isSurprising(text, resolved)) throw SURPRISING;
    return key;
  }

  protected override scalar(start: number, end: number, style: ScalarNode["style"]): PlainValue {
    if (style === "double" || style === "single") return this.text.slice(start + 1, end - 1);
    const text = this.text.slice(start, end);
    const resolved = resolvePlain(text);
    const { kind, value } = resolved;
    if (kind === "string") return text;
    const isInfinite = typeof value === "number" && !Number.isFinite(value);
    if (isInfinite || isSurprising(text, resolved)) throw SURPRISING;
    return value;
  }

  protected override map(
    _start: number,
    _end: number,
    _flow: boolean,
    keys: string[],
    values: PlainValue[],
  ): PlainValue {
    const object = Object.create(null) as { [key: string]: PlainValue };
    for (const [index, key] of keys.entries()) {
      const value = values[index];
      if (value === undefined || key in object) throw NOT_PLAIN;
      object[key] = value;
    }
    return object;
  }

  protected override list(
    _start: number,
    _end: number,
    _flow: boolean,
    items: PlainValue[],
  ): PlainValue {
    return items;
  }
}

function isLetter(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

const isOneOf = (code: number, [a, b, c, d]: readonly [number, number, number, number]): boolean =>
  code === a || code === b || code === c || code === d;

const IN_KEYS = [DASH, 0x2e, 0x2f, 0x5f] as const; // -./_
const STARTS = [0x2b, 0x2e, 0x2f, 0x5f] as const; // +./_

/** Whether a plain value may begin with it, whatever follows. */
function isPlainStart(code: number): boolean {
  return isLetter(code) || isDigit(code) || isOneOf(code, STARTS);
}

/** Where the colon is behind a plain key that begins at `at`; -1 if it is no such key. */
function keyEnd(text: string, at: number): number {
  if (!isLetter(text.charCodeAt(at))) return -1;
  let end = at + 1;
  let code = text.charCodeAt(end);
  while (isLetter(code) || isDigit(code) || isOneOf(code, IN_KEYS)) code = text.charCodeAt(++end);
  if (code !== COLON) return -1;
  const after = text.charCodeAt(end + 1);
  return after === SPACE || after === 0x0a ? end : -1;
}
