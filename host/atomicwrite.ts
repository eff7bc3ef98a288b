// Writes a file atomically, without following a symbolic link at its path.

import { randomBytes } from "node:crypto";
import { closeSync, constants, fchmodSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { renameOver } from "./renameover.ts";
import { checkOpenWithin } from "./rootedfiles.ts";

/** Only the owner can read the file. */
const PRIVATE_FILE_MODE = 0o600;

/**
 * Writes a temporary file next to `path`, then renames it; a symbolic link is replaced. `root`: the
 * resolved folder that the folder of `path` must not lead out of.
 */
export function writeAtomically(
  path: string,
  bytes: Uint8Array,
  mode = PRIVATE_FILE_MODE,
  root?: string,
): void {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = createFile(temporary, bytes, { mode, root, shown: path });
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameOver(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

interface NewFile {
  /** Permission bits. Default: 0644, to which the umask applies. */
  readonly mode: number | undefined;
  /** The resolved folder that the file must be below. */
  readonly root: string | undefined;
  /** The path that errors name. */
  readonly shown: string;
}

/**
 * Creates a file, never through a link, and writes it; returns it open. The caller flushes and closes
 * it, and removes it after an error.
 */
export function createFile(
  path: string,
  bytes: Uint8Array,
  { mode, root, shown }: NewFile,
): number {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  // O_EXCL also ensures that the last part of the path is not a link.
  const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode === undefined ? 0o644 : 0o600);
  try {
    if (root !== undefined) checkOpenWithin(root, file, path, shown);
    for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
    if (mode !== undefined) fchmodSync(file, mode);
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}
