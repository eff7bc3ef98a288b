// How a function of the template language declares its Go parameter types.
import type { Budget, Bytes, Dict, Time, Value } from "./value.ts";

/** The JavaScript side of each Go parameter type; `value` is reflect.Value, which takes anything. */
export interface Kinds {
  string: Bytes;
  int: bigint;
  bool: boolean;
  float64: number;
  any: Value;
  value: Value;
  dict: Dict;
  time: Time;
}
export type Kind = keyof Kinds;

export interface Builtin {
  readonly params: readonly Kind[];
  /** Type of the variadic part, where there is one. */
  readonly rest: Kind | undefined;
  /** Arguments have been checked against `params` and `rest`. */
  readonly run: (budget: Budget, given: readonly Value[]) => Value;
}

type Args<P extends readonly Kind[]> = { -readonly [I in keyof P]: Kinds[P[I]] };

/** A function with fixed parameters. */
export function fn<const P extends readonly Kind[]>(
  params: P,
  run: (budget: Budget, ...given: Args<P>) => Value,
): Builtin {
  // The executor has checked every argument's type against `params`.
  return { params, rest: undefined, run: (budget, given) => run(budget, ...(given as Args<P>)) };
}

/** A function whose last parameter takes any number of arguments. */
export function variadic<const P extends readonly Kind[], R extends Kind>(
  params: P,
  rest: R,
  run: (budget: Budget, others: Kinds[R][], ...given: Args<P>) => Value,
): Builtin {
  return {
    params,
    rest,
    run: (budget, given) =>
      run(
        budget,
        given.slice(params.length) as Kinds[R][],
        ...(given.slice(0, params.length) as Args<P>),
      ),
  };
}

export type Table = Readonly<Record<string, Builtin>>;
