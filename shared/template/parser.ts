// The tree of a template: nodes, scopes of variables, definitions.
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

/** What is private to one definition: its variables and how deep in ranges it is. */
interface Scope {
  variables: string[];
  ranges: number;
}

const MAX_NESTING = 200;
/** Looking one up takes a walk over all of them. */
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
 * The definitions in a source by name, the source itself under `name`.
 * `check` throws for a function that cannot be called. @throws SourceFault
 */
export function parse(
  name: Bytes,
  source: string,
  check: (functionName: string, line: number) => void,
): ReadonlyMap<Bytes, readonly Node[]> {
  const tokens = tokenize(source);
  const definitions = new Map<Bytes, readonly Node[]>();
  let at = 0;
  let scope: Scope = { variables: ["$"], ranges: 0 };
  let nesting = 0;

  const peek = (): Token => tokens[at] ?? { type: "end", text: "", line: 1 };
  const next = (): Token => {
    const token = peek();
    at += 1;
    return token;
  };
  const skipSpace = (): void => {
    while (peek().type === "space") at += 1;
  };
  const nextVisible = (): Token => {
    skipSpace();
    return next();
  };
  const peekVisible = (): Token => {
    skipSpace();
    return peek();
  };
  const unexpected = (token: Token, context: string): never => {
    throw new SourceFault(`unexpected ${tokenName(token)} in ${context}`, token.line);
  };
  const nested = <T>(line: number, action: () => T): T => {
    if (nesting >= MAX_NESTING) throw new SourceFault("nested too deeply", line);
    nesting += 1;
    const found = action();
    nesting -= 1;
    return found;
  };
  const isKeyword = (token: Token, ...words: string[]): boolean =>
    token.type === "keyword" && words.includes(token.text);

  const add = (key: Bytes, list: readonly Node[], line: number): void => {
    const known = definitions.get(key);
    if (known === undefined || isEmpty(known)) definitions.set(key, list);
    else if (!isEmpty(list)) throw new SourceFault("a template is defined twice", line);
  };

  const fieldNames = (): Bytes[] => {
    const names: Bytes[] = [];
    while (peek().type === "field") names.push(encode(next().text.slice(1)));
    return names;
  };

  const term = (): Operand | undefined => {
    const token = nextVisible();
    const { line, text } = token;
    switch (token.type) {
      case "identifier":
        check(text, line);
        return { type: "function", line, name: text };
      case "keyword":
        if (text === ".") return { type: "dot", line };
        if (text === "nil") return { type: "nil", line };
        break;
      case "variable":
        if (!scope.variables.includes(text)) throw new SourceFault("undefined variable", line);
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
        return nested(line, () => pipeline("a parenthesis", "rightparen"));
      default:
        break;
    }
    at -= 1;
    return undefined;
  };

  const operand = (): Operand | undefined => {
    const node = term();
    if (node === undefined || peek().type !== "field") return node;
    const { line } = peek();
    const names = fieldNames();
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
  };

  const command = (): Operand[] => {
    const { line } = peekVisible();
    const operands: Operand[] = [];
    for (;;) {
      skipSpace();
      const found = operand();
      if (found !== undefined) operands.push(found);
      const token = next();
      if (token.type === "space") continue;
      if (token.type === "right" || token.type === "rightparen") at -= 1;
      else if (token.type !== "pipe") unexpected(token, "an operand");
      break;
    }
    if (operands.length === 0) throw new SourceFault("empty command", line);
    return operands;
  };

  const pipeline = (context: string, end: "right" | "rightparen"): Pipe => {
    const { line } = peekVisible();
    const variables: string[] = [];
    let assigns = false;
    while (peekVisible().type === "variable") {
      const back = at;
      const variable = next();
      const operator = peekVisible();
      const comma = operator.type === "char" && operator.text === ",";
      if (!comma && operator.type !== "assign" && operator.type !== "declare") {
        at = back;
        break;
      }
      at += 1;
      variables.push(variable.text);
      if (scope.variables.length >= MAX_VARIABLES) {
        throw new SourceFault("too many variables", line);
      }
      scope.variables.push(variable.text);
      if (!comma) {
        assigns = operator.type === "assign";
        break;
      }
      const following = peekVisible().type;
      if (context !== "range" || variables.length >= 2) {
        throw new SourceFault("too many declarations", line);
      }
      if (following !== "variable" && following !== "right") {
        throw new SourceFault("range can only initialize variables", line);
      }
    }
    const commands: Operand[][] = [];
    for (;;) {
      const token = nextVisible();
      if (token.type === end) break;
      if (!OPERANDS.has(token.type) && !isKeyword(token, ".", "nil")) unexpected(token, context);
      at -= 1;
      commands.push(command());
    }
    if (commands.length === 0) throw new SourceFault(`missing value for ${context}`, line);
    for (const [first] of commands.slice(1)) {
      if (first !== undefined && ["bool", "dot", "nil", "number", "string"].includes(first.type)) {
        throw new SourceFault("a constant cannot be called in a pipeline", first.line);
      }
    }
    return { type: "pipe", line, assigns, variables, commands };
  };

  /** Nodes up to an end or else; which of them it was, the token is consumed. */
  const list = (): { nodes: Node[]; end: "end" | "else"; line: number } => {
    const nodes: Node[] = [];
    for (;;) {
      const token = peekVisible();
      if (token.type === "end") throw new SourceFault("unexpected end of the template", token.line);
      const node = textOrAction();
      if (typeof node === "string") return { nodes, end: node, line: token.line };
      nodes.push(node);
    }
  };

  const control = (type: "if" | "with" | "range", line: number): Node =>
    nested(line, () => {
      const outer = scope.variables.length;
      const pipe = pipeline(type, "right");
      if (type === "range") scope.ranges += 1;
      const body = list();
      if (type === "range") scope.ranges -= 1;
      let otherwise: Node[] | undefined;
      if (body.end === "else") {
        const token = peek();
        if (type !== "range" && isKeyword(token, type)) {
          at += 1;
          otherwise = [control(type, token.line)];
        } else {
          const rest = list();
          if (rest.end !== "end") throw new SourceFault("expected end, found else", rest.line);
          otherwise = rest.nodes;
        }
      }
      scope.variables.length = outer;
      return { type, line, pipe, list: body.nodes, otherwise };
    });

  const definition = (key: Bytes, line: number): void => {
    nested(line, () => {
      const outer = scope;
      scope = { variables: ["$"], ranges: 0 };
      const body = list();
      if (body.end !== "end") throw new SourceFault("unexpected else in a definition", body.line);
      scope = outer;
      add(key, body.nodes, line);
    });
  };

  const templateName = (context: string): Bytes => {
    const token = nextVisible();
    if (token.type !== "string" && token.type !== "rawstring") unexpected(token, context);
    return unquote(token);
  };

  const loopControl = (type: "break" | "continue", line: number): Node => {
    const token = nextVisible();
    if (token.type !== "right") unexpected(token, type);
    if (scope.ranges === 0) throw new SourceFault(`${type} outside range`, line);
    return { type, line };
  };

  const action = (): Node | "end" | "else" => {
    const { line, text } = peekVisible();
    if (peek().type === "keyword") {
      at += 1;
      switch (text) {
        case "if":
        case "with":
        case "range":
          return control(text, line);
        case "break":
        case "continue":
          return loopControl(text, line);
        case "end": {
          const token = nextVisible();
          if (token.type !== "right") unexpected(token, "end");
          return "end";
        }
        case "else": {
          const token = peekVisible();
          if (isKeyword(token, "if", "with")) return "else";
          at += 1;
          if (token.type !== "right") unexpected(token, "else");
          return "else";
        }
        case "block": {
          const key = templateName("block clause");
          const pipe = pipeline("block clause", "right");
          definition(key, line);
          return { type: "template", line, name: key, pipe };
        }
        case "template": {
          const key = templateName("template clause");
          if (peekVisible().type === "right") {
            at += 1;
            return { type: "template", line, name: key, pipe: undefined };
          }
          const pipe = pipeline("template clause", "right");
          return { type: "template", line, name: key, pipe };
        }
      }
      at -= 1;
    }
    return { type: "action", line, pipe: pipeline("command", "right") };
  };

  const textOrAction = (): Node | "end" | "else" => {
    const token = nextVisible();
    if (token.type === "text") return { type: "text", line: token.line, text: encode(token.text) };
    if (token.type !== "left") unexpected(token, "input");
    return action();
  };

  const root: Node[] = [];
  while (peek().type !== "end") {
    const back = at;
    const { line } = peek();
    if (next().type === "left" && isKeyword(nextVisible(), "define")) {
      const key = templateName("define clause");
      const token = nextVisible();
      if (token.type !== "right") unexpected(token, "define clause");
      definition(key, line);
      continue;
    }
    at = back;
    const node = textOrAction();
    if (typeof node === "string") throw new SourceFault(`unexpected ${node}`, line);
    root.push(node);
  }
  add(name, root, 1);
  return definitions;
}

function isEmpty(list: readonly Node[]): boolean {
  return list.every((node) => node.type === "text" && /^\s*$/.test(node.text));
}

function tokenName(token: Token): string {
  if (token.type === "end") return "end of the template";
  return token.type === "keyword" ? token.text : token.type;
}
