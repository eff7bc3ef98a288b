// Writes one file whole, without following a link at its place.

import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

/** Readable by the owner alone. */
const PRIVATE_FILE_MODE = 0o600;

/** Writes beside `path`, then puts it in place in one step; never through a link. */
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
