// Private keys in files: PEM, key Secrets, folders of them, and encrypted backups.
// SPEC.md, "Command line", "Recovery".

import { SignetError } from "../../shared/errors.ts";
import { isLockedBackup, readKeyFile } from "../../shared/keys/keyfile.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { filesInKeyFolder, isReadableByOthers } from "../../host/keyfolder.ts";
import { decodeText, readBytes, stat } from "../../host/readfile.ts";
import { advise } from "../terminal/messages.ts";

/** @throws SignetError io, key-invalid */
export async function readKeys(paths: readonly string[]): Promise<SealingKey[]> {
  const keys: SealingKey[] = [];
  for (const path of paths) keys.push(...(await readKeysAt(path)));
  return keys;
}

async function readKeysAt(path: string): Promise<SealingKey[]> {
  const isFolder = stat(path).isDirectory();
  const keys: SealingKey[] = [];
  for (const file of isFolder ? filesInKeyFolder(path) : [path]) {
    // Read once: it may be a pipe.
    const bytes = readBytes(file);
    const locked = await unlockedText(bytes, file);
    const text = locked ?? decodeText(bytes, file);
    // A folder of keys may also hold certificates and a README.
    if (isFolder && !/PRIVATE KEY|tls\.key/.test(text)) continue;
    const found = stat(file);
    // The mode of a pipe says nothing about the file that the key comes from.
    if (locked === null && found.isFile() && isReadableByOthers(found)) {
      advise(`${file}: others can read this private key; run chmod 600 to restrict it`);
    }
    keys.push(...readKeyFile(text, file));
  }
  if (keys.length === 0) {
    throw new SignetError("key-invalid", "no sealing key found in this folder", {
      place: { file: path },
    });
  }
  return keys;
}

/** The content of a backup that `signet keys backup` encrypted; null for any other file. */
async function unlockedText(bytes: Buffer, file: string): Promise<string | null> {
  if (!isLockedBackup(bytes)) return null;
  const { unlockBackup } = await import("./lock.ts");
  return unlockBackup(bytes, file);
}
