// Evaluates a template's tree: variables, fields, calls and their argument types.
import { SourceFault } from "./lexer.ts";
import type { NumberNode } from "./literals.ts";
import { callMethod } from "./methods.ts";
import type { Node, Operand, Pipe } from "./parser.ts";
import type { Builtin, Kind } from "./signature.ts";
import { decode } from "./unicode.ts";
import {
  type Budget,
  type Bytes,
  Dict,
  Fault,
  Integer,
  integerOf,
  isTrue,
  List,
  Text,
  Time,
  type Value,
} from "./value.ts";

/** Says that no earlier command passes a value on; undefined is itself a value in Go. */
const NOTHING = Symbol("nothing");
type Final = Value | typeof NOTHING;
/** The statement that ended a list early, if one did. */
type Signal = "break" | "continue" | undefined;

interface Frame {
  /** Variables in scope, the innermost last; a name can occur more than once. */
  readonly variables: { readonly name: string; value: Value }[];
  readonly depth: number;
}

export interface Program {
  readonly definitions: ReadonlyMap<Bytes, readonly Node[]>;
  readonly functions: ReadonlyMap<string, Builtin>;
  /** Formats a value as `{{ }}` prints it. */
  readonly print: (value: Value) => Bytes;
}

/** Runs definition `name` on `data` and returns its output. @throws SourceFault */
export function execute(program: Program, name: Bytes, data: Value, budget: Budget): Bytes {
  const root = program.definitions.get(name);
  return root === undefined ? "" : new Executor(program, budget).run(root, data);
}

class Executor {
  readonly #program: Program;
  readonly #budget: Budget;
  readonly #out: Text;
  /** The line of the current node, for faults. */
  #line = 1;

  constructor(program: Program, budget: Budget) {
    this.#program = program;
    this.#budget = budget;
    this.#out = new Text(budget);
  }

