// Sealed values outside of SealedSecrets, such as the output of `kubeseal --raw` in a chart's values.

import { SignetError } from "../../shared/errors.ts";
import { decodeEnvelope, fitsCertificate } from "../../shared/keys/kinds.ts";
import { type Json, lineCounter } from "../../shared/manifest/manifest.ts";
import { parsedOnce } from "./parsedonce.ts";
import type { SealedText } from "./sealedtext.ts";

export interface LooseEnvelope {
  /** The path to it, such as `db.password`; `line 7` if the text is no YAML or JSON. */
  readonly item: string;
  readonly ciphertext: string;
}

/** Less text than any envelope has, even one that is folded into lines. */
const SHORTEST_RUN = /[A-Za-z0-9+/]{40}/;

/** On one line, or folded into lines that hold nothing else. */
const RUNS = [
  /[A-Za-z0-9+/]{300,}={0,2}/g,
  /(?:^[ \t]*[A-Za-z0-9+/]{40,}[ \t]*\r?\n)+[ \t]*[A-Za-z0-9+/]+={0,2}[ \t]*$/gm,
];

/** The envelopes of a text that none of its SealedSecrets holds, each once. */
export function looseEnvelopesIn(text: string, sealed: readonly SealedText[]): LooseEnvelope[] {
  if (!SHORTEST_RUN.test(text)) return [];
  const known = new Set(
    sealed.flatMap(({ items }) => [...items.values()].map(({ ciphertext }) => ciphertext)),
  );
  const found: LooseEnvelope[] = [];
  const search = (within: string, itemAt: (offset: number) => string): void => {
    for (const match of RUNS.flatMap((run) => [...within.matchAll(run)])) {
      const ciphertext = match[0].replace(/\s+/g, "");
      if (known.has(ciphertext) || !isEnvelope(ciphertext)) continue;
      known.add(ciphertext);
      found.push({ item: itemAt(match.index), ciphertext });
    }
  };
  for (const { path, value } of stringsIn(text)) search(value, () => path);
  const lineAt = lineCounter(text);
  // What is in a comment, or in a template that no YAML parser reads.
  search(text, (offset) => `line ${lineAt(offset)}`);
  return found;
}

function isEnvelope(ciphertext: string): boolean {
  const envelope = decodeEnvelope(ciphertext);
  return envelope !== null && fitsCertificate(envelope, undefined);
}

interface PlacedString {
  readonly path: string;
  readonly value: string;
}

/** None if the text cannot be parsed. */
function stringsIn(text: string): PlacedString[] {
  const found: PlacedString[] = [];
  const walk = (value: Json, path: string): void => {
    if (typeof value === "string") found.push({ path, value });
    if (typeof value !== "object" || value === null) return;
    for (const [key, each] of Object.entries(value))
      walk(each, path === "" ? key : `${path}.${key}`);
  };
  try {
    for (const { value } of parsedOnce(text)) walk(value, "");
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
  }
  return found;
}
