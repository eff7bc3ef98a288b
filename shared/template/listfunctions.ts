// Implements sprig's functions on lists and dicts, and its tests for empty values.
import { toInteger } from "./numbers.ts";
import { type Builtin, fn, type Table, variadic } from "./signature.ts";
import { textOf } from "./show.ts";
import {
  type Budget,
  type Bytes,
  deepEqual,
  Dict,
  Fault,
  isTrue,
  kindName,
  List,
  strings,
  Time,
  typeName,
  type Value,
} from "./value.ts";

/** As sprig's empty: whether text/template treats the value as false; no date or version is empty. */
function isEmpty(value: Value): boolean {
  return !isTrue(value);
}

function listOf(value: Value): List {
  if (value instanceof List) return value;
  throw new Fault("not a list");
}

const items = (budget: Budget, value: Value): Value[] => {
  const list = listOf(value);
  budget.step(list.items.length);
  return list.items;
};

/** Defines a list function and its must variant; both fail if Go fails or panics. */
const both = (name: string, builtin: Builtin): Record<string, Builtin> => ({
  [name]: builtin,
  [`must${name.charAt(0).toUpperCase()}${name.slice(1)}`]: builtin,
});

const inList = (budget: Budget, list: readonly Value[], needle: Value): boolean =>
  list.some((item) => deepEqual(budget, needle, item));

const append = fn(["any", "any"], (budget, list, item) => new List([...items(budget, list), item]));
const NIL_LIST = (): List => new List([], undefined, true);

function chunk(budget: Budget, size: bigint, value: Value): List {
  const all = items(budget, value);
  if (size <= 0n) throw new Fault("the size must be positive");
  const step = Number(size);
  const chunks: Value[] = [];
  for (let at = 0; at < all.length; at += step) chunks.push(new List(all.slice(at, at + step)));
  return new List(chunks, "[]interface {}");
}

function slice(list: Value, indices: readonly Value[]): Value {
  const { items: all, element } = listOf(list);
  if (all.length === 0) return null;
  const start = indices.length > 0 ? toInteger(indices[0]) : 0n;
  const end = indices.length > 1 ? toInteger(indices[1]) : BigInt(all.length);
  if (start < 0n || end > BigInt(all.length) || start > end) throw new Fault("out of range");
  return new List(all.slice(Number(start), Number(end)), element);
}

function uniq(budget: Budget, list: Value): List {
  const kept: Value[] = [];
  for (const item of items(budget, list)) if (!inList(budget, kept, item)) kept.push(item);
  return new List(kept);
}

/** Whether mergo may overwrite an entry of a map. */
const isMergeEmpty = (value: Value): boolean =>
  value === undefined || value === null || (!(value instanceof Time) && isEmpty(value));

/** As mergo.Merge on maps: adds the entries of `from`, or overwrites with them. */
function merge(budget: Budget, into: Dict, from: Dict, overwrite: boolean): void {
  budget.step(1 + from.entries.size);
  for (const [name, value] of [...from.entries]) {
    const known = into.entries.get(name);
    if (value === null || value === undefined) {
      if (overwrite) put(into, name, value);
      continue;
    }
    if (value instanceof Dict && known instanceof Dict) {
      budget.nest(() => {
        merge(budget, known, value, overwrite);
      });
      if (!isMergeEmpty(known)) continue;
    }
    if (value instanceof List && overwrite) {
      put(into, name, value);
      continue;
    }
    if (overwrite || isMergeEmpty(known)) put(into, name, value);
  }
}

function put(dict: Dict, name: Bytes, value: Value): void {
  if (dict.isNil) throw new Fault("assignment to a nil dict");
  if (dict.element === "string" && typeof value !== "string") {
    throw new Fault("the dict holds only text");
  }
  dict.entries.set(name, value);
}

const merging = (overwrite: boolean): Builtin =>
  variadic(["dict"], "dict", (budget, others, first) => {
    for (const other of others) {
      if (!other.isNil) first.isNil = false;
      merge(budget, first, other, overwrite);
    }
    return first;
  });

function deepCopy(budget: Budget, value: Value): Value {
  budget.step();
  if (value instanceof List) {
    const copies = budget.nest(() => value.items.map((item) => deepCopy(budget, item)));
    return new List(copies, value.element, value.isNil);
  }
  if (value instanceof Dict) {
    const copies = budget.nest(() =>
      [...value.entries].map(([name, item]) => [name, deepCopy(budget, item)] as const),
    );
    return new Dict(new Map(copies), value.element, value.isNil);
  }
  return value;
}

function dig(given: readonly Value[]): Value {
  if (given.length < 3) throw new Fault("needs at least three arguments");
  let dict = given.at(-1);
  for (const name of given.slice(0, -2)) {
    if (!(dict instanceof Dict) || dict.element === "string" || typeof name !== "string") {
      throw new Fault("wrong type of argument");
    }
    if (!dict.entries.has(name)) return given.at(-2);
    dict = dict.entries.get(name);
  }
  return dict;
}

