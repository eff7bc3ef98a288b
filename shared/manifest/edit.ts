// Changes, adds, renames or removes entries of a document, and keeps every other byte.

import { SignetError } from "../errors.ts";
import {
  formatEntry,
  formatValue,
  type Json,
  type ManifestDocument,
  parseManifests,
} from "./manifest.ts";
import { formatString, quote } from "./scalar.ts";
import { type Entry, indexOf, type MappingNode, type Node, type ScalarNode } from "./tree.ts";

export interface Edit {
  /** The keys that lead to the entry; a position in a list is a decimal string. */
  readonly path: readonly string[];
  /** The new value; undefined removes the entry. */
  readonly value: Json | undefined;
  /** Renames the entry instead; its position and its value do not change. */
  readonly rename?: string;
}

interface Splice {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

interface Draft {
  readonly text: string;
  readonly newline: string;
  readonly json: boolean;
  /** Whether blank lines after a block of text do not belong to it. */
  readonly trim: boolean;
  /** Whether a value may span several lines; a comment below could then become part of a block. */
  readonly blocks: boolean;
}

/**
 * Applies edits to `document`, which must come from `parseManifests(text)`; returns the new text.
 * Only the lines of the edited entries change; missing parents are added.
 *
 * @throws SignetError `manifest-ambiguous` if an anchor, alias, tag or merge key is in the way, if
 *   the path leads through anything but mappings and list items, or if the result would not parse
 *   to the expected value.
 */
export function editManifest(
  text: string,
  document: ManifestDocument,
  edits: readonly Edit[],
): string {
  return editManifests(text, new Map([[document, edits]]));
}

/** Does the same for several documents of one text. */
export function editManifests(
  text: string,
  edits: ReadonlyMap<ManifestDocument, readonly Edit[]>,
): string {
  let result = "";
  let done = 0;
  for (const [document, each] of [...edits].sort(([a], [b]) => a.start - b.start)) {
    const body = text.slice(document.start, document.end);
    result += text.slice(done, document.start);
    result += editTogether(body, document, each) ?? editInTurn(body, document, each);
    done = document.end;
  }
  return result + text.slice(done);
}

/**
 * Applies all edits in one pass. Returns undefined if they depend on each other, if they overlap, or
 * if the result does not parse to the expected value.
 */
function editTogether(
  body: string,
  document: ManifestDocument,
  edits: readonly Edit[],
): string | undefined {
  if (edits.length < 2 || !areIndependent(edits)) return undefined;
  const [parsed] = parseManifests(body);
  if (parsed === undefined) return undefined;
  const draft = draftOf(body, parsed, { blocks: true, trim: true });
  let splices: Splice[];
  try {
    splices = edits.flatMap((edit) => plan(draft, parsed.root, edit));
  } catch (error) {
    if (error instanceof SignetError) return undefined;
    throw error;
  }
  const inOrder = splices.sort((a, b) => a.from - b.from);
  const touching = inOrder.some(({ from, to }, index) => {
    const before = inOrder[index - 1];
    if (before === undefined || from > before.from) return from < (before?.to ?? 0);
    // New entries at the end of one mapping follow each other.
    return to > from || before.to > from;
  });
  if (touching) return undefined;
  const result = splice(draft, inOrder);
  const copies = new Set<Json>();
  const expected = edits.reduce((value, edit) => applied(value, edit, copies), document.value);
  return readsAs(result, document.format, expected) ? result : undefined;
}

/** Whether the order of the edits does not matter: none renames, and none is below another. */
function areIndependent(edits: readonly Edit[]): boolean {
  if (edits.some(({ rename }) => rename !== undefined)) return false;
  const paths = edits.map(({ path }) => path.map((step) => `${step}\0`).join("")).sort();
  return paths.every((path, index) => index === 0 || !path.startsWith(paths[index - 1] ?? ""));
}

/** Applies the first edit, then tries to apply the rest in one pass, and so on. */
function editInTurn(body: string, document: ManifestDocument, edits: readonly Edit[]): string {
  let result = body;
  let value = document.value;
  for (const [index, edit] of edits.entries()) {
    value = applied(value, edit, new Set());
    result = editOnce(result, document, edit, value);
    const rest = edits.slice(index + 1);
    const together = editTogether(result, { ...document, value }, rest);
    if (together !== undefined) return together;
  }
  return result;
}

/** `copies`: objects and lists that were made here, and may be changed. */
function applied(value: Json, { path, value: change, rename }: Edit, copies: Set<Json>): Json {
  return rename === undefined ? applyTo(value, path, change, copies) : renamed(value, path, rename);
}

function refuse(reason: string, edit: Pick<Edit, "path">): never {
  throw new SignetError("manifest-ambiguous", reason, { place: { field: edit.path.join(".") } });
}

function editOnce(body: string, document: ManifestDocument, edit: Edit, expected: Json): string {
  const [parsed] = parseManifests(body);
  if (parsed === undefined) return refuse("the document cannot be edited in place", edit);
  // Blank lines after a block with `+` belong to it, so only an attempt without trim succeeds.
  for (const blocks of [true, false]) {
    for (const trim of [true, false]) {
      const draft = draftOf(body, parsed, { blocks, trim });
      const result = splice(draft, plan(draft, parsed.root, edit));
      if (readsAs(result, document.format, expected)) return result;
    }
  }
  return refuse("the entry cannot be changed in place: edit the file by hand", edit);
}

function draftOf(
  text: string,
  { format }: ManifestDocument,
  tries: Pick<Draft, "trim" | "blocks">,
): Draft {
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  return { text, newline, json: format === "json", ...tries };
}

function readsAs(body: string, format: "yaml" | "json", expected: Json): boolean {
  try {
    const documents = parseManifests(body);
    const [document] = documents;
    return (
      documents.length === 1 &&
      document !== undefined &&
      document.format === format &&
      sameJson(document.value, expected)
    );
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}

function sameJson(left: Json, right: Json): boolean {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) {
    return left === right;
  }
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => sameJson(item, right[index] ?? null));
  }
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every(
      (key) => Object.hasOwn(right, key) && sameJson(left[key] ?? null, right[key] ?? null),
    )
  );
}

