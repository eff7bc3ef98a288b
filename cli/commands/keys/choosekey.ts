// Finds the key that a person means by a name, a fingerprint, or the beginning of one.

import { SignetError } from "../../../shared/errors.ts";

/** @throws SignetError usage if no key or several match */
export function chooseKey<T extends { readonly fingerprint: string }>(
  keys: readonly T[],
  named: string,
  secretOf: (key: T) => string,
): T {
  const fitting = keys.filter(
    (key) =>
      secretOf(key) === named ||
      (named.length >= "SHA256:".length + 6 && key.fingerprint.startsWith(named)),
  );
  const [key] = fitting;
  if (key !== undefined && fitting.length === 1) return key;
  throw new SignetError(
    "usage",
    `${fitting.length === 0 ? "no key matches" : "several keys match"} ${named}`,
    { hint: "run `signet keys` to list fingerprints and names" },
  );
}

export function isWholeFingerprint(text: string): boolean {
  return /^SHA256:[A-Za-z0-9+/]{43}$/.test(text);
}
