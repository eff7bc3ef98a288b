// Parses a template into a tree: its nodes, definitions and scopes of variables.
import { SourceFault, type Token, tokenize, type TokenType } from "./lexer.ts";
import { number, type NumberNode, unquote } from "./literals.ts";
import { encode } from "./unicode.ts";
import type { Bytes } from "./value.ts";

export type Operand =
  | { readonly type: "dot" | "nil"; readonly line: number }
  | { readonly type: "bool"; readonly line: number; readonly value: boolean }
  | { readonly type: "string"; readonly line: number; readonly value: Bytes }
  | NumberNode
  | { readonly type: "field"; readonly line: number; readonly names: readonly Bytes[] }
  | {
      readonly type: "variable";
      readonly line: number;
      readonly name: string;
      readonly names: readonly Bytes[];
    }
  | { readonly type: "function"; readonly line: number; readonly name: string }
  | {
      readonly type: "chain";
      readonly line: number;
      readonly of: Operand;
      readonly names: readonly Bytes[];
    }
  | Pipe;

export interface Pipe {
  readonly type: "pipe";
  readonly line: number;
  readonly assigns: boolean;
  readonly variables: readonly string[];
  readonly commands: readonly (readonly Operand[])[];
}

export type Node =
  | { readonly type: "text"; readonly line: number; readonly text: Bytes }
  | { readonly type: "action"; readonly line: number; readonly pipe: Pipe }
  | { readonly type: "break" | "continue"; readonly line: number }
  | {
      readonly type: "if" | "with" | "range";
      readonly line: number;
      readonly pipe: Pipe;
      readonly list: readonly Node[];
      readonly otherwise: readonly Node[] | undefined;
    }
  | {
      readonly type: "template";
      readonly line: number;
      readonly name: Bytes;
      readonly pipe: Pipe | undefined;
    };

/** The variables of one definition, and how many ranges enclose the current node. */
interface Scope {
  variables: string[];
  ranges: number;
}

/** A list of nodes, and the keyword that ended it. */
interface Body {
  readonly nodes: readonly Node[];
  readonly end: "end" | "else";
  readonly line: number;
}

type Check = (functionName: string, line: number) => void;

const MAX_NESTING = 200;
/** Looking up a variable scans all of them. */
const MAX_VARIABLES = 1_000;
const OPERANDS: ReadonlySet<TokenType> = new Set<TokenType>([
  "bool",
  "charconstant",
  "field",
  "identifier",
  "number",
  "rawstring",
  "string",
  "variable",
  "leftparen",
]);

/**
 * Parses a source into its definitions by name; the source itself is the definition `name`.
 * `check` throws if a template cannot call the function. @throws SourceFault
 */