/** Returns the value that the document must have after the edit. */
function applyTo(
  value: Json,
  path: readonly string[],
  change: Json | undefined,
  copies: Set<Json>,
): Json {
  const [step, ...rest] = path;
  if (step === undefined) return change ?? null;
  if (Array.isArray(value)) {
    const copy = copies.has(value) ? value : [...value];
    copies.add(copy);
    const inner = copy[Number(step)];
    if (inner !== undefined) copy[Number(step)] = applyTo(inner, rest, change, copies);
    return copy;
  }
  if (typeof value === "object" && value !== null) {
    const copy = copies.has(value)
      ? value
      : Object.assign(Object.create(null) as { [key: string]: Json }, value);
    copies.add(copy);
    const inner = Object.hasOwn(value, step) ? (value[step] ?? null) : null;
    if (change !== undefined || (rest.length > 0 && inner !== null)) {
      copy[step] = applyTo(inner, rest, change, copies);
    } else if (rest.length === 0) {
      Reflect.deleteProperty(copy, step);
    }
    return copy;
  }
  return change === undefined ? value : nest(path, change);
}

function renamed(value: Json, path: readonly string[], newName: string): Json {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      index === Number(step) ? renamed(item, rest, newName) : item,
    );
  }
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null) as { [key: string]: Json };
  for (const [key, inner] of Object.entries(value)) {
    if (key !== step) copy[key] = inner;
    else copy[rest.length === 0 ? newName : key] = renamed(inner, rest, newName);
  }
  return copy;
}

