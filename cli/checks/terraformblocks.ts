// Reads Terraform's own language as far as needed: blocks, as the objects that its JSON has for them.

import { SignetError } from "../../shared/errors.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { type Json, lineCounter } from "../../shared/manifest/manifest.ts";
import { MAX_DEPTH } from "../../shared/manifest/tree.ts";

export interface TerraformBlock {
  /** Such as `{resource: {TYPE: {NAME: {...}}}}`. An expression is text: `${var.password}`. */
  readonly object: JsonObject;
  /** The line on which the object at a path begins. */
  readonly lineAt: (path: readonly string[]) => number;
}

/** The first line of a block that may have a Secret in it. Labels may be without quotes. */
const HEADER =
  /^[ \t]*(?=(?:(?:resource|data)[ \t]+"?[\w-]+"?[ \t]+"?[\w-]+"?|module[ \t]+"?[\w-]+"?|locals)[ \t]*\{)/gm;
/** What a file of Terraform or Terragrunt begins with: comments, and a block. */
const BEGINNING =
  /^(?:[ \t\r]*(?:(?:#|\/\/)[^\n]*)?\n|[ \t]*\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\/)*[ \t]*(?:resource|data|module|provider|variable|output|locals|terraform|moved|import|removed|check|include|dependency|generate|remote_state)\b[ \t"\w./-]*\{/;

/** Whether a text is a file of Terraform, and so no manifest. */
export function isTerraform(text: string): boolean {
  return BEGINNING.test(text);
}

/**
 * The blocks of a text that may declare Secrets, wherever they are in it. It is read once.
 * @throws SignetError manifest-syntax where it is nested too deeply
 */
export function terraformBlocks(text: string): TerraformBlock[] {
  if (!/kubernetes_secret|\bSecret\b/.test(text)) return [];
  const lineOf = lineCounter(text);
  const reader = new Reader(text);
  const blocks: TerraformBlock[] = [];
  for (const { index, 0: blanks } of text.matchAll(HEADER)) {
    if (index < reader.at) continue;
    const object = reader.blockAt(index + blanks.length);
    blocks.push({ object, lineAt: (path) => lineOf(reader.offsetOf(object, path)) });
  }
  return blocks;
}

/** Members that hold the items of a Secret. */
const ITEMS = /^(?:(?:binary_)?data(?:_wo)?|stringData)$/;
/** Functions whose result has what they are given in it. */
const WRAPPER = /(?:yamlencode|jsonencode|sensitive|nonsensitive|tomap|merge)[ \t]*\(/y;
const WORD = /[\w.-]+/y;
const HEREDOC = /<<-?([A-Za-z_][\w-]*)[ \t\r]*\n/y;
const FOR = /\s*for\b/y;
const LITERAL = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?)(?![\w.(])/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/** Resources have few labels. */
const MAX_LABELS = 3;

/** What a value is part of: an item of a Secret, what is encoded as an item, or neither. */
type Part = "item" | "encoded" | "other";

/** Goes through a text once, from block to block. */
class Reader {
  at = 0;
  readonly #text: string;
  readonly #offsets = new WeakMap<object, number>();

  constructor(text: string) {
    this.#text = text;
  }

  /** The block that begins at an offset. */
  blockAt(offset: number): JsonObject {
    this.at = offset;
    const members = new Map<string, Json>();
    this.#member(members, 0, "other");
    return this.#objectOf(members, offset);
  }

  offsetOf(object: JsonObject, path: readonly string[]): number {
    let offset = this.#offsets.get(object) ?? 0;
    let value: Json | undefined = object;
    for (const key of path) {
      value = (value as JsonObject)[key];
      if (typeof value !== "object" || value === null) break;
      offset = this.#offsets.get(value) ?? offset;
    }
    return offset;
  }

  #objectOf(members: ReadonlyMap<string, Json>, offset: number): JsonObject {
    const object = Object.fromEntries(members);
    this.#offsets.set(object, offset);
    return object;
  }

  /** Moves on if the text goes on with a form. */
  #take(form: RegExp): RegExpExecArray | null {
    form.lastIndex = this.at;
    const found = form.exec(this.#text);
    if (found !== null) this.at = form.lastIndex;
    return found;
  }

  /** Blanks and comments. `hasLines`: line ends and commas too. */
  #blanks(hasLines: boolean): void {
    const form = hasLines ? /[\s,]*/y : /[ \t\r]*/y;
    for (;;) {
      this.#take(form);
      const isLine = this.#text[this.at] === "#" || this.#text.startsWith("//", this.at);
      if (!isLine && !this.#text.startsWith("/*", this.at)) return;
      const end = this.#text.indexOf(isLine ? "\n" : "*/", this.at + 1);
      this.at = end === -1 ? this.#text.length : end + (isLine ? 0 : 2);
    }
  }

  /** What is between braces, of a block or an object, up to the closing one. */
  #members(depth: number, part: Part): Map<string, Json> {
    checkDepth(depth);
    const members = new Map<string, Json>();
    for (;;) {
      this.#blanks(true);
      if (this.at >= this.#text.length) return members;
      if (this.#text[this.at] === "}") {
        this.at++;
        return members;
      }
      this.#member(members, depth, part);
    }
  }

  /** An attribute, or a block with its labels. Moves on by at least one character. */
  #member(members: Map<string, Json>, depth: number, around: Part): void {
    const offset = this.at;
    const names: string[] = [];
    for (;;) {
      const name = this.#name();
      if (name === null) break;
      names.push(name);
      this.#blanks(false);
    }
    const next = this.#text[this.at];
    const [first = ""] = names;
    const part = around === "other" && names.length === 1 && ITEMS.test(first) ? "item" : around;
    if (next === "{") {
      this.at++;
      let value: Json = this.#objectOf(this.#members(depth + 1, part), offset);
      for (const label of names.slice(1, 1 + MAX_LABELS).reverse()) {
        value = this.#objectOf(new Map([[label, value]]), offset);
      }
      add(members, first, value);
    } else if ((next === "=" || next === ":") && names.length === 1) {
      this.at++;
      members.set(first, this.#expression(depth, part, false));
    } else if (names.length === 0 || next !== "\n") {
      this.at++;
    }
  }

  /** A name, in quotes or in brackets, or a label. */
  #name(): string | null {
    const start = this.at;
    const next = this.#text[start];
    if (next === '"') return this.#quoted();
    if (next !== "(") return this.#take(WORD)?.[0] ?? null;
    this.at++;
    this.#skip(true);
    this.at++;
    return asHole(this.#text.slice(start + 1, this.at - 1));
  }

  /** `isWithin`: in brackets, where it may go over several lines. */
  #expression(depth: number, part: Part, isWithin: boolean): Json {
    this.#blanks(isWithin);
    const start = this.at;
    const value = this.#operand(depth, part);
    const end = this.at;
    this.#skip(isWithin);
    // Behind it is nothing but a comment, if it is the whole expression.
    const rest = this.#text.slice(end, this.at).trim();
    if (value !== undefined && (rest === "" || /^(?:#|\/[/*])/.test(rest))) return value;
    return asHole(this.#text.slice(start, this.at));
  }

  /** Undefined for what is no literal. */
  #operand(depth: number, part: Part): Json | undefined {
    const start = this.at;
    const next = this.#text[start];
    if (next === '"') return this.#quoted();
    if (next === "<") return this.#heredoc(part);
    if (next === "{" || next === "[") {
      this.at++;
      if (this.#take(FOR) !== null) {
        this.at = start;
        return undefined;
      }
      return next === "{"
        ? this.#objectOf(this.#members(depth + 1, part), start)
        : this.#list(depth + 1, part, "]");
    }
    const call = this.#take(WRAPPER)?.[0];
    if (call !== undefined) return this.#wrapped(call, depth + 1, part);
    const literal = this.#take(LITERAL)?.[0];
    return literal === undefined ? undefined : (JSON.parse(literal) as Json);
  }

  #list(depth: number, part: Part, end: string): Json[] {
    checkDepth(depth);
    const values: Json[] = [];
    for (;;) {
      this.#blanks(true);
      if (this.at >= this.#text.length) return values;
      if (this.#text[this.at] === end) {
        this.at++;
        return values;
      }
      const before = this.at;
      values.push(this.#expression(depth, part, true));
      // Another bracket than the one that closes the list.
      if (this.at === before) this.at++;
    }
  }

  /** What a function is given. As an item of a Secret, what it encodes is text. */
  #wrapped(call: string, depth: number, part: Part): Json {
    const start = this.at - call.length;
    const isText = part === "item" && /^(?:json|yaml)encode/.test(call);
    // Text within text would double its escapes with each level.
    const values = this.#list(depth, isText ? "encoded" : part, ")");
    const objects = values.filter((each) => typeof each === "object" && each !== null);
    const [only = null] = values;
    if (call.startsWith("merge")) {
      const entries = objects.flatMap((each) => Object.entries(each));
      return this.#objectOf(new Map(entries), start);
    }
    return isText && typeof only === "object" ? JSON.stringify(only) : only;
  }

  /** A text of several lines. Only the items of a Secret have theirs here: others are read on their own. */
  #heredoc(part: Part): string | undefined {
    const [, word = ""] = this.#take(HEREDOC) ?? [];
    if (word === "") return undefined;
    const start = this.at;
    const end = new RegExp(`^[ \\t]*${word}[ \\t\\r]*$`, "gm");
    end.lastIndex = start;
    const found = end.exec(this.#text);
    this.at = found === null ? this.#text.length : end.lastIndex;
    return part === "other" ? `\${${word}}` : this.#text.slice(start, found?.index);
  }

  #quoted(): string {
    const start = this.at + 1;
    this.#skipQuoted();
    const end = this.#text[this.at - 1] === '"' && this.at > start ? this.at - 1 : this.at;
    const text = this.#text.slice(start, end);
    return withFlatHoles(text).replace(
      /\\(.)/g,
      (_, escaped: string) => ESCAPES[escaped] ?? escaped,
    );
  }

  /** To the end of a text in quotes, which may have expressions with other texts in it. */
  #skipQuoted(): void {
    const open = ['"'];
    this.at++;
    while (open.length > 0 && this.at < this.#text.length) {
      const next = this.#text[this.at] ?? "";
      const isText = open.at(-1) === '"';
      // The text has no end: nothing is hidden behind it.
      if (isText && next === "\n") return;
      if (isText && next === "\\") this.at++;
      else if (isText && /[$%]/.test(next) && this.#text[this.at + 1] === "{") {
        if (this.#text[this.at - 1] !== next) open.push("{");
        this.at++;
      } else if (next === '"') {
        if (isText) open.pop();
        else open.push('"');
      } else if (!isText && next === "{") open.push("{");
      else if (!isText && next === "}") open.pop();
      this.at++;
    }
  }

  /** To the end of an expression: a comma, a closing bracket, or the line's end outside of brackets. */
  #skip(isWithin: boolean): void {
    let open = 0;
    while (this.at < this.#text.length) {
      const next = this.#text[this.at] ?? "";
      if (open === 0 && (/[,)\]}]/.test(next) || (next === "\n" && !isWithin))) return;
      if (next === '"') this.#skipQuoted();
      else if (next === "#" || (next === "/" && /[/*]/.test(this.#text[this.at + 1] ?? ""))) {
        this.#blanks(false);
      } else if (next === "<" && this.#heredoc("other") !== undefined) continue;
      else {
        if (/[([{]/.test(next)) open++;
        if (/[)\]}]/.test(next)) open--;
        this.at++;
      }
    }
  }
}

/** An expression without braces in it, which would end it. */
function asHole(expression: string): string {
  return `\${${expression.trim().replace(/[{}]/g, " ")}}`;
}

/** A text whose expressions have no braces in them. */
function withFlatHoles(text: string): string {
  if (!/\{[^{}]*\{/.test(text)) return text;
  let open = 0;
  return text.replace(/[$%]?\{|\}/g, (brace) => {
    if (brace === "}") return open === 0 || --open === 0 ? brace : " ";
    if (open > 0 || brace.length > 1) return open++ === 0 ? brace : " ";
    return brace;
  });
}

/** @throws SignetError manifest-syntax */
function checkDepth(depth: number): void {
  if (depth <= MAX_DEPTH) return;
  throw new SignetError("manifest-syntax", `nested deeper than ${MAX_DEPTH} levels`);
}

/** A block may be there several times. */
function add(members: Map<string, Json>, name: string, value: Json): void {
  const there = members.get(name);
  if (there === undefined) members.set(name, value);
  else if (Array.isArray(there)) there.push(value);
  else members.set(name, [there, value]);
}
