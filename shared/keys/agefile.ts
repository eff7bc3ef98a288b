// age files (age-encryption.org/v1): which recipients a file may have, and how it is written.
// SPEC.md, "Backups", "Recovery".

import {
  armor,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { SignetError } from "../errors.ts";

/**
 * Refuses invalid age recipients, and classic recipients mixed with post-quantum ones: such a file
 * would be only as strong as the classic ones, and `age` itself refuses to write it.
 * @throws SignetError usage
 */
export function checkRecipients(recipients: readonly string[]): void {
  for (const recipient of recipients) encrypterFor([recipient]);
  if (new Set(recipients.map(isPostQuantum)).size > 1) {
    throw new SignetError("usage", "classic and post-quantum recipients cannot be mixed", {
      hint: "an attacker who breaks the classic one can read the file: use age1pq1... for all, or for none",
    });
  }
}

function isPostQuantum(recipient: string): boolean {
  return /^age1(pq|tagpq)1/.test(recipient);
}

function encrypterFor(recipients: readonly string[]): Encrypter {
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch {
      const isSsh = recipient.startsWith("ssh-");
      throw new SignetError(
        "usage",
        isSsh
          ? "an SSH key cannot be a recipient"
          : `not a valid age recipient: ${shown(recipient)}`,
        { hint: "a recipient looks like age1..., as `age-keygen` prints it" },
      );
    }
  }
  return encrypter;
}

/** Enough to find it again. Someone may have given the private half by mistake. */
function shown(recipient: string): string {
  return recipient.startsWith("age1") ? `${recipient.slice(0, 16)}...` : "(not shown)";
}

/** An armored file that any one of these recipients can open. @throws SignetError usage */
export async function ageFileFor(text: string, recipients: readonly string[]): Promise<string> {
  checkRecipients(recipients);
  return armor.encode(await encrypterFor(recipients).encrypt(text));
}

/** An armored file that opens with the passphrase. */
export async function ageFileUnder(text: string, passphrase: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return armor.encode(await encrypter.encrypt(text));
}

/** Creates a key pair for a single file, as strong as the other recipients. */
export async function oneTimePair(
  recipients: readonly string[],
): Promise<{ readonly identity: string; readonly recipient: string }> {
  const generate = recipients.some(isPostQuantum) ? generateHybridIdentity : generateX25519Identity;
  const identity = await generate();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** Whether a text is a valid age identity, including its checksum. */
export async function isIdentity(text: string): Promise<boolean> {
  try {
    return text.startsWith("AGE-SECRET-KEY-") && (await identityToRecipient(text)) !== "";
  } catch {
    return false;
  }
}
