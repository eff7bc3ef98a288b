// Reads from the status of a SealedSecret which key each of its values is sealed with.
// SPEC.md, "Status".

import { asObject, type JsonObject, metadataOf } from "../kubernetes/object.ts";

/** Item names by the fingerprint of the key that the items are sealed with. */
export type SealedUnder = Readonly<Record<string, string[]>>;

/** Reads `status.sealedUnder`. Ignores malformed entries. Returns an empty object if absent. */
export function sealedUnderOf(sealed: JsonObject): SealedUnder {
  const { sealedUnder = null } = asObject(sealed["status"] ?? null) ?? {};
  const found: Record<string, string[]> = {};
  for (const [fingerprint, items] of Object.entries(asObject(sealedUnder) ?? {})) {
    if (Array.isArray(items)) found[fingerprint] = items.filter((item) => typeof item === "string");
  }
  return found;
}

/** Returns the names of the items that are sealed with one of the keys `fingerprints`, sorted. */
export function itemsUnder(under: SealedUnder, fingerprints: ReadonlySet<string>): string[] {
  return Object.entries(under)
    .filter(([fingerprint]) => fingerprints.has(fingerprint))
    .flatMap(([, items]) => items)
    .sort();
}

/** Whether the status is up to date with the object's generation. */
export function isStatusCurrent(sealed: JsonObject): boolean {
  const { observedGeneration } = asObject(sealed["status"] ?? null) ?? {};
  return observedGeneration === metadataOf(sealed)["generation"];
}
