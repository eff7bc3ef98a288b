// Evaluating a template's tree: scopes, fields, calls and their argument types.
import { SourceFault } from "./lexer.ts";
import type { NumberNode } from "./literals.ts";
import { callMethod } from "./methods.ts";
import type { Node, Operand, Pipe } from "./parser.ts";
import type { Builtin, Kind } from "./signature.ts";
import { decode } from "./unicode.ts";
import { type Budget, type Bytes, Dict, Fault, Integer, integerOf, isTrue, List, Text, Time, type Value } from "./value.ts";

/** Marks that a command gets nothing from the pipeline before it; undefined is a value in Go. */
const NOTHING = Symbol("nothing");
type Final = Value | typeof NOTHING;

interface Frame {
  /** Variables, the innermost last; a name may be there twice. */
  readonly variables: { readonly name: string; value: Value }[];
  readonly depth: number;
}

export interface Program {
  readonly definitions: ReadonlyMap<Bytes, readonly Node[]>;
  readonly functions: ReadonlyMap<string, Builtin>;
  /** A value as `{{ }}` prints it. */
  readonly print: (value: Value) => Bytes;
}

/** The output of definition `name` for `data`. @throws SourceFault */
export function execute(program: Program, name: Bytes, data: Value, budget: Budget): Bytes {
  const out = new Text(budget);
  let line = 1;

  const fault = (message: string): SourceFault => new SourceFault(message, line);

  const walkAll = (
    frame: Frame,
    dot: Value,
    nodes: readonly Node[],
  ): "break" | "continue" | undefined =>
    budget.nest(() => {
      for (const node of nodes) {
        const signal = walk(frame, dot, node);
        if (signal !== undefined) return signal;
      }
      return undefined;
    });

  const walk = (frame: Frame, dot: Value, node: Node): "break" | "continue" | undefined => {
    budget.step();
    ({ line } = node);
    switch (node.type) {
      case "text":
        out.add(node.text);
        return undefined;
      case "action": {
        const value = evaluate(frame, dot, node.pipe);
        if (node.pipe.variables.length === 0) out.add(program.print(value));
        return undefined;
      }
      case "break":
      case "continue":
        return node.type;
      case "if":
      case "with": {
        const outer = frame.variables.length;
        const value = evaluate(frame, dot, node.pipe);
        let signal: "break" | "continue" | undefined;
        if (isTrue(value)) signal = walkAll(frame, node.type === "with" ? value : dot, node.list);
        else if (node.otherwise !== undefined) signal = walkAll(frame, dot, node.otherwise);
        frame.variables.length = outer;
        return signal;
      }
      case "range":
        return walkRange(frame, dot, node);
      case "template": {
        const body = program.definitions.get(node.name);
        if (body === undefined) throw fault("a template is not defined");
        const value = node.pipe === undefined ? undefined : evaluate(frame, dot, node.pipe);
        if (frame.depth >= 100) throw fault("templates call each other too deeply");
        const variables = [{ name: "$", value }];
        walkAll({ variables, depth: frame.depth + 1 }, value, body);
        return undefined;
      }
    }
  };

  const walkRange = (
    frame: Frame,
    dot: Value,
    node: Node & { type: "if" | "with" | "range" },
  ): "break" | "continue" | undefined => {
    const outer = frame.variables.length;
    const value = evaluate(frame, dot, node.pipe);
    const inner = frame.variables.length;
    const names = node.pipe.variables;
    let ran = false;
    for (const [key, element] of elements(value, names.length, fault)) {
      budget.step();
      ran = true;
      const [first, second] = names.length > 1 ? [key, element] : [element, undefined];
      if (node.pipe.assigns) {
        if (names[0] !== undefined) assign(frame, names[0], first);
        if (names[1] !== undefined) assign(frame, names[1], second);
      } else {
        const declared = frame.variables.slice(inner - names.length, inner);
        if (declared[0] !== undefined) declared[0].value = first;
        if (declared[1] !== undefined) declared[1].value = second;
      }
      const signal = walkAll(frame, element, node.list);
      frame.variables.length = inner;
      if (signal === "break") break;
    }
    let signal: "break" | "continue" | undefined;
    if (!ran && node.otherwise !== undefined) signal = walkAll(frame, dot, node.otherwise);
    frame.variables.length = outer;
    // A break in the else list of a range ends this range, as in Go.
    return signal === "break" ? undefined : signal;
  };

  const assign = (frame: Frame, variable: string, value: Value): void => {
    const known = frame.variables.findLast(({ name: key }) => key === variable);
    if (known === undefined) throw fault("undefined variable");
    known.value = value;
  };

  const evaluate = (frame: Frame, dot: Value, pipe: Pipe): Value => {
    ({ line } = pipe);
    let value: Final = NOTHING;
    for (const command of pipe.commands)
      value = runCommand(frame, dot, command, value) ?? undefined;
    const result = value === NOTHING ? undefined : value;
    for (const variable of pipe.variables) {
      if (pipe.assigns) assign(frame, variable, result);
      else frame.variables.push({ name: variable, value: result });
    }
    return result;
  };

  const runCommand = (
    frame: Frame,
    dot: Value,
    command: readonly Operand[],
    final: Final,
  ): Value => {
    budget.step();
    const [first, ...rest] = command;
    if (first === undefined) return undefined;
    ({ line } = first);
    if (first.type === "function") return call(frame, dot, first.name, rest, final);
    if (first.type === "field" || first.type === "chain" || first.type === "variable") {
      const receiver = receiverOf(frame, dot, first);
      if (first.names.length > 0) return fields(frame, dot, receiver, first.names, rest, final);
      refuseArguments(rest, final);
      return receiver;
    }
    refuseArguments(rest, final);
    if (first.type === "pipe") return budget.nest(() => evaluate(frame, dot, first));
    if (first.type === "nil") throw fault("nil is not a command");
    return constant(dot, first);
  };

  const refuseArguments = (rest: readonly Operand[], final: Final): void => {
    if (rest.length > 0 || final !== NOTHING) throw fault("can't give arguments to a non-function");
  };

  const receiverOf = (
    frame: Frame,
    dot: Value,
    node: Operand & { type: "field" | "chain" | "variable" },
  ): Value => {
    if (node.type === "field") return dot;
    if (node.type === "variable") {
      const known = frame.variables.findLast(({ name: key }) => key === node.name);
      if (known === undefined) throw fault("undefined variable");
      return known.value;
    }
    return argument(frame, dot, node.of, "value");
  };

  const fields = (
    frame: Frame,
    dot: Value,
    start: Value,
    names: readonly Bytes[],
    rest: readonly Operand[],
    final: Final,
  ): Value => {
    let receiver = start;
    names.forEach((field, i) => {
      budget.step();
      const isLast = i === names.length - 1;
      const isPlain = !isLast || (rest.length === 0 && final === NOTHING);
      if (receiver === undefined) return;
      if (receiver === null) throw fault("a field of nil");
      if (receiver instanceof Dict) {
        if (!isPlain) throw fault("a field is not a function but has arguments");
        receiver = receiver.entries.get(field);
        return;
      }
      const given = isLast ? rest.map((node) => argument(frame, dot, node, "any")) : [];
      if (isLast && final !== NOTHING) given.push(final);
      const from = receiver;
      receiver = guarded(`.${decode(field)}`, () => callMethod(from, field, given));
    });
    return receiver;
  };

  /** Runs a function's code; whatever it throws becomes a fault that carries no value. */
  const guarded = (functionName: string, action: () => Value): Value => {
    const at = line;
    try {
      return action();
    } catch (error) {
      line = at;
      if (error instanceof SourceFault) throw error;
      if (!(error instanceof Fault)) throw fault(`${functionName}: failed`);
      throw fault(functionName === "fail" ? error.message : `${functionName}: ${error.message}`);
    }
  };

  const call = (
    frame: Frame,
    dot: Value,
    functionName: string,
    nodes: readonly Operand[],
    final: Final,
  ): Value => {
    const found = program.functions.get(functionName);
    if (found === undefined) throw fault(`function "${functionName}" not defined`);
    const count = nodes.length + (final === NOTHING ? 0 : 1);
    const { params, rest } = found;
    if (rest === undefined ? count !== params.length : count < params.length) {
      throw fault(`${functionName}: wrong number of arguments`);
    }
    if (functionName === "and" || functionName === "or") {
      let value: Value;
      for (const node of nodes) {
        value = argument(frame, dot, node, "value");
        if (isTrue(value) === (functionName === "or")) return value;
      }
      return final === NOTHING ? value : final;
    }
    const start = line;
    const placed = <T>(action: () => T): T => {
      try {
        return action();
      } catch (error) {
        if (error instanceof Fault && !(error instanceof SourceFault)) {
          throw fault(`${functionName}: ${error.message}`);
        }
        throw error;
      }
    };
    const given = nodes.map((node, i) =>
      placed(() => argument(frame, dot, node, params[i] ?? rest ?? "any")),
    );
    if (final !== NOTHING) {
      const kind = params[nodes.length] ?? rest ?? "any";
      given.push(placed(() => validate(final, kind)));
    }
    line = start;
    return guarded(functionName, () => {
      for (const value of given) if (typeof value === "string") budget.bytes(value.length);
      const result = found.run(budget, given);
      if (typeof result === "string") budget.bytes(result.length);
      if (result instanceof List) budget.step(result.items.length);
      return result;
    });
  };

  const argument = (frame: Frame, dot: Value, node: Operand, kind: Kind): Value => {
    budget.step();
    ({ line } = node);
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
        const receiver = receiverOf(frame, dot, node);
        return validate(fields(frame, dot, receiver, node.names, [], NOTHING), kind);
      }
      case "pipe":
        return validate(
          budget.nest(() => evaluate(frame, dot, node)),
          kind,
        );
      case "function":
        return validate(
          budget.nest(() => call(frame, dot, node.name, [], NOTHING)),
          kind,
        );
      default:
        return literal(node, kind, constant);
    }
  };

  const constant = (dot: Value, node: Operand): Value => {
    if (node.type === "dot") return dot;
    if (node.type === "bool" || node.type === "string") return node.value;
    if (node.type !== "number") throw fault("not a value");
    return idealNumber(node);
  };

  const root = program.definitions.get(name);
  if (root === undefined) return "";
  try {
    walkAll({ variables: [{ name: "$", value: data }], depth: 0 }, data, root);
  } catch (error) {
    if (error instanceof SourceFault) throw error;
    // Whatever JavaScript throws (a full stack, a text that is too long) may quote a value.
    throw fault(error instanceof Fault ? error.message : "the template could not be executed");
  }
  return out.toString();
}

function idealNumber(node: NumberNode): Value {
  if (node.ideal === "overflow") throw new Fault("a number does not fit an int");
  return node.ideal === "float" ? node.float : node.int;
}

/** What a range goes over, with its keys. */
function* elements(
  value: Value,
  variables: number,
  fault: (message: string) => Error,
): Generator<[Value, Value]> {
  const integer = integerOf(value);
  if (value === undefined || value === null) return;
  if (value instanceof List) {
    // Indexed, since a function in the body may sort the list in place.
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

/** A value as an argument of `kind`. @throws Fault where Go's types do not fit. */
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

function literal(node: Operand, kind: Kind, constant: (dot: Value, node: Operand) => Value): Value {
  if (kind === "any" || kind === "value") return constant(undefined, node);
  if (kind === "bool" && node.type === "bool") return node.value;
  if (kind === "string" && node.type === "string") return node.value;
  if (kind === "int" && node.type === "number" && node.int !== undefined) return node.int;
  if (kind === "float64" && node.type === "number" && node.float !== undefined) return node.float;
  throw new Fault("wrong type of argument");
}
