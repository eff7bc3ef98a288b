// Writes several files: all or none, each atomically.
// SPEC.md, "Command line", "Files".

import { closeSync, fsync, mkdirSync, readdirSync, rmSync, type Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { createFile } from "./atomicwrite.ts";
import { errnoOf, ioError } from "./errno.ts";
import { statIfThere } from "./readfile.ts";
import { renameOver } from "./renameover.ts";
import { rootOfNamed, targetOf, targetWithin } from "./rootedfiles.ts";

/** A file to be written. */
export interface Output {
  readonly path: string;
  readonly text: string;
  /**
   * The folder, with links resolved, that the file must be below, if its path comes from a
   * repository's content. Undefined for a path that a person named: inside a repository no link may
   * lead out of it, and elsewhere links may lead anywhere.
   */
  readonly root: string | undefined;
  /** Permission bits. Default: those of the file that it replaces, or 0644. */
  readonly mode?: number;
  /**
   * The file contains secret values in plain text: its temporary file is removed even if the
   * process is killed.
   */
  readonly isPlain?: boolean;
}

interface Staged {
  readonly target: string;
  readonly temporary: string;
  readonly output: Output;
}

/**
 * Writes all files next to their targets first, then renames each into place. A full disk changes
 * no file, and a crash leaves each file either old or new. A symbolic link stays, and its target is
 * replaced. Missing folders are created. A signal takes effect after the write. The next write to
 * the same folder removes temporary files that a killed process left behind.
 * @throws SignetError io, naming the file
 */
export async function writeFiles(outputs: readonly Output[]): Promise<void> {
  const unique = `${process.pid}-${Date.now().toString(36)}`;
  const staged = new Map<string, Staged>();
  let unsynced: Promise<void>[] = [];
  const cleanUp = (): void => {
    for (const { temporary } of staged.values()) rmSync(temporary, { force: true });
  };
  const release = deferSignals();
  const folders = new Set<string>();
  try {
    for (const named of outputs) {
      const output = { ...named, root: named.root ?? rootOfNamed(named.path) };
      const target = resolveTarget(output);
      folders.add(dirname(target));
      const temporary = join(dirname(target), `.${basename(target)}.${unique}.tmp`);
      if (staged.has(target)) {
        throw new SignetError("usage", "two outputs have this path", {
          place: { file: output.path },
        });
      }
      staged.set(target, { target, temporary, output });
      const mode = output.mode ?? modeOf(statIfThere(target));
      if (output.isPlain === true) (await import("./removewhengone.ts")).removeWhenGone(temporary);
      unsynced.push(stage(temporary, output, mode));
      if (unsynced.length === MAX_CONCURRENT_SYNCS) {
        await settled(unsynced);
        unsynced = [];
      }
    }
    await settled(unsynced);
    for (const { target, temporary, output } of staged.values()) {
      guard(output.path, () => {
        // A folder may have become a link meanwhile.
        if (output.root !== undefined) targetWithin(output.root, temporary);
        renameOver(temporary, target);
      });
      staged.delete(target);
    }
    for (const folder of folders) removeAbandoned(folder);
  } finally {
    await Promise.allSettled(unsynced);
    cleanUp();
    await release();
  }
}

/** Defers Ctrl-C, and the existing signal listeners, until the short write that follows is done. */
function deferSignals(): () => Promise<void> {
  let caught: NodeJS.Signals | undefined;
  const later = (signal: NodeJS.Signals): void => {
    caught ??= signal;
  };
  const before = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) => {
    const listeners = process.listeners(signal);
    process.on(signal, later);
    for (const listener of listeners) process.removeListener(signal, listener);
    return { signal, listeners };
  });
  return async () => {
    // A signal that arrived during synchronous work is delivered in the next turn of the event loop.
    await new Promise((done) => setImmediate(done));
    for (const { signal, listeners } of before) {
      for (const listener of listeners) process.on(signal, listener);
      process.removeListener(signal, later);
    }
    if (caught !== undefined) process.kill(process.pid, caught);
  };
}

const TEMPORARY_NAME = /^\..+\.(\d+)-([0-9a-z]+)\.tmp$/;
/**
 * Far longer than a write takes, because the writing process may be invisible, in another PID
 * namespace.
 */
const ABANDONED_AFTER_MS = 60_000;

function removeAbandoned(folder: string): void {
  try {
    for (const name of readdirSync(folder)) {
      const [, pid, time = ""] = TEMPORARY_NAME.exec(name) ?? [];
      if (pid === undefined || isRunning(Number(pid))) continue;
      if (Date.now() - parseInt(time, 36) < ABANDONED_AFTER_MS) continue;
      rmSync(join(folder, name), { force: true });
    }
  } catch {
    // The requested files are written, so this failure does not matter.
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}

/** Removes a file, or a link itself. @throws SignetError io */
export function removeFile(path: string): void {
  try {
    rmSync(path);
  } catch (error) {
    throw ioError("cannot remove", error, path);
  }
}

function guard(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw error instanceof SignetError ? error : ioError("cannot write", error, path);
  }
}

/** The path with links resolved. @throws SignetError io for a folder, device or pipe */
function resolveTarget({ path, root }: Output): string {
  // Before anything is created: a missing folder may be below a link.
  const target = root === undefined ? targetOf(path) : targetWithin(root, path);
  const existing = statIfThere(target);
  if (existing === undefined) {
    guard(path, () => mkdirSync(dirname(target), { recursive: true }));
  } else if (!existing.isFile()) {
    throw new SignetError("io", "cannot write: not a regular file", {
      ...(existing.isDirectory() ? {} : { hint: "without --output, the result goes to stdout" }),
      place: { file: path },
    });
  }
  return target;
}

function modeOf(existing: Stats | undefined): number | undefined {
  return existing === undefined ? undefined : existing.mode & 0o777;
}

/** Files that are flushed to disk concurrently, which takes little longer than flushing a few. */
const MAX_CONCURRENT_SYNCS = 64;

/** Writes at once, and resolves when the file is on disk. */
async function stage(
  temporary: string,
  { path, text, root }: Output,
  mode: number | undefined,
): Promise<void> {
  try {
    const file = createFile(temporary, Buffer.from(text), { mode, root, shown: path });
    try {
      await synced(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw error instanceof SignetError ? error : ioError("cannot write", error, path);
  }
}

function synced(file: number): Promise<void> {
  return new Promise((done, fail) => {
    fsync(file, (error) => {
      if (error === null) done();
      else fail(error);
    });
  });
}

/** Waits until all have ended, so that none is still writing during the cleanup. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === "rejected");
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}
