// Defines the Go values that a template computes with, their Go type names, and the work budget.

/** An error in a template, without a line. Its message contains no value of the template's data. */
export class Fault extends Error {}

/** A Go string: bytes in a JavaScript string, one character (U+0000 to U+00FF) per byte. */
export type Bytes = string;

/** An integer of a Go type other than int, such as int64; `int` itself is a bigint. */
export class Integer {
  readonly type: string;
  readonly value: bigint;
  constructor(type: string, value: bigint) {
    this.type = type;
    this.value = value;
  }
}

/** A Go slice of `element`s; `isNil` distinguishes []T(nil) from an empty slice. */
export class List {
  readonly element: string;
  readonly items: Value[];
  readonly isNil: boolean;
  constructor(items: Value[], element = "interface {}", isNil = false) {
    this.items = items;
    this.element = element;
    this.isNil = isNil;
  }
}

/** A Go map from string to `element`. `entries` is a Map so that no key reaches a prototype. */
export class Dict {
  readonly element: string;
  readonly entries: Map<Bytes, Value>;
  isNil: boolean;
  constructor(entries: Map<Bytes, Value> = new Map(), element = "interface {}", isNil = false) {
    this.entries = entries;
    this.element = element;
    this.isNil = isNil;
  }
  /** Returns the names in byte order, in which Go's templates and JSON iterate over a map. */
  names(): Bytes[] {
    return [...this.entries.keys()].sort();
  }
}

/** A time zone: an IANA name, or a fixed offset in seconds with the abbreviation to print. */
export interface Zone {
  readonly iana?: string;
  readonly name: string;
  readonly offset: number;
}

/** A Go time.Time: seconds since 1970 and nanoseconds, printed in `zone`. */
export class Time {
  readonly seconds: number;
  readonly nanos: number;
  readonly zone: Zone;
  constructor(seconds: number, nanos: number, zone: Zone) {
    this.seconds = seconds;
    this.nanos = nanos;
    this.zone = zone;
  }
}

/** A Go *semver.Version; `pointer` is false for results of IncMajor, IncMinor and IncPatch. */
export class Version {
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly pre: Bytes;
  readonly metadata: Bytes;
  readonly original: Bytes;
  readonly pointer: boolean;
  constructor(
    numbers: readonly [bigint, bigint, bigint],
    pre: Bytes,
    metadata: Bytes,
    original: Bytes,
    pointer = true,
  ) {
    this.numbers = numbers;
    this.pre = pre;
    this.metadata = metadata;
    this.original = original;
    this.pointer = pointer;
  }
}

/**
 * `undefined` is Go's invalid reflect.Value (a missing map key), `null` an interface that holds
 * nil, `bigint` int, `number` float64, `string` the bytes of a Go string.
 */
export type Value =
  undefined | null | boolean | Bytes | bigint | number | Integer | List | Dict | Time | Version;

/** Counts and limits the work of one render; see TemplateLimits in shared/template/template.ts. */
export class Budget {
  #steps = 0;
  #depth = 0;
  #nextLook = 256;
  readonly maxSteps: number;
  readonly maxBytes: number;
  readonly outOfTime: () => boolean;

  constructor(maxSteps: number, maxBytes: number, outOfTime: () => boolean) {
    this.maxSteps = maxSteps;
    this.maxBytes = maxBytes;
    this.outOfTime = outOfTime;
  }

