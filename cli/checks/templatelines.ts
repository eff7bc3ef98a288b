// Finds Secrets by the lines of a text that no parser reads, such as a chart's template.

import { isHarmless, unquoted } from "./placeholders.ts";

/** The kind of a Secret on a line of its own, also as the result of a template. */
const SECRET_LINE =
  /^( *(?:- +)?)["']?kind["']?: *(?:["']?Secret["']?|\{\{(?=[^\n]*\bSecret\b)[^\n]*\}\}) *(?:#.*)?$/;

/** A line of a chart's template. */
interface TemplateLine {
  readonly text: string;
  readonly number: number;
  /** The text with a blank in place of a first dash. */
  readonly flat: string;
  readonly indent: number;
}

/** A Secret with values, as lines show it. */
interface SecretOfLines {
  readonly line: number;
  readonly object: string | undefined;
  /** Names of items. */
  readonly items: readonly string[];
}

/**
 * Finds Secrets in a text that is not valid YAML, such as a chart's template: its lines must look
 * exactly like a Secret. `rest`: the text without the kinds of those whose lines are all clear.
 *
 * A line is part of one object for each of its leading blanks at most, so that the time grows with
 * the text. Lines that are part of any object would break that, and say nothing: they are left out.
 */
export function readLines(text: string): { secrets: SecretOfLines[]; rest: string } {
  const all = text.split(/\r?\n/);
  const lines = all.flatMap((line, index): TemplateLine[] => {
    if (isFiller(line)) return [];
    const flat = line.replace(/^( *)-(?= )/, "$1 ");
    return [{ text: line, number: index + 1, flat, indent: indentOf(flat) }];
  });
  // Where the last object of each indentation ends: a second kind in it is the same object.
  const ends = new Map<number, number>();
  const clear = new Set<number>();
  const secrets = lines.flatMap((line, index): SecretOfLines[] => {
    const lead = SECRET_LINE.exec(line.text)?.[1];
    if (lead === undefined || index < (ends.get(lead.length) ?? 0)) return [];
    const { own, end } = linesOfObject(lines, index, lead.length);
    ends.set(lead.length, end);
    const fields = FIELDS.map((field) => itemsInLines(own, lead.length, field));
    const isClear = hasPlainKeys(own, lead.length) && fields.every((each) => each.isClear);
    if (isClear) clear.add(line.number);
    const items = [...new Set(fields.flatMap((each) => each.items))];
    const name = own.flatMap(
      (each) => /^ +name: *["']?([-.a-z0-9]+)["']? *$/.exec(each)?.[1] ?? [],
    );
    return items.length === 0 ? [] : [{ line: line.number, object: name[0], items }];
  });
  return { secrets, rest: all.filter((_, index) => !clear.has(index + 1)).join("\n") };
}

const FIELDS = ["data", "stringData"] as const;

/**
 * Whether each line at an object's own indentation begins with a plain key, and its items follow in a
 * form that `itemsInLines` reads.
 */
function hasPlainKeys(lines: readonly string[], indent: number): boolean {
  const isOdd = new RegExp(
    `^ {${indent}}(?:[^A-Za-z {}#-]|(?=(?:data|stringData)\\b)(?!(?:data|stringData): *(?:$|#|\\{\\{|\\{(?:.*)\\} *(?:$|#))))`,
  );
  return !lines.some((line) => !/^ *["']?kind\b/.test(line) && isOdd.test(line));
}

const FILLERS = [
  /^\s*(?:$|#)/,
  /^\s*\{\{(?!.*\}\}["']?:(?:\s|$))/,
  // Of Jinja, Terraform and ERB. What prints something is no filler.
  /^\s*\{%(?:(?!%\}).)*%\}\s*$/,
  /^\s*\{#(?:(?!#\}).)*#\}\s*$/,
  /^\s*%\{(?:(?!\}).)*\}\s*$/,
  /^\s*<%(?!=)(?:(?!%>).)*%>\s*$/,
  /^(?:<{7}|\|{7}|={7}|>{7})(?:\s|$)/,
];

/**
 * Whether a line may stand anywhere in an object: blank, a comment, an action of the template, or a mark
 * of a conflict.
 */
function isFiller(line: string): boolean {
  return FILLERS.some((filler) => filler.test(line));
}

const indentOf = (line: string): number => /^ */.exec(line)?.[0].length ?? 0;

/** The lines of the object with a key on line `index`, without the dashes of a list. */
function linesOfObject(
  lines: readonly TemplateLine[],
  index: number,
  indent: number,
): { own: string[]; end: number } {
  const isInside = (line: TemplateLine | undefined): boolean =>
    line !== undefined && line.indent >= indent;
  const begins = (line: TemplateLine | undefined): boolean =>
    line?.indent === indent && line.text !== line.flat;
  let from = index;
  while (!begins(lines[from]) && isInside(lines[from - 1])) from--;
  let to = index + 1;
  while (isInside(lines[to]) && !begins(lines[to])) to++;
  return { own: lines.slice(from, to).map(({ flat }) => flat), end: to };
}

/**
 * Names of a field's items that have a value, in block form or as `{name: value}`. `isClear`: whether
 * no line among them has another form.
 */
function itemsInLines(
  lines: readonly string[],
  indent: number,
  field: (typeof FIELDS)[number],
): { items: string[]; isClear: boolean } {
  const head = new RegExp(`^ {${indent}}${field}: *(?:#.*)?$`);
  const flow = new RegExp(`^ {${indent}}${field}: *\\{(?!\\{)(.*)\\}`);
  const isBase64 = field === "data";
  const values: [string, string][] = [];
  let inner: number | undefined;
  let isClear = true;
  for (const [at, line] of lines.entries()) {
    const inBraces = flow.exec(line)?.[1];
    for (const [, item = "", value = ""] of inBraces?.matchAll(
      /(?<![-._\w])([-._\w]+)["']?: *([^,]+)/g,
    ) ?? []) {
      values.push([item, value]);
    }
    if (head.test(line)) {
      let below = at + 1;
      while (below < lines.length && isFiller(lines[below] ?? "")) below++;
      const next = lines[below];
      inner = next !== undefined && indentOf(next) > indent ? indentOf(next) : undefined;
      continue;
    }
    if (isFiller(line) || inner === undefined) continue;
    const here = indentOf(line);
    if (here < inner) {
      // Between the two, it may be an item whose indentation is wrong.
      if (here > indent) isClear = false;
      inner = undefined;
    } else if (here === inner) {
      const entry = /^ *["']?([-._\w]+|\{\{.*?\}\}|\$\{[^{}]*\}|<%=.*?%>)["']?:(?: +(.*))?$/.exec(
        line,
      );
      if (entry === null) isClear = false;
      else values.push([entry[1] ?? "", entry[2] ?? ""]);
    } else {
      // The value continues: a block of text, or a value on its own line.
      const last = values.at(-1);
      if (last !== undefined) last[1] += `\n${line.trim()}`;
    }
  }
  const items = values.flatMap(([item, written]) => {
    const value = unquoted(written.trim().replace(/^[|>][-+0-9]*(?= *#|\n|$)|(^| )#[^\n]*/g, ""));
    return /^(null|~)?$/.test(value) || isHarmless(value, isBase64) ? [] : [item];
  });
  return { items, isClear };
}
