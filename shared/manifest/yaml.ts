// Parses one YAML document into a tree with positions, as Kubernetes reads it.

import { COLLECTION_STYLE, EVENT_ID, getScalarValue, SCALAR_STYLE } from "js-yaml";
import type { AliasEvent, Event, MappingEvent, ScalarEvent, SequenceEvent } from "js-yaml";
import {
  isSpace,
  refuseBlockOnLineOf,
  refuseCharacters,
  refuseEscapes,
  refuseKeyInLine,
  refuseKeyThatGoDoesNotFind,
  refusePlainInFlow,
  refuseTabs,
  skipLine,
  type Source,
} from "./dialect.ts";
import { isSurprising, keyText, type Resolved, resolvePlain } from "./scalar.ts";
import { faultOfLine } from "./unquoted.ts";
import { moveTree, readEvents, unpad } from "./yamlevents.ts";
import {
  type AliasNode,
  type Entry,
  type Fail,
  height,
  type MappingNode,
  MAX_DEPTH,
  type Node,
  type ScalarNode,
  type SequenceNode,
} from "./tree.ts";

/** Maximum number of nodes that aliases may add to a document. */
const MAX_ALIASED = 100_000;
const CORE = "tag:yaml.org,2002:";

const TAG = /^!(?:!?[\w.:/-]+|<tag:yaml\.org,2002:\w+>)?$/;
const ANCHOR = /^[0-9A-Za-z_-]+$/;
/** Mostly a placeholder such as `{{ name }}` that was never filled in. */
const KEY_IS_NO_TEXT =
  "a key that is a list or a mapping; text that begins with { or [ must be in quotes";

interface Composer extends Source {
  readonly events: readonly Event[];
  readonly anchors: Map<string, { node: Node | undefined; size: number }>;
  next: number;
  /** The end of the last node. */
  cursor: number;
  composed: number;
  aliased: number;
  /** Where the brackets of each flow collection open and close. */
  readonly flows: [number, number][];
}

/**
 * Parses the document in `text`; returns undefined if it is empty or has only comments. `base` is
 * added to every offset. Errors are passed to `fail`.
 */
export function composeYaml(text: string, base: number, fail: Fail): Node | undefined {
  refuseCharacters({ text, base, fail });
  const { events, padded, pads } = readEvents(text, base, fail);
  if (pads.length === 0) return composeEvents(text, base, events, fail);
  const original = (offset: number) => base + unpad(offset - base, pads);
  const root = composeEvents(padded, base, events, (reason, offset, code, field) =>
    fail(reason, original(offset), code, field),
  );
  if (root !== undefined) moveTree(root, original);
  return root;
}

function composeEvents(
  text: string,
  base: number,
  events: readonly Event[],
  fail: Fail,
): Node | undefined {
  const composer: Composer = {
    text,
    base,
    events,
    anchors: new Map(),
    fail,
    next: 1,
    cursor: 0,
    composed: 0,
    aliased: 0,
    flows: [],
  };
  const root = events.length === 0 ? undefined : compose(composer, 0, false);
  refuseTabs(composer, events, composer.flows);
  const ended = text.search(/^\.\.\.(?=\s|$)/m);
  if (ended !== -1 && base + ended <= (root?.start ?? Infinity)) {
    fail("a line '...' with nothing before it", base + ended);
  }
  if (root === undefined) return undefined;
  composer.next++;
  if (composer.next < events.length) {
    fail("more than one document without a line '---' between them", root.end);
  }
  if (root.type === "scalar" && root.style === "block") {
    // Parsers disagree on how far it must be indented.
    fail("a block of text without a key", root.start, "manifest-ambiguous");
  }
  const empty = root.type === "scalar" && root.style === "empty" && !root.marked;
  return empty ? undefined : root;
}

