// Keeps what V8 compiled of a command for the Node that runs it, in the user's cache folder. What is
// read from there runs as code, so only the user may be able to write it.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { isOpenToOthers, isOwnUser, ON_WINDOWS } from "./platform.ts";

/** Three packs each of several versions of Signet and of Node; the oldest goes. */
const MAX_FILES = 12;
/** Others may neither write nor replace it. */
const OTHERS_MAY_WRITE = 0o022;
const WITHOUT_LINKS = constants.O_RDONLY | constants.O_NOFOLLOW;

/** The compiled code of one pack of a command's modules. */
export interface CodeCache {
  /** Undefined unless it can be trusted. V8 itself refuses what does not fit. */
  read(): Buffer | undefined;
  /** Never fails: without it the next start is slower, and nothing else. */
  write(code: Buffer): void;
}

/**
 * The cache of a pack; null where there is no place that only the user can write to, or where the
 * environment forbids it as it does for Node. `source`: a hash of the pack's code.
 */
export function codeCache(pack: string, source: string, env: NodeJS.ProcessEnv): CodeCache | null {
  // On Windows, a mode does not show who may write.
  if (ON_WINDOWS || env["NODE_DISABLE_COMPILE_CACHE"]) return null;
  const { XDG_CACHE_HOME: given = "" } = env;
  const folder = join(
    given.startsWith("/") ? given : join(homedir(), ".cache"),
    "kube-signet/code",
  );
  const file = join(folder, `${pack}-${source}-${process.arch}-${process.versions.v8}`);
  return {
    read: () => attempt(() => readOwn(folder, file)),
    write: (code) => {
      attempt(() => {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        if (!isOwn(lstatSync(folder))) return;
        const partial = `${file}.${process.pid}`;
        writeFileSync(partial, code, { mode: 0o600, flag: "wx" });
        renameSync(partial, file);
        removeOldest(folder);
      });
    },
  };
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function readOwn(folder: string, file: string): Buffer | undefined {
  if (!isOwn(lstatSync(folder))) return undefined;
  const handle = openSync(file, WITHOUT_LINKS);
  try {
    const stat = fstatSync(handle);
    return stat.isFile() && isOwn(stat) ? readFileSync(handle) : undefined;
  } finally {
    closeSync(handle);
  }
}

function isOwn({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  return isOwnUser(uid) && !isOpenToOthers(mode, OTHERS_MAY_WRITE);
}

function removeOldest(folder: string): void {
  const files = readdirSync(folder).map((name) => join(folder, name));
  const byAge = files
    .map((file) => ({ file, writtenMs: statSync(file).mtimeMs }))
    .sort((a, b) => b.writtenMs - a.writtenMs);
  for (const { file } of byAge.slice(MAX_FILES)) rmSync(file, { force: true });
}
