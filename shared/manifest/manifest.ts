// Parses streams of YAML and JSON documents into values with positions; formats values as streams.

import { type ErrorPlace, SignetError } from "../errors.ts";
import { composeJson, skipSpace } from "./json.ts";
import { composePlainYaml, type PlainDocument, readPlainYaml } from "./plainyaml.ts";
import { formatString, literalBlock, quote } from "./scalar.ts";
import type { Fail, Node, ScalarNode } from "./tree.ts";
import { composeYaml } from "./yaml.ts";

/** Objects have no prototype, so `__proto__` and `constructor` are ordinary keys. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A scalar that Kubernetes does not read as it looks. It never contains the text of a value. */
export interface Surprise {
  readonly what: "key" | "value";
  /** The keys and list positions that lead to it. For a key, the last step is the key as parsed. */
  readonly path: readonly (string | number)[];
  /** Line in the file, starting at 1. */
  readonly line: number;
  /** The type as which Kubernetes reads it. */
  readonly becomes: "null" | "boolean" | "number" | "string";
}

export type ManifestFormat = "yaml" | "json";

export interface ManifestDocument {
  /** The value as Kubernetes reads it; an integer beyond 2^53 is rounded and is a surprise. */
  readonly value: Json;
  readonly format: ManifestFormat;
  /** Position among the non-empty documents, starting at 1. */
  readonly document: number;
  /** Line of its first key or bracket in the file, starting at 1. */
  readonly line: number;
  readonly surprises: readonly Surprise[];
  /** The document with its comments, without separators; offsets in the file in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** The tree with the position of every node; see tree.ts. */
  readonly root: Node;
}

/**
 * Parses every document of a stream. Lines of `---` separate documents; JSON documents may also
 * follow each other directly. Documents that are empty or contain only comments are skipped.
 * `place` names the file in errors.
 *
 * @throws SignetError `manifest-syntax` if Kubernetes would reject or drop something, or if aliases
 *   or nesting exceed the limits; `manifest-ambiguous` for duplicate keys, infinities and syntax
 *   that YAML parsers read differently. Messages never quote the input.
 */
export function parseManifests(text: string, place: ErrorPlace = {}): ManifestDocument[] {
  const lineAt = lineCounter(text);
  const documents: ManifestDocument[] = [];
  const chunks = cutStream(text);
  const fail: Fail = (reason, offset, code = "manifest-syntax", field) => {
    const document = chunks.length > 1 ? { document: documents.length + 1 } : {};
    const where = { line: lineAt(offset), ...(field === undefined ? {} : { field }) };
    throw new SignetError(code, reason, { place: { ...place, ...document, ...where } });
  };
  const conflict = conflictMark(text);
  if (conflict !== -1) fail("Git conflict markers: resolve the conflict first", conflict);
  const broken = /[^\n\x20-\x7E]/.test(text) ? text.search(/\p{Surrogate}|\0/u) : -1;
  if (broken !== -1) fail("text that is not valid Unicode, or a NUL", broken);
  for (const chunk of chunks) {
    if (chunk.invalid) fail("text on the line of a '---'", chunk.start);
    const body = bodyOf(text, chunk);
    const plain = readPlainYaml(body);
    if (plain !== null && plain !== "tree") {
      documents.push(plainDocument(plain, { body, chunk, document: documents.length + 1, lineAt }));
      continue;
    }
    const tree = plain === "tree" ? composePlainYaml(body, chunk.start) : null;
    const read: Read[] =
      tree === null
        ? readChunk(text, chunk, body, fail)
        : [{ root: tree, format: "yaml", start: chunk.start, end: chunk.end }];
    for (const { root, format, start, end } of read) {
      const surprises: Surprise[] = [];
      documents.push({
        value: toJson({ surprises, path: [], lineAt, fail }, root),
        format,
        document: documents.length + 1,
        line: lineAt(root.start),
        surprises,
        start,
        end,
        root,
      });
    }
  }
  return documents;
}

/** The offset of a conflict that Git left in a text, or -1. All its marks must be there, in order. */
function conflictMark(text: string): number {
  const start = text.startsWith("<<<<<<< ") ? 0 : text.indexOf("\n<<<<<<< ") + 1;
  if (start === 0 && !text.startsWith("<<<<<<< ")) return -1;
  const middle = text.indexOf("\n=======", start);
  return middle !== -1 && text.includes("\n>>>>>>> ", middle) ? start : -1;
}

/** Returns a document's place for errors. `documents` is the number of documents in its file. */
export function placeOf(
  file: string,
  { document }: ManifestDocument,
  documents: number,
): ErrorPlace {
  return { file, ...(documents > 1 ? { document } : {}) };
}

