// Backups of sealing keys, encrypted with a passphrase or for age recipients, and decrypted.
// SPEC.md, "Backups": a file of age-encryption.org/v1.

import { armor, Decrypter } from "age-encryption";
import { SignetError } from "../../shared/errors.ts";
import { ageFileFor, ageFileUnder } from "../../shared/keys/agefile.ts";
import { isLockedBackup } from "../../shared/keys/keyfile.ts";
import { readText } from "../../host/readfile.ts";
import { whileBusy } from "../terminal/progress.ts";

/** How a backup is encrypted. */
export type Lock = { readonly passphrase: string } | { readonly recipients: readonly string[] };

const MIN_PASSPHRASE = 12;
/** It takes seconds on purpose: that is what protects a passphrase. */
const DERIVING = "deriving the key from the passphrase, which takes a few seconds";

/** What is wrong with a passphrase, or null. */
export function passphraseFault(passphrase: string): string | null {
  return passphrase.length < MIN_PASSPHRASE ? `at least ${MIN_PASSPHRASE} characters` : null;
}

/**
 * The result is an age file, which `age --decrypt` opens too.
 * @throws SignetError usage for recipients that are invalid, or do not go together
 */
export async function lockBackup(text: string, lock: Lock): Promise<string> {
  return "passphrase" in lock
    ? whileBusy(DERIVING, () => ageFileUnder(text, lock.passphrase))
    : ageFileFor(text, lock.recipients);
}

/** How to decrypt a backup. */
interface Unlock {
  readonly passphraseFile?: string;
  /** Files of age identities. */
  readonly identity?: readonly string[];
}

/**
 * Decrypts a backup. Without `unlock`, uses the file of identities that $SIGNET_AGE_IDENTITY names,
 * or asks for the passphrase.
 * @throws SignetError key-invalid where it cannot be decrypted; usage, io, cancelled
 */
export async function unlockBackup(
  bytes: Uint8Array,
  file: string,
  unlock: Unlock = {},
): Promise<string> {
  if (!isLockedBackup(bytes)) {
    throw new SignetError("key-invalid", "is not a backup: not an age file", {
      hint: "run `signet keys backup` to create one",
      place: { file },
    });
  }
  const decrypter = new Decrypter();
  const environment = process.env["SIGNET_AGE_IDENTITY"];
  const identities = unlock.identity ?? (environment ? [environment] : []);
  try {
    const text = new TextDecoder().decode(bytes);
    const raw = text.startsWith("-----BEGIN") ? armor.decode(text) : bytes;
    const forPassphrase = /^age-encryption\.org\/v1\n-> scrypt /.test(
      new TextDecoder("latin1").decode(raw.subarray(0, 64)),
    );
    if (forPassphrase) {
      decrypter.addPassphrase(
        await readPassphrase(`Passphrase of ${file}:`, unlock.passphraseFile),
      );
    } else {
      if (identities.length === 0) {
        throw new SignetError("usage", "this backup is encrypted for age recipients", {
          hint: "use --identity FILE, or set $SIGNET_AGE_IDENTITY",
          place: { file },
        });
      }
      for (const identity of identities) addIdentities(decrypter, identity);
    }
    const open = (): Promise<string> => decrypter.decrypt(raw, "text");
    return await (forPassphrase ? whileBusy(DERIVING, open) : open());
  } catch (error) {
    if (error instanceof SignetError) throw error;
    throw new SignetError(
      "key-invalid",
      "cannot be opened: wrong passphrase or identity, or damaged",
      {
        place: { file },
      },
    );
  }
}

function addIdentities(decrypter: Decrypter, file: string): void {
  const lines = linesOf(readText(file));
  for (const line of lines) addIdentity(decrypter, line, file);
  if (lines.length > 0) return;
  throw new SignetError("key-invalid", "holds no age identity", { place: { file } });
}

/** The lines that say something, without those that age takes for comments. */
export function linesOf(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** @throws SignetError key-invalid, which names `file` and quotes nothing */
export function addIdentity(decrypter: Decrypter, line: string, file: string): void {
  try {
    decrypter.addIdentity(line);
  } catch {
    throw new SignetError("key-invalid", "contains something that is not an age identity", {
      hint: "expected lines that begin with AGE-SECRET-KEY-, as `age-keygen` writes them",
      place: { file },
    });
  }
}

/**
 * The first line of `given` or of the file that $SIGNET_PASSPHRASE_FILE names; without one, asks
 * the user.
 * @throws SignetError usage, io, cancelled
 */
export async function readPassphrase(question: string, given: string | undefined): Promise<string> {
  const file = given ?? process.env["SIGNET_PASSPHRASE_FILE"];
  if (file !== undefined && file !== "") return readText(file).split(/\r?\n/)[0] ?? "";
  const { askHidden, canAsk } = await import("../terminal/prompts.ts");
  if (!canAsk()) {
    throw new SignetError(
      "usage",
      "cannot prompt for the passphrase: standard input is not a terminal",
      {
        hint: "name a file that holds it: --passphrase-file or $SIGNET_PASSPHRASE_FILE",
      },
    );
  }
  return askHidden(question);
}
