// Renders one value of a SealedSecret's spec.template.data within limits.
import { SignetError } from "../errors.ts";
import { execute } from "./execute.ts";
import { checkFunction, FUNCTIONS } from "./functions.ts";
import { SourceFault } from "./lexer.ts";
import { parse } from "./parser.ts";
import { output } from "./show.ts";
import { encode } from "./unicode.ts";
import { Budget, type Bytes, Dict } from "./value.ts";

export interface TemplateLimits {
  /** A step is an evaluated node, a new list item, or 128 bytes that a function reads or writes. */
  readonly maxSteps: number;
  /** Applies to the output, to every intermediate text, and to the source. */
  readonly maxOutputBytes: number;
  /** Enforced only if `TemplateOptions` has a clock. */
  readonly maxMs: number;
}

export const DEFAULT_TEMPLATE_LIMITS: TemplateLimits = {
  maxSteps: 100_000,
  maxOutputBytes: 1024 * 1024,
  maxMs: 1000,
};

export interface TemplateOptions {
  readonly limits?: TemplateLimits;
  /** Returns a time in milliseconds; without a clock, `maxMs` is not enforced. */
  readonly clock?: () => number;
  /** The template's own name, which `{{ template }}` can call: its key in spec.template.data. */
  readonly name?: string;
}

export type TemplateValues = ReadonlyMap<string, Uint8Array> | Readonly<Record<string, Uint8Array>>;

/**
 * Renders one template. `values` maps names to decrypted bytes; the output is bytes too.
 * The error names the line and the function. It never contains a value or anything derived from one.
 *
 * @throws SignetError template-failed
 */
export function renderTemplate(
  source: string,
  values: TemplateValues,
  options: TemplateOptions = {},
): Uint8Array {
  const limits = options.limits ?? DEFAULT_TEMPLATE_LIMITS;
  const { clock } = options;
  const start = clock?.() ?? 0;
  const outOfTime = (): boolean => clock !== undefined && clock() - start > limits.maxMs;
  const budget = new Budget(limits.maxSteps, limits.maxOutputBytes, outOfTime);
  try {
    if (source.length > limits.maxOutputBytes) {
      throw new SourceFault("the template is too long", 1);
    }
    budget.bytes(source.length);
    const name = encode(options.name ?? "");
    const definitions = parse(name, source, checkFunction);
    const program = {
      definitions,
      functions: FUNCTIONS,
      print: (value: Parameters<typeof output>[1]): Bytes => output(budget, value),
    };
    return Buffer.from(execute(program, name, dataOf(values), budget), "latin1");
  } catch (error) {
    // The error has no cause, because JavaScript's own errors may quote a value.
    if (!(error instanceof SourceFault)) {
      throw new SignetError("template-failed", "the template could not be rendered");
    }
    throw new SignetError("template-failed", `line ${error.line}: ${error.message}`);
  }
}

/** Converts the values to Go's map[string]string. */
function dataOf(values: TemplateValues): Dict {
  const entries = values instanceof Map ? [...values.entries()] : Object.entries(values);
  return new Dict(
    new Map(
      entries.map(([name, bytes]: [string, Uint8Array]) => [
        encode(name),
        Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"),
      ]),
    ),
    "string",
  );
}
