// Implements sprig's arithmetic and its lists of integers.
import {
  addDecimals,
  type Decimal,
  decimal,
  decimalToFloat,
  divideDecimals,
  multiplyDecimals,
  parseInt64,
  subtractDecimals,
  toFloat,
  toInteger,
} from "./numbers.ts";
import { type Builtin, fn, type Table, variadic } from "./signature.ts";
import { print } from "./show.ts";
import { type Budget, Fault, int64, List, type Value } from "./value.ts";

/** As sprig's untilStep: start, start + step, …, up to but not including stop. */
function untilStep(budget: Budget, start: bigint, stop: bigint, step: bigint): bigint[] {
  const found: bigint[] = [];
  if (stop < start ? step >= 0n : step <= 0n) return found;
  for (let i = start; stop < start ? i > stop : i < stop; i += step) {
    budget.step();
    found.push(i);
  }
  return found;
}

const ints = (all: Value[]): List => new List(all, "int");

function seq(budget: Budget, params: readonly bigint[]): string {
  const [first, second, third] = params;
  if (first === undefined || params.length > 3) return "";
  let [start, step, end] = [1n, 1n, first];
  if (second !== undefined) [start, end] = [first, second];
  if (third !== undefined && second !== undefined) [step, end] = [second, third];
  const toward = end < start ? -1n : 1n;
  if (third === undefined) step = toward;
  else if (toward < 0n && step > 0n) return "";
  return untilStep(budget, start, end + toward, step).join(" ");
}

const integers = (operate: (a: bigint, b: bigint) => bigint): Builtin =>
  fn(["any", "any"], (_, a, b) => int64(operate(toInteger(a), toInteger(b))));

function notZero(value: bigint): bigint {
  if (value === 0n) throw new Fault("division by zero");
  return value;
}

function decimals(
  budget: Budget,
  first: Value,
  others: readonly Value[],
  operate: (a: Decimal, b: Decimal) => Decimal,
): number {
  let result = decimal(toFloat(first));
  for (const other of others) {
    // An exact product grows with every factor, so its size counts as work.
    budget.step(1 + result.value.toString().length);
    result = operate(result, decimal(toFloat(other)));
  }
  return decimalToFloat(result);
}

const decimalOperation = (operate: (a: Decimal, b: Decimal) => Decimal): Builtin =>
  variadic(["any"], "any", (budget, others, first) => decimals(budget, first, others, operate));

const extreme = (better: (a: bigint, b: bigint) => boolean): Builtin =>
  variadic(["any"], "any", (_, others, first) =>
    int64(
      others
        .map(toInteger)
        .reduce((best, each) => (better(each, best) ? each : best), toInteger(first)),
    ),
  );

function round(value: Value, places: bigint, on: number): number {
  const exponent = Number(places);
  const power = exponent >= 0 ? 10 ** exponent : 1 / 10 ** -exponent;
  const shifted = power * toFloat(value);
  const fraction = Number.isFinite(shifted) ? shifted - Math.trunc(shifted) : NaN;
  return (fraction >= on ? Math.ceil(shifted) : Math.floor(shifted)) / power;
}

const biggest = extreme((a, b) => a > b);

export const MATH_FUNCTIONS: Table = {
  int64: fn(["any"], (_, value) => int64(toInteger(value))),
  float64: fn(["any"], (_, value) => toFloat(value)),
  toDecimal: fn(["any"], (budget, value) => {
    const parsed = parseInt64(print(budget, [value]), 8);
    return int64("ok" in parsed ? parsed.ok : 0n);
  }),
  until: fn(["int"], (budget, count) => ints(untilStep(budget, 0n, count, count < 0n ? -1n : 1n))),
  untilStep: fn(["int", "int", "int"], (budget, start, stop, step) =>
    ints(untilStep(budget, start, stop, step)),
  ),
  seq: variadic([], "int", seq),
  add1: fn(["any"], (_, value) => int64(toInteger(value) + 1n)),
  add: variadic([], "any", (_, values) => int64(values.map(toInteger).reduce((a, b) => a + b, 0n))),
  sub: integers((a, b) => a - b),
  div: integers((a, b) => a / notZero(b)),
  mod: integers((a, b) => a % notZero(b)),
  mul: variadic(["any"], "any", (_, values, first) =>
    int64(values.reduce<bigint>((a, b) => BigInt.asIntN(64, a * toInteger(b)), toInteger(first))),
  ),
  add1f: fn(["any"], (budget, value) => decimals(budget, value, [1n], addDecimals)),
  addf: variadic([], "any", (budget, values) => decimals(budget, 0, values, addDecimals)),
  subf: decimalOperation(subtractDecimals),
  divf: decimalOperation(divideDecimals),
  mulf: decimalOperation(multiplyDecimals),
  biggest,
  max: biggest,
  min: extreme((a, b) => a < b),
  maxf: variadic(["any"], "any", (_, values, first) => Math.max(toFloat(first), ...floats(values))),
  minf: variadic(["any"], "any", (_, values, first) => Math.min(toFloat(first), ...floats(values))),
  ceil: fn(["any"], (_, value) => Math.ceil(toFloat(value))),
  floor: fn(["any"], (_, value) => Math.floor(toFloat(value))),
  round: variadic(["any", "int"], "float64", (_, on, value, places) =>
    round(value, places, on[0] ?? 0.5),
  ),
};

function floats(values: readonly Value[]): number[] {
  return values.map(toFloat);
}