  run(root: readonly Node[], data: Value): Bytes {
    try {
      this.#walkAll({ variables: [{ name: "$", value: data }], depth: 0 }, data, root);
    } catch (error) {
      if (error instanceof SourceFault) throw error;
      // JavaScript's own errors (stack overflow, string too long) may quote a value.
      throw this.#fault(
        error instanceof Fault ? error.message : "the template could not be executed",
      );
    }
    return this.#out.toString();
  }

  #fault(message: string): SourceFault {
    return new SourceFault(message, this.#line);
  }

  #walkAll(frame: Frame, dot: Value, nodes: readonly Node[]): Signal {
    return this.#budget.nest(() => {
      for (const node of nodes) {
        const signal = this.#walk(frame, dot, node);
        if (signal !== undefined) return signal;
      }
      return undefined;
    });
  }

  #walk(frame: Frame, dot: Value, node: Node): Signal {
    this.#budget.step();
    this.#line = node.line;
    switch (node.type) {
      case "text":
        this.#out.add(node.text);
        return undefined;
      case "action": {
        const value = this.#evaluate(frame, dot, node.pipe);
        if (node.pipe.variables.length === 0) this.#out.add(this.#program.print(value));
        return undefined;
      }
      case "break":
      case "continue":
        return node.type;
      case "if":
      case "with": {
        const outer = frame.variables.length;
        const value = this.#evaluate(frame, dot, node.pipe);
        let signal: Signal;
        if (isTrue(value)) {
          signal = this.#walkAll(frame, node.type === "with" ? value : dot, node.list);
        } else if (node.otherwise !== undefined) {
          signal = this.#walkAll(frame, dot, node.otherwise);
        }
        frame.variables.length = outer;
        return signal;
      }
      case "range":
        return this.#walkRange(frame, dot, node);
      case "template":
        this.#walkTemplate(frame, dot, node);
        return undefined;
    }
  }

  #walkTemplate(frame: Frame, dot: Value, node: Node & { type: "template" }): void {
    const body = this.#program.definitions.get(node.name);
    if (body === undefined) throw this.#fault("a template is not defined");
    const value = node.pipe === undefined ? undefined : this.#evaluate(frame, dot, node.pipe);
    if (frame.depth >= 100) throw this.#fault("templates call each other too deeply");
    const variables = [{ name: "$", value }];
    this.#walkAll({ variables, depth: frame.depth + 1 }, value, body);
  }

  #walkRange(frame: Frame, dot: Value, node: Node & { type: "if" | "with" | "range" }): Signal {
    const outer = frame.variables.length;
    const value = this.#evaluate(frame, dot, node.pipe);
    const inner = frame.variables.length;
    const names = node.pipe.variables;
    let ran = false;
    const fault = (message: string): SourceFault => this.#fault(message);
    for (const [key, element] of elements(value, names.length, fault)) {
      this.#budget.step();
      ran = true;
      const [first, second] = names.length > 1 ? [key, element] : [element, undefined];
      if (node.pipe.assigns) {
        if (names[0] !== undefined) this.#assign(frame, names[0], first);
        if (names[1] !== undefined) this.#assign(frame, names[1], second);
      } else {
        const declared = frame.variables.slice(inner - names.length, inner);
        if (declared[0] !== undefined) declared[0].value = first;
        if (declared[1] !== undefined) declared[1].value = second;
      }
      const signal = this.#walkAll(frame, element, node.list);
      frame.variables.length = inner;
      if (signal === "break") break;
    }
    let signal: Signal;
    if (!ran && node.otherwise !== undefined) signal = this.#walkAll(frame, dot, node.otherwise);
    frame.variables.length = outer;
    // As in Go, a break in the else list of a range ends this range.
    return signal === "break" ? undefined : signal;
  }

  #variable(frame: Frame, name: string): { value: Value } {
    const known = frame.variables.findLast(({ name: key }) => key === name);
    if (known === undefined) throw this.#fault("undefined variable");
    return known;
  }

  #assign(frame: Frame, name: string, value: Value): void {
    this.#variable(frame, name).value = value;
  }

  #evaluate(frame: Frame, dot: Value, pipe: Pipe): Value {
    this.#line = pipe.line;
    let value: Final = NOTHING;
    for (const command of pipe.commands) {
      value = this.#command(frame, dot, command, value) ?? undefined;
    }
    const result = value === NOTHING ? undefined : value;
    for (const variable of pipe.variables) {
      if (pipe.assigns) this.#assign(frame, variable, result);
      else frame.variables.push({ name: variable, value: result });
    }
    return result;
  }

  #command(frame: Frame, dot: Value, command: readonly Operand[], final: Final): Value {
    this.#budget.step();
    const [first, ...rest] = command;
    if (first === undefined) return undefined;
    this.#line = first.line;
    if (first.type === "function") return this.#call(frame, dot, first.name, rest, final);
    if (first.type === "field" || first.type === "chain" || first.type === "variable") {
      const receiver = this.#receiverOf(frame, dot, first);
      if (first.names.length > 0) {
        return this.#fields(frame, dot, receiver, first.names, rest, final);
      }
      this.#refuseArguments(rest, final);
      return receiver;
    }
    this.#refuseArguments(rest, final);
    if (first.type === "pipe") return this.#budget.nest(() => this.#evaluate(frame, dot, first));
    if (first.type === "nil") throw this.#fault("nil is not a command");
    return this.#constant(dot, first);
  }

  #refuseArguments(rest: readonly Operand[], final: Final): void {
    if (rest.length > 0 || final !== NOTHING) {
      throw this.#fault("can't give arguments to a non-function");
    }
  }

  #receiverOf(
    frame: Frame,
    dot: Value,
    node: Operand & { type: "field" | "chain" | "variable" },
  ): Value {
    if (node.type === "field") return dot;
    if (node.type === "variable") return this.#variable(frame, node.name).value;
    return this.#argument(frame, dot, node.of, "value");
  }

  #fields(
    frame: Frame,
    dot: Value,
    start: Value,
    names: readonly Bytes[],
    rest: readonly Operand[],
    final: Final,
  ): Value {
    let receiver = start;
    names.forEach((field, i) => {
      this.#budget.step();
      const isLast = i === names.length - 1;
      const isPlain = !isLast || (rest.length === 0 && final === NOTHING);
      if (receiver === undefined) return;
      if (receiver === null) throw this.#fault("a field of nil");
      if (receiver instanceof Dict) {
        if (!isPlain) throw this.#fault("a field is not a function but has arguments");
        receiver = receiver.entries.get(field);
        return;
      }
      const given = isLast ? rest.map((node) => this.#argument(frame, dot, node, "any")) : [];
      if (isLast && final !== NOTHING) given.push(final);
      const from = receiver;
      receiver = this.#guarded(`.${decode(field)}`, () => callMethod(from, field, given));
    });
    return receiver;
  }

  /** Runs a function's code, and turns every error into a fault without a value in it. */
  #guarded(functionName: string, action: () => Value): Value {
    const at = this.#line;
    try {
      return action();
    } catch (error) {
      this.#line = at;
      if (error instanceof SourceFault) throw error;
      if (!(error instanceof Fault)) throw this.#fault(`${functionName}: failed`);
      throw this.#fault(
        functionName === "fail" ? error.message : `${functionName}: ${error.message}`,
      );
    }
  }

  #call(
    frame: Frame,
    dot: Value,
    functionName: string,
    nodes: readonly Operand[],
    final: Final,
  ): Value {
    const found = this.#program.functions.get(functionName);
    if (found === undefined) throw this.#fault(`function "${functionName}" not defined`);
    const count = nodes.length + (final === NOTHING ? 0 : 1);
    const { params, rest } = found;
    if (rest === undefined ? count !== params.length : count < params.length) {
      throw this.#fault(`${functionName}: wrong number of arguments`);
    }
    if (functionName === "and" || functionName === "or") {
      return this.#andOr(frame, dot, functionName, nodes, final);
    }
    const start = this.#line;
    const given = nodes.map((node, i) =>
      this.#placed(functionName, () =>
        this.#argument(frame, dot, node, params[i] ?? rest ?? "any"),
      ),
    );
    if (final !== NOTHING) {
      const kind = params[nodes.length] ?? rest ?? "any";
      given.push(this.#placed(functionName, () => validate(final, kind)));
    }
    this.#line = start;
    const budget = this.#budget;
    return this.#guarded(functionName, () => {
      for (const value of given) if (typeof value === "string") budget.bytes(value.length);
      const result = found.run(budget, given);
      if (typeof result === "string") budget.bytes(result.length);
      if (result instanceof List) budget.step(result.items.length);
      return result;
    });
  }

  /** Evaluates arguments only until one decides the result. */
  #andOr(
    frame: Frame,
    dot: Value,
    functionName: "and" | "or",
    nodes: readonly Operand[],
    final: Final,
  ): Value {
    let value: Value;
    for (const node of nodes) {
      value = this.#argument(frame, dot, node, "value");
      if (isTrue(value) === (functionName === "or")) return value;
    }
    return final === NOTHING ? value : final;
  }

  /** Adds the line and the function's name to a fault in one of its arguments. */
  #placed<T>(functionName: string, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof Fault && !(error instanceof SourceFault)) {
        throw this.#fault(`${functionName}: ${error.message}`);
      }
      throw error;
    }
  }

  #argument(frame: Frame, dot: Value, node: Operand, kind: Kind): Value {
    this.#budget.step();
    this.#line = node.line;
    switch (node.type) {
      case "dot":
        return validate(dot, kind);
      case "nil":
        if (kind === "any" || kind === "value") return null;
        if (kind === "dict") return new Dict(new Map(), "interface {}", true);
        throw new Fault("nil is not allowed here");
      case "field":
      case "variable":
      case "chain": {
        const receiver = this.#receiverOf(frame, dot, node);
        return validate(this.#fields(frame, dot, receiver, node.names, [], NOTHING), kind);
      }
      case "pipe":
        return validate(
          this.#budget.nest(() => this.#evaluate(frame, dot, node)),
          kind,
        );
      case "function":
        return validate(
          this.#budget.nest(() => this.#call(frame, dot, node.name, [], NOTHING)),
          kind,
        );
      default:
        return this.#literal(node, kind);
    }
  }

  #literal(node: Operand, kind: Kind): Value {
    if (kind === "any" || kind === "value") return this.#constant(undefined, node);
    if (kind === "bool" && node.type === "bool") return node.value;
    if (kind === "string" && node.type === "string") return node.value;
    if (kind === "int" && node.type === "number" && node.int !== undefined) return node.int;
    if (kind === "float64" && node.type === "number" && node.float !== undefined) return node.float;
    throw new Fault("wrong type of argument");
  }

  #constant(dot: Value, node: Operand): Value {
    if (node.type === "dot") return dot;
    if (node.type === "bool" || node.type === "string") return node.value;
    if (node.type !== "number") throw this.#fault("not a value");
    return idealNumber(node);
  }
}