function compose(c: Composer, depth: number, flow: boolean): Node {
  const event = c.events[c.next];
  if (event === undefined) throw new Error("js-yaml ended a document early");
  c.next++;
  c.composed++;
  switch (event.type) {
    case EVENT_ID.SCALAR:
      return composeScalar(c, event, flow);
    case EVENT_ID.ALIAS:
      return composeAlias(c, event, depth);
    case EVENT_ID.MAPPING:
    case EVENT_ID.SEQUENCE:
      return composeCollection(c, event, depth);
    default:
      throw new Error("js-yaml gave events in no order that we know");
  }
}

function anchorName(c: Composer, start: number, end: number): string {
  const name = c.text.slice(start, end);
  if (!ANCHOR.test(name) || !/[\s,\]}]/.test(c.text.charAt(end))) {
    c.fail("the name of an anchor or alias may hold only letters, digits, - and _", c.base + start);
  }
  return name;
}

/** Returns the tag as written; refuses a tag that go-yaml might read differently. */
function tagOf(c: Composer, event: ScalarEvent | MappingEvent | SequenceEvent): string | undefined {
  if (event.tagStart === -1) return undefined;
  const tag = c.text.slice(event.tagStart, event.tagEnd);
  if (!TAG.test(tag) || !isSpace(c.text, event.tagEnd)) {
    c.fail("a tag that is not valid", c.base + event.tagStart);
  }
  return tag;
}

function composeScalar(c: Composer, event: ScalarEvent, flow: boolean): ScalarNode {
  const tag = tagOf(c, event);
  const marked = tag !== undefined || event.anchorStart !== -1;
  let start = event.valueStart;
  let end = event.valueEnd;
  let style: ScalarNode["style"] = "plain";
  if (start === -1) {
    style = "empty";
    start = end = Math.max(c.cursor, event.anchorEnd, event.tagEnd);
  } else if (
    event.style === SCALAR_STYLE.SINGLE_QUOTED ||
    event.style === SCALAR_STYLE.DOUBLE_QUOTED
  ) {
    style = event.style === SCALAR_STYLE.SINGLE_QUOTED ? "single" : "double";
    if (style === "double" && !event.fast) refuseEscapes(c, start, end);
    start--;
    end++;
  } else if (event.style !== SCALAR_STYLE.PLAIN) {
    style = "block";
    if (/^[ \r\n]*\t/.test(c.text.slice(start, end))) {
      c.fail("a tab where only spaces may indent", c.base + start);
    }
  } else if (flow) {
    refusePlainInFlow(c, start, end);
  }
  c.cursor = end;
  const text = getScalarValue(c.text, event);
  const quoted = style !== "plain" && style !== "empty";
  const resolved =
    tag === undefined
      ? quoted
        ? ({ kind: "string", value: text } as const)
        : resolvePlain(text)
      : resolveTagged(c, tag, text, start);
  const node: ScalarNode = {
    type: "scalar",
    start: c.base + start,
    end: c.base + end,
    marked,
    style,
    resolved,
    surprising:
      tag === undefined
        ? !quoted && isSurprising(text, resolved)
        : isTagSurprising(tag, text, quoted, resolved),
  };
  if (event.anchorStart !== -1) {
    c.anchors.set(anchorName(c, event.anchorStart, event.anchorEnd), { node, size: 1 });
  }
  return node;
}

function isTagSurprising(tag: string, text: string, quoted: boolean, resolved: Resolved): boolean {
  if (resolved.kind === "string") return tag !== "!!str" && tag !== "!" && tag !== `!<${CORE}str>`;
  return quoted || isSurprising(text, resolved);
}

function resolveTagged(c: Composer, tag: string, text: string, start: number): Resolved {
  const name = tag.startsWith("!!")
    ? tag.slice(2)
    : tag.startsWith(`!<${CORE}`)
      ? tag.slice(2 + CORE.length, -1)
      : undefined;
  switch (name) {
    case "str":
      return { kind: "string", value: text };
    case "binary":
      return { kind: "string", value: decodeBinary(c, text, start) };
    case "timestamp":
      c.fail(
        "a timestamp tag, which has no effect: remove it",
        c.base + start,
        "manifest-ambiguous",
      );

    case "bool":
    case "int":
    case "float":
    case "null": {
      const resolved = resolvePlain(text);
      const kind = { bool: "boolean", int: "integer", float: "float", null: "null" }[name];
      if (resolved.kind === kind) return resolved;
      if (name === "float" && resolved.kind === "integer" && fitsInt64(resolved)) {
        return { kind: "float", value: resolved.value };
      }
      return c.fail("a value that does not fit its tag", c.base + start);
    }
    default:
      return { kind: "string", value: text };
  }
}

