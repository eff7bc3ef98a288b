// Implements text/template's own functions: comparison, index, len, print, html, js, urlquery.
import { type Builtin, fn, type Table, variadic } from "./signature.ts";
import { print, printf, println } from "./show.ts";
import { decodeRune, encodeRune, isPrint } from "./unicode.ts";
import { escapeQuery } from "./urlfunctions.ts";
import {
  type Budget,
  type Bytes,
  Dict,
  Fault,
  Integer,
  integerOf,
  isTrue,
  List,
  sameTime,
  Time,
  type Value,
  Version,
} from "./value.ts";

type Basic = "bool" | "int" | "uint" | "float" | "string" | undefined;

function basicKind(value: Value): Basic {
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (value instanceof Integer) return value.type.startsWith("uint") ? "uint" : "int";
  if (typeof value === "number") return "float";
  return typeof value === "string" ? "string" : undefined;
}

function isNil(value: Value): boolean {
  if (value === undefined || value === null) return true;
  return (value instanceof List || value instanceof Dict) && value.isNil;
}

function equal(budget: Budget, a: Value, b: Value): boolean {
  budget.step();
  const first = basicKind(a);
  const second = basicKind(b);
  const x = integerOf(a);
  const y = integerOf(b);
  // Integers of different types and signs can be compared.
  if (x !== undefined && y !== undefined) return x === y;
  if (first !== second) {
    if (isInvalid(a) || isInvalid(b)) return false;
    throw new Fault("incompatible types for comparison");
  }
  if (first !== undefined) return a === b;
  const canCompare =
    isInvalid(a) ||
    isInvalid(b) ||
    (a instanceof List && b instanceof List) ||
    (a instanceof Dict && b instanceof Dict) ||
    (a instanceof Time && b instanceof Time) ||
    (a instanceof Version && b instanceof Version && a.pointer === b.pointer);
  if (!canCompare) throw new Fault("incompatible types for comparison");
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (a instanceof Time && b instanceof Time) return sameTime(a, b);
  if (b instanceof Version) return a === b;
  throw new Fault("incompatible types for comparison");
}

const isInvalid = (value: Value): boolean => value === undefined || value === null;

function less(a: Value, b: Value): boolean {
  const x = integerOf(a);
  const y = integerOf(b);
  if (x !== undefined && y !== undefined) return x < y;
  if (typeof a === "number" && typeof b === "number") return a < b;
  if (typeof a === "string" && typeof b === "string") return a < b;
  throw new Fault("incompatible types for comparison");
}

function lessOrEqual(budget: Budget, a: Value, b: Value): boolean {
  return less(a, b) || equal(budget, a, b);
}

function index(item: Value, key: Value): Value {
  if (item instanceof Dict) {
    if (typeof key !== "string") throw new Fault("a map's key must be a string");
    if (item.entries.has(key)) return item.entries.get(key);
    return item.element === "string" ? "" : null;
  }
  const at = integerOf(key);
  if (item instanceof List || typeof item === "string") {
    if (at === undefined) throw new Fault("the index is not an integer");
    const length = typeof item === "string" ? item.length : item.items.length;
    if (at < 0n || at >= length) throw new Fault("out of range");
    if (typeof item === "string") return new Integer("uint8", BigInt(item.charCodeAt(Number(at))));
    return item.items[Number(at)];
  }
  throw new Fault("can't index this type");
}

const HTML: Readonly<Record<string, string>> = {
  "\0": "\xef\xbf\xbd",
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
};

function escapeHtml(budget: Budget, bytes: Bytes): Bytes {
  budget.bytes(bytes.length);
  // The table contains every character that the pattern matches.
  return bytes.replace(/[\0"'&<>]/g, (char) => HTML[char] ?? char);
}

const JS: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "'": "\\'",
  '"': '\\"',
  "<": "\\u003C",
  ">": "\\u003E",
  "&": "\\u0026",
  "=": "\\u003D",
};

function escapeJs(budget: Budget, bytes: Bytes): Bytes {
  budget.bytes(bytes.length * 6);
  let out = "";
  for (let at = 0; at < bytes.length;) {
    const { rune, size } = decodeRune(bytes, at);
    const raw = bytes.slice(at, at + size);
    at += size;
    const known = JS[raw];
    if (known !== undefined) out += known;
    else if (rune < 0x20) out += `\\u00${rune.toString(16).toUpperCase().padStart(2, "0")}`;
    else if (rune < 0x80) out += raw;
    else if (isPrint(rune)) out += size === 1 ? raw : encodeRune(rune);
    else out += `\\u${rune.toString(16).toUpperCase().padStart(4, "0")}`;
  }
  return out;
}

/** As text/template's evalArgs: returns the text that html, js and urlquery escape. */
function argumentText(budget: Budget, values: readonly Value[]): Bytes {
  const [only] = values;
  if (values.length === 1 && typeof only === "string") return only;
  return print(
    budget,
    values.map((value) => value ?? "<no value>"),
  );
}

const comparison = (compare: (budget: Budget, a: Value, b: Value) => boolean): Builtin =>
  fn(["value", "value"], compare);

export const BUILTIN_FUNCTIONS: Table = {
  // The executor evaluates these two itself, because they stop early.
  and: variadic(["value"], "value", () => undefined),
  or: variadic(["value"], "value", () => undefined),
  call: variadic(["value"], "value", () => {
    throw new Fault("not a function");
  }),
  not: fn(["value"], (_, value) => !isTrue(value)),
  len: fn(["value"], (_, value) => {
    if (typeof value === "string") return BigInt(value.length);
    if (value instanceof List) return BigInt(value.items.length);
    if (value instanceof Dict) return BigInt(value.entries.size);
    throw new Fault("this type has no length");
  }),
  index: variadic(["value"], "value", (_, keys, item) => {
    if (isInvalid(item)) throw new Fault("index of nil");
    return keys.reduce((found: Value, key) => index(found, key), item);
  }),
  eq: variadic(["value"], "value", (budget, others, first) => {
    if (others.length === 0) throw new Fault("missing argument for comparison");
    return others.some((other) => equal(budget, first, other));
  }),
  ne: comparison((budget, a, b) => !equal(budget, a, b)),
  lt: comparison((_, a, b) => less(a, b)),
  le: comparison(lessOrEqual),
  gt: comparison((budget, a, b) => !lessOrEqual(budget, a, b)),
  ge: comparison((_, a, b) => !less(a, b)),
  print: variadic([], "any", print),
  println: variadic([], "any", println),
  printf: variadic(["string"], "any", (budget, values, format) => printf(budget, format, values)),
  html: variadic([], "any", (budget, v) => escapeHtml(budget, argumentText(budget, v))),
  js: variadic([], "any", (budget, v) => escapeJs(budget, argumentText(budget, v))),
  urlquery: variadic([], "any", (budget, v) => escapeQuery(argumentText(budget, v))),
};
