// Prints template values as Go's fmt.Sprint, Sprintln and Sprintf do.
import { formatFloat } from "./numbers.ts";
import { decodeRune, encodeRune, isPrint, quote, runeCount, runeSlices } from "./unicode.ts";
import {
  type Budget,
  type Bytes,
  Dict,
  Fault,
  integerOf,
  List,
  Text,
  typeName,
  type Value,
  Version,
} from "./value.ts";

/** Calls a value's String method; returns undefined if it has no such method. */
export type Describe = (value: Value) => Bytes | undefined;

interface Flags {
  width: number | undefined;
  precision: number | undefined;
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  /** Set for %+v and %#v, which change what is printed, not how a number looks. */
  plusV: boolean;
  sharpV: boolean;
}

const noFlags = (): Flags => ({
  width: undefined,
  precision: undefined,
  minus: false,
  plus: false,
  sharp: false,
  space: false,
  zero: false,
  plusV: false,
  sharpV: false,
});

/** How far printf has read its format and its arguments. */
interface Progress {
  readonly format: Bytes;
  readonly values: readonly Value[];
  at: number;
  /** The position of the next argument. */
  next: number;
  /** Whether any directive has an explicit argument index, as in `%[2]d`. */
  reordered: boolean;
  /** Whether every index in the current directive is valid. */
  goodIndex: boolean;
  /** Whether an index was just read, so that a verb or `*` must follow. */
  afterIndex: boolean;
}

/** One Sprint, Sprintln or Sprintf call. */
export class Printer {
  readonly #budget: Budget;
  readonly #describe: Describe;
  readonly #text: Text;
  #flags = noFlags();
  /** Disables String methods while the operand of a bad verb is printed, as in %!d(string=x). */
  #erroring = false;

  constructor(budget: Budget, describe: Describe) {
    this.#budget = budget;
    this.#describe = describe;
    this.#text = new Text(budget);
  }

  print(values: readonly Value[]): Bytes {
    let afterString = true;
    for (const value of values) {
      const isString = typeof value === "string";
      if (!isString && !afterString) this.#text.add(" ");
      this.#argument(value, "v");
      afterString = isString;
    }
    return this.#text.toString();
  }

  println(values: readonly Value[]): Bytes {
    values.forEach((value, i) => {
      if (i > 0) this.#text.add(" ");
      this.#argument(value, "v");
    });
    this.#text.add("\n");
    return this.#text.toString();
  }

  printf(format: Bytes, values: readonly Value[]): Bytes {
    const state: Progress = {
      format,
      values,
      at: 0,
      next: 0,
      reordered: false,
      goodIndex: true,
      afterIndex: false,
    };
    while (state.at < format.length) {
      const percent = format.indexOf("%", state.at);
      this.#text.add(format.slice(state.at, percent < 0 ? undefined : percent));
      if (percent < 0) break;
      this.#budget.step();
      state.at = percent + 1;
      this.#directive(state);
    }
    if (!state.reordered && state.next < values.length) this.#extra(values.slice(state.next));
    return this.#text.toString();
  }

