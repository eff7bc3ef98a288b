// Locked backups: files of age.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { armor, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { unlockBackup } from "../../../cli/recovery/lock.ts";
import { mutateBytes } from "../mutate.ts";
import {
  attempt,
  bytesOf,
  CANARY,
  checkSame,
  checkUntold,
  type Target,
  textOf,
  toldBy,
} from "../target.ts";

const PASSPHRASE = "a passphrase for nobody";
const WORDS = [
  "-> X25519 ",
  "-> scrypt ",
  "--- ",
  "age-encryption.org/v1\n",
  " 10",
  " 22",
  " 30",
  "-> ",
];

let folder: string | undefined;
let identity = "";

async function seeds(): Promise<Uint8Array[]> {
  identity = await generateX25519Identity();
  const forRecipient = new Encrypter();
  forRecipient.addRecipient(await identityToRecipient(identity));
  const raw = await forRecipient.encrypt(CANARY);
  const forPassphrase = new Encrypter();
  forPassphrase.setPassphrase(PASSPHRASE);
  forPassphrase.setScryptWorkFactor(10);
  const locked = await forPassphrase.encrypt(CANARY);
  return [raw, raw, raw, locked, bytesOf(armor.encode(raw)), bytesOf(armor.encode(locked))];
}

export const backups: Target = {
  name: "backups",
  seeds,
  generate: (random, all) => mutateBytes(random, all, WORDS),
  short: 60,
  run: async (input) => {
    folder ??= mkdtempSync(join(tmpdir(), "signet-fuzz-age-"));
    const identityFile = join(folder, "identity");
    const passphraseFile = join(folder, "passphrase");
    writeFileSync(identityFile, `${identity}\n`);
    writeFileSync(passphraseFile, `${PASSPHRASE}\n`);
    const unlock = { passphraseFile, identity: [identityFile] };
    const opened = await attempt(() => unlockBackup(input, "backup.age", unlock));
    if ("value" in opened) checkSame(opened.value, CANARY, "the content of a changed backup");
    else {
      for (const error of opened.errors) {
        checkUntold(toldBy(error), "an error");
        const told = toldBy(error);
        if (told.includes(PASSPHRASE) || (identity !== "" && told.includes(identity))) {
          checkUntold(CANARY, "an error");
        }
      }
    }
    textOf(input);
  },
  close: () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    folder = undefined;
    return Promise.resolve();
  },
};
