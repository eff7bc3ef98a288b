// Reads js-yaml's events, including lines that need less indentation in Kubernetes than in js-yaml.

import { parseEvents, YAMLException } from "js-yaml";
import type { Event } from "js-yaml";
import { faultOfLine, faultOfOpenBracket, faultOfOpenQuote, type LineFault } from "./unquoted.ts";
import { type Entry, type Fail, MAX_DEPTH, type Node } from "./tree.ts";

// Our messages for js-yaml's errors. Its own may quote the input, so an unlisted one is not shown.
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/^tab characters/, "a tab where only spaces may indent"],
  [/^bad indentation of a sequence|^bad indentation of a mapping/, "the indentation is wrong"],
  [/^deficient indentation/, "a continued line must be indented further"],
  [/within a flow collection$/, "a bracket or brace is not closed"],
  [/^nesting exceeded/, `nested deeper than ${MAX_DEPTH} levels`],
  [/^unknown escape|^expected hexadecimal/, "an unknown escape after a backslash"],
  [/multiline key|^expected ':' after/, "a key without a colon"],
  [/^missed comma/, "a comma is missing between brackets or braces"],
  [/^a whitespace character is expected after the key/, "a space is missing after a colon"],
  [/^the stream contains non-printable|^expected valid JSON/, "a control character"],
  [/tag/i, "a tag that is not valid"],
  [/anchor|alias/, "an anchor or alias that is not valid"],
  [/directive/i, "a directive, which Kubernetes does not support"],
];

/** Errors that already say what is wrong. */
const PRECISE =
  /^deficient indentation|^nesting exceeded|^unknown escape|^expected hexadecimal|^tab characters|^the stream contains|^expected valid JSON/;

export interface PaddedEvents {
  readonly events: readonly Event[];
  /** The text with some lines indented further; the events' offsets refer to it. */
  readonly padded: string;
  readonly pads: readonly number[];
}

/** Number of spaces in a pad; greater than any indentation that is accepted. */
const PAD = 1000;
/** Maximum number of characters to parse again because lines need a pad. */
const MAX_REREAD = 5_000_000;

/**
 * Parses a text into events. YAML 1.2 requires every line inside brackets or quotes to be indented
 * further than their key; go-yaml does not. White space at the start of such a line has no meaning,
 * so a line that js-yaml rejects gets more of it. js-yaml also rejects a tab before or within
 * brackets; go-yaml does not, so js-yaml gets a space there.
 */
export function readEvents(text: string, base: number, fail: Fail): PaddedEvents {
  const pads: number[] = [];
  let padded = text;
  /** The same, or with spaces for tabs. Scalars are read from `padded`, and keep their tabs. */
  let spaced = text;
  for (let reread = 0; ; reread += padded.length) {
    try {
      return { events: parseEvents(spaced, { maxDepth: MAX_DEPTH }), padded, pads };
    } catch (error) {
      if (!(error instanceof YAMLException)) throw error;
      const position = error.mark?.position ?? 0;
      const line =
        Math.max(padded.lastIndexOf("\n", position - 1), padded.lastIndexOf("\r", position - 1)) +
        1;
      const lead = padded.slice(line, position);
      const isDeficient = error.reason === "deficient indentation";
      const tabless = isDeficient && spaced === padded ? withoutTabs(padded) : spaced;
      if (tabless !== spaced) {
        spaced = tabless;
        continue;
      }
      const shallow = isDeficient && /^[ \t]{0,999}$/.test(lead);
      if (!shallow || padded.startsWith("...", line) || reread > MAX_REREAD) {
        const { reason, offset, field } = faultOf(error.reason, padded, position);
        fail(reason, base + unpad(offset, pads), undefined, field);
      }
      pads.push(unpad(line, pads));
      padded = padded.slice(0, line) + " ".repeat(PAD) + padded.slice(line);
      spaced = spaced.slice(0, line) + " ".repeat(PAD) + spaced.slice(line);
    }
  }
}

/** Replaces every tab that is not at the start of its line with a space. */
function withoutTabs(text: string): string {
  if (!text.includes("\t")) return text;
  return text.replace(/[^\r\n]+/g, (line) => {
    const lead = line.search(/[^ \t]/);
    return lead === -1 ? line : line.slice(0, lead) + line.slice(lead).replaceAll("\t", " ");
  });
}

function faultOf(parserReason: string, text: string, position: number): LineFault {
  const fault = /within a double quoted scalar$/.test(parserReason)
    ? faultOfOpenQuote(text, position, '"')
    : /within a single quoted scalar$/.test(parserReason)
      ? faultOfOpenQuote(text, position, "'")
      : /within a flow collection$|^missed comma/.test(parserReason)
        ? faultOfOpenBracket(text, position)
        : PRECISE.test(parserReason)
          ? undefined
          : faultOfLine(text, position);
  if (fault !== undefined) return fault;
  const reason = REASONS.find(([pattern]) => pattern.test(parserReason))?.[1] ?? "not valid YAML";
  return { reason, offset: position, field: undefined };
}

/** Maps an offset to the original text; `pads` are the starts there of padded lines, ascending. */
export function unpad(offset: number, pads: readonly number[]): number {
  let shift = 0;
  for (const start of pads) {
    if (offset <= start + shift) break;
    if (offset < start + shift + PAD) return start;
    shift += PAD;
  }
  return offset - shift;
}

/** Replaces every position in the tree with `move` of it. */
export function moveTree(root: Node, move: (offset: number) => number): void {
  const seen = new Set<object>();
  const visit = (node: Node | Entry): void => {
    if (seen.has(node)) return;
    seen.add(node);
    const spot = node as unknown as { start: number; end: number; keyEnd: number };
    spot.start = move(spot.start);
    if ("type" in node) spot.end = move(spot.end);
    else {
      spot.keyEnd = move(spot.keyEnd);
      visit(node.keyNode);
      visit(node.value);
      return;
    }
    if (node.type === "alias") visit(node.target);
    else if (node.type === "sequence") node.items.forEach(visit);
    else if (node.type === "mapping") node.entries.forEach(visit);
  };
  visit(root);
}
