// `signet git textconv`: a sealed file without its values, for `git diff`.
// SPEC.md, "Git".

import { createHash } from "node:crypto";
import { SignetError } from "../../../shared/errors.ts";
import { type ManifestDocument, parseManifests } from "../../../shared/manifest/manifest.ts";
import { type Entry, type Node, nodeAt } from "../../../shared/manifest/tree.ts";
import { asObject, placedObjectsOf, quotesObject } from "../../../shared/kubernetes/object.ts";
import { readBeside } from "../../../host/rootedfiles.ts";
import { printResult } from "../../terminal/results.ts";

/** @throws SignetError io */
export async function runTextconv(path: string): Promise<void> {
  await printResult(withoutValues(readBeside(path).toString("utf8")));
}

/** The fields of each kind that hold values. */
const VALUE_FIELDS: ReadonlyMap<unknown, readonly (readonly string[])[]> = new Map([
  ["SealedSecret", [["spec", "encryptedData"], ["spec"]]],
  ["Secret", [["data"], ["stringData"]]],
]);

/** Where annotations may quote a whole Secret. */
const ANNOTATIONS = [
  ["metadata", "annotations"],
  ["spec", "template", "metadata", "annotations"],
];

const PLAIN = "<plain text>";

/**
 * Replaces each value in a text; a sealed one by a short hash of its ciphertext.
 * @internal for its test
 */
export function withoutValues(text: string): string {
  let documents: ManifestDocument[];
  try {
    documents = parseManifests(text);
  } catch (error) {
    if (error instanceof SignetError) return withoutValuesByLine(text);
    throw error;
  }
  const splices: { from: number; to: number; text: string }[] = [];
  const replace = (node: Node, shown: string): void => {
    if (node.type === "alias" || (node.type === "scalar" && node.style === "empty")) return;
    const isBlock = node.type === "scalar" && node.style === "block";
    const from = isBlock ? blockStart(text, node.start) : node.start;
    const end = text[node.end - 1] === "\n" && node.end > node.start ? "\n" : "";
    splices.push({ from, to: node.end, text: `${isBlock ? " " : ""}${shown}${end}` });
  };
  for (const document of documents) {
    if (asObject(document.value) === null) continue;
    for (const { object, path } of placed(document)) {
      const { kind } = object;
      for (const field of VALUE_FIELDS.get(kind) ?? []) {
        for (const { key, value } of entriesAt(document, [...path, ...field])) {
          // Of spec itself, only the value of the legacy form.
          if (field.length === 1 && field[0] === "spec" && key !== "data") continue;
          const isSealed = kind !== "Secret" && value.type === "scalar";
          replace(value, isSealed ? sealedMark(value.resolved.value) : PLAIN);
        }
      }
      for (const field of VALUE_FIELDS.has(kind) ? ANNOTATIONS : []) {
        for (const { key, value } of entriesAt(document, [...path, ...field])) {
          if (quotesObject(key)) replace(value, PLAIN);
        }
      }
    }
  }
  let result = "";
  let done = 0;
  for (const { from, to, text: shown } of splices.sort((a, b) => a.from - b.from)) {
    // An alias leads to the same value again.
    if (from >= done) result += text.slice(done, from) + shown;
    done = Math.max(done, to);
  }
  return result + text.slice(done);
}

function entriesAt({ root }: ManifestDocument, path: readonly string[]): readonly Entry[] {
  const mapping = nodeAt(root, path);
  return mapping?.type === "mapping" ? mapping.entries : [];
}

/**
 * The same for text that cannot be parsed, such as a file with conflict markers. Hides too much
 * rather than too little.
 */
function withoutValuesByLine(text: string): string {
  if (!/["']?kind["']?:\s*["']?(Sealed)?Secret/.test(text)) return text;
  let field: { readonly indent: number; readonly isSealed: boolean } | undefined;
  let inner: number | undefined;
  const lines = text.split("\n").flatMap((line): string[] => {
    if (line.trim() === "" || /^([<=>|])\1{6}/.test(line)) return [line];
    const [, lead = "", key = "", rest = ""] =
      /^(\s*(?:- +)*)(["']?[-./\w]+["']?): *(.*)$/.exec(line) ?? [];
    const indent = key === "" ? (/^\s*/.exec(line)?.[0].length ?? 0) : lead.length;
    if (field !== undefined && indent <= field.indent) field = undefined;
    if (field !== undefined) {
      inner ??= indent;
      // The value continues.
      if (indent > inner || key === "") return [];
      return [`${lead}${key}: ${field.isSealed ? sealedMark(unquoted(rest)) : PLAIN}`];
    }
    const name = unquoted(key);
    if (name === "encryptedData" || name === "data" || name === "stringData") {
      field = { indent, isSealed: name === "encryptedData" };
      inner = undefined;
      return [/^[{[|>]?\s*$/.test(rest) ? line : `${lead}${key}: ${PLAIN}`];
    }
    if (quotesObject(name)) {
      field = { indent, isSealed: false };
      inner = indent;
      return [`${lead}${key}: ${PLAIN}`];
    }
    return [
      line
        .replace(/("(?:data|stringData|encryptedData)"\s*:\s*\{)[^}]*/g, "$1...")
        .replace(/[A-Za-z0-9+/]{60,}={0,2}/g, sealedMark),
    ];
  });
  return lines.join("\n");
}

function unquoted(text: string): string {
  return text
    .trim()
    .replace(/,$/, "")
    .replace(/^(["'])(.*)\1$/, "$2");
}

function placed(document: ManifestDocument): ReturnType<typeof placedObjectsOf> {
  try {
    return placedObjectsOf(document);
  } catch {
    return [];
  }
}

/** The offset of the header of a block of text: after the colon of the line above. */
function blockStart(text: string, start: number): number {
  return text.lastIndexOf(":", start) + 1;
}

function sealedMark(value: unknown): string {
  const text = (typeof value === "string" ? value : "").replace(/\s+/g, "");
  return `<sealed ${createHash("sha256").update(text).digest("hex").slice(0, 12)}>`;
}
