// Writes a file atomically, without following a symbolic link at its path.

import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

/** Only the owner can read the file. */
const PRIVATE_FILE_MODE = 0o600;

/** Writes a temporary file beside `path`, then renames it; a symbolic link is replaced. */
export function writeAtomically(path: string, bytes: Uint8Array, mode = PRIVATE_FILE_MODE): void {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  const file = openSync(temporary, "wx", mode);
  try {
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    chmodSync(temporary, mode);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