function idealNumber(node: NumberNode): Value {
  if (node.ideal === "overflow") throw new Fault("a number does not fit an int");
  return node.ideal === "float" ? node.float : node.int;
}

/** Yields what a range iterates over, as pairs of key and element. */
function* elements(
  value: Value,
  variables: number,
  fault: (message: string) => Error,
): Generator<[Value, Value]> {
  const integer = integerOf(value);
  if (value === undefined || value === null) return;
  if (value instanceof List) {
    // By index, because a function in the body may sort the list in place.
    for (let i = 0; i < value.items.length; i++) yield [BigInt(i), value.items[i]];
  } else if (value instanceof Dict) {
    for (const [name, item] of value.names().map((n) => [n, value.entries.get(n)] as const)) {
      yield [name, item];
    }
  } else if (integer !== undefined) {
    if (variables > 1) throw fault("can't use a number to iterate over more than one variable");
    for (let i = 0n; i < integer; i++) {
      yield [undefined, value instanceof Integer ? new Integer(value.type, i) : i];
    }
  } else throw fault("range can't iterate over this type");
}

/** Returns a value as an argument of `kind`. @throws Fault if its Go type does not fit */
function validate(value: Value, kind: Kind): Value {
  switch (kind) {
    case "value":
      return value;
    case "any":
      return value ?? null;
    case "string":
      if (typeof value === "string") return value;
      break;
    case "int":
      if (typeof value === "bigint") return value;
      break;
    case "bool":
      if (typeof value === "boolean") return value;
      break;
    case "float64":
      if (typeof value === "number") return value;
      break;
    case "time":
      if (value instanceof Time) return value;
      break;
    case "dict":
      if (value === undefined) return new Dict(new Map(), "interface {}", true);
      if (value instanceof Dict && value.element === "interface {}") return value;
      break;
  }
  throw new Fault("wrong type of argument");
}
