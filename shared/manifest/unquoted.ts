// Explains why a line that is not valid YAML fails: mostly a value that needs quotes.

/** A fault of a line. The reason names characters that mean something to YAML, and no other text. */
export interface LineFault {
  readonly reason: string;
  readonly offset: number;
  /** The keys that lead to the value, where the indentation tells them. */
  readonly field: string | undefined;
}

const BLOCK_HEADER = /^[|>][-+0-9]{0,2}(?:[ \t]+#.*)?$/;
const PARENT = /^ *(?:- +)*(\S+):[ \t]*(?:#.*)?\r?$/;
const NAME = /^[-._a-zA-Z0-9]+$/;

/** Finds what is wrong with the value on the line of `position`, where a parser gave up. */
export function faultOfLine(text: string, position: number): LineFault | undefined {
  const start = lineStart(text, position);
  const { key, indent, isValue, value, at } = splitLine(text.slice(start, lineEnd(text, position)));
  const reason = isValue && value !== "" ? whyQuotesAreNeeded(value) : undefined;
  if (reason === undefined) return undefined;
  return { reason, offset: start + at, field: fieldOf(text, start, key, indent) };
}

/**
 * Finds the quote that is not closed before `position`: a parser gives up where the text ends. Every
 * quote of the same kind that follows it is escaped.
 */
export function faultOfOpenQuote(text: string, position: number, quote: '"' | "'"): LineFault {
  let opener = position;
  if (quote === "'") {
    for (let end = position; opener === position && end > 0;) {
      const last = text.lastIndexOf("'", end - 1);
      let first = last;
      while (text[first - 1] === "'") first--;
      if (last === -1 || (last - first) % 2 === 0) opener = Math.max(0, first);
      end = first;
    }
  } else {
    for (let at = text.lastIndexOf('"', position - 1); at !== -1;) {
      let slashes = 0;
      while (text[at - 1 - slashes] === "\\") slashes++;
      if (slashes % 2 === 0) {
        opener = at;
        break;
      }
      at = at === 0 ? -1 : text.lastIndexOf('"', at - 1);
    }
  }
  const start = lineStart(text, opener);
  const { key, indent } = splitLine(text.slice(start, lineEnd(text, opener)));
  const field = fieldOf(text, start, key, indent);
  return { reason: `a quote (${quote}) is not closed`, offset: opener, field };
}

/**
 * Finds the line whose value begins with a bracket that was meant as text: it is not closed on its
 * line, and the bracket is not alone there.
 */
export function faultOfOpenBracket(text: string, position: number): LineFault | undefined {
  for (let end = position; end >= 0;) {
    const start = lineStart(text, end);
    const { key, indent, value, at } = splitLine(text.slice(start, lineEnd(text, end)));
    if (/^[[{]/.test(value)) {
      if (/[\]},:[{]$/.test(value)) return undefined;
      const reason = `a bracket or brace (${value.charAt(0)}) is not closed: if it is text, put it in quotes`;
      return { reason, offset: start + at, field: fieldOf(text, start, key, indent) };
    }
    end = start - 1;
  }
  return undefined;
}

/** Why YAML does not read an unquoted value as text; undefined if it may. */
function whyQuotesAreNeeded(value: string): string | undefined {
  const first = value.charAt(0);
  if (first === '"' || first === "'") return whyQuoteEnds(value, first);
  if (/^[-?:](?:\s|$)/.test(value)) return beginsWith(value.slice(0, 2).trimEnd());
  if (/^[@`%,\]}&*!]/.test(value)) return beginsWith(first);
  if (/^[|>]/.test(value)) return BLOCK_HEADER.test(value) ? undefined : beginsWith(first);
  if (/^[[{]/.test(value)) return hasTextBehindBrackets(value) ? beginsWith(first) : undefined;
  if (/:[ \t]/.test(value)) return 'a value with ": " in it must be in quotes';
  return value.endsWith(":") ? 'a value that ends with ":" must be in quotes' : undefined;
}

function beginsWith(characters: string): string {
  return `a value that begins with "${characters}" must be in quotes`;
}

function whyQuoteEnds(value: string, quote: string): string | undefined {
  let at = 1;
  for (; at < value.length; at++) {
    if (quote === '"' && value[at] === "\\") at++;
    else if (value[at] === quote) {
      if (quote === '"' || value[at + 1] !== quote) break;
      at++;
    }
  }
  if (/^(?:\s*|\s+#.*)$/.test(value.slice(at + 1))) return undefined;
  const escaped = quote === '"' ? '\\"' : "''";
  return `text after a closing quote (${quote}): within these quotes, write a quote as ${escaped}`;
}

function hasTextBehindBrackets(value: string): boolean {
  let depth = 0;
  for (let at = 0; at < value.length; at++) {
    if (/[[{]/.test(value.charAt(at))) depth++;
    else if (/[\]}]/.test(value.charAt(at))) depth--;
    if (depth === 0) return !/^(?:\s*|\s+#.*)$/.test(value.slice(at + 1));
  }
  return false;
}

interface Line {
  /** As written; empty if the line has none. */
  readonly key: string;
  /** The column of the key. */
  readonly indent: number;
  /** Whether `value` follows a key or the dash of a list. */
  readonly isValue: boolean;
  readonly value: string;
  /** The column of the value. */
  readonly at: number;
}

function splitLine(line: string): Line {
  const lead = /^ *(?:[-?:] +)*/.exec(line)?.[0] ?? "";
  const indent = lead.length;
  const colon = line.slice(indent).search(/:[ \t]/);
  const key = colon === -1 ? "" : line.slice(indent, indent + colon);
  const before = colon === -1 ? indent : indent + colon + 1;
  const rest = line.slice(before);
  const value = rest.trim();
  const isValue = colon !== -1 || lead.trim() !== "";
  return { key, indent, isValue, value, at: before + rest.length - rest.trimStart().length };
}

/** Undefined where the lines above do not lead to the key by their indentation. */
function fieldOf(text: string, start: number, key: string, indent: number): string | undefined {
  if (!NAME.test(key)) return undefined;
  const path = [key];
  let column = indent;
  for (let end = start - 1; end >= 0 && column > 0;) {
    const from = lineStart(text, end);
    const line = text.slice(from, end);
    end = from - 1;
    const lead = line.length - line.trimStart().length;
    if (lead >= column || /^\s*(?:#.*)?$/.test(line)) continue;
    const parent = PARENT.exec(line)?.[1];
    if (parent === undefined && path.length === 1) return undefined;
    if (parent === undefined || !NAME.test(parent)) break;
    path.unshift(parent);
    column = lead;
  }
  return (path[0] === "items" ? path.slice(1) : path).join(".");
}

function lineStart(text: string, offset: number): number {
  return offset === 0 ? 0 : text.lastIndexOf("\n", offset - 1) + 1;
}

function lineEnd(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end === -1 ? text.length : end;
}
