// `signet git merge`: merges sealed files item by item, as a merge driver of Git.
// SPEC.md, "Git".

import { dirname } from "node:path";
import { SignetError } from "../../../shared/errors.ts";
import { type Edit, editManifests } from "../../../shared/manifest/edit.ts";
import {
  type Json,
  type ManifestDocument,
  parseManifests,
} from "../../../shared/manifest/manifest.ts";
import {
  KIND,
  parseSealedSecret,
  type SealedSecret,
  stampOf,
} from "../../../shared/sealing/sealedsecret.ts";
import { scopeOf } from "../../../shared/sealing/scope.ts";
import { asObject, metadataOf } from "../../../shared/kubernetes/object.ts";
import { formatStamp, STAMP_ANNOTATION } from "../../../shared/sealing/stamp.ts";
import { runGit } from "../../git/gitprocess.ts";
import { readBeside, rootOf } from "../../../host/rootedfiles.ts";
import { writeFiles } from "../../../host/writefiles.ts";

/**
 * Merges `theirs` into `ours`, as Git's merge drivers do: the result goes into the file `ours`.
 * @throws SignetError check-found where there is a conflict
 */
export async function runMergeDriver(
  base: string,
  ours: string,
  theirs: string,
  path: string,
): Promise<void> {
  const sides = [ours, base, theirs];
  const [mine = "", before = "", yours = ""] = sides.map((file) =>
    readBeside(file).toString("utf8"),
  );
  // Text that is not UTF-8 would not be written as it was read.
  const isText = ![mine, before, yours].some((text) => text.includes("\ufffd"));
  const merged = isText
    ? mergeTexts(before, mine, yours, () => {
        const { status, stdout } = mergeFile(["-p", "--ours", ...sides]);
        return status === 0 ? stdout.toString("utf8") : null;
      })
    : null;
  if (merged !== null && "text" in merged) {
    if (merged.text !== mine)
      await writeFiles([{ path: ours, root: rootOf(dirname(ours)), text: merged.text }]);
    return;
  }
  const { status } = mergeFile(["-L", "ours", "-L", "base", "-L", "theirs", ...sides]);
  const conflicts = merged?.conflicts ?? [];
  if (status === 0 && conflicts.length === 0) return;
  // A merge by lines may succeed in spite of a conflict, and mix the halves of two ciphertexts.
  if (status === 0) await writeFiles([{ path: ours, root: rootOf(dirname(ours)), text: mine }]);
  const what = conflicts.length === 0 ? "" : `${conflicts.join(", ")} changed on both sides: `;
  const isMarked = status !== null && status > 0 && status < 128;
  throw new SignetError(
    "check-found",
    `${what}${isMarked ? "the file has conflict markers" : "it cannot be merged"}`,
    {
      hint: isMarked
        ? "keep one side's lines, remove the markers, then `git add` it"
        : "choose one side's file with `git checkout --ours` or `--theirs`",
      place: { file: path },
    },
  );
}

/** Git's own merge by lines; the status is the number of conflicts. */
function mergeFile(args: readonly string[]): { status: number | null; stdout: Buffer } {
  const { status, stdout, stderr } = runGit(["merge-file", "-q", ...args]);
  if (stderr.length > 0) process.stderr.write(stderr);
  return { status, stdout };
}

/** The merged text, or the entries that the sides changed differently. */
type Merged = { readonly text: string } | { readonly conflicts: readonly string[] };

/**
 * `byLines`: Git's merge, with our lines where both changed one: it has the comments of both.
 * @returns null where Git must merge: the sides have different SealedSecrets, or other objects
 * @internal for its test
 */
