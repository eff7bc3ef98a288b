// Reads env files as Docker Compose and dotenv do: quotes, escapes, `export`, comments, several lines.
// What the two read differently is refused, except for escapes, which are those of Compose.
// SPEC.md, "Command line", "Values".

import { SignetError } from "../../shared/errors.ts";

export interface EnvEntry {
  readonly name: string;
  /** Undefined where the line is a name alone: the environment has the value. */
  readonly value: string | undefined;
  /** Line in the file, starting at 1. */
  readonly line: number;
}

/** A line up to its value: `NAME=`, `NAME: ` or `NAME` alone, with or without `export`. */
const HEAD =
  /^[ \t]*(?:export[ \t]+)?([-._a-zA-Z][-._a-zA-Z0-9]*)(?:[ \t]*=[ \t]*|[ \t]*:(?=[ \t]|$)[ \t]*|[ \t]+(?=#)|[ \t]*$)/;
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  "\\": "\\",
  '"': '"',
  $: "$",
};

interface Reader {
  readonly text: string;
  at: number;
  line: number;
}

/** @throws SignetError secret-invalid, which names the line and quotes nothing */
export function parseDotenv(text: string): EnvEntry[] {
  const reader: Reader = { text: text.replace(/\r\n?/g, "\n"), at: 0, line: 1 };
  const entries: EnvEntry[] = [];
  for (; reader.at < reader.text.length; reader.line++) {
    const rest = restOfLine(reader);
    if (/^\s*(?:#|$)/.test(rest)) {
      reader.at += rest.length + 1;
      continue;
    }
    const { line } = reader;
    const [head, name] = HEAD.exec(rest) ?? [];
    if (head === undefined || name === undefined) {
      throw fault(line, "does not begin with the name of a variable", {
        hint: "a line is NAME=VALUE; a comment begins with #",
      });
    }
    const isBare = !/[=:][ \t]*$/.test(head);
    reader.at += head.length;
    const value = isBare ? undefined : readValue(reader);
    endLine(reader);
    entries.push({ name, value, line });
  }
  return entries;
}

function readValue(reader: Reader): string {
  const quote = reader.text.charAt(reader.at);
  if (quote === '"') return readDoubleQuoted(reader);
  if (quote === "'" || quote === "`") return readLiteral(reader, quote);
  return readUnquoted(reader);
}

/** Backslashes are ordinary characters, except before a quote that would end the value. */
function readLiteral(reader: Reader, quote: string): string {
  const { text, line } = reader;
  let value = "";
  for (let at = reader.at + 1; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === quote) {
      advance(reader, at + 1);
      return value;
    }
    const isEscape = char === "\\" && text[at + 1] === quote;
    if (isEscape) at++;
    value += isEscape ? quote : char;
  }
  throw notClosed(line, quote);
}

function readDoubleQuoted(reader: Reader): string {
  const { text, line } = reader;
  let value = "";
  for (let at = reader.at + 1; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') {
      advance(reader, at + 1);
      return value;
    }
    if (char === "$") checkNoVariable(text, at, line);
    if (char !== "\\") {
      value += char;
      continue;
    }
    const escaped = ESCAPES[text.charAt(++at)];
    if (escaped === undefined) {
      throw fault(line, "has an unknown escape after a backslash", {
        hint: 'known are \\n, \\r, \\t, \\\\, \\" and \\$; in single quotes a backslash is itself',
      });
    }
    value += escaped;
  }
  throw notClosed(line, '"');
}

function readUnquoted(reader: Reader): string {
  const { line } = reader;
  const rest = restOfLine(reader);
  const comment = rest.search(/(?:^|[ \t])#/);
  const value = (comment === -1 ? rest : rest.slice(0, comment)).trim();
  const isComment = /^[ \t]*#/.test(rest);
  // `NAME=#x` and `NAME=a#b`: dotenv begins a comment here, Compose does not.
  if (value.includes("#") || (isComment && /[=:]$/.test(reader.text.charAt(reader.at - 1)))) {
    throw fault(line, "has a # that Compose and dotenv read differently", {
      hint: "put the value in quotes, or a space before the comment",
    });
  }
  for (let at = value.indexOf("$"); at !== -1; at = value.indexOf("$", at + 1)) {
    checkNoVariable(value, at, line);
  }
  reader.at += comment === -1 ? rest.length : comment;
  return value;
}

/** Compose replaces a variable, dotenv does not. @throws SignetError secret-invalid */
function checkNoVariable(text: string, at: number, line: number): void {
  if (!/[\w{$]/.test(text.charAt(at + 1))) return;
  throw fault(line, "has a $ that Compose and dotenv read differently", {
    hint: "in single quotes, a $ is literal",
  });
}

/** Only a comment may follow a value. */
function endLine(reader: Reader): void {
  const rest = restOfLine(reader);
  if (!/^[ \t]*(?:#.*)?$/.test(rest)) {
    throw fault(reader.line, "has text after the closing quote", {
      hint: "within quotes, write a quote as \\\" or \\'",
    });
  }
  reader.at += rest.length + 1;
}

function advance(reader: Reader, to: number): void {
  for (let at = reader.at; at < to; at++) if (reader.text[at] === "\n") reader.line++;
  reader.at = to;
}

function restOfLine({ text, at }: Reader): string {
  const end = text.indexOf("\n", at);
  return text.slice(at, end === -1 ? text.length : end);
}

function notClosed(line: number, quote: string): SignetError {
  return fault(line, `a quote (${quote}) is not closed`);
}

function fault(
  line: number,
  reason: string,
  details: { readonly hint?: string } = {},
): SignetError {
  return new SignetError("secret-invalid", reason, { ...details, place: { line } });
}