function nest(path: readonly string[], value: Json): Json {
  return path.reduceRight<Json>((inner, key) => {
    const object = Object.create(null) as { [key: string]: Json };
    object[key] = inner;
    return object;
  }, value);
}

function splice(draft: Draft, splices: readonly Splice[]): string {
  let result = "";
  let done = 0;
  for (const { from, to, text } of [...splices].sort((a, b) => a.from - b.from)) {
    result += draft.text.slice(done, from) + text;
    done = to;
  }
  return result + draft.text.slice(done);
}

/** An entry, and the mapping that contains it. */
interface Parent {
  readonly mapping: MappingNode;
  readonly entry: Entry;
}

function plan(draft: Draft, root: Node, edit: Edit): Splice[] {
  let node = root;
  let parent: Parent | undefined;
  for (const [depth, step] of edit.path.entries()) {
    const rest = edit.path.slice(depth + 1);
    if (node.type === "sequence") {
      const item = node.items[Number(step)];
      if (item === undefined || rest.length === 0) return refuse("no such item in the list", edit);
      node = item;
      parent = undefined;
      continue;
    }
    if (node.type !== "mapping") return refuse("this is not a mapping", edit);
    const mapping = node;
    const { entries, merged } = indexOf(mapping);
    if (merged) refuse("there is a merge key << here", edit);
    const entry = entries.get(step);
    const empty = entry?.value.type === "scalar" && entry.value.resolved.kind === "null";
    if (entry !== undefined && edit.rename !== undefined && rest.length === 0) {
      if (entry.keyNode.marked) refuse("there is an anchor, alias or tag here", edit);
      const flow = mapping.flow || entry.keyNode.style === "double";
      const text = flow ? quote(edit.rename) : formatString(edit.rename);
      return [{ from: entry.keyNode.start, to: entry.keyEnd, text }];
    }
    if (entry === undefined) {
      if (edit.rename !== undefined) return refuse("no such entry", edit);
      if (edit.value === undefined) return [];
      return insert(draft, mapping, parent, step, nest(rest, edit.value));
    }
    if (rest.length === 0 || empty) {
      if (edit.value === undefined && rest.length > 0) return [];
      if (isMarked(entry.value)) refuse("there is an anchor, alias or tag here", edit);
      return edit.value === undefined
        ? remove(draft, { mapping, entry }, parent, edit)
        : replace(draft, { mapping, entry }, nest(rest, edit.value), edit);
    }
    if (entry.value.type === "alias") return refuse("there is an alias here", edit);
    parent = { mapping, entry };
    node = entry.value;
  }
  return refuse("an edit needs a key", edit);
}

function isMarked(node: Node): boolean {
  if (node.marked) return true;
  if (node.type === "sequence") return node.items.some(isMarked);
  if (node.type !== "mapping") return false;
  return node.entries.some(
    (entry) => entry.merged || entry.keyNode.marked || isMarked(entry.value),
  );
}

function nextLine(draft: Draft, offset: number): number {
  const newline = draft.text.indexOf("\n", offset);
  return newline === -1 ? draft.text.length : newline + 1;
}

function lineStart(draft: Draft, offset: number): number {
  return draft.text.lastIndexOf("\n", offset - 1) + 1;
}

/** Returns the start of the line after a block node; comments on its last line belong to it. */
function blockEnd(draft: Draft, node: Node): number {
  const end = Math.min(node.end, draft.text.length);
  if (node.type === "scalar" && node.style === "empty") return nextLine(draft, end);
  if (end === 0 || draft.text[end - 1] !== "\n") return nextLine(draft, end);
  if (!draft.trim) return end;
  let last = end - 1;
  for (let at = last; " \t\r\n".includes(draft.text[at] ?? "-"); at--) {
    if (draft.text[at] === "\n") last = at;
  }
  return last + 1;
}

function columnOf(draft: Draft, offset: number): string {
  return " ".repeat(offset - lineStart(draft, offset));
}