  /** Counts `count` units of work. @throws Fault */
  step(count = 1): void {
    this.#steps += count;
    // This form of the comparison also stops on NaN.
    if (!(this.#steps <= this.maxSteps)) throw new Fault("the template does too much work");
    if (this.#steps < this.#nextLook) return;
    this.#nextLook = this.#steps + 256;
    if (this.outOfTime()) throw new Fault("the template takes too long");
  }

  /** Counts the work on `length` bytes. @throws Fault if the string is too long */
  bytes(length: number): void {
    if (!(length <= this.maxBytes)) throw new Fault("the template produces too much text");
    this.step(1 + Math.floor(length / 128));
  }

  /** Runs `action` one level deeper. @throws Fault before nesting could overflow the stack */
  nest<T>(action: () => T): T {
    if (this.#depth >= 400) throw new Fault("nested too deeply");
    this.#depth += 1;
    try {
      return action();
    } finally {
      this.#depth -= 1;
    }
  }
}

/** A text that grows within a budget. */
export class Text {
  readonly #budget: Budget;
  readonly #parts: Bytes[] = [];
  #length = 0;
  constructor(budget: Budget) {
    this.#budget = budget;
  }
  add(bytes: Bytes): void {
    this.#length += bytes.length;
    if (this.#length > this.#budget.maxBytes)
      throw new Fault("the template produces too much text");
    if (this.#parts.push(bytes) % 16 === 0) this.#budget.step();
  }
  /** Appends `bytes` `count` times, and checks the length before it allocates. */
  repeat(bytes: Bytes, count: number): void {
    if (count <= 0 || bytes === "") return;
    if (this.#length + bytes.length * count > this.#budget.maxBytes) {
      throw new Fault("the template produces too much text");
    }
    this.add(bytes.repeat(count));
  }
  toString(): Bytes {
    return this.#parts.join("");
  }
}

/** As Go's %T. */
export function typeName(value: Value): string {
  if (value === undefined || value === null) return "<nil>";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float64";
  if (value instanceof Integer) return value.type;
  if (value instanceof List) return `[]${value.element}`;
  if (value instanceof Dict) return `map[string]${value.element}`;
  if (value instanceof Time) return "time.Time";
  return value.pointer ? "*semver.Version" : "semver.Version";
}

/** Returns the name of a value's reflect.Kind in Go. */
export function kindName(value: Value): string {
  if (value === undefined || value === null) return "invalid";
  if (value instanceof Integer) {
    return value.type === "time.Month" || value.type === "time.Weekday" ? "int" : value.type;
  }
  if (value instanceof List) return "slice";
  if (value instanceof Dict) return "map";
  if (value instanceof Time) return "struct";
  if (value instanceof Version) return value.pointer ? "ptr" : "struct";
  return typeName(value);
}

/** Returns the integer in an int or another integer type; undefined for other types. */
export function integerOf(value: Value): bigint | undefined {
  if (typeof value === "bigint") return value;
  return value instanceof Integer ? value.value : undefined;
}

/** Whether text/template treats a value as true. */
export function isTrue(value: Value): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  if (typeof value === "string") return value !== "";
  if (typeof value === "number") return value !== 0;
  if (value instanceof List) return value.items.length > 0;
  if (value instanceof Dict) return value.entries.size > 0;
  const integer = integerOf(value);
  return integer === undefined || integer !== 0n;
}

/** As Go's reflect.DeepEqual. */
export function deepEqual(budget: Budget, a: Value, b: Value): boolean {
  budget.step();
  if (a === b) return true;
  if (typeName(a) !== typeName(b)) return false;
  if (a instanceof Integer && b instanceof Integer) return a.value === b.value;
  if (a instanceof List && b instanceof List) {
    if (a.isNil !== b.isNil || a.items.length !== b.items.length) return false;
    return budget.nest(() => a.items.every((item, i) => deepEqual(budget, item, b.items[i])));
  }
  if (a instanceof Dict && b instanceof Dict) {
    if (a.isNil !== b.isNil || a.entries.size !== b.entries.size) return false;
    return budget.nest(() =>
      [...a.entries].every(([name, item]) => {
        return b.entries.has(name) && deepEqual(budget, item, b.entries.get(name));
      }),
    );
  }
  if (a instanceof Time && b instanceof Time) return sameTime(a, b);
  if (a instanceof Version && b instanceof Version) {
    return (
      a.numbers.every((number, i) => number === b.numbers[i]) &&
      a.pre === b.pre &&
      a.metadata === b.metadata &&
      a.original === b.original
    );
  }
  return a === undefined || a === null;
}

/** Whether two times are equal under Go's ==: the same instant in the same zone. */
export function sameTime(a: Time, b: Time): boolean {
  return (
    a.seconds === b.seconds &&
    a.nanos === b.nanos &&
    a.zone.iana === b.zone.iana &&
    a.zone.offset === b.zone.offset
  );
}

/** Makes a []string. */
export function strings(items: Bytes[]): List {
  return new List(items, "string");
}

/** Makes an int64. */
export function int64(value: bigint): Integer {
  return new Integer("int64", BigInt.asIntN(64, value));
}
