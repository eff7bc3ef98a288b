// Owns: input files and folders in, output files out: all or none, whole or untouched.
// Does not own: what is in them. SPEC.md, "Command line", "Files".

import {
  closeSync,
  fchmodSync,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  type Stats,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError, readStdin } from "../cli/terminal/terminal.ts";

const STDIN_NAME = "standard input";

/** A text that was read, and where from. */
export interface Input {
  /** As errors name it. */
  readonly name: string;
  /** Undefined for standard input. */
  readonly path?: string;
  /** Path below the folder that was named on the command line; undefined for a file named itself. */
  readonly inFolder?: string;
  readonly text: string;
}

/**
 * Reads every file named, standard input for `-` or for no name at all, and the manifests below
 * every folder named.
 * @throws SignetError io; manifest-syntax where one is not UTF-8
 */
export async function readInputs(names: readonly string[], expected: string): Promise<Input[]> {
  const inputs: Input[] = [];
  const prompt = `reading ${expected} from standard input, up to Ctrl-D`;
  let stdinRead = false;
  for (const name of names.length === 0 ? ["-"] : names) {
    if (name === "-") {
      if (stdinRead) throw new SignetError("usage", "standard input is named twice");
      stdinRead = true;
      inputs.push({ name: STDIN_NAME, text: decodeText(await readStdin(prompt), STDIN_NAME) });
    } else if (stat(name).isDirectory()) {
      for (const inFolder of manifestsBelow(name)) {
        const path = join(name, inFolder);
        inputs.push({ name: path, path, inFolder, text: readText(path) });
      }
    } else {
      inputs.push({ name, path: name, text: readText(name) });
    }
  }
  return inputs;
}

/** @throws SignetError io; manifest-syntax where it is not UTF-8 */
export function readText(path: string): string {
  return decodeText(readBytes(path), path);
}

/** @throws SignetError io */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** @throws SignetError manifest-syntax where it is not UTF-8 */
export function decodeText(bytes: Buffer, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const utf16 = bytes[0] === 0xff || bytes[0] === 0xfe || bytes[1] === 0;
    throw new SignetError("manifest-syntax", `is not UTF-8 text${utf16 ? ", but UTF-16" : ""}`, {
      hint: "save it as UTF-8; a value that is not text goes under data, in base64",
      place: { file: name },
    });
  }
}

/** @throws SignetError io */
export function stat(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** The same, or undefined where there is nothing. */
export function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw ioError("cannot read", error, path);
  }
}

/** Names of files that hold manifests. */
export const MANIFEST_NAME = /\.(ya?ml|json)$/i;

/**
 * Paths of the manifests below a folder, sorted. Git's own folder, node_modules and, unless they are
 * asked for, other hidden folders are left out; a file or folder that links lead to twice counts once.
 * @throws SignetError io
 */
export function manifestsBelow(folder: string, { hidden = false } = {}): string[] {
  // Where they really are.
  const seen = new Set<string>();
  const isNew = (real: string): boolean => seen.size < seen.add(real).size;
  const found: string[] = [];
  const walk = (below: string): void => {
    const here = join(folder, below);
    try {
      const realHere = realpathSync(here);
      if (!isNew(realHere)) return;
      for (const entry of readdirSync(here, { withFileTypes: true })) {
        const path = join(below, entry.name);
        const isLink = entry.isSymbolicLink();
        const target = isLink ? statIfThere(join(folder, path)) : entry;
        if (target?.isDirectory() === true) {
          const isHidden = entry.name.startsWith(".") && (!hidden || entry.name === ".git");
          if (!isHidden && entry.name !== "node_modules") walk(path);
        } else if (target?.isFile() === true && MANIFEST_NAME.test(entry.name)) {
          const inFolder = join(realHere, entry.name);
          if (isNew(isLink ? realpathSync(inFolder) : inFolder)) found.push(path);
        }
      }
    } catch (error) {
      throw error instanceof SignetError ? error : ioError("cannot read", error, here);
    }
  };
  walk("");
  return found.sort();
}