/** Inserts whole lines at the start of a line, or after a last line without a newline. */
function linesAt(draft: Draft, at: number, lines: readonly string[]): Splice {
  const open = at === draft.text.length && !draft.text.endsWith("\n") && at > 0;
  const text = lines.join(draft.newline);
  if (lines.length === 0) return { from: at, to: at, text: "" };
  return { from: at, to: at, text: open ? draft.newline + text : text + draft.newline };
}

function insert(
  draft: Draft,
  mapping: MappingNode,
  parent: Parent | undefined,
  key: string,
  value: Json,
): Splice[] {
  const last = mapping.entries.at(-1);
  if (mapping.flow) {
    if (last === undefined) {
      if (parent !== undefined && !parent.mapping.flow) {
        return replace(draft, parent, nest([key], value), { path: [key] });
      }
      const indent = draft.json ? indentOfLine(draft, mapping.start) : undefined;
      const text = flowText(draft, nest([key], value), indent);
      return [{ from: mapping.start, to: mapping.end, text }];
    }
    // A new entry is on a line of its own if the last entry is.
    const indent = indentOfLine(draft, last.start);
    const ownLine = lineStart(draft, last.start) + indent.length === last.start;
    const gap = ownLine ? draft.newline + indent : " ";
    const text = `,${gap}${quote(key)}: ${flowText(draft, value, ownLine ? indent : undefined)}`;
    return [{ from: last.value.end, to: last.value.end, text }];
  }
  const indent = columnOf(draft, mapping.start);
  const lines = draft.blocks
    ? formatEntry(key, value, indent)
    : [`${indent}${formatString(key)}: ${flowText(draft, value, undefined)}`];
  return [linesAt(draft, blockEnd(draft, mapping), lines)];
}

function indentOfLine(draft: Draft, offset: number): string {
  return /^[ \t]*/.exec(draft.text.slice(lineStart(draft, offset), offset))?.[0] ?? "";
}

