// Renders a SealedSecret's spec.template.data within limits that all its items share.
import { locate, SignetError } from "../errors.ts";
import { execute } from "./execute.ts";
import { checkFunction, FUNCTIONS } from "./functions.ts";
import { SourceFault } from "./lexer.ts";
import { parse } from "./parser.ts";
import { output } from "./show.ts";
import { encode } from "./unicode.ts";
import { Budget, type Bytes, Dict, Fault } from "./value.ts";

export interface TemplateLimits {
  /** A step is an evaluated node, a new list item, or 128 bytes that a function reads or writes. */
  readonly maxSteps: number;
  /** Applies to all outputs together, to every intermediate text, and to each source. */
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
}

export type TemplateValues = ReadonlyMap<string, Uint8Array> | Readonly<Record<string, Uint8Array>>;

/**
 * Renders the templates of one object, by item, within one budget. `values` maps names to decrypted
 * bytes; the outputs are bytes too. An item's name is its template's name, which `{{ template }}`
 * can call. The error names the item, the line and the function. It never contains a value or
 * anything derived from one.
 *
 * @throws SignetError template-failed
 */
export function renderTemplates(
  templates: ReadonlyMap<string, string>,
  values: TemplateValues,
  options: TemplateOptions = {},
): Map<string, Uint8Array> {
  const limits = options.limits ?? DEFAULT_TEMPLATE_LIMITS;
  const budget = budgetOf(limits, options.clock);
  // Converted once: each item would copy all values again.
  const data = dataOf(values);
  const rendered = new Map<string, Uint8Array>();
  let bytes = 0;
  for (const [item, source] of templates) {
    const output = locate({ field: `spec.template.data.${item}` }, () => {
      const result = render(source, data, item, budget);
      bytes += result.length;
      if (bytes <= limits.maxOutputBytes) return result;
      throw new SignetError("template-failed", "the templates together produce too much text");
    });
    rendered.set(item, output);
  }
  return rendered;
}

/**
 * Renders one template with a budget of its own. `name`: the template's own name.
 * @throws SignetError template-failed
 */
export function renderTemplate(
  source: string,
  values: TemplateValues,
  options: TemplateOptions & { readonly name?: string } = {},
): Uint8Array {
  const limits = options.limits ?? DEFAULT_TEMPLATE_LIMITS;
  return render(source, dataOf(values), options.name ?? "", budgetOf(limits, options.clock));
}

/**
 * Why no controller can render this template, whatever the values are; undefined if it parses.
 * It quotes nothing but names of the template.
 */
export function templateFault(source: string, item: string): string | undefined {
  try {
    parse(encode(item), source, checkFunction);
    return undefined;
  } catch (error) {
    if (error instanceof SourceFault) return faultWords(error);
    throw error;
  }
}

const faultWords = ({ line, message }: SourceFault): string => `line ${line}: ${message}`;

function budgetOf(limits: TemplateLimits, clock: (() => number) | undefined): Budget {
  const start = clock?.() ?? 0;
  const outOfTime = (): boolean => clock !== undefined && clock() - start > limits.maxMs;
  return new Budget(limits.maxSteps, limits.maxOutputBytes, outOfTime);
}

function render(source: string, data: Dict, item: string, budget: Budget): Uint8Array {
  try {
    if (source.length > budget.maxBytes) throw new SourceFault("the template is too long", 1);
    budget.bytes(source.length);
    const name = encode(item);
    const definitions = parse(name, source, checkFunction);
    const program = {
      definitions,
      functions: FUNCTIONS,
      print: (value: Parameters<typeof output>[1]): Bytes => output(budget, value),
    };
    return new Uint8Array(Buffer.from(execute(program, name, data, budget), "latin1"));
  } catch (error) {
    // The error has no cause, because JavaScript's own errors may quote a value.
    if (error instanceof SourceFault) {
      throw new SignetError("template-failed", faultWords(error));
    }
    // The budget was used up before any line was read.
    const reason = error instanceof Fault ? error.message : "the template could not be rendered";
    throw new SignetError("template-failed", reason);
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
