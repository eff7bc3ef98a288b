// The vectors as values: their closed sets, and reading and writing one file.
// SPEC.md, "Conventions"; the format is in README.md.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folders, and so the kinds, of vectors. */
export const KINDS = [
  "value",
  "hybrid",
  "object",
  "secret",
  "certificate",
  "key",
  "wrapped",
  "recovery",
] as const;
export type Kind = (typeof KINDS)[number];

/** How a value fails, and the step at which it does. No other class exists. */
export const VALUE_FAILURES = {
  "malformed-base64": "text",
  "trailing-bits": "text",
  "too-short": "length",
  "wrong-length": "wrap",
  "key-part-too-large": "wrap",
  "wrong-key": "wrap",
  "wrong-label": "wrap",
  "damaged-key-part": "wrap",
  "other-wrapping": "wrap",
  "damaged-body": "body",
  "other-cipher": "body",
} as const;
export type ValueFailure = keyof typeof VALUE_FAILURES;
/** Where opening stops: base64 text, envelope length, RSA, AES. */
export type Step = (typeof VALUE_FAILURES)[ValueFailure];

export interface Vector {
  readonly kind: Kind;
  /** File name without `.txt`: one fault each, and it names the fault. */
  readonly name: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly sections: ReadonlyMap<string, string>;
}

/** The folder of the vectors; the generator runs from a bundle elsewhere and says the root. */
export function vectorFolder(root?: string): string {
  return root === undefined
    ? join(dirname(fileURLToPath(import.meta.url)))
    : join(root, "test/vectors");
}

/** @throws Error where the file does not keep to the format */
function parseVector(kind: Kind, name: string, text: string): Vector {
  const headers = new Map<string, string>();
  const sections = new Map<string, string>();
  let section: string | undefined;
  for (const line of text.split(/(?<=\n)/)) {
    const opened = /^-- ([a-z-]+) --\n$/.exec(line)?.[1];
    if (opened !== undefined) {
      if (sections.has(opened)) throw new Error(`${kind}/${name}: two sections ${opened}`);
      section = opened;
      sections.set(section, "");
    } else if (section !== undefined) {
      sections.set(section, (sections.get(section) ?? "") + line);
    } else {
      const [, header, value] = /^([a-z-0-9]+): (.*)\n$/.exec(line) ?? [];
      if (header === undefined || value === undefined || headers.has(header)) {
        throw new Error(`${kind}/${name}: not a header: ${line}`);
      }
      headers.set(header, value);
    }
  }
  return { kind, name, headers, sections };
}

export function formatVector(
  headers: Readonly<Record<string, string>>,
  sections: Readonly<Record<string, string>>,
): string {
  return [
    ...Object.entries(headers).map(([header, value]) => `${header}: ${value}\n`),
    ...Object.entries(sections).map(
      ([section, text]) => `-- ${section} --\n${text.endsWith("\n") ? text : `${text}\n`}`,
    ),
  ].join("");
}

/** Every vector of a kind, by name. */
export function readVectors(kind: Kind): Vector[] {
  const folder = join(vectorFolder(), kind);
  return readdirSync(folder)
    .filter((file) => file.endsWith(".txt"))
    .sort()
    .map((file) => parseVector(kind, file.slice(0, -4), readFileSync(join(folder, file), "utf8")));
}

/** A header that must be there. */
export function header({ kind, name, headers }: Vector, wanted: string): string {
  const value = headers.get(wanted);
  if (value === undefined) throw new Error(`${kind}/${name}: no header ${wanted}`);
  return value;
}

/** A section that must be there. */
export function section({ kind, name, sections }: Vector, wanted: string): string {
  const text = sections.get(wanted);
  if (text === undefined) throw new Error(`${kind}/${name}: no section ${wanted}`);
  return text;
}

/** The test keys by their file names; `wide` has 4096 bits, the others 2048; `both` has two halves. */
export const KEY_NAMES = ["first", "second", "wide", "stranger", "both"] as const;
export type KeyName = (typeof KEY_NAMES)[number];

function keyPath(name: KeyName, extension: "key" | "crt"): string {
  return join(vectorFolder(), "keys", `${name}.${extension}`);
}

/** The PEM text of a test key (`key`) or its certificate (`crt`), with the warning before it. */
export function keyText(name: KeyName, extension: "key" | "crt"): string {
  return readFileSync(keyPath(name, extension), "utf8");
}

function isKeyName(text: string): text is KeyName {
  return (KEY_NAMES as readonly string[]).includes(text);
}

/** The keys that a header names, such as `first second`. */
export function keysOf(text: string): KeyName[] {
  return text.split(" ").map((name) => {
    if (!isKeyName(name)) throw new Error(`no test key is named ${name}`);
    return name;
  });
}
