// Owns: `signet git textconv`: a sealed file as `git diff` is to show it, without any value.
// Does not own: how Git comes to ask for it (install.ts). SPEC.md, "Git".

import { createHash } from "node:crypto";
import { SignetError } from "../../shared/errors.ts";
import { type ManifestDocument, parseManifests } from "../../shared/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { asObject, placedObjectsOf } from "../../shared/secret.ts";
import { readBytes } from "../files.ts";
import { printResult } from "../terminal.ts";

/** @throws SignetError io */
export async function runTextconv(path: string): Promise<void> {
  await printResult(withoutValues(readBytes(path).toString("utf8")));
}

/** The fields of each kind that hold values. */
const VALUE_FIELDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  SealedSecret: [["spec", "encryptedData"], ["spec"]],
  Secret: [["data"], ["stringData"]],
};

/** The text with each value replaced: a sealed one by a short hash of its ciphertext. */
export function withoutValues(text: string): string {
  let documents: ManifestDocument[];
  try {
    documents = parseManifests(text);
  } catch (error) {
    if (error instanceof SignetError) return text;
    throw error;
  }
  const splices: { from: number; to: number; text: string }[] = [];
  for (const document of documents) {
    if (asObject(document.value) === null) continue;
    for (const { object, path } of placed(document)) {
      const kind = typeof object["kind"] === "string" ? object["kind"] : "";
      for (const field of VALUE_FIELDS[kind] ?? []) {
        const mapping = nodeAt(document.root, [...path, ...field]);
        if (mapping?.type !== "mapping") continue;
        for (const { key, value } of mapping.entries) {
          // Of spec itself the legacy form's value alone.
          if (field.length === 1 && field[0] === "spec" && key !== "data") continue;
          if (value.type !== "scalar" || value.style === "empty") continue;
          const shown = kind === "Secret" ? "<plain text>" : sealedMark(value.resolved.value);
          const isBlock = value.style === "block";
          const from = isBlock ? blockStart(text, value.start) : value.start;
          splices.push({ from, to: value.end, text: isBlock ? ` ${shown}\n` : shown });
        }
      }
    }
  }
  let result = text;
  for (const { from, to, text: shown } of splices.sort((a, b) => b.from - a.from)) {
    result = result.slice(0, from) + shown + result.slice(to);
  }
  return result;
}

function placed(document: ManifestDocument): ReturnType<typeof placedObjectsOf> {
  try {
    return placedObjectsOf(document);
  } catch {
    return [];
  }
}

/** Behind the colon of the line above a block of text, where its header stands. */
function blockStart(text: string, start: number): number {
  return text.lastIndexOf(":", start) + 1;
}

function sealedMark(value: unknown): string {
  const text = (typeof value === "string" ? value : "").replace(/\s+/g, "");
  return `<sealed ${createHash("sha256").update(text).digest("hex").slice(0, 12)}>`;
}