export function mergeTexts(
  base: string,
  ours: string,
  theirs: string,
  byLines: () => string | null = () => null,
): Merged | null {
  try {
    const before = sealedDocuments(base);
    const mine = sealedDocuments(ours);
    const yours = sealedDocuments(theirs);
    if (mine.size === 0 || namesOf(mine) !== namesOf(yours)) return null;
    // Both sides may have added the file.
    if (before.size > 0 && namesOf(before) !== namesOf(mine)) return null;
    const edits = new Map<ManifestDocument, Edit[]>();
    const conflicts: string[] = [];
    for (const [name, document] of mine) {
      const other = yours.get(name);
      if (other === undefined) return null;
      const value = before.get(name)?.value;
      edits.set(document, mergeObject(value, document.value, other.value, conflicts));
    }
    if (conflicts.length > 0) return { conflicts };
    const text = editManifests(ours, edits);
    return { text: withComments(byLines(), text) ?? text };
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

/** Git's merge with the values of the documents in `merged`; null where that is impossible. */
function withComments(byLines: string | null, merged: string): string | null {
  if (byLines === null) return null;
  try {
    const wanted = sealedDocuments(merged);
    const documents = sealedDocuments(byLines);
    if (namesOf(documents) !== namesOf(wanted)) return null;
    const edits = new Map<ManifestDocument, Edit[]>();
    for (const [name, { value }] of wanted) {
      const document = documents.get(name);
      if (document === undefined) return null;
      edits.set(document, mergeValue([], document.value, document.value, value, [], []));
    }
    return editManifests(byLines, edits);
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

const namesOf = (documents: ReadonlyMap<string, unknown>): string =>
  [...documents.keys()].join("\n");

/** By name. @throws SignetError for a file with other objects, or with two of one name */
function sealedDocuments(text: string): Map<string, ManifestDocument> {
  const documents = new Map<string, ManifestDocument>();
  for (const document of parseManifests(text)) {
    const object = asObject(document.value);
    const { name, namespace } = object === null ? {} : metadataOf(object);
    const key = JSON.stringify([namespace ?? "", name ?? ""]);
    if (object?.["kind"] !== KIND || documents.has(key)) {
      throw new SignetError("wrong-kind", "contains objects other than SealedSecrets");
    }
    documents.set(key, document);
  }
  return documents;
}

function mergeObject(
  base: Json | undefined,
  ours: Json,
  theirs: Json,
  conflicts: string[],
): Edit[] {
  const stamp = ["metadata", "annotations", STAMP_ANNOTATION];
  const edits = mergeValue([], base, ours, theirs, stamp, conflicts);
  const [mine, yours] = [sealedOf(ours), sealedOf(theirs)];
  const before = base === undefined ? undefined : sealedOf(base);
  const known = new Set(conflicts);
  for (const each of otherScope(before, mine, yours)) if (!known.has(each)) conflicts.push(each);
  const merged = mergedStamp(before, mine, yours);
  const { annotations } = mine.metadata;
  // If ours has none, the merge may have taken all of theirs.
  if (merged !== annotations[STAMP_ANNOTATION] || Object.keys(annotations).length === 0) {
    edits.push({ path: stamp, value: merged });
  }
  return edits;
}

function sealedOf(value: Json): SealedSecret {
  return parseSealedSecret(asObject(value) ?? {});
}

/** Values that one side sealed for a scope that the other side changed: they would not open. */
function otherScope(
  base: SealedSecret | undefined,
  ours: SealedSecret,
  theirs: SealedSecret,
): string[] {
  const [old, here, there] = [base, ours, theirs].map((side) =>
    scopeOf(side?.metadata.annotations ?? {}),
  );
  if (here === there) return [];
  const stayed = here === old ? ours : theirs;
  return [...stayed.encryptedData]
    .filter(([item, ciphertext]) => ciphertext !== base?.encryptedData.get(item))
    .map(([item]) => `spec.encryptedData.${item}`);
}

/** Each item keeps the key of the side that its ciphertext comes from. */
function mergedStamp(
  base: SealedSecret | undefined,
  ours: SealedSecret,
  theirs: SealedSecret,
): string | undefined {
  const stamps = [base, ours, theirs].map((side) =>
    side === undefined ? undefined : stampOf(side),
  );
  const stamp = new Map<string, string>();
  const items = new Set<string>();
  for (const item of new Set([...ours.encryptedData.keys(), ...theirs.encryptedData.keys()])) {
    const [old, mine, yours] = [base, ours, theirs].map((side) => side?.encryptedData.get(item));
    const isMine = mine !== old;
    if ((isMine ? mine : yours) === undefined) continue;
    items.add(item);
    const [before, here, there] = stamps.map((side) => side?.get(item));
    // If both have the same ciphertext, one side may have added its key.
    const isOurs = isMine || (yours === old && here !== before);
    const fingerprint = isOurs ? here : there;
    if (fingerprint !== undefined) stamp.set(item, fingerprint);
  }
  return stamp.size === 0 ? undefined : formatStamp(stamp, items);
}

/** Edits of `ours` that apply the changes of `theirs`. */
function mergeValue(
  path: readonly string[],
  base: Json | undefined,
  ours: Json | undefined,
  theirs: Json | undefined,
  leftOut: readonly string[],
  conflicts: string[],
): Edit[] {
  if (path.length > 0 && path.join("\n") === leftOut.join("\n")) return [];
  if (same(base, theirs) || same(ours, theirs)) return [];
  const [old, mine, yours] = [base, ours, theirs].map((value) => asObject(value ?? null));
  if (mine != null && yours != null) {
    const keys = new Set([...Object.keys(mine), ...Object.keys(yours)]);
    return [...keys].flatMap((key) =>
      mergeValue([...path, key], old?.[key], mine[key], yours[key], leftOut, conflicts),
    );
  }
  if (!same(base, ours)) conflicts.push(path.join("."));
  return [{ path, value: theirs }];
}

function same(left: Json | undefined, right: Json | undefined): boolean {
  return canonical(left) === canonical(right);
}

function canonical(value: Json | undefined): string {
  if (value === undefined) return "";
  return JSON.stringify(value, (_, inner: Json) => {
    const object = asObject(inner);
    if (object === null) return inner;
    return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