/** A file to be written. */
export interface Output {
  readonly path: string;
  readonly text: string;
  /** Permission bits; by default those of the file that it replaces, else 0644. */
  readonly mode?: number;
  /** It is in plain text: not even a kill may leave a file of it that was not asked for. */
  readonly isPlain?: boolean;
}

interface Staged {
  readonly target: string;
  readonly temporary: string;
  readonly output: Output;
}

/**
 * Writes files: all of them beside their targets first, then each is renamed into place, so that a
 * full disk changes none and a crash leaves each either old or new. A symbolic link stays, and what
 * it points to is replaced. Folders that are missing are made. A signal that comes meanwhile takes
 * effect afterwards. What a kill leaves beside a target is removed by the next write to its folder.
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
    for (const output of outputs) {
      const target = resolveTarget(output.path);
      folders.add(dirname(target));
      const temporary = join(dirname(target), `.${basename(target)}.${unique}.tmp`);
      if (staged.has(target)) {
        throw new SignetError("usage", "would be written twice", { place: { file: output.path } });
      }
      staged.set(target, { target, temporary, output });
      const mode = output.mode ?? modeOf(statIfThere(target));
      if (output.isPlain === true) (await import("./removewhengone.ts")).removeWhenGone(temporary);
      unsynced.push(stage(temporary, output, mode));
      if (unsynced.length === SYNCED_AT_ONCE) {
        await settled(unsynced);
        unsynced = [];
      }
    }
    await settled(unsynced);
    for (const { target, temporary, output } of staged.values()) {
      guard(output.path, () => {
        renameSync(temporary, target);
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

/** Ctrl-C waits, also for those who listen to it: what follows is short, and leaves nothing half done. */
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
    // One that came while nothing was waited for is told in the next round.
    await new Promise((done) => setImmediate(done));
    for (const { signal, listeners } of before) {
      for (const listener of listeners) process.on(signal, listener);
      process.removeListener(signal, later);
    }
    if (caught !== undefined) process.kill(process.pid, caught);
  };
}

const TEMPORARY_NAME = /^\..+\.(\d+)-([0-9a-z]+)\.tmp$/;
/** Far longer than a write takes: the process that made a file may be one that is not seen from here. */
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
    // What was asked for is written.
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

function guard(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw ioError("cannot write", error, path);
  }
}

/** The place itself, links followed; never a folder, device or pipe. */
function resolveTarget(path: string): string {
  const existing = statIfThere(path);
  if (existing === undefined) {
    guard(path, () => mkdirSync(dirname(path), { recursive: true }));
    // Links in the folder's path are followed; a link to nothing is replaced.
    return join(realpathSync(dirname(path)), basename(path));
  }
  if (!existing.isFile()) {
    throw new SignetError("io", "cannot write: it is not a regular file", {
      ...(existing.isDirectory() ? {} : { hint: "without --output, the result goes to stdout" }),
      place: { file: path },
    });
  }
  return realpathSync(path);
}

function modeOf(existing: Stats | undefined): number | undefined {
  return existing === undefined ? undefined : existing.mode & 0o777;
}

/** Files that wait for the disk side by side: it takes many at the price of a few. */
const SYNCED_AT_ONCE = 64;

/** Writes now, and resolves when it is on the disk. */
async function stage(
  temporary: string,
  { path, text }: Output,
  mode: number | undefined,
): Promise<void> {
  try {
    // A mode of our own choice is cut by the user's umask; one that is asked for is not.
    const file = openSync(temporary, "wx", mode === undefined ? 0o644 : 0o600);
    try {
      let bytes = Buffer.from(text);
      while (bytes.length > 0) bytes = bytes.subarray(writeSync(file, bytes));
      if (mode !== undefined) fchmodSync(file, mode);
      await synced(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw ioError("cannot write", error, path);
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

/** Waits for all to end, so that none is still at work when what they made is cleaned up. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === "rejected");
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}

/** Where paths lead, for comparing two of them. */
export function samePlace(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return resolve(path);
  }
}