  /** Prints one directive, such as `%-6[2]d`, from after its percent sign. */
  #directive(state: Progress): void {
    const { format } = state;
    const flags = this.#readFlags(state);
    readIndex(state);
    this.#readWidth(state, flags);
    this.#readPrecision(state, flags);
    if (!state.afterIndex) readIndex(state);
    if (state.at >= format.length) {
      this.#text.add("%!(NOVERB)");
      return;
    }
    const { size } = decodeRune(format, state.at);
    const verb = format.slice(state.at, state.at + size);
    state.at += size;
    this.#verb(verb, state, flags);
  }

  #readFlags(state: Progress): Flags {
    const { format } = state;
    const flags = (this.#flags = noFlags());
    while (state.at < format.length && setFlag(flags, format.charAt(state.at))) state.at += 1;
    state.goodIndex = true;
    state.afterIndex = false;
    return flags;
  }

  #readWidth(state: Progress, flags: Flags): void {
    if (state.format[state.at] === "*") {
      flags.width = takeNumber(state);
      if (flags.width === undefined) this.#text.add("%!(BADWIDTH)");
      else if (flags.width < 0) {
        flags.width = -flags.width;
        flags.minus = true;
        flags.zero = false;
      }
      state.afterIndex = false;
      return;
    }
    const width = formatNumber(state.format, state.at);
    flags.width = width.value;
    state.at = width.end;
    if (state.afterIndex && width.value !== undefined) state.goodIndex = false;
  }

  #readPrecision(state: Progress, flags: Flags): void {
    const { format } = state;
    if (state.at + 1 >= format.length || format[state.at] !== ".") return;
    state.at += 1;
    if (state.afterIndex) state.goodIndex = false;
    state.afterIndex = false;
    readIndex(state);
    if (format[state.at] === "*") {
      flags.precision = takeNumber(state);
      if (flags.precision !== undefined && flags.precision < 0) flags.precision = undefined;
      if (flags.precision === undefined) this.#text.add("%!(BADPREC)");
      state.afterIndex = false;
      return;
    }
    const precision = formatNumber(format, state.at);
    flags.precision = precision.value ?? 0;
    state.at = precision.end;
  }

  #verb(verb: string, state: Progress, flags: Flags): void {
    if (verb === "%") this.#text.add("%");
    else if (!state.goodIndex) this.#text.add(`%!${verb}(BADINDEX)`);
    else if (state.next >= state.values.length) this.#text.add(`%!${verb}(MISSING)`);
    else {
      if (verb === "v" || verb === "w") {
        flags.sharpV = flags.sharp;
        flags.plusV = flags.plus;
        flags.sharp = flags.plus = false;
      }
      this.#argument(state.values[state.next], verb);
      state.next += 1;
    }
  }

  /** Reports the arguments that no directive used. */
  #extra(values: readonly Value[]): void {
    this.#flags = noFlags();
    this.#text.add("%!(EXTRA ");
    values.forEach((value, i) => {
      if (i > 0) this.#text.add(", ");
      if (value === undefined || value === null) this.#text.add("<nil>");
      else {
        this.#text.add(`${typeName(value)}=`);
        this.#argument(value, "v");
      }
    });
    this.#text.add(")");
  }

  #argument(value: Value, verb: string): void {
    this.#budget.step();
    if (value === undefined || value === null) {
      if (verb === "T" || verb === "v") this.#pad("<nil>");
      else this.#badVerb(value, verb);
    } else if (verb === "T") {
      this.#pad(this.#cut(typeName(value)));
    } else if (verb === "p") {
      if (value instanceof List || value instanceof Dict || value instanceof Version) {
        throw new Fault("%p would print a different address every time");
      }
      this.#badVerb(value, verb);
    } else {
      this.#value(value, verb, 0);
    }
  }

  #value(value: Value, verb: string, depth: number): void {
    this.#budget.step();
    if (verb === "w") {
      this.#badVerb(value, verb);
      return;
    }
    if (!this.#erroring && !this.#flags.sharpV && "vsxXq".includes(verb)) {
      const text = this.#describe(value);
      if (text !== undefined) {
        this.#string(text, verb, value);
        return;
      }
    }
    const integer = integerOf(value);
    if (value === undefined || value === null) {
      this.#text.add(this.#flags.sharpV ? "interface {}(nil)" : "<nil>");
    } else if (typeof value === "boolean") {
      if (verb === "t" || verb === "v") this.#pad(String(value));
      else this.#badVerb(value, verb);
    } else if (typeof value === "string") {
      this.#string(value, verb, value);
    } else if (typeof value === "number") {
      this.#float(value, verb);
    } else if (integer !== undefined) {
      this.#integer(integer, verb, value);
    } else if (value instanceof List) {
      this.#list(value, verb, depth);
    } else if (value instanceof Dict) {
      this.#dict(value, verb, depth);
    } else {
      throw new Fault("this verb is not supported for a date or a version");
    }
  }

  #list(list: List, verb: string, depth: number): void {
    const sharp = this.#flags.sharpV;
    if (sharp) {
      this.#text.add(typeName(list));
      if (list.isNil) {
        this.#text.add("(nil)");
        return;
      }
    }
    this.#text.add(sharp ? "{" : "[");
    this.#budget.nest(() => {
      list.items.forEach((item, i) => {
        if (i > 0) this.#text.add(sharp ? ", " : " ");
        this.#value(item, verb, depth + 1);
      });
    });
    this.#text.add(sharp ? "}" : "]");
  }

  #dict(dict: Dict, verb: string, depth: number): void {
    const sharp = this.#flags.sharpV;
    this.#text.add(sharp ? typeName(dict) : "map[");
    if (sharp && dict.isNil) {
      this.#text.add("(nil)");
      return;
    }
    if (sharp) this.#text.add("{");
    this.#budget.nest(() => {
      dict.names().forEach((name, i) => {
        if (i > 0) this.#text.add(sharp ? ", " : " ");
        this.#value(name, verb, depth + 1);
        this.#text.add(":");
        this.#value(dict.entries.get(name), verb, depth + 1);
      });
    });
    this.#text.add(sharp ? "}" : "]");
  }

  #badVerb(value: Value, verb: string): void {
    this.#erroring = true;
    this.#text.add(`%!${verb}(`);
    if (value === undefined || value === null) this.#text.add("<nil>");
    else {
      this.#text.add(`${typeName(value)}=`);
      this.#argument(value, "v");
    }
    this.#text.add(")");
    this.#erroring = false;
  }

  #string(bytes: Bytes, verb: string, value: Value): void {
    if (verb === "q" || (verb === "v" && this.#flags.sharpV)) {
      const text = this.#cut(bytes);
      const raw = this.#flags.sharp && canBackquote(text);
      this.#pad(raw ? `\`${text}\`` : quote(text, '"', this.#flags.plus));
    } else if (verb === "v" || verb === "s") this.#pad(this.#cut(bytes));
    else if (verb === "x" || verb === "X") this.#hex(bytes, verb);
    else this.#badVerb(value, verb);
  }

  #hex(bytes: Bytes, verb: "x" | "X"): void {
    const { precision, sharp, space, width } = this.#flags;
    this.#budget.bytes(bytes.length * 5);
    let digits = Buffer.from(bytes.slice(0, precision), "latin1").toString("hex");
    if (verb === "X") digits = digits.toUpperCase();
    const prefix = sharp && digits !== "" ? `0${verb}` : "";
    const text = space ? digits.replace(/..(?=.)/g, `$& ${prefix}`) : digits;
    // Go counts bytes when it pads hex, and pads an empty text on the left even with a minus.
    const padding = (width ?? 0) - prefix.length - text.length;
    if (!this.#flags.minus || text === "") this.#padding(padding);
    this.#text.add(prefix + text);
    if (this.#flags.minus && text !== "") this.#padding(padding);
  }

  #integer(value: bigint, verb: string, whole: Value): void {
    const unsigned = typeName(whole).startsWith("uint");
    switch (verb) {
      case "v":
        if (this.#flags.sharpV && unsigned) {
          this.#flags.sharp = true;
          this.#digits(value, 16, verb);
          this.#flags.sharp = false;
        } else this.#digits(value, 10, verb);
        break;
      case "d":
        this.#digits(value, 10, verb);
        break;
      case "b":
        this.#digits(value, 2, verb);
        break;
      case "o":
      case "O":
        this.#digits(value, 8, verb);
        break;
      case "x":
      case "X":
        this.#digits(value, 16, verb);
        break;
      case "c":
        this.#pad(encodeRune(runeOf(value)));
        break;
      case "q":
        this.#pad(quote(encodeRune(runeOf(value)), "'", this.#flags.plus));
        break;
      case "U":
        this.#unicode(value);
        break;
      default:
        this.#badVerb(whole, verb);
    }
  }

  #digits(value: bigint, base: number, verb: string): void {
    const { minus, plus, sharp, space, zero, precision, width } = this.#flags;
    const negative = value < 0n;
    let size = precision ?? 0;
    if (precision === 0 && value === 0n) {
      this.#text.repeat(" ", width ?? 0);
      return;
    }
    if (precision === undefined && zero && !minus && width !== undefined) {
      size = negative || plus || space ? width - 1 : width;
    }
    this.#budget.bytes(size);
    let digits = (negative ? -value : value).toString(base).padStart(size, "0");
    if (verb === "X") digits = digits.toUpperCase();
    if (sharp && base === 2) digits = `0b${digits}`;
    if (sharp && base === 8 && !digits.startsWith("0")) digits = `0${digits}`;
    if (sharp && base === 16) digits = `0${verb === "X" ? "X" : "x"}${digits}`;
    if (verb === "O") digits = `0o${digits}`;
    const sign = negative ? "-" : plus ? "+" : space ? " " : "";
    this.#flags.zero = false;
    this.#pad(sign + digits);
    this.#flags.zero = zero;
  }

  #unicode(value: bigint): void {
    const { precision = 0, sharp, zero } = this.#flags;
    const size = Math.max(4, precision);
    this.#budget.bytes(size);
    const point = BigInt.asUintN(64, value);
    let text = `U+${point.toString(16).toUpperCase().padStart(size, "0")}`;
    if (sharp && point <= 0x10ffffn && isPrint(Number(point))) {
      text += ` '${encodeRune(Number(point))}'`;
    }
    this.#flags.zero = false;
    this.#pad(text);
    this.#flags.zero = zero;
  }

  #float(value: number, verb: string): void {
    const { minus, plus, sharp, space, zero, width } = this.#flags;
    const name = verb === "v" ? "g" : verb === "F" ? "f" : verb;
    if (!"gGfeEbxX".includes(name)) {
      this.#badVerb(value, verb);
      return;
    }
    const precision = this.#flags.precision ?? ("feE".includes(name) ? 6 : -1);
    let text = formatFloat(value, name, precision);
    if (!/^[+-]/.test(text)) text = text === "NaN" ? "+NaN" : `+${text}`;
    if (space && text.startsWith("+") && !plus) text = ` ${text.slice(1)}`;
    if (!Number.isFinite(value)) {
      if (Number.isNaN(value) && !space && !plus) text = text.slice(1);
      this.#flags.zero = false;
      this.#pad(text);
      this.#flags.zero = zero;
      return;
    }
    if (sharp && "bxX".includes(name)) throw new Fault("# is not supported for this verb");
    if (sharp) text = withPoint(text, name, precision);
    if (plus || !text.startsWith("+")) {
      if (zero && !minus && width !== undefined && width > text.length) {
        this.#text.add(text.charAt(0));
        this.#text.repeat("0", width - text.length);
        this.#text.add(text.slice(1));
        return;
      }
      this.#pad(text);
      return;
    }
    this.#pad(text.slice(1));
  }

  #cut(bytes: Bytes): Bytes {
    const { precision } = this.#flags;
    if (precision === undefined || precision >= bytes.length) return bytes;
    return runeSlices(bytes.slice(0, precision * 4))
      .slice(0, precision)
      .join("");
  }

  #pad(bytes: Bytes): void {
    const padding = (this.#flags.width ?? 0) - runeCount(bytes);
    if (!this.#flags.minus) this.#padding(padding);
    this.#text.add(bytes);
    if (this.#flags.minus) this.#padding(padding);
  }

  #padding(count: number): void {
    this.#text.repeat(this.#flags.zero && !this.#flags.minus ? "0" : " ", count);
  }
}

