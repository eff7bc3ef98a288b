// Finds Secrets by the lines of a text that no parser reads, such as a chart's template.

import { isHarmless, unquoted } from "./placeholders.ts";

/** The kind of a Secret on a line of its own, also as the result of a template. */
const SECRET_LINE =
  /^( *(?:- +)?)["']?kind["']?: *(?:["']?Secret["']?|\{\{(?=[^\n]*\bSecret\b)[^\n]*\}\}) *(?:#.*)?$/;

/**
 * A line of a chart's template. Its leading blanks are counted once, since many objects may have it.
 */
interface TemplateLine {
  readonly text: string;
  readonly number: number;
  /** The leading blanks, and the dash of a list among them. */
  readonly indent: number;
  /** What follows them. */
  readonly body: string;
  readonly hasDash: boolean;
  /** Whether the body says nothing, as in `- # comment`. */
  readonly isFiller: boolean;
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
    const lead = /^ *(?:- +)?/.exec(line)?.[0] ?? "";
    const body = line.slice(lead.length);
    const hasDash = lead.includes("-");
    const isEmptyItem = hasDash && isFiller(body);
    return [
      { text: line, number: index + 1, indent: lead.length, body, hasDash, isFiller: isEmptyItem },
    ];
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
    const name = own.flatMap(({ indent, body }) =>
      indent > 0 ? (/^name: *["']?([-.a-z0-9]+)["']? *$/.exec(body)?.[1] ?? []) : [],
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
function hasPlainKeys(lines: readonly TemplateLine[], indent: number): boolean {
  return !lines.some(
    (line) => line.indent === indent && !/^["']?kind\b/.test(line.body) && ODD_KEY.test(line.body),
  );
}

const ODD_KEY =
  /^(?:[^A-Za-z {}#-]|(?=(?:data|stringData)\b)(?!(?:data|stringData): *(?:$|#|\{\{|\{(?:.*)\} *(?:$|#))))/;

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
  return /^\s*(?:$|[#{%<|=>])/.test(line) && FILLERS.some((filler) => filler.test(line));
}

/** The lines of the object with a key on line `index`. */
function linesOfObject(
  lines: readonly TemplateLine[],
  index: number,
  indent: number,
): { own: readonly TemplateLine[]; end: number } {
  const isInside = (line: TemplateLine | undefined): boolean =>
    line !== undefined && line.indent >= indent;
  const begins = (line: TemplateLine | undefined): boolean =>
    line?.indent === indent && line.hasDash;
  let from = index;
  while (!begins(lines[from]) && isInside(lines[from - 1])) from--;
  let to = index + 1;
  while (isInside(lines[to]) && !begins(lines[to])) to++;
  return { own: lines.slice(from, to), end: to };
}

/**
 * Names of a field's items that have a value, in block form or as `{name: value}`. `isClear`: whether
 * no line among them has another form.
 */
function itemsInLines(
  lines: readonly TemplateLine[],
  indent: number,
  field: (typeof FIELDS)[number],
): { items: string[]; isClear: boolean } {
  const head = new RegExp(`^${field}: *(?:#.*)?$`);
  const flow = new RegExp(`^${field}: *\\{(?!\\{)(.*)\\}`);
  const isBase64 = field === "data";
  const values: [string, string][] = [];
  let inner: number | undefined;
  let isClear = true;
  for (const [at, line] of lines.entries()) {
    const isOwn = line.indent === indent;
    const inBraces = isOwn ? flow.exec(line.body)?.[1] : undefined;
    for (const [, item = "", value = ""] of inBraces?.matchAll(
      /(?<![-._\w])([-._\w]+)["']?: *([^,]+)/g,
    ) ?? []) {
      values.push([item, value]);
    }
    if (isOwn && head.test(line.body)) {
      let below = at + 1;
      while (lines[below]?.isFiller === true) below++;
      const next = lines[below]?.indent ?? 0;
      inner = next > indent ? next : undefined;
      continue;
    }
    if (line.isFiller || inner === undefined) continue;
    const here = line.indent;
    if (here < inner) {
      // Between the two, it may be an item whose indentation is wrong.
      if (here > indent) isClear = false;
      inner = undefined;
    } else if (here === inner) {
      const entry = /^["']?([-._\w]+|\{\{.*?\}\}|\$\{[^{}]*\}|<%=.*?%>)["']?:(?: +(.*))?$/.exec(
        line.body,
      );
      if (entry === null) isClear = false;
      else values.push([entry[1] ?? "", entry[2] ?? ""]);
    } else {
      // The value continues: a block of text, or a value on its own line.
      const last = values.at(-1);
      if (last !== undefined) last[1] += `\n${line.body.trim()}`;
    }
  }
  const items = values.flatMap(([item, written]) => {
    const value = unquoted(written.trim().replace(/^[|>][-+0-9]*(?= *#|\n|$)|(^| )#[^\n]*/g, ""));
    return /^(null|~)?$/.test(value) || isHarmless(value, isBase64) ? [] : [item];
  });
  return { items, isClear };
}
