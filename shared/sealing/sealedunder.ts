// What the status of a SealedSecret says of the keys that its values are under.
// SPEC.md, "Status".

import { asObject, type JsonObject, metadataOf } from "../kubernetes/object.ts";

/** Names of items by the fingerprint of the key that they are sealed under. */
export type SealedUnder = Readonly<Record<string, string[]>>;

/** What the status says of the keys that its values are under. */
export function sealedUnderOf(sealed: JsonObject): SealedUnder {
  const { sealedUnder = null } = asObject(sealed["status"] ?? null) ?? {};
  const found: Record<string, string[]> = {};
  for (const [fingerprint, items] of Object.entries(asObject(sealedUnder) ?? {})) {
    if (Array.isArray(items)) found[fingerprint] = items.filter((item) => typeof item === "string");
  }
  return found;
}

/** Items that are sealed under one of `fingerprints`, sorted. */
export function itemsUnder(under: SealedUnder, fingerprints: ReadonlySet<string>): string[] {
  return Object.entries(under)
    .filter(([fingerprint]) => fingerprints.has(fingerprint))
    .flatMap(([, items]) => items)
    .sort();
}

/** Whether the status is about the object as it is declared now. */
export function isStatusCurrent(sealed: JsonObject): boolean {
  const { observedGeneration } = asObject(sealed["status"] ?? null) ?? {};
  return observedGeneration === metadataOf(sealed)["generation"];
}