interface Chunk {
  readonly start: number;
  readonly end: number;
  /** True for a `---` line with text other than a comment, which Kubernetes rejects. */
  readonly invalid: boolean;
}

/** Splits as Kubernetes does: at every line that starts with `---`, regardless of its context. */
function cutStream(text: string): Chunk[] {
  const chunks: Chunk[] = [];
  let start = text.startsWith("\uFEFF") ? 1 : 0;
  for (;;) {
    const separator = nextSeparator(text, start);
    const end = separator === -1 ? text.length : separator;
    if (end > start) chunks.push({ start, end, invalid: false });
    if (separator === -1) return chunks;
    const newline = text.indexOf("\n", separator);
    start = newline === -1 ? text.length : newline + 1;
    const rest = text.slice(separator + 3, start).trim();
    if (rest !== "" && !rest.startsWith("#")) {
      chunks.push({ start: separator, end: start, invalid: true });
    }
  }
}

/** Finds the next `---` line, or returns -1; `lineStart` must be the first offset of a line. */
function nextSeparator(text: string, lineStart: number): number {
  if (text.startsWith("---", lineStart)) return lineStart;
  const found = text.indexOf("\n---", lineStart);
  return found === -1 ? -1 : found + 1;
}

interface Read {
  readonly root: Node;
  readonly format: ManifestFormat;
  readonly start: number;
  readonly end: number;
}

/** Kubernetes reads line by line and adds a missing newline at the end. */
function bodyOf(text: string, { start, end }: Chunk): string {
  const part = text.slice(start, end);
  return part.endsWith("\n") ? part : `${part}\n`;
}

/** A document whose tree is composed when anyone asks for it: most never need it. */
function plainDocument(
  plain: PlainDocument,
  {
    body,
    chunk: { start, end },
    document,
    lineAt,
  }: {
    readonly body: string;
    readonly chunk: Chunk;
    readonly document: number;
    readonly lineAt: (offset: number) => number;
  },
): ManifestDocument {
  let root: Node | undefined;
  return {
    value: plain.value,
    format: "yaml",
    document,
    line: lineAt(start + plain.start),
    surprises: [],
    start,
    end,
    get root() {
      root ??= composePlainYaml(body, start) ?? undefined;
      if (root === undefined) throw new Error("a plain document without a tree");
      return root;
    },
  };
}

function readChunk(text: string, { start, end }: Chunk, body: string, fail: Fail): Read[] {
  let at = skipSpace(text, start, end);
  let notJson: { reason: string; offset: number } | undefined;
  if (text[at] === "{") {
    const read: Read[] = [];
    try {
      while (at < end) {
        if (text[at] !== "{") throw new NotJson("text after a JSON document", at);
        const root = composeJson(text, at, end, (reason, offset, code) => {
          if (code === "manifest-ambiguous") fail(reason, offset, code);
          throw new NotJson(reason, offset);
        });
        read.push({ root, format: "json", start: root.start, end: root.end });
        at = skipSpace(text, root.end, end);
      }
      return read;
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      notJson = error;
    }
  }
  const root = composeYaml(body, start, (reason, offset, code, field) => {
    // The text starts like JSON, so report the error of the parser that got further.
    if (notJson === undefined || code === "manifest-ambiguous" || offset > notJson.offset) {
      return fail(reason, offset, code, field);
    }
    return fail(notJson.reason, notJson.offset);
  });
  return root === undefined ? [] : [{ root, format: "yaml", start, end }];
}

class NotJson extends Error {
  readonly reason: string;
  readonly offset: number;

  constructor(reason: string, offset: number) {
    super(reason);
    this.reason = reason;
    this.offset = offset;
  }
}

/** Returns a function that converts an offset in `text` to its line, starting at 1. */
export function lineCounter(text: string): (offset: number) => number {
  let starts: number[] | undefined;
  return (offset) => {
    if (starts === undefined) {
      starts = [0];
      for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1))
        starts.push(at + 1);
    }
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}

interface Walk {
  readonly surprises: Surprise[];
  readonly path: (string | number)[];
  readonly lineAt: (offset: number) => number;
  readonly fail: Fail;
}

function toJson(walk: Walk, node: Node): Json {
  switch (node.type) {
    case "alias":
      return toJson(walk, node.target);
    case "scalar":
      return scalarToJson(walk, node);
    case "sequence":
      return node.items.map((item, index) => {
        walk.path.push(index);
        const value = toJson(walk, item);
        walk.path.pop();
        return value;
      });
    case "mapping": {
      const object = Object.create(null) as { [key: string]: Json };
      for (const entry of node.entries) {
        walk.path.push(entry.key);
        if (entry.keyNode.surprising) surprise(walk, "key", entry.keyNode);
        object[entry.key] = toJson(walk, entry.value);
        walk.path.pop();
      }
      return object;
    }
  }
}

