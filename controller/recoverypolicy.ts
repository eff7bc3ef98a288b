// Who may recover the sealing keys, according to the flags. Only an operator's flags decide: no
// object in the cluster can add a recipient.
// SPEC.md, "Recovery".

import { readText } from "../host/readfile.ts";
import { SignetError } from "../shared/errors.ts";
import type { RecoveryPolicy } from "../shared/keys/recoverynames.ts";
import type { ServeFlags } from "./serveflags.ts";

type RecoveryFlags = Pick<
  ServeFlags,
  "recoveryRecipients" | "recoveryRecipientsFile" | "recoveryQuorum"
>;

/**
 * Null if no recipients are named.
 * @throws Error for recipients that cannot be used together, or a quorum that they cannot reach
 */
export async function recoveryPolicy(flags: RecoveryFlags): Promise<RecoveryPolicy | null> {
  const { recoveryRecipients, recoveryRecipientsFile: file, recoveryQuorum } = flags;
  const recipients = [...recoveryRecipients, ...(file === undefined ? [] : linesOf(file))];
  if (recipients.length === 0) {
    // A file that is empty by mistake must not count as a choice.
    if (file === undefined && recoveryQuorum === undefined) return null;
    throw new Error("no recovery recipients given: set --recovery-recipients");
  }
  const { checkRecoveryPolicy } = await import("../shared/keys/recoveryfiles.ts");
  const policy = { recipients, quorum: recoveryQuorum ?? null };
  try {
    checkRecoveryPolicy(policy);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const { message, hint } = error;
    throw new Error(`--recovery-recipients: ${message}${hint === undefined ? "" : `; ${hint}`}`, {
      cause: error,
    });
  }
  return policy;
}

function linesOf(file: string): string[] {
  return readText(file)
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