/** Formats a value as JSON, on several lines if `indent`, the indentation of its line, is given. */
function flowText(draft: Draft, value: Json, indent: string | undefined): string {
  if (typeof value === "string") return quote(value);
  if (typeof value !== "object" || value === null) return String(value);
  const inner = indent === undefined ? undefined : `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((item) => flowText(draft, item, inner))
    : Object.entries(value).map(([key, item]) => `${quote(key)}: ${flowText(draft, item, inner)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (inner === undefined || parts.length === 0) return `${open}${parts.join(", ")}${close}`;
  const gap = draft.newline + inner;
  return `${open}${gap}${parts.join(`,${gap}`)}${draft.newline}${indent ?? ""}${close}`;
}

function replace(
  draft: Draft,
  { mapping, entry }: Parent,
  value: Json,
  edit: Pick<Edit, "path">,
): Splice[] {
  const old = entry.value;
  if (mapping.flow) {
    if (old.type === "scalar" && old.style === "empty") refuse("the value is missing", edit);
    const indent = draft.json ? indentOfLine(draft, entry.start) : undefined;
    return [{ from: old.start, to: old.end, text: flowText(draft, value, indent) }];
  }
  let colon = entry.keyEnd;
  while (draft.text[colon] === " ") colon++;
  if (draft.text[colon] !== ":") refuse("the colon of the key is not on its line", edit);
  const after = colon + 1;
  const indent = columnOf(draft, entry.start);
  const inner = Array.isArray(value) || typeof value === "string" ? indent : `${indent}  `;
  const styled = typeof value === "string" ? keepStyle(old, value) : undefined;
  const kept = draft.blocks ? styled : flowText(draft, value, undefined);
  const { inline, lines } =
    kept === undefined ? formatValue(value, inner) : { inline: kept, lines: [] };
  const { gap, inlineTo, linesFrom, linesTo } = placeOf(draft, after, old, edit);
  const text =
    (inline === "" ? "" : gap + inline) +
    draft.text.slice(inlineTo, linesFrom) +
    linesAt(draft, linesFrom, lines).text;
  return [{ from: after, to: linesTo, text }];
}

/** Returns which part of its key's line a value takes up, and which lines below. */
function placeOf(
  draft: Draft,
  after: number,
  old: Node,
  edit: Pick<Edit, "path">,
): { gap: string; inlineTo: number; linesFrom: number; linesTo: number } {
  const before = draft.text.slice(after, Math.max(after, old.start));
  if (old.type === "scalar" && old.style === "block") {
    const header = /^( *)[|>][-+0-9]*(?=[ \t]*(?:[ \t]#[^\r\n]*)?\r?\n$)/.exec(before);
    if (header === null) return refuse("a block of text with such a header cannot be edited", edit);
    const linesTo = Math.max(old.start, blockEnd(draft, old));
    const inlineTo = after + header[0].length;
    return { gap: header[1] ?? " ", inlineTo, linesFrom: old.start, linesTo };
  }
  if ((old.type === "mapping" || old.type === "sequence") && !old.flow) {
    const linesFrom = lineStart(draft, old.start);
    return { gap: " ", inlineTo: after, linesFrom, linesTo: blockEnd(draft, old) };
  }
  if (old.type === "scalar" && old.style === "empty") {
    const next = nextLine(draft, after);
    return { gap: " ", inlineTo: after, linesFrom: next, linesTo: next };
  }
  if (before.includes("#")) return refuse("there is a comment between the key and its value", edit);
  const next = nextLine(draft, old.end);
  const gap = /^ +$/.test(before) ? before : " ";
  return { gap, inlineTo: old.end, linesFrom: next, linesTo: next };
}

/** Quotes the new string like the old one; undefined if the old one's style cannot be kept. */
function keepStyle(old: Node, value: string): string | undefined {
  const style: ScalarNode["style"] | undefined = old.type === "scalar" ? old.style : undefined;
  if (style === "double") return quote(value);
  if (style !== "single" || /\\[^"\\]/.test(quote(value).replaceAll("\\\\", ""))) return undefined;
  return `'${value.replaceAll("'", "''")}'`;
}

function remove(
  draft: Draft,
  { mapping, entry }: Parent,
  parent: Parent | undefined,
  edit: Edit,
): Splice[] {
  const index = mapping.entries.indexOf(entry);
  const next = mapping.entries[index + 1];
  const previous = mapping.entries[index - 1];
  if (mapping.flow) {
    const from = next === undefined && previous !== undefined ? previous.value.end : entry.start;
    const to = next === undefined ? entry.value.end : next.start;
    const text = draft.text.slice(from, to);
    const gaps = text.replace(draft.text.slice(entry.start, entry.value.end), "");
    if (gaps.includes("#")) refuse("there is a comment between the entries", edit);
    return [{ from, to, text: "" }];
  }
  if (mapping.entries.length === 1) {
    if (parent !== undefined && !parent.mapping.flow) {
      return replace(draft, parent, {}, edit);
    }
    const to = blockEnd(draft, entry.value);
    return [{ from: entry.start, to, text: `{}${draft.newline}` }];
  }
  const from = lineStart(draft, entry.start);
  if (draft.text.slice(from, entry.start).trim() === "") {
    return [
      { from, to: Math.max(blockEnd(draft, entry.value), nextLine(draft, entry.keyEnd)), text: "" },
    ];
  }
  // This is the first entry of a list item, so the next entry moves up to the dash.
  if (next === undefined) return refuse("the entry shares its line with another one", edit);
  const between = draft.text.slice(blockEnd(draft, entry.value), next.start);
  if (between.trim() !== "") refuse("there is a comment between the entries", edit);
  return [{ from: entry.start, to: next.start, text: "" }];
}
