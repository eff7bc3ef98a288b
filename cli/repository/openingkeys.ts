// The private keys that a command opens values with: from files that a person names, and from the
// repository's recovery files.
// SPEC.md, "Command line", "Recovery".

import { SignetError } from "../../shared/errors.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { findProject } from "./project.ts";

export interface GivenKeys {
  /** Files, and folders of files. */
  readonly recoveryKey: readonly string[];
  /** Files of age identities or shares. */
  readonly recoveryIdentity: readonly string[];
}

/** Whether a person gave any. */
export function areKeysGiven({ recoveryKey, recoveryIdentity }: GivenKeys): boolean {
  return recoveryKey.length + recoveryIdentity.length > 0;
}

/** @throws SignetError io, key-invalid, usage */
export async function readGivenKeys(given: GivenKeys): Promise<SealingKey[]> {
  const { readKeys } = await import("../recovery/recoverykeys.ts");
  const keys = await readKeys(given.recoveryKey);
  if (given.recoveryIdentity.length === 0) return keys;
  const project = findProject();
  if (project === null) {
    throw new SignetError("usage", "--recovery-identity requires a repository with a signet.yaml", {
      hint: "to use a single file, pass --recovery-key FILE and name the identity in $SIGNET_AGE_IDENTITY",
    });
  }
  const { keysByIdentity } = await import("./recoveredkeys.ts");
  const recovered = await keysByIdentity(project, given.recoveryIdentity);
  return [...keys, ...recovered.flatMap(({ key }) => (key === null ? [] : [key]))];
}
