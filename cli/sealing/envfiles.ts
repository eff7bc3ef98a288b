// Env files as sources of values: as kubectl reads them, or as Docker Compose and dotenv do.
// SPEC.md, "Command line", "Values".

import { readText } from "../../host/readfile.ts";
import { locate, SignetError } from "../../shared/errors.ts";
import { warn } from "../terminal/messages.ts";
import { type EnvEntry, parseDotenv } from "./dotenv.ts";

export const ENV_FORMATS = ["kubectl", "dotenv"] as const;
export type EnvFormat = (typeof ENV_FORMATS)[number];

/**
 * The items of an env file. A name alone takes the environment's value.
 * @throws SignetError io, secret-invalid
 */
export function fromEnvFile(file: string, format: EnvFormat): [string, Uint8Array][] {
  const text = readText(file).replace(/^\uFEFF/, "");
  const entries = locate({ file }, () =>
    format === "dotenv" ? parseDotenv(text) : parseAsKubectl(text),
  );
  if (format === "kubectl") warnOfSurprises(file, entries);
  return entries.map(({ name, value = process.env[name], line }) => {
    if (value === undefined) {
      throw new SignetError("secret-invalid", `environment variable ${name} is not set`, {
        hint: "NAME alone takes its value from the environment; NAME= is an empty value",
        place: { file, line },
      });
    }
    return [name, new TextEncoder().encode(value)];
  });
}

/** Quotes, spaces and what looks like a comment belong to the value. */
function parseAsKubectl(file: string): EnvEntry[] {
  return file.split(/\r?\n/).flatMap((each, index): EnvEntry[] => {
    const text = each.trimStart();
    if (text === "" || text.startsWith("#")) return [];
    const separator = text.indexOf("=");
    const name = separator === -1 ? text.trimEnd() : text.slice(0, separator);
    if (!/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(name)) {
      throw new SignetError("secret-invalid", "does not begin with the name of a variable", {
        hint: /^export\s/.test(text)
          ? 'kubectl does not read "export"; --env-format dotenv does'
          : "a line is NAME=VALUE; a comment begins with #",
        place: { line: index + 1 },
      });
    }
    const value = separator === -1 ? undefined : text.slice(separator + 1);
    return [{ name, value, line: index + 1 }];
  });
}

/** What kubectl keeps as part of a value, and others do not. */
const SURPRISES: readonly (readonly [RegExp, string])[] = [
  [/^\s*["'`]/, "the quotes are part of the value"],
  [/\s#/, "the text after # is part of the value"],
  [/^\s|\s$/, "the spaces around it are part of the value"],
];

/** One line for each surprise, with the names of the variables. */
function warnOfSurprises(file: string, entries: readonly EnvEntry[]): void {
  for (const [pattern, words] of SURPRISES) {
    const names = entries.filter(({ value = "" }) => pattern.test(value)).map(({ name }) => name);
    if (names.length === 0) continue;
    warn(
      `${file}: ${names.join(", ")}: ${words}, as in kubectl; --env-format dotenv reads it differently`,
    );
  }
}
