// Parses the flags of `kubeseal`: the syntax of Go's pflag, and the environment.
// docs/kubeseal.md.

import { SignetError } from "../../shared/errors.ts";
import { type Scope, SCOPES } from "../../shared/sealing/scope.ts";
import { FLAGS } from "./flagtable.ts";

/** The flags given on the command line and in the environment. */
export class Flags {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, string[]>();

  /** Whether it was given, on the command line or in the environment. */
  has(name: string): boolean {
    return this.#texts.has(name) || this.#lists.has(name);
  }

  /** The given text, or the default; undefined if it is empty. */
  text(name: string): string | undefined {
    return (this.#texts.get(name) ?? FLAGS[name]?.byDefault) || undefined;
  }

  /** The texts of several flags, under other names; without empty ones. */
  texts<Key extends string>(names: Readonly<Record<Key, string>>): Partial<Record<Key, string>> {
    const found: Partial<Record<Key, string>> = {};
    for (const [key, name] of Object.entries(names) as [Key, string][]) {
      const text = this.text(name);
      if (text !== undefined) found[key] = text;
    }
    return found;
  }

  on(name: string): boolean {
    return this.#texts.get(name) === "true";
  }

  list(name: string): readonly string[] {
    return this.#lists.get(name) ?? [];
  }

  get scope(): Scope | undefined {
    return SCOPES.find((scope) => scope === this.#texts.get("scope"));
  }

  get verbosity(): number {
    return Number(this.#texts.get("v") ?? 0);
  }

  /** @throws Refused with the message of Go's libraries */
  set(name: string, value: string): void {
    switch (FLAGS[name]?.kind) {
      case "boolean":
        this.#texts.set(name, String(parseBoolean(value)));
        return;
      case "scope":
        if (!SCOPES.some((scope) => scope === value)) {
          throw new Refused(`must be one of: ${SCOPES.join(", ")}`);
        }
        this.#texts.set(name, value);
        return;
      case "number":
        if (!/^[-+]?[0-9]{1,9}$/.test(value)) {
          throw new Refused(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
        }
        this.#texts.set(name, value);
        return;
      case "list":
        this.#lists.set(name, [...this.list(name), ...parseList(value)]);
        return;
      case "array":
        this.#lists.set(name, [...this.list(name), value]);
        return;
      case "ignored":
      case "ignored-switch":
        return;
      case "text":
      case undefined:
        this.#texts.set(name, value);
    }
  }
}

/** An invalid value of a flag. */
class Refused extends Error {}

function parseBoolean(value: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Refused(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** One line of CSV (RFC 4180), as pflag reads lists. */
function parseList(line: string): string[] {
  if (line === "") return [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|$)/y;
  const fields: string[] = [];
  for (;;) {
    const match = field.exec(line);
    if (match === null) throw new Refused("quotes in a list must enclose a whole item");
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") return fields;
  }
}

const SHORT = new Map(
  Object.entries(FLAGS).flatMap(([name, { short }]) =>
    short === undefined ? [] : [[short, name]],
  ),
);

const isSwitch = (name: string): boolean =>
  FLAGS[name]?.kind === "boolean" || FLAGS[name]?.kind === "ignored-switch";

/**
 * Parses a command line in Go's syntax; it overrides the environment. Arguments that are not flags
 * are ignored. `warn` is called for a deprecated flag.
 * @throws SignetError usage
 */
export function parseFlags(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): Flags {
  const flags = new Flags();
  readEnvironment(flags, environment);
  const waiting = args.values();
  for (const arg of waiting) {
    if (arg === "--") break;
    if (!arg.startsWith("-") || arg === "-") continue;
    if (arg.startsWith("--")) readLong(flags, arg, waiting);
    else readShort(flags, arg, waiting);
  }
  if (args.some((arg) => /^--rotate(=|$)/.test(arg))) {
    warn("Flag --rotate has been deprecated, please use --re-encrypt instead");
  }
  return flags;
}

function readEnvironment(
  flags: Flags,
  environment: Readonly<Record<string, string | undefined>>,
): void {
  for (const [name, { kind }] of Object.entries(FLAGS)) {
    if (kind === "ignored" || kind === "ignored-switch" || kind === "number") continue;
    const value = environment[`SEALED_SECRETS_${name.toUpperCase().replaceAll("-", "_")}`] ?? "";
    if (value === "") continue;
    try {
      flags.set(name, value);
    } catch (error) {
      // Like the original, ignores a variable with an invalid value.
      if (!(error instanceof Refused)) throw error;
    }
  }
}

function usageError(message: string): SignetError {
  return new SignetError("usage", message, { hint: "see `kubeseal --help`" });
}

function readLong(flags: Flags, arg: string, waiting: Iterator<string>): void {
  const [, name = "", given] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(arg) ?? [];
  if (name === "" || name.startsWith("-")) throw usageError("bad flag syntax: " + arg.slice(0, 3));
  if (!Object.hasOwn(FLAGS, name)) throw usageError(`unknown flag: --${name}`);
  const value = given ?? (isSwitch(name) ? "true" : following(waiting));
  if (value === undefined) throw usageError(`flag needs an argument: --${name}`);
  assign(flags, name, value);
}

function readShort(flags: Flags, arg: string, waiting: Iterator<string>): void {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg.charAt(at);
    const name = SHORT.get(letter);
    if (name === undefined) throw usageError(`unknown shorthand flag: '${letter}' in -${letter}`);
    const rest = arg.slice(at + 1);
    if (rest.startsWith("=")) {
      assign(flags, name, rest.slice(1));
      return;
    }
    if (!isSwitch(name)) {
      const value = rest === "" ? following(waiting) : rest;
      if (value === undefined)
        throw usageError(`flag needs an argument: '${letter}' in -${letter}`);
      assign(flags, name, value);
      return;
    }
    assign(flags, name, "true");
  }
}

function following(waiting: Iterator<string>): string | undefined {
  const next = waiting.next();
  return next.done === true ? undefined : next.value;
}

function assign(flags: Flags, name: string, value: string): void {
  try {
    flags.set(name, value);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const short = FLAGS[name]?.short;
    const shown = short === undefined ? `--${name}` : `-${short}, --${name}`;
    throw usageError(
      `invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${error.message}`,
    );
  }
}
