// The annotations that say which sealing key each value is under, and what it was sealed for.
// SPEC.md, "Stamps".

import type { Scope } from "./scope.ts";

/** What the values were bound to when they were sealed: `strict demo/db`. The original ignores it. */
export const SEALED_FOR_ANNOTATION = "kube-signet/sealed-for";

/** On a SealedSecret; the original ignores it. */
export const STAMP_ANNOTATION = "kube-signet/sealed-under";

/** Fingerprints by item name. */
export type Stamp = ReadonlyMap<string, string>;

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

/**
 * The annotation's text: the fingerprint that most items share, then `; item=fingerprint` for each
 * other item, sorted. Items of the shared key are not named, so that adding one changes no line
 * here. Where nothing is known of one of `items`, none is shared, and each known one is named.
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

/** The key that `items` are under by the annotation's text; items it says nothing of are left out. */
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

/** `annotations` with this stamp for theirs. What is not known of a value is not claimed. */
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

/** `annotations` where every value is new: what they say of the place is then this, if they say it. */
export function withSealedFor(
  annotations: Record<string, string>,
  sealedFor: string,
): Record<string, string> {
  return annotations[SEALED_FOR_ANNOTATION] === undefined
    ? annotations
    : { ...annotations, [SEALED_FOR_ANNOTATION]: sealedFor };
}

/** Such as `strict demo/db`, `namespace-wide demo`, `cluster-wide`. */
export function formatSealedFor(scope: Scope, label: Uint8Array): string {
  return `${scope} ${new TextDecoder().decode(label)}`.trimEnd();
}
