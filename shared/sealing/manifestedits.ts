// Computes the edits that a manifest needs when its SealedSecret changes.
// SPEC.md, "Changing values".

import { encodeBase64 } from "../base64.ts";
import type { Edit } from "../manifest/edit.ts";
import type { SealedSecret } from "./sealedsecret.ts";
import { SEALED_FOR_ANNOTATION, STAMP_ANNOTATION } from "./stamp.ts";

/**
 * Returns the edits that turn the manifest of `before` into that of `after`. Compares only values,
 * template labels, template annotations and the stamp annotations. `path`: the SealedSecret's path
 * within its document.
 */
export function editsBetween(
  before: SealedSecret,
  after: SealedSecret,
  path: readonly string[] = [],
): Edit[] {
  const edits: Edit[] = [];
  const compare = (
    field: readonly string[],
    old: ReadonlyMap<string, string>,
    now: ReadonlyMap<string, string>,
  ): void => {
    const gone = [...old.keys()].filter((key) => !now.has(key));
    for (const [key, value] of now) {
      if (old.get(key) === value) continue;
      // The same ciphertext under another name: rename the entry in place.
      const from = old.has(key) ? -1 : gone.findIndex((each) => old.get(each) === value);
      const [oldName] = from === -1 ? [] : gone.splice(from, 1);
      if (oldName === undefined) edits.push({ path: [...path, ...field, key], value });
      else edits.push({ path: [...path, ...field, oldName], value, rename: key });
    }
    for (const key of gone) edits.push({ path: [...path, ...field, key], value: undefined });
  };
  const map = (texts: Record<string, string>): Map<string, string> =>
    new Map(Object.entries(texts));
  compare(["spec", "encryptedData"], before.encryptedData, after.encryptedData);
  const legacy = legacyOf(after);
  if (legacy !== legacyOf(before)) edits.push({ path: [...path, "spec", "data"], value: legacy });
  for (const field of ["annotations", "labels"] as const) {
    compare(
      ["spec", "template", "metadata", field],
      map(before.template.metadata[field]),
      map(after.template.metadata[field]),
    );
  }
  const annotations = [...path, "metadata", "annotations"];
  for (const annotation of [SEALED_FOR_ANNOTATION, STAMP_ANNOTATION]) {
    const value = after.metadata.annotations[annotation];
    if (value === before.metadata.annotations[annotation]) continue;
    const noneLeft = Object.keys(after.metadata.annotations).length === 0;
    edits.push({ path: noneLeft ? annotations : [...annotations, annotation], value });
  }
  return edits;
}

function legacyOf({ legacyData }: SealedSecret): string | undefined {
  return legacyData === undefined ? undefined : encodeBase64(legacyData);
}