function fitsInt64(resolved: Resolved): boolean {
  return resolved.integer === undefined || resolved.integer < 2n ** 63n;
}

function decodeBinary(c: Composer, text: string, start: number): string {
  const base64 = text.replace(/[\r\n]/g, "");
  const valid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64);
  if (!valid) c.fail("a binary value that is not base64", c.base + start);
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return c.fail("a binary value that is not UTF-8", c.base + start, "manifest-ambiguous");
  }
}

function composeAlias(c: Composer, event: AliasEvent, depth: number): AliasNode {
  const start = c.base + event.anchorStart - 1;
  const anchor = c.anchors.get(anchorName(c, event.anchorStart, event.anchorEnd));
  if (anchor === undefined) {
    const reason = "an alias of an unknown anchor: put text that begins with * in quotes";
    c.fail(reason, start, undefined, faultOfLine(c.text, event.anchorStart)?.field);
  }
  if (anchor.node === undefined) c.fail("an anchor that contains itself", start);
  c.cursor = event.anchorEnd;
  c.aliased += anchor.size;
  c.composed += anchor.size;
  // The first is go-yaml's limit; the second also bounds documents that pass it.
  const expands = c.aliased > 100 && c.composed > 1000 && c.aliased / c.composed > 0.99;
  if (expands || c.aliased > MAX_ALIASED) c.fail("aliases that expand too far", start);
  if (depth + height(anchor.node) > MAX_DEPTH) {
    c.fail(`nested deeper than ${MAX_DEPTH} levels`, start);
  }
  const end = c.base + event.anchorEnd;
  return { type: "alias", start, end, marked: true, target: anchor.node };
}

function composeCollection(c: Composer, event: MappingEvent | SequenceEvent, depth: number): Node {
  tagOf(c, event);
  const flow = event.style === COLLECTION_STYLE.FLOW;
  const before = c.composed;
  const span = {
    start: c.base + event.start,
    end: 0,
    marked: event.anchorStart !== -1 || event.tagStart !== -1,
    flow,
  };
  c.cursor = Math.max(c.cursor, event.start, event.anchorEnd, event.tagEnd);
  let anchor: { node: Node | undefined; size: number } | undefined;
  if (event.anchorStart !== -1) {
    anchor = { node: undefined, size: 0 };
    c.anchors.set(anchorName(c, event.anchorStart, event.anchorEnd), anchor);
  }
  const node: MappingNode | SequenceNode =
    event.type === EVENT_ID.SEQUENCE
      ? { type: "sequence", ...span, items: composeItems(c, depth, flow) }
      : { type: "mapping", ...span, entries: composeEntries(c, depth, flow) };
  c.next++;
  if (span.marked) refuseBlockOnLineOf(c, c.base + Math.max(event.anchorEnd, event.tagEnd), node);
  if (flow) {
    c.cursor = closingEnd(c, event);
    c.flows.push([event.start, c.cursor]);
  }
  (node as { end: number }).end = c.base + c.cursor;
  if (anchor !== undefined) {
    anchor.node = node;
    anchor.size = 1 + c.composed - before;
  }
  return node;
}

/** Returns the end of a flow collection; a single pair in a sequence, `[a: b]`, has no bracket. */
function closingEnd(c: Composer, event: MappingEvent | SequenceEvent): number {
  const open = c.text[event.start];
  if (event.type === EVENT_ID.MAPPING && open !== "{") return c.cursor;
  let at = c.cursor === event.start ? event.start + 1 : c.cursor;
  const close = event.type === EVENT_ID.MAPPING ? "}" : "]";
  while (at < c.text.length && c.text[at] !== close) {
    if (c.text[at] === "#") at = skipLine(c.text, at);
    else at++;
  }
  return at + 1;
}

