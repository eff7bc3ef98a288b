// Defines how a function of the template language declares its Go parameter types.
import type { Budget, Bytes, Dict, Time, Value } from "./value.ts";

/** The JavaScript type of each Go parameter type; `value` is reflect.Value and accepts anything. */
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
  /** Type of the variadic arguments, if the function accepts any. */
  readonly rest: Kind | undefined;
  /** The executor checks the arguments against `params` and `rest` before the call. */
  readonly run: (budget: Budget, given: readonly Value[]) => Value;
}

type Args<P extends readonly Kind[]> = { -readonly [I in keyof P]: Kinds[P[I]] };

/** Declares a function with fixed parameters. */
export function fn<const P extends readonly Kind[]>(
  params: P,
  run: (budget: Budget, ...given: Args<P>) => Value,
): Builtin {
  // The executor checks every argument's type against `params`.
  return { params, rest: undefined, run: (budget, given) => run(budget, ...(given as Args<P>)) };
}

/** Declares a function whose last parameter accepts any number of arguments. */
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
