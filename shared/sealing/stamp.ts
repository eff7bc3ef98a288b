// The annotations that say which key each value was sealed with, and for which place.
// SPEC.md, "Stamps".

import { type Scope, selectorIn } from "./scope.ts";

/** The scope and label that the values were bound to when sealed. The original ignores it. */
export const SEALED_FOR_ANNOTATION = "kube-signet/sealed-for";

/** The stamp: the fingerprint of the key of each value. The original ignores it. */
export const STAMP_ANNOTATION = "kube-signet/sealed-under";

/** Key fingerprints by item name. */
export type Stamp = ReadonlyMap<string, string>;

/** The form of a key's fingerprint. */
export const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

/**
 * Formats the stamp annotation: the fingerprint that most items share, then `; item=fingerprint`
 * for each other item, sorted. Items with the shared fingerprint are not named, so that adding one
 * does not change the annotation. If the key of any of `items` is unknown, the shared part is empty
 * and each known item is named.
 */
export function formatStamp(stamp: Stamp, items: Iterable<string> = stamp.keys()): string {
  const count = new Map<string, number>();
  for (const fingerprint of stamp.values()) {
    count.set(fingerprint, (count.get(fingerprint) ?? 0) + 1);
  }
  const most = [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]?.[0] ?? "";
  const shared = [...items].every((item) => stamp.has(item)) ? most : "";
  const others = [...stamp]
    .filter(([, fingerprint]) => fingerprint !== shared)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([item, fingerprint]) => `${item}=${fingerprint}`);
  return [shared, ...others].join("; ");
}

/** Parses the stamp annotation. Leaves out those of `items` whose key it does not state. */
export function parseStamp(text: string | undefined, items: Iterable<string>): Stamp {
  const [shared = "", ...others] = (text ?? "").split(";").map((part) => part.trim());
  const named = new Map<string, string>();
  for (const part of others) {
    const separator = part.indexOf("=");
    if (separator > 0) named.set(part.slice(0, separator), part.slice(separator + 1));
  }
  const stamp = new Map<string, string>();
  for (const item of items) {
    const fingerprint = named.get(item) ?? shared;
    if (FINGERPRINT.test(fingerprint)) stamp.set(item, fingerprint);
  }
  return stamp;
}

/**
 * Returns `annotations` with their stamp replaced by `stamp`, or removed if `stamp` is empty.
 * `items`: every item of the object, so that the stamp does not claim a key for an unknown one.
 */
export function withStamp(
  annotations: Record<string, string>,
  stamp: Stamp,
  items: Iterable<string> = stamp.keys(),
): Record<string, string> {
  const { [STAMP_ANNOTATION]: _, ...others } = annotations;
  return stamp.size === 0
    ? others
    : { ...annotations, [STAMP_ANNOTATION]: formatStamp(stamp, items) };
}

/**
 * Returns `annotations` with the sealed-for annotation set to `sealedFor`, if there is one. For use
 * when every value is new.
 */
export function withSealedFor(
  annotations: Record<string, string>,
  sealedFor: string,
): Record<string, string> {
  return annotations[SEALED_FOR_ANNOTATION] === undefined
    ? annotations
    : { ...annotations, [SEALED_FOR_ANNOTATION]: sealedFor };
}

/**
 * Formats the sealed-for annotation: `strict demo/db`, `namespace-wide demo`, `selector team=a`,
 * `cluster-wide`.
 */
export function formatSealedFor(scope: Scope, label: Uint8Array): string {
  if (selectorIn(scope) !== null) return scope;
  return `${scope} ${new TextDecoder().decode(label)}`.trimEnd();
}