const list = variadic([], "any", (_, all) => new List(all));

export const LIST_FUNCTIONS: Table = {
  list,
  tuple: list,
  ...both("append", append),
  ...both("push", append),
  ...both(
    "prepend",
    fn(["any", "any"], (b, l, item) => new List([item, ...items(b, l)])),
  ),
  ...both(
    "first",
    fn(["any"], (_, l) => listOf(l).items[0]),
  ),
  ...both(
    "last",
    fn(["any"], (_, l) => listOf(l).items.at(-1)),
  ),
  ...both(
    "rest",
    fn(["any"], (b, l) => (items(b, l).length === 0 ? NIL_LIST() : new List(items(b, l).slice(1)))),
  ),
  ...both(
    "initial",
    fn(["any"], (b, l) =>
      items(b, l).length === 0 ? NIL_LIST() : new List(items(b, l).slice(0, -1)),
    ),
  ),
  ...both(
    "reverse",
    fn(["any"], (b, l) => new List(items(b, l).toReversed())),
  ),
  ...both(
    "compact",
    fn(["any"], (b, l) => new List(items(b, l).filter((i) => !isEmpty(i)))),
  ),
  ...both("uniq", fn(["any"], uniq)),
  ...both(
    "without",
    variadic(["any"], "any", (b, omit, l) => {
      return new List(items(b, l).filter((item) => !inList(b, omit, item)));
    }),
  ),
  ...both(
    "has",
    fn(["any", "any"], (b, needle, l) => {
      return l !== null && l !== undefined && inList(b, items(b, l), needle);
    }),
  ),
  ...both(
    "slice",
    variadic(["any"], "any", (_, indices, l) => slice(l, indices)),
  ),
  ...both("chunk", fn(["int", "any"], chunk)),
  concat: variadic([], "any", (budget, lists) => {
    const all = lists.flatMap((each) => items(budget, each));
    return new List(all, undefined, all.length === 0);
  }),

  dict: variadic([], "any", (budget, pairs) => {
    const entries = new Map<Bytes, Value>();
    for (let i = 0; i < pairs.length; i += 2) {
      entries.set(textOf(budget, pairs[i]), i + 1 < pairs.length ? pairs[i + 1] : "");
    }
    return new Dict(entries);
  }),
  get: fn(["dict", "string"], (_, dict, name) =>
    dict.entries.has(name) ? dict.entries.get(name) : "",
  ),
  set: fn(["dict", "string", "any"], (_, dict, name, value) => {
    put(dict, name, value);
    return dict;
  }),
  unset: fn(["dict", "string"], (_, dict, name) => {
    dict.entries.delete(name);
    return dict;
  }),
  hasKey: fn(["dict", "string"], (_, dict, name) => dict.entries.has(name)),
  pluck: variadic(["string"], "dict", (_, dicts, name) => {
    const having = dicts.filter((dict) => dict.entries.has(name));
    return new List(having.map((dict) => dict.entries.get(name)));
  }),
  keys: variadic([], "dict", (_, dicts) => strings(dicts.flatMap((dict) => dict.names()))),
  values: fn(["dict"], (_, dict) => new List(dict.names().map((n) => dict.entries.get(n)))),
  pick: variadic(["dict"], "string", (_, names, dict) => {
    const kept = names.filter((name) => dict.entries.has(name));
    return new Dict(new Map(kept.map((name) => [name, dict.entries.get(name)])));
  }),
  omit: variadic(["dict"], "string", (_, names, dict) => {
    const left = new Map(dict.entries);
    for (const name of names) left.delete(name);
    return new Dict(left);
  }),
  ...both("merge", merging(false)),
  ...both("mergeOverwrite", merging(true)),
  ...both("deepCopy", fn(["any"], deepCopy)),
  dig: variadic([], "any", (_, given) => dig(given)),

  default: variadic(["any"], "any", (_, given, fallback) =>
    given.length === 0 || isEmpty(given[0]) ? fallback : given[0],
  ),
  empty: fn(["any"], (_, value) => isEmpty(value)),
  coalesce: variadic([], "any", (_, values) => values.find((value) => !isEmpty(value))),
  all: variadic([], "any", (_, values) => values.every((value) => !isEmpty(value))),
  any: variadic([], "any", (_, values) => values.some((value) => !isEmpty(value))),
  ternary: fn(["any", "any", "bool"], (_, yes, no, which) => (which ? yes : no)),

  typeOf: fn(["any"], (_, value) => typeName(value)),
  typeIs: fn(["string", "any"], (_, target, value) => target === typeName(value)),
  typeIsLike: fn(["string", "any"], (_, target, value) =>
    [target, `*${target}`].includes(typeName(value)),
  ),
  kindOf: fn(["any"], (_, value) => kindName(value)),
  kindIs: fn(["string", "any"], (_, target, value) => target === kindName(value)),
  deepEqual: fn(["any", "any"], deepEqual),
};
