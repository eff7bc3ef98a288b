// What is kept of a SealedSecret whose Secret is in sync, so that its text need not be kept: enough to
// see that nothing is to be done.
// SPEC.md, "Limits".

import type { Keyring } from "../shared/keys/keyring.ts";
import { type Claim, isOurs } from "./keyrecord.ts";
import { isSameMark, isTagOurs, type LeftClaim, type SecretMark } from "./record.ts";

/** Facts of a SealedSecret as its status has them: anyone may have written them. */
export interface Resting {
  /** The Secret that the controller made from the SealedSecret as it is. */
  readonly written: LeftClaim;
  readonly record: Claim;
}

/** Whether a Secret is the version that the status says the controller left. */
export function isAsLeft({ written }: Resting, mark: SecretMark | undefined): boolean {
  return isSameMark(written.left, mark);
}

/** Whether the controller wrote all of it, and no value is under one of the `compromised` keys. */
export function isTrusted(
  { written, record }: Resting,
  keyring: Keyring,
  compromised: ReadonlySet<string>,
): boolean {
  if (record.under.counts.some(([fingerprint]) => compromised.has(fingerprint))) return false;
  return isOurs(record, keyring) && isTagOurs(written, keyring);
}