function scalarToJson(walk: Walk, node: ScalarNode): Json {
  const { value } = node.resolved;
  if (typeof value === "number" && !Number.isFinite(value)) {
    const reason = "an infinity or not-a-number, which JSON cannot hold: put it in quotes";
    walk.fail(reason, node.start, "manifest-ambiguous");
  }
  if (node.surprising) surprise(walk, "value", node);
  return value;
}

function surprise(walk: Walk, what: "key" | "value", node: ScalarNode): void {
  const { kind } = node.resolved;
  walk.surprises.push({
    what,
    path: [...walk.path],
    line: walk.lineAt(node.start),
    becomes: kind === "integer" || kind === "float" ? "number" : kind,
  });
}

/**
 * Formats a stream of documents: YAML documents each after a line of `---`, or a sequence of JSON
 * documents. Keys keep their order. A string is quoted if any YAML parser would read it as anything
 * else, and is never folded.
 *
 * @throws SignetError `manifest-syntax` for a string that is not valid Unicode or a number that
 *   is not finite.
 */
export function formatManifests(values: readonly Json[], format: ManifestFormat): string {
  for (const value of values) check(value);
  if (format === "json")
    return values.map((value) => `${JSON.stringify(value, null, 2)}\n`).join("");
  return values.map((value) => `---\n${formatDocument(value)}`).join("");
}

function check(value: Json): void {
  if (typeof value === "string") checkText(value);
  else if (typeof value === "number" && !Number.isFinite(value)) {
    throw new SignetError("manifest-syntax", "a number that is not finite cannot be written");
  } else if (Array.isArray(value)) value.forEach(check);
  else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      checkText(key);
      check(item);
    }
  }
}

function checkText(text: string): void {
  if (/\p{Surrogate}/u.test(text)) {
    throw new SignetError("manifest-syntax", "text that is not valid Unicode cannot be written");
  }
}

function formatDocument(value: Json): string {
  const { inline, lines } = formatValue(value, "");
  const root = typeof value === "string" && lines.length > 0 ? [quote(value)] : lines;
  return (root.length === 0 ? [inline] : root).map((line) => `${line}\n`).join("");
}

/** A value formatted to follow `key:`: the rest of that line, and the lines below it. */
export interface FormattedValue {
  readonly inline: string;
  readonly lines: readonly string[];
}

/** Formats a value for a block mapping whose keys are indented by `indent`. */
export function formatValue(value: Json, indent: string): FormattedValue {
  if (typeof value === "string") {
    const block = literalBlock(value);
    if (block === undefined) return { inline: formatString(value), lines: [] };
    const lines = block.lines.map((line) => (line === "" ? "" : `${indent}  ${line}`));
    return { inline: block.header, lines };
  }
  if (typeof value !== "object" || value === null) return { inline: formatWord(value), lines: [] };
  if (Array.isArray(value)) {
    if (value.length === 0) return { inline: "[]", lines: [] };
    return { inline: "", lines: value.flatMap((item) => formatItem(item, indent)) };
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return { inline: "{}", lines: [] };
  return { inline: "", lines: entries.flatMap(([key, item]) => formatEntry(key, item, indent)) };
}

function formatItem(item: Json, indent: string): string[] {
  const { inline, lines } = formatValue(item, typeof item === "string" ? indent : `${indent}  `);
  if (inline !== "") {
    return [`${indent}- ${inline}`, ...lines];
  }
  const [first = "", ...rest] = lines;
  return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest];
}

/** Formats one entry of a block mapping whose keys are indented by `indent`. */
export function formatEntry(key: string, value: Json, indent: string): string[] {
  // As kubectl and kubeseal print it, a list has the same indentation as its key.
  const inner = Array.isArray(value) || typeof value === "string" ? indent : `${indent}  `;
  const { inline, lines } = formatValue(value, inner);
  const name = formatString(key);
  // go-yaml finds the colon of a longer key only after a `?`.
  const head = name.length > 1000 ? [`${indent}? ${name}`, `${indent}:`] : [`${indent}${name}:`];
  const last = `${head.pop() ?? ""}${inline === "" ? "" : ` ${inline}`}`;
  return [...head, last, ...lines];
}

function formatWord(value: null | boolean | number): string {
  return Object.is(value, -0) ? "-0.0" : String(value);
}