function runeOf(value: bigint): number {
  const point = BigInt.asUintN(64, value);
  return point > 0x10ffffn ? 0xfffd : Number(point);
}

function canBackquote(bytes: Bytes): boolean {
  return runeSlices(bytes).every((raw) => {
    const { rune, size } = decodeRune(raw, 0);
    if (size > 1) return rune !== 0xfeff;
    return rune !== 0xfffd && raw !== "`" && rune !== 0x7f && (rune >= 0x20 || rune === 9);
  });
}

/** Applies the `#` flag: keeps the point and, for %g, the trailing zeros. */
function withPoint(text: string, verb: string, precision: number): string {
  const exponentAt = text.search(/[eE]/);
  const tail = exponentAt < 0 ? "" : text.slice(exponentAt);
  let head = exponentAt < 0 ? text : text.slice(0, exponentAt);
  let digits = "gG".includes(verb) ? (precision < 0 ? 6 : precision) : 0;
  digits -= head.slice(1).replace(".", "").replace(/^0+/, "").length;
  if (!head.includes(".")) {
    if (head.length === 2 && head[1] === "0") digits -= 1;
    head += ".";
  }
  return head + "0".repeat(Math.max(0, digits)) + tail;
}

function setFlag(flags: Flags, char: string): boolean {
  if (char === "#") flags.sharp = true;
  else if (char === "0") flags.zero = true;
  else if (char === "+") flags.plus = true;
  else if (char === "-") flags.minus = true;
  else if (char === " ") flags.space = true;
  else return false;
  return true;
}

