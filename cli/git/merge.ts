// Owns: `signet git merge`: Git's merge of a sealed file, item by item.
// Does not own: how Git comes to ask for it (install.ts). SPEC.md, "Git".

import { spawnSync } from "node:child_process";
import { SignetError } from "../../shared/errors.ts";
import { type Edit, editManifests } from "../../shared/manifest/edit.ts";
import { type Json, type ManifestDocument, parseManifests } from "../../shared/manifest.ts";
import { KIND, parseSealedSecret, type SealedSecret, stampOf } from "../../shared/sealedsecret.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/secret.ts";
import { formatStamp, STAMP_ANNOTATION } from "../../shared/stamp.ts";
import { readText, writeFiles } from "../files.ts";
import { say } from "../terminal.ts";

/**
 * Merges `theirs` into `ours`, as Git's merge drivers do: the result goes into the file `ours`.
 * @throws SignetError check-found where conflict marks were left in it
 */
export async function runMergeDriver(
  base: string,
  ours: string,
  theirs: string,
  path: string,
): Promise<void> {
  const texts = [base, ours, theirs].map(readText) as [string, string, string];
  const merged = mergeTexts(...texts);
  if (merged !== null) {
    if (merged !== texts[1]) await writeFiles([{ path: ours, text: merged }]);
    return;
  }
  // The same item changed on both sides, or no sealed file at all: Git's own merge by lines.
  const { status } = spawnSync(
    "git",
    ["merge-file", "-L", "ours", "-L", "base", "-L", "theirs", ours, base, theirs],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if (status === 0) return;
  say(`${path}: the same entry was changed on both sides`);
  throw new SignetError("check-found", "conflict marks are left in it: choose one side's value", {
    place: { file: path },
  });
}

/** The text of both sides' changes; null where it takes a person, or holds no SealedSecret. */
export function mergeTexts(base: string, ours: string, theirs: string): string | null {
  try {
    const [before, mine, yours] = [base, ours, theirs].map(sealedDocuments);
    if (before === undefined || mine === undefined || yours === undefined) return null;
    if (mine.size === 0) return null;
    const names = [...mine.keys()].join("\n");
    if ([before, yours].some((other) => [...other.keys()].join("\n") !== names)) return null;
    const edits = new Map<ManifestDocument, Edit[]>();
    for (const [name, document] of mine) {
      const [old, other] = [before.get(name), yours.get(name)];
      if (old === undefined || other === undefined) return null;
      edits.set(document, mergeObject(old.value, document.value, other.value));
    }
    return editManifests(ours, edits);
  } catch (error) {
    if (error instanceof SignetError || error instanceof Conflict) return null;
    throw error;
  }
}

class Conflict extends Error {}

/** By name; a file with anything but SealedSecrets, or two of one name, is Git's to merge. */
function sealedDocuments(text: string): Map<string, ManifestDocument> {
  const documents = new Map<string, ManifestDocument>();
  for (const document of parseManifests(text)) {
    const object = asObject(document.value);
    const { name, namespace } = object === null ? {} : metadataOf(object);
    const key = JSON.stringify([namespace ?? "", name ?? ""]);
    if (object?.["kind"] !== KIND || documents.has(key)) throw new Conflict();
    documents.set(key, document);
  }
  return documents;
}

function mergeObject(base: Json, ours: Json, theirs: Json): Edit[] {
  const stamp = ["metadata", "annotations", STAMP_ANNOTATION];
  const edits = mergeValue([], base, ours, theirs, stamp);
  const [old, mine, yours] = [base, ours, theirs].map((value) =>
    parseSealedSecret(asObject(value) as JsonObject),
  ) as [SealedSecret, SealedSecret, SealedSecret];
  const merged = mergedStamp(old, mine, yours);
  if (merged !== mine.metadata.annotations[STAMP_ANNOTATION])
    edits.push({ path: stamp, value: merged });
  return edits;
}

/** Each item's key is that of the side which its ciphertext comes from. */
function mergedStamp(
  base: SealedSecret,
  ours: SealedSecret,
  theirs: SealedSecret,
): string | undefined {
  const stamp = new Map<string, string>();
  const items = new Set<string>();
  for (const item of new Set([...ours.encryptedData.keys(), ...theirs.encryptedData.keys()])) {
    const [old, mine, yours] = [base, ours, theirs].map((side) => side.encryptedData.get(item));
    const source = mine === old ? theirs : ours;
    if ((source === ours ? mine : yours) === undefined) continue;
    items.add(item);
    const fingerprint = stampOf(source).get(item);
    if (fingerprint !== undefined) stamp.set(item, fingerprint);
  }
  return stamp.size === 0 ? undefined : formatStamp(stamp, items);
}

/** What is to be edited in `ours` so that it has the changes of `theirs`. */
function mergeValue(
  path: readonly string[],
  base: Json | undefined,
  ours: Json | undefined,
  theirs: Json | undefined,
  leftOut: readonly string[],
): Edit[] {
  if (path.length === leftOut.length && path.every((step, index) => step === leftOut[index])) {
    return [];
  }
  if (same(base, theirs) || same(ours, theirs)) return [];
  const [old, mine, yours] = [base, ours, theirs].map((value) => asObject(value ?? null));
  if (mine != null && yours != null) {
    const keys = new Set([...Object.keys(mine), ...Object.keys(yours)]);
    return [...keys].flatMap((key) =>
      mergeValue([...path, key], old?.[key], mine[key], yours[key], leftOut),
    );
  }
  if (!same(base, ours)) throw new Conflict();
  return [{ path, value: theirs }];
}

function same(left: Json | undefined, right: Json | undefined): boolean {
  return canonical(left) === canonical(right);
}

function canonical(value: Json | undefined): string {
  if (value === undefined) return "";
  return JSON.stringify(value, (_, inner: Json) => {
    const object = asObject(inner);
    return object === null ? inner : Object.fromEntries(Object.entries(object).sort());
  });
}
