// Edits of a manifest: one entry changes, and nothing else.

import { createHash } from "node:crypto";
import { editManifest, type Edit } from "../../../shared/manifest/edit.ts";
import {
  type Json,
  type ManifestDocument,
  parseManifests,
} from "../../../shared/manifest/manifest.ts";
import { mutateManifest } from "../mutate.ts";
import { plainSecret, manifestTexts, SEALED_WORDS, seedsOf } from "../material.ts";
import { attempt, checkSame, Find, type Target, textOf } from "../target.ts";

const VALUES: readonly Json[] = [
  "plain",
  "",
  "two\nlines\n",
  "# no comment",
  " blanks ",
  "a: b",
  "\u0085\u2028",
  "yes",
  "12",
  { a: "b" },
  "-----BEGIN X-----\nabc\n-----END X-----\n\n",
];
const NAMES = ["new", "a b", "__proto__", "yes", "a: b", "#", "-", "\u2028", "x".repeat(1200)];

/** The paths to all entries of mappings. */
function pathsIn(value: Json, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const below = [...path, key];
    return [...(Array.isArray(value) ? [] : [below]), ...pathsIn(inner, below)];
  });
}

/** The value after an edit, put together without the code under test. */
function afterEdit(node: Json, { path: [step, ...rest], value, rename }: Edit): Json {
  if (step === undefined || typeof node !== "object" || node === null) return node;
  if (Array.isArray(node)) {
    return node.map((item, index) =>
      String(index) === step
        ? afterEdit(item, { path: rest, value, ...(rename === undefined ? {} : { rename }) })
        : item,
    );
  }
  const entries = Object.entries(node).flatMap(([key, inner]): [string, Json][] => {
    if (key !== step) return [[key, inner]];
    if (rest.length > 0) {
      const edit = { path: rest, value, ...(rename === undefined ? {} : { rename }) };
      return [[key, afterEdit(inner, edit)]];
    }
    if (rename !== undefined) return [[rename, inner]];
    return value === undefined ? [] : [[key, value]];
  });
  if (
    rest.length === 0 &&
    rename === undefined &&
    value !== undefined &&
    !Object.hasOwn(node, step)
  ) {
    entries.push([step, value]);
  }
  return Object.fromEntries(entries);
}

/**
 * Compares values regardless of the order of keys, because an added entry has no defined position.
 */
function unordered(value: Json): unknown {
  if (Array.isArray(value)) return value.map(unordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, inner]) => [key, unordered(inner)]);
}

const STYLES = [
  "# head\n\n---\na:\n  b: |\n    one\n\n    two\n  # between\n\n  'c': \"d\" # behind\nlist:\n- x: 1\n  y: 2\n-   z: {q: 3, r: [4, {s: 5}]}\n",
  "{a: 1, 'b': {c: d,},}\n---\n? long\n: value\ne:\n  f:\n\n  g: >-\n   folded\n   text\n",
  '{\n\t"a": {"b": [1, {"c": "d"}]},\r\n  "e": {}\n}\n',
  "a: 1\r\nb:\r\n    c: 2\r\n    d:\r\n    - e: 3\r\n      f: 4",
  "a: &x {b: 1}\nc: *x\nd: !!str 5\n<<: {e: 6}\n",
];

export const edits: Target = {
  name: "edits",
  seeds: () =>
    seedsOf([...STYLES, ...STYLES, JSON.stringify(plainSecret(), null, 2), ...manifestTexts()]),
  generate: (random, seeds) => mutateManifest(random, seeds, SEALED_WORDS),
  short: 200,
  run: async (input) => {
    const text = textOf(input);
    const read = await attempt(() => parseManifests(text));
    if ("errors" in read) return;
    const documents = read.value;
    // The input itself says which entry is changed, and how.
    const digest = createHash("sha256").update(input).digest();
    const choose = <T>(list: readonly T[], at: number): T | undefined =>
      list[digest.readUInt16LE(at) % list.length];
    const document = choose(documents, 0);
    if (document === undefined) return;
    const path = choose(pathsIn(document.value), 2);
    if (path === undefined) return;
    const value = choose(VALUES, 4) ?? "";
    const name = choose(NAMES, 6) ?? "";
    const kinds: Edit[] = [
      { path, value },
      { path, value: undefined },
      { path: [...path.slice(0, -1), name], value },
      { path, value: undefined, rename: name },
    ];
    const edit = choose(kinds, 8);
    if (edit !== undefined) await check(text, documents, document, edit);
  },
};

async function check(
  text: string,
  documents: readonly ManifestDocument[],
  document: ManifestDocument,
  edit: Edit,
): Promise<void> {
  const done = await attempt(() => editManifest(text, document, [edit]));
  // What cannot be edited is refused.
  if ("errors" in done) return;
  const result = done.value;
  if (
    !result.startsWith(text.slice(0, document.start)) ||
    !result.endsWith(text.slice(document.end))
  ) {
    throw new Find("text outside of the document changed");
  }
  const again = parseManifests(result).map(({ value }) => unordered(value));
  const wanted = documents.map((each) =>
    unordered(each === document ? afterEdit(each.value, edit) : each.value),
  );
  checkSame(again, wanted, "the edited manifest");
}
