// Splits a template's source into tokens, and handles trim markers and comments.
import { isDigit, isLetter } from "./unicode.ts";
import { Fault } from "./value.ts";

export type TokenType =
  | "text"
  | "left"
  | "right"
  | "space"
  | "assign"
  | "declare"
  | "pipe"
  | "leftparen"
  | "rightparen"
  | "char"
  | "charconstant"
  | "number"
  | "string"
  | "rawstring"
  | "bool"
  | "field"
  | "variable"
  | "identifier"
  | "keyword"
  | "end";

export interface Token {
  readonly type: TokenType;
  readonly text: string;
  readonly line: number;
}

const KEYWORDS = new Set(
  ". block break continue define else end if range nil template with".split(" "),
);
const LEFT = "{{";
const RIGHT = "}}";
const SPACES = /^[ \t\r\n]+/;

/** A Fault with its line in the source. */
export class SourceFault extends Fault {
  readonly line: number;
  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** Splits a source into tokens; the last one has type `end`. @throws SourceFault */
export function tokenize(source: string): Token[] {
  return new Lexer(source).tokenize();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;

  constructor(source: string) {
    this.#source = source;
  }

  tokenize(): Token[] {
    const source = this.#source;
    for (;;) {
      const open = source.indexOf(LEFT, this.#at);
      if (open < 0) {
        if (this.#at < source.length) this.#emit("text", source.length);
        this.#tokens.push({ type: "end", text: "", line: this.#line });
        return this.#tokens;
      }
      const trims = source[open + 2] === "-" && isSpaceAt(source, open + 3);
      let end = open;
      if (trims) while (end > this.#at && isSpaceAt(source, end - 1)) end -= 1;
      if (end > this.#at) this.#emit("text", end);
      this.#skip(open);
      const inside = open + (trims ? 4 : 2);
      if (source.startsWith("/*", inside)) {
        this.#skip(inside);
        this.#comment();
        continue;
      }
      this.#emit("left", open + 2);
      this.#skip(inside);
      this.#action();
    }
  }

  #skip(end: number): string {
    const text = this.#source.slice(this.#at, end);
    this.#at = end;
    for (const char of text) if (char === "\n") this.#line += 1;
    return text;
  }

  #emit(type: TokenType, end: number): void {
    const line = this.#line;
    this.#tokens.push({ type, text: this.#skip(end), line });
  }

  #trimAfter(): void {
    this.#skip(this.#at + (SPACES.exec(this.#source.slice(this.#at))?.[0].length ?? 0));
  }

  /** Returns the length of the right delimiter here, trim marker included; 0 if there is none. */
  #rightHere(): number {
    const at = this.#at;
    if (this.#source.startsWith(RIGHT, at)) return 2;
    const marked = isSpaceAt(this.#source, at) && this.#source[at + 1] === "-";
    return marked && this.#source.startsWith(RIGHT, at + 2) ? 4 : 0;
  }

  #comment(): void {
    const close = this.#source.indexOf("*/", this.#at + 2);
    if (close < 0) throw new SourceFault("unclosed comment", this.#line);
    this.#skip(close + 2);
    const right = this.#rightHere();
    if (right === 0) throw new SourceFault("a comment ends before its delimiter", this.#line);
    this.#skip(this.#at + right);
    if (right === 4) this.#trimAfter();
  }

  #action(): void {
    let parens = 0;
    for (;;) {
      const right = this.#rightHere();
      if (right > 0) {
        if (parens > 0) throw new SourceFault("unclosed left parenthesis", this.#line);
        this.#endAction(right);
        return;
      }
      const char = this.#source.charAt(this.#at);
      if (char === "") throw new SourceFault("unclosed action", this.#line);
      if (isSpaceAt(this.#source, this.#at)) {
        this.#space();
        continue;
      }
      if (char === "(") parens += 1;
      if (char === ")" && --parens < 0) {
        throw new SourceFault("unexpected right parenthesis", this.#line);
      }
      const { type, end } = scan(this.#source, this.#at, this.#line);
      this.#emit(type, end);
    }
  }

  #space(): void {
    let end = this.#at;
    while (isSpaceAt(this.#source, end)) end += 1;
    // The last space may belong to a trim marker.
    if (this.#source[end] === "-" && this.#source.startsWith(RIGHT, end + 1)) end -= 1;
    this.#emit("space", end);
  }

  #endAction(length: number): void {
    this.#skip(this.#at + length - 2);
    this.#emit("right", this.#at + 2);
    if (length === 4) this.#trimAfter();
  }
}

function isSpaceAt(source: string, at: number): boolean {
  return /[ \t\r\n]/.test(source.charAt(at));
}

function scan(source: string, at: number, line: number): { type: TokenType; end: number } {
  const char = source.charAt(at);
  switch (char) {
    case "=":
      return { type: "assign", end: at + 1 };
    case ":":
      if (source[at + 1] !== "=") throw new SourceFault("expected :=", line);
      return { type: "declare", end: at + 2 };
    case "|":
      return { type: "pipe", end: at + 1 };
    case "(":
      return { type: "leftparen", end: at + 1 };
    case ")":
      return { type: "rightparen", end: at + 1 };
    case '"':
    case "'": {
      const end = quotedEnd(source, at, char);
      if (end === undefined) throw new SourceFault("unterminated quoted text", line);
      return { type: char === '"' ? "string" : "charconstant", end };
    }
    case "`": {
      const close = source.indexOf("`", at + 1);
      if (close < 0) throw new SourceFault("unterminated raw text", line);
      return { type: "rawstring", end: close + 1 };
    }
    case "$":
      return { type: "variable", end: wordEnd(source, at + 1, line) };
    case ".":
      if (!/[0-9]/.test(source.charAt(at + 1))) {
        const end = wordEnd(source, at + 1, line);
        return { type: end === at + 1 ? "keyword" : "field", end };
      }
  }
  if (/[-+.0-9]/.test(char)) return { type: "number", end: numberEnd(source, at, line) };
  if (isWord(source, at)) {
    const end = wordEnd(source, at, line);
    const word = source.slice(at, end);
    if (KEYWORDS.has(word)) return { type: "keyword", end };
    return { type: word === "true" || word === "false" ? "bool" : "identifier", end };
  }
  if (/[\x20-\x7e]/.test(char)) return { type: "char", end: at + 1 };
  throw new SourceFault("unrecognized character in an action", line);
}

function quotedEnd(source: string, start: number, mark: string): number | undefined {
  for (let i = start + 1; i < source.length; i++) {
    const char = source[i];
    if (char === "\n") return undefined;
    if (char === mark) return i + 1;
    if (char === "\\" && source[++i] === "\n") return undefined;
  }
  return undefined;
}

function isWord(source: string, at: number): boolean {
  const rune = source.codePointAt(at);
  return rune !== undefined && (rune === 0x5f || isLetter(rune) || isDigit(rune));
}

function wordEnd(source: string, start: number, line: number): number {
  let end = start;
  while (isWord(source, end)) end += (source.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  const terminated = /^$|^[ \t\r\n.,|:)(]/.test(source.charAt(end));
  if (terminated || source.startsWith(RIGHT, end)) return end;
  throw new SourceFault("bad character after a name", line);
}

function numberEnd(source: string, start: number, line: number): number {
  const rest = /^[-+.\w]{1,400}/.exec(source.slice(start, start + 400))?.[0] ?? "";
  const one =
    /^[+-]?(0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*([pP][+-]?[0-9_]*)?|0[oO][0-7_]*\.?[0-7_]*|0[bB][01_]*\.?[01_]*|[0-9_]*\.?[0-9_]*([eE][+-]?[0-9_]*)?)i?/;
  const length = one.exec(rest)?.[0].length ?? 0;
  const end = start + length;
  if (length === 0 || isWord(source, end) || /[-+]/.test(source.charAt(end))) {
    throw new SourceFault("bad number", line);
  }
  return end;
}