function atPop(c: Composer): boolean {
  return c.events[c.next]?.type === EVENT_ID.POP;
}

function composeItems(c: Composer, depth: number, flow: boolean): Node[] {
  const items: Node[] = [];
  while (!atPop(c)) items.push(compose(c, depth + 1, flow));
  return items;
}

function composeEntries(c: Composer, depth: number, flow: boolean): Entry[] {
  const entries: Entry[] = [];
  // The index in `entries` of each key.
  const places = new Map<string, number>();
  let merged = false;
  while (!atPop(c)) {
    const event = c.events[c.next];
    const written = compose(c, depth + 1, flow);
    const keyNode = written.type === "alias" ? written.target : written;
    if (keyNode.type !== "scalar") c.fail(KEY_IS_NO_TEXT, written.start);
    const start = keyStart(c, event, written);
    if (!flow && entries.length + Number(merged) > 0) refuseKeyInLine(c, start);
    refuseKeyThatGoDoesNotFind(c, start, written, flow);
    if (isMerge(c, event, keyNode)) {
      if (merged) c.fail("a duplicate key <<", written.start, "manifest-ambiguous");
      merged = true;
      const source = compose(c, depth + 1, flow);
      refuseBlockOnLineOf(c, written.end, source);
      merge(c, source, entries, places);
      continue;
    }
    const key = keyText(keyNode.resolved);
    if (key === undefined) c.fail("a key that is null or too large a number", written.start);
    const value = compose(c, depth + 1, flow);
    refuseBlockOnLineOf(c, written.end, value);
    const entry = { key, keyNode, start, keyEnd: written.end, value, merged: false };
    const place = places.get(key);
    const earlier = place === undefined ? undefined : entries[place];
    if (place === undefined || earlier === undefined) {
      places.set(key, entries.push(entry) - 1);
    } else if (earlier.merged && earlier.keyNode.resolved.kind === keyNode.resolved.kind) {
      entries[place] = entry;
    } else {
      c.fail("a duplicate key", written.start, "manifest-ambiguous");
    }
  }
  return entries;
}

function keyStart(c: Composer, event: Event | undefined, node: Node): number {
  if (event?.type !== EVENT_ID.SCALAR) return node.start;
  const marks = [event.anchorStart - 1, event.tagStart].filter((offset) => offset >= 0);
  return Math.min(node.start, ...marks.map((offset) => offset + c.base));
}

function isMerge(c: Composer, event: Event | undefined, key: ScalarNode): boolean {
  if (key.resolved.value !== "<<" || event?.type !== EVENT_ID.SCALAR) return false;
  if (event.tagStart === -1) return key.style === "plain";
  const tag = c.text.slice(event.tagStart, event.tagEnd);
  return tag === "!" || tag === "!!merge" || tag === `!<${CORE}merge>`;
}

/** Merges the value of `<<` as go-yaml does: a mapping, an alias of one, or a list of these. */
function merge(c: Composer, source: Node, entries: Entry[], places: Map<string, number>): void {
  const isList = source.type === "sequence";
  // The first mapping in a list takes precedence, so it is merged last.
  for (const part of isList ? source.items.toReversed() : [source]) {
    const mapping = part.type === "alias" ? part.target : part;
    if (mapping.type !== "mapping") c.fail("<< takes a mapping or a list of mappings", part.start);
    for (const entry of mapping.entries) {
      const place = places.get(entry.key);
      const earlier = place === undefined ? undefined : entries[place];
      const added = { ...entry, merged: true };
      if (place === undefined || earlier === undefined) {
        places.set(entry.key, entries.push(added) - 1);
      } else if (earlier.merged && earlier.keyNode.resolved.kind === entry.keyNode.resolved.kind) {
        entries[place] = added;
      } else {
        const reason = "<< overrides a key that precedes it";
        c.fail(reason, source.start, "manifest-ambiguous");
      }
    }
  }
}