function formatNumber(format: Bytes, start: number): { value: number | undefined; end: number } {
  const digits = /^[0-9]*/.exec(format.slice(start, start + 20))?.[0] ?? "";
  // As in Go, a number that is far too large consumes the rest of the format.
  if (digits.length > 7 || Number(digits) > 1e7) return { value: undefined, end: format.length };
  return { value: digits === "" ? undefined : Number(digits), end: start + digits.length };
}

/** Consumes a `*` and the argument with its number. */
function takeNumber(state: Progress): number | undefined {
  state.at += 1;
  const number = argumentNumber(state.values[state.next]);
  if (state.next < state.values.length) state.next += 1;
  return number;
}

function argumentNumber(value: Value): number | undefined {
  const integer = integerOf(value);
  return integer === undefined || integer > 1000000n || integer < -1000000n
    ? undefined
    : Number(integer);
}

/** Consumes an argument index such as `[2]`, if there is one. */
function readIndex(state: Progress): void {
  const found = argumentIndex(state.format, state.at, state.values.length);
  if (found === undefined) return;
  state.reordered = true;
  state.afterIndex = found.ok;
  if (found.index === undefined) state.goodIndex = false;
  else state.next = found.index;
  state.at += found.width;
}

function argumentIndex(
  format: Bytes,
  at: number,
  count: number,
): { index: number | undefined; width: number; ok: boolean } | undefined {
  if (format[at] !== "[") return undefined;
  const close = format.indexOf("]", at + 1);
  if (close < 0 || format.length - at < 3) return { index: undefined, width: 1, ok: false };
  const width = close - at + 1;
  const inside = format.slice(at + 1, close);
  if (!/^[0-9]{1,7}$/.test(inside)) return { index: undefined, width, ok: false };
  const index = Number(inside) - 1;
  return { index: index >= 0 && index < count ? index : undefined, width, ok: true };
}
