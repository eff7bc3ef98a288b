// Which key a person means by a name, a fingerprint, or the beginning of one.

import { SignetError } from "../../../shared/errors.ts";

/** @throws SignetError usage where no key or several are meant */
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
    `${fitting.length === 0 ? "no key" : "more than one key"} is meant by ${named}`,
    { hint: "`signet keys` shows fingerprints and names" },
  );
}

export function isWholeFingerprint(text: string): boolean {
  return /^SHA256:[A-Za-z0-9+/]{43}$/.test(text);
}