export function parse(
  name: Bytes,
  source: string,
  check: Check,
): ReadonlyMap<Bytes, readonly Node[]> {
  return new Parser(tokenize(source), check).parse(name);
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #check: Check;
  readonly #definitions = new Map<Bytes, readonly Node[]>();
  #at = 0;
  #scope: Scope = { variables: ["$"], ranges: 0 };
  #nesting = 0;

  constructor(tokens: readonly Token[], check: Check) {
    this.#tokens = tokens;
    this.#check = check;
  }

  parse(name: Bytes): ReadonlyMap<Bytes, readonly Node[]> {
    const root: Node[] = [];
    while (this.#peek().type !== "end") {
      const { line } = this.#peek();
      if (this.#define(line)) continue;
      const node = this.#textOrAction();
      if (typeof node === "string") throw new SourceFault(`unexpected ${node}`, line);
      root.push(node);
    }
    this.#add(name, root, 1);
    return this.#definitions;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { type: "end", text: "", line: 1 };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at += 1;
    return token;
  }

  #skipSpace(): void {
    while (this.#peek().type === "space") this.#at += 1;
  }

  #nextVisible(): Token {
    this.#skipSpace();
    return this.#next();
  }

  #peekVisible(): Token {
    this.#skipSpace();
    return this.#peek();
  }

  #expectRight(context: string): void {
    const token = this.#nextVisible();
    if (token.type !== "right") unexpected(token, context);
  }

  #nested<T>(line: number, action: () => T): T {
    if (this.#nesting >= MAX_NESTING) throw new SourceFault("nested too deeply", line);
    this.#nesting += 1;
    const found = action();
    this.#nesting -= 1;
    return found;
  }

  #add(key: Bytes, list: readonly Node[], line: number): void {
    const known = this.#definitions.get(key);
    if (known === undefined || isEmpty(known)) this.#definitions.set(key, list);
    else if (!isEmpty(list)) throw new SourceFault("a template is defined twice", line);
  }

  /** Parses a `{{ define }}`; consumes nothing and returns false if the next node is not one. */
  #define(line: number): boolean {
    const back = this.#at;
    if (this.#next().type !== "left" || !isKeyword(this.#nextVisible(), "define")) {
      this.#at = back;
      return false;
    }
    const key = this.#templateName("define clause");
    this.#expectRight("define clause");
    this.#definition(key, line);
    return true;
  }

  #definition(key: Bytes, line: number): void {
    this.#nested(line, () => {
      const outer = this.#scope;
      this.#scope = { variables: ["$"], ranges: 0 };
      const body = this.#body();
      if (body.end !== "end") throw new SourceFault("unexpected else in a definition", body.line);
      this.#scope = outer;
      this.#add(key, body.nodes, line);
    });
  }

  #templateName(context: string): Bytes {
    const token = this.#nextVisible();
    if (token.type !== "string" && token.type !== "rawstring") unexpected(token, context);
    return unquote(token);
  }

  /** Parses nodes up to an `end` or `else`, and consumes that keyword. */
  #body(): Body {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#peekVisible();
      if (token.type === "end") throw new SourceFault("unexpected end of the template", token.line);
      const node = this.#textOrAction();
      if (typeof node === "string") return { nodes, end: node, line: token.line };
      nodes.push(node);
    }
  }

  #textOrAction(): Node | "end" | "else" {
    const token = this.#nextVisible();
    if (token.type === "text") return { type: "text", line: token.line, text: encode(token.text) };
    if (token.type !== "left") unexpected(token, "input");
    return this.#action();
  }

  #action(): Node | "end" | "else" {
    const { line, text, type } = this.#peekVisible();
    if (type === "keyword") {
      this.#at += 1;
      const node = this.#keyword(text, line);
      if (node !== undefined) return node;
      this.#at -= 1;
    }
    return { type: "action", line, pipe: this.#pipeline("command", "right") };
  }

  /** Parses what follows the keyword `text`; undefined if it starts a pipeline, such as `.`. */
  #keyword(text: string, line: number): Node | "end" | "else" | undefined {
    switch (text) {
      case "if":
      case "with":
      case "range":
        return this.#control(text, line);
      case "break":
      case "continue":
        return this.#loopControl(text, line);
      case "end":
        this.#expectRight("end");
        return "end";
      case "else":
        if (!isKeyword(this.#peekVisible(), "if", "with")) this.#expectRight("else");
        return "else";
      case "block": {
        const name = this.#templateName("block clause");
        const pipe = this.#pipeline("block clause", "right");
        this.#definition(name, line);
        return { type: "template", line, name, pipe };
      }
      case "template":
        return this.#templateCall(line);
      default:
        return undefined;
    }
  }

  #control(type: "if" | "with" | "range", line: number): Node {
    return this.#nested(line, () => {
      const outer = this.#scope.variables.length;
      const pipe = this.#pipeline(type, "right");
      if (type === "range") this.#scope.ranges += 1;
      const body = this.#body();
      if (type === "range") this.#scope.ranges -= 1;
      const otherwise = body.end === "else" ? this.#otherwise(type) : undefined;
      this.#scope.variables.length = outer;
      return { type, line, pipe, list: body.nodes, otherwise };
    });
  }

  #otherwise(type: "if" | "with" | "range"): readonly Node[] {
    const token = this.#peek();
    if (type !== "range" && isKeyword(token, type)) {
      this.#at += 1;
      return [this.#control(type, token.line)];
    }
    const rest = this.#body();
    if (rest.end !== "end") throw new SourceFault("expected end, found else", rest.line);
    return rest.nodes;
  }

  #loopControl(type: "break" | "continue", line: number): Node {
    this.#expectRight(type);
    if (this.#scope.ranges === 0) throw new SourceFault(`${type} outside range`, line);
    return { type, line };
  }

  #templateCall(line: number): Node {
    const name = this.#templateName("template clause");
    if (this.#peekVisible().type === "right") {
      this.#at += 1;
      return { type: "template", line, name, pipe: undefined };
    }
    const pipe = this.#pipeline("template clause", "right");
    return { type: "template", line, name, pipe };
  }

  #pipeline(context: string, end: "right" | "rightparen"): Pipe {
    const { line } = this.#peekVisible();
    const { variables, assigns } = this.#declarations(context, line);
    const commands: Operand[][] = [];
    for (;;) {
      const token = this.#nextVisible();
      if (token.type === end) break;
      if (!OPERANDS.has(token.type) && !isKeyword(token, ".", "nil")) unexpected(token, context);
      this.#at -= 1;
      commands.push(this.#command());
    }
    if (commands.length === 0) throw new SourceFault(`missing value for ${context}`, line);
    for (const [first] of commands.slice(1)) {
      if (first !== undefined && ["bool", "dot", "nil", "number", "string"].includes(first.type)) {
        throw new SourceFault("a constant cannot be called in a pipeline", first.line);
      }
    }
    return { type: "pipe", line, assigns, variables, commands };
  }

  /** Parses the variables at the start of a pipeline: `$x :=`, `$x =` or `$i, $x :=`. */
  #declarations(context: string, line: number): Pick<Pipe, "variables" | "assigns"> {
    const variables: string[] = [];
    while (this.#peekVisible().type === "variable") {
      const back = this.#at;
      const variable = this.#next();
      const operator = this.#peekVisible();
      const comma = operator.type === "char" && operator.text === ",";
      if (!comma && operator.type !== "assign" && operator.type !== "declare") {
        this.#at = back;
        break;
      }
      this.#at += 1;
      variables.push(variable.text);
      if (this.#scope.variables.length >= MAX_VARIABLES) {
        throw new SourceFault("too many variables", line);
      }
      this.#scope.variables.push(variable.text);
      if (!comma) return { variables, assigns: operator.type === "assign" };
      const following = this.#peekVisible().type;
      if (context !== "range" || variables.length >= 2) {
        throw new SourceFault("too many declarations", line);
      }
      if (following !== "variable" && following !== "right") {
        throw new SourceFault("range can only initialize variables", line);
      }
    }
    return { variables, assigns: false };
  }

  #command(): Operand[] {
    const { line } = this.#peekVisible();
    const operands: Operand[] = [];
    for (;;) {
      this.#skipSpace();
      const found = this.#operand();
      if (found !== undefined) operands.push(found);
      const token = this.#next();
      if (token.type === "space") continue;
      if (token.type === "right" || token.type === "rightparen") this.#at -= 1;
      else if (token.type !== "pipe") unexpected(token, "an operand");
      break;
    }
    if (operands.length === 0) throw new SourceFault("empty command", line);
    return operands;
  }

  #operand(): Operand | undefined {
    const node = this.#term();
    if (node === undefined || this.#peek().type !== "field") return node;
    const { line } = this.#peek();
    const names = this.#fieldNames();
    switch (node.type) {
      case "field":
      case "variable":
        return { ...node, names: [...node.names, ...names] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        throw new SourceFault("unexpected . after a constant", line);
      default:
        return { type: "chain", line, of: node, names };
    }
  }

  #fieldNames(): Bytes[] {
    const names: Bytes[] = [];
    while (this.#peek().type === "field") names.push(encode(this.#next().text.slice(1)));
    return names;
  }

  #term(): Operand | undefined {
    const token = this.#nextVisible();
    const { line, text } = token;
    switch (token.type) {
      case "identifier":
        this.#check(text, line);
        return { type: "function", line, name: text };
      case "keyword":
        if (text === ".") return { type: "dot", line };
        if (text === "nil") return { type: "nil", line };
        break;
      case "variable":
        if (!this.#scope.variables.includes(text)) {
          throw new SourceFault("undefined variable", line);
        }
        return { type: "variable", line, name: text, names: [] };
      case "field":
        return { type: "field", line, names: [encode(text.slice(1))] };
      case "bool":
        return { type: "bool", line, value: text === "true" };
      case "charconstant":
      case "number":
        return number(token);
      case "string":
      case "rawstring":
        return { type: "string", line, value: unquote(token) };
      case "leftparen":
        return this.#nested(line, () => this.#pipeline("a parenthesis", "rightparen"));
      default:
        break;
    }
    this.#at -= 1;
    return undefined;
  }
}

function isKeyword(token: Token, ...words: string[]): boolean {
  return token.type === "keyword" && words.includes(token.text);
}

function unexpected(token: Token, context: string): never {
  throw new SourceFault(`unexpected ${tokenName(token)} in ${context}`, token.line);
}

function isEmpty(list: readonly Node[]): boolean {
  return list.every((node) => node.type === "text" && /^\s*$/.test(node.text));
}

function tokenName(token: Token): string {
  if (token.type === "end") return "end of the template";
  return token.type === "keyword" ? token.text : token.type;
}
