// Owns: a place for plaintext that an editor needs as a file: in memory, readable to the user alone,
// wiped when it is left. Does not own: what is in it (edit.ts). SPEC.md, "Command line", "Editing".

import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { ioError } from "../terminal.ts";

const PREFIX = "signet-edit-";
/** TMPFS_MAGIC and RAMFS_MAGIC of statfs(2). */
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6]);

/** A folder that only this user can look into. */
export class Scratch {
  readonly folder: string;

  /**
   * `allowDisk`: takes the folder for temporary files where no memory-backed one is found.
   * @throws SignetError io where there is none
   */
  constructor(allowDisk: boolean) {
    const base = memoryFolder() ?? (allowDisk ? tmpdir() : undefined);
    if (base === undefined) {
      throw new SignetError("io", "this machine has no folder in memory for the editor's file", {
        hint: "`signet set` needs none; --allow-disk uses a file on disk, overwritten and removed afterwards",
      });
    }
    removeAbandoned(base);
    try {
      this.folder = mkdtempSync(join(base, `${PREFIX}${process.pid}-`));
    } catch (error) {
      throw ioError("cannot make a folder", error, base);
    }
  }

  /** @throws SignetError io */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    try {
      writeFileSync(path, text, { mode: 0o600 });
    } catch (error) {
      throw ioError("cannot write", error, path);
    }
    return path;
  }

  /** Overwrites and removes everything, also what the editor left; never throws. */
  wipe(): void {
    wipeFolder(this.folder);
  }
}

function memoryFolder(): string | undefined {
  const candidates = [process.env["XDG_RUNTIME_DIR"], "/dev/shm"];
  return candidates.find((folder): folder is string => {
    if (folder === undefined || folder === "") return false;
    try {
      return MEMORY_FILE_SYSTEMS.has(statfsSync(folder).type) && statSync(folder).isDirectory();
    } catch {
      return false;
    }
  });
}

function wipeFolder(folder: string): void {
  try {
    for (const name of readdirSync(folder)) overwrite(join(folder, name));
  } catch {
    // What cannot be overwritten is removed all the same.
  }
  rmSync(folder, { recursive: true, force: true });
}

function overwrite(path: string): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, Buffer.alloc(fstatSync(file).size), 0, null, 0);
  } finally {
    closeSync(file);
  }
}

/** What a killed `signet edit` of this user left behind. */
function removeAbandoned(base: string): void {
  for (const name of readdirSync(base)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    const folder = join(base, name);
    try {
      if (statSync(folder).uid === process.getuid?.()) wipeFolder(folder);
    } catch {
      // Someone else removed it.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
