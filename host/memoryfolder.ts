// A folder for plaintext that another program needs as a file: in memory, private to the user, and
// wiped even if this process is killed.
// SPEC.md, "Changing values", "Values".

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { isRunning } from "./writefiles.ts";
import { removeWhenGone } from "./removewhengone.ts";
import { ioError } from "./errno.ts";
import { isOwnUser } from "./platform.ts";

/** TMPFS_MAGIC and RAMFS_MAGIC of statfs(2). */
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6]);

/** A folder that only this user can read. */
export class MemoryFolder {
  readonly folder: string;

  /**
   * `purpose`: a word in its name, by which folders that another process left behind are found and
   * removed. `allowDisk`: fall back to the folder for temporary files.
   * @throws SignetError io, with this hint, if there is no such folder
   */
  constructor(purpose: string, hint: string, allowDisk = false) {
    const base = memoryFolders()[0] ?? (allowDisk ? tmpdir() : undefined);
    if (base === undefined) {
      throw new SignetError("io", "this machine has no in-memory file system for plaintext", {
        hint,
      });
    }
    const prefix = `signet-${purpose}-`;
    for (const each of new Set([...memoryFolders(), tmpdir()])) removeAbandoned(each, prefix);
    const name = `${prefix}${process.pid}-${randomBytes(9).toString("hex")}`;
    try {
      this.folder = join(realpathSync(base), name);
      removeWhenGone(this.folder);
      mkdirSync(this.folder, { mode: 0o700 });
    } catch (error) {
      throw ioError("cannot create a folder", error, base);
    }
  }

  /** @throws SignetError io */
  write(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    try {
      writeFileSync(path, content, { mode: 0o600 });
    } catch (error) {
      throw ioError("cannot write", error, path);
    }
    return path;
  }

  /** Overwrites and removes everything, including files of the other program; never throws. */
  wipe(): void {
    wipeFolder(this.folder);
  }
}

function memoryFolders(): string[] {
  const candidates = [process.env["XDG_RUNTIME_DIR"], "/dev/shm"];
  return candidates.filter((folder): folder is string => {
    if (folder === undefined || folder === "") return false;
    try {
      return MEMORY_FILE_SYSTEMS.has(statfsSync(folder).type) && statSync(folder).isDirectory();
    } catch {
      return false;
    }
  });
}

function wipeFolder(folder: string): void {
  overwriteBelow(folder);
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // The other program may still be writing: the guard removes the folder when this process ends.
  }
}

/** Does not follow links. A file that cannot be overwritten is still removed later. */
function overwriteBelow(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) overwriteBelow(path);
      else if (entry.isFile()) overwrite(path);
    }
  } catch {
    // It is gone, or not readable.
  }
}

function overwrite(path: string): void {
  try {
    const file = openSync(
      path,
      constants.O_WRONLY | ((constants.O_NOFOLLOW as number | undefined) ?? 0),
    );
    try {
      writeSync(file, Buffer.alloc(fstatSync(file).size), 0, null, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // Its creator removed it.
  }
}

/** Removes folders of this user's processes that were killed together with their guard. */
function removeAbandoned(base: string, prefix: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(base);
  } catch {
    // The folder cannot hold any of ours.
  }
  for (const name of names) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    const folder = join(base, name);
    try {
      // Another user may have created a link of this name to a folder of this user.
      const found = lstatSync(folder);
      if (found.isDirectory() && isOwnUser(found.uid)) wipeFolder(folder);
    } catch {
      // Another process removed it.
    }
  }
}
