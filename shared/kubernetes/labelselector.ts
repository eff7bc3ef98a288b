// Selectors of labels as kubectl reads them, in one canonical spelling, and what they match.
// SPEC.md, "Scopes".

/** One condition of a selector. `values` is empty for `exists` and `absent`. */
interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notin" | "exists" | "absent";
  readonly values: readonly string[];
}

/** A parsed selector: labels match if they meet every requirement. */
export interface LabelSelector {
  /** The canonical spelling, in ASCII. */
  readonly text: string;
  readonly requirements: readonly Requirement[];
}

/** Longest text that is parsed, and longest canonical spelling, in characters. */
const MAX_INPUT = 16_384;
const MAX_LENGTH = 4_096;

/** A name of at most 63 characters, as in a label's key and value. */
const NAME = /^[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const MAX_PREFIX = 253;

const TOKENS = /==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+/g;
const SYMBOLS: ReadonlySet<string | undefined> = new Set([
  "==",
  "!=",
  "=",
  "!",
  "(",
  ")",
  ",",
  "<",
  ">",
  undefined,
]);

/** A selector that is refused; the message says why. */
export class SelectorFault extends Error {
  override readonly name = "SelectorFault";
}

/**
 * Parses a selector as Kubernetes does: `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`,
 * joined by commas. Comparisons of numbers (`>`, `<`) are refused.
 * @throws SelectorFault
 */
export function parseLabelSelector(text: string): LabelSelector {
  if (text.length > MAX_INPUT) throw new SelectorFault(`is longer than ${MAX_INPUT} characters`);
  const tokens = new Tokens(text.match(TOKENS) ?? []);
  if (tokens.peek() === undefined) throw new SelectorFault("is empty");
  const byText = new Map<string, Requirement>();
  do {
    const requirement = parseRequirement(tokens);
    byText.set(formatRequirement(requirement), requirement);
  } while (tokens.takes(","));
  if (tokens.peek() !== undefined) throw unexpected(tokens.peek(), "a comma");
  const sorted = [...byText].sort(([a], [b]) => (a < b ? -1 : 1));
  const canonical = sorted.map(([each]) => each).join(",");
  if (canonical.length > MAX_LENGTH) {
    throw new SelectorFault(`is longer than ${MAX_LENGTH} characters`);
  }
  return { text: canonical, requirements: sorted.map(([, requirement]) => requirement) };
}

/**
 * A selector by key, so that the time to match does not grow with its length: a stranger may write a
 * long one that is compared with thousands of namespaces.
 */
interface Compiled {
  /** Keys that there must be, and the values that each may have; null for any. */
  readonly wanted: Map<string, Set<string> | null>;
  /** Keys and the values that each may not have; null for any. */
  readonly unwanted: Map<string, Set<string> | null>;
}

const COMPILED = new WeakMap<LabelSelector, Compiled>();

/** Whether labels meet every requirement of a selector. */
export function matchesLabels(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  const { wanted, unwanted } = compiled(selector);
  for (const [key, values] of wanted) {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (value === undefined || values?.has(value) === false) return false;
  }
  if (unwanted.size === 0) return true;
  return Object.entries(labels).every(([key, value]) => {
    const values = unwanted.get(key);
    return values === undefined || values?.has(value) === false;
  });
}

function compiled(selector: LabelSelector): Compiled {
  const known = COMPILED.get(selector);
  if (known !== undefined) return known;
  const made = compile(selector);
  COMPILED.set(selector, made);
  return made;
}

function compile({ requirements }: LabelSelector): Compiled {
  const wanted = new Map<string, Set<string> | null>();
  const unwanted = new Map<string, Set<string> | null>();
  for (const { key, operator, values } of requirements) {
    const others = (operator === "in" || operator === "exists" ? wanted : unwanted).get(key);
    switch (operator) {
      case "in":
        wanted.set(key, new Set(values.filter((value) => others?.has(value) !== false)));
        break;
      case "exists":
        wanted.set(key, others ?? null);
        break;
      case "notin":
        unwanted.set(key, others === null ? null : new Set([...(others ?? []), ...values]));
        break;
      case "absent":
        unwanted.set(key, null);
        break;
    }
  }
  return { wanted, unwanted };
}

/** Whether something without labels can match: no requirement asks for a label. */
export function matchesUnlabelled({ requirements }: LabelSelector): boolean {
  return requirements.every(({ operator }) => operator === "notin" || operator === "absent");
}

class Tokens {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  /** The next token, which stays; undefined at the end. */
  peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  takes(token: string): boolean {
    if (this.peek() !== token) return false;
    this.#at++;
    return true;
  }

  /** A key or a value; undefined if the next token is a symbol or the end. */
  word(): string | undefined {
    const next = this.peek();
    if (SYMBOLS.has(next)) return undefined;
    this.#at++;
    return next;
  }
}

function parseRequirement(tokens: Tokens): Requirement {
  const isAbsent = tokens.takes("!");
  const key = tokens.word();
  if (key === undefined) throw unexpected(tokens.peek(), "the key of a label");
  checkKey(key);
  if (isAbsent) return { key, operator: "absent", values: [] };
  if (tokens.takes("=") || tokens.takes("==")) {
    return { key, operator: "in", values: [valueOf(tokens.word() ?? "")] };
  }
  if (tokens.takes("!=")) return { key, operator: "notin", values: [valueOf(tokens.word() ?? "")] };
  for (const operator of ["in", "notin"] as const) {
    if (tokens.takes(operator)) return { key, operator, values: parseValues(tokens) };
  }
  if (tokens.peek() === "<" || tokens.peek() === ">") {
    throw new SelectorFault(`compares numbers with ${tokens.peek()}, which is not supported here`);
  }
  return { key, operator: "exists", values: [] };
}

function parseValues(tokens: Tokens): string[] {
  if (!tokens.takes("(")) throw unexpected(tokens.peek(), "( and values");
  if (tokens.peek() === ")") throw unexpected(")", "a value");
  const values = new Set<string>();
  do values.add(valueOf(tokens.word() ?? ""));
  while (tokens.takes(","));
  if (!tokens.takes(")")) throw unexpected(tokens.peek(), "a comma or )");
  return [...values].sort();
}

function formatRequirement({ key, operator, values }: Requirement): string {
  const [first = ""] = values;
  if (operator === "exists") return key;
  if (operator === "absent") return `!${key}`;
  if (values.length === 1) return `${key}${operator === "in" ? "=" : "!="}${first}`;
  return `${key} ${operator} (${values.join(",")})`;
}

function checkKey(key: string): void {
  const slash = key.indexOf("/");
  const prefix = key.slice(0, Math.max(slash, 0));
  const isPrefix = slash === -1 || (prefix.length <= MAX_PREFIX && PREFIX.test(prefix));
  if (isPrefix && NAME.test(key.slice(slash + 1))) return;
  throw new SelectorFault(`has ${quoted(key)}, which is not the key of a label`);
}

function valueOf(text: string): string {
  if (text === "" || NAME.test(text)) return text;
  throw new SelectorFault(`has ${quoted(text)}, which is not the value of a label`);
}

function unexpected(found: string | undefined, expected: string): SelectorFault {
  const what = found === undefined ? "ends" : `has ${quoted(found)}`;
  return new SelectorFault(`${what} where ${expected} is expected`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
