// Checks that refuse obvious mistakes in a Secret before it is sealed.
// SPEC.md, "Secrets".

import { SignetError } from "../../shared/errors.ts";
import {
  lineCounter,
  type ManifestDocument,
  type Surprise,
} from "../../shared/manifest/manifest.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { isItemName, type Secret } from "../../shared/kubernetes/secret.ts";
import { aliasedIn, objectNodes, whyMisread, whyTyped } from "./aswritten.ts";

const SECRET_FIELDS = ["apiVersion", "data", "immutable", "kind", "metadata", "stringData", "type"];

const METADATA_FIELDS = [
  "annotations",
  "clusterName",
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "finalizers",
  "generateName",
  "generation",
  "labels",
  "managedFields",
  "name",
  "namespace",
  "ownerReferences",
  "resourceVersion",
  "selfLink",
  "uid",
];

/** Fields in which a misread value would end up in the Secret. */
const GUARDED = new Set(["apiVersion", "data", "kind", "metadata", "stringData", "type"]);

/**
 * Refuses a value of `stringData` or `data` that YAML does not read as it is written in `text`, the
 * whole file. `mayBeTyped`: whether it may be a null, a number or a boolean.
 * @throws SignetError manifest-ambiguous
 */
export function checkAsWritten(
  text: string,
  { root, format }: ManifestDocument,
  { mayBeTyped }: { readonly mayBeTyped: boolean },
): void {
  if (format === "json") return;
  const aliased = aliasedIn(root);
  for (const object of objectNodes(root)) {
    for (const { key: field, value: written } of object.entries) {
      const items = written.type === "alias" ? written.target : written;
      if ((field !== "stringData" && field !== "data") || items.type !== "mapping") continue;
      for (const entry of items.entries) {
        const { key, value } = entry;
        const typed = mayBeTyped ? undefined : whyTyped(value);
        const reason = whyMisread(text, entry, aliased) ?? typed;
        if (reason === undefined) continue;
        throw new SignetError("manifest-ambiguous", reason, {
          ...(reason.includes("quotes") ? {} : { hint: "put it in quotes" }),
          place: {
            line: lineCounter(text)(entry.start),
            // An invalid name may hold the value.
            field: isItemName(key) ? `${field}.${key}` : field,
          },
        });
      }
    }
  }
}

/**
 * Refuses a scalar that Kubernetes does not read as what it looks like.
 * @throws SignetError manifest-ambiguous
 */
export function checkSurprises({ surprises }: Pick<ManifestDocument, "surprises">): void {
  for (const surprise of surprises) {
    const path = [...surprise.path];
    while (path[0] === "items" && typeof path[1] === "number") path.splice(0, 2);
    const [field] = path;
    if (typeof field !== "string" || !GUARDED.has(field)) continue;
    // The place shows the path as it is read.
    throw new SignetError("manifest-ambiguous", surpriseWords(surprise), {
      hint: "put it in quotes",
      place: { line: surprise.line, field: path.join(".") },
    });
  }
}

function surpriseWords({ what, becomes }: Surprise): string {
  const subject = what === "key" ? "the key is" : "is";
  switch (becomes) {
    case "null":
      return `${subject} read as nothing (null)`;
    case "boolean":
      return `${subject} read as true or false, not as text`;
    case "number":
      return `${subject} read as a number, not as text`;
    case "string":
      return `${subject} read as different text than it appears`;
  }
}

/**
 * Refuses fields that a Secret does not have, as the API server would drop them with their content.
 * @throws SignetError secret-invalid
 */
export function checkFields(object: JsonObject): void {
  checkKnown(object, SECRET_FIELDS, "", "a Secret");
  checkKnown(asObject(object["metadata"] ?? null) ?? {}, METADATA_FIELDS, "metadata.", "metadata");
}

function checkKnown(
  object: JsonObject,
  known: readonly string[],
  prefix: string,
  owner: string,
): void {
  for (const field of Object.keys(object)) {
    if (known.includes(field)) continue;
    // An unknown field may be a value with wrong indentation: show it only where it resembles a
    // field.
    const meant = known.find((name) => isNear(name.toLowerCase(), field.toLowerCase()));
    if (meant === undefined) {
      throw new SignetError("secret-invalid", `contains a field that ${owner} does not have`, {
        hint: `${owner} has ${known.join(", ")}; check the indentation`,
        ...(prefix === "" ? {} : { place: { field: "metadata" } }),
      });
    }
    throw new SignetError("secret-invalid", `${owner} has no such field`, {
      hint: `did you mean ${prefix}${meant}?`,
      place: { field: `${prefix}${field}` },
    });
  }
}

/** Whether two words differ by at most two added, removed or changed letters. */
function isNear(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 2) return false;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return (row[b.length] ?? 0) <= 2;
}

/**
 * @throws SignetError secret-invalid where it holds no value; the message names the `flag` that
 * allows this
 */
export function checkNotEmpty({ data }: Secret, flag = "--allow-empty"): void {
  if (data.size > 0) return;
  throw new SignetError(
    "secret-invalid",
    "secret.data is empty in input Secret, assuming this is an error and aborting. " +
      `To work with empty data, ${flag} can be used`,
  );
}
