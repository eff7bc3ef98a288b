// Opens files whose paths come from a repository's content, and refuses paths that lead out of it.
// SPEC.md, "Command line", "Files".

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, parse, relative, resolve, sep } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError } from "./errno.ts";

/**
 * The largest file that is read if it was found in a folder, in bytes. JSON data may be next to
 * manifests and must not make a command fail, but forges accept no files above 100 MB.
 */
export const MAX_FOUND_BYTES = 128 * 1024 * 1024;

/** The largest certificate or settings file that is read, in bytes. */
export const MAX_SETTINGS_BYTES = 1024 * 1024;

/**
 * The folder that paths in `folder` must not lead out of: its Git repository, or else `folder`
 * itself. Links in the path to `folder` are resolved first.
 * @throws SignetError io
 */
export function rootOf(folder: string): string {
  return repositoryOf(onDisk("cannot read", folder, () => realpathSync.native(folder)));
}

function repositoryOf(start: string): string {
  for (let here = start; ; here = dirname(here)) {
    const above = dirname(here);
    if (existsItself(join(here, ".git"))) {
      return above !== here && isSubmodule(here) ? repositoryOf(above) : here;
    }
    if (above === here) return start;
  }
}

/**
 * Whether a folder is a submodule of the repository around it, whose files it may link to. No commit
 * can have a file `.git`, so this one is the work of the user's own Git.
 */
function isSubmodule(folder: string): boolean {
  const file = join(folder, ".git");
  const { size } = lstatSync(file);
  if (!lstatSync(file).isFile() || size > MAX_SETTINGS_BYTES) return false;
  const [, named] = /^gitdir: ([^\n]+)/.exec(readFileSync(file, "utf8")) ?? [];
  if (named === undefined) return false;
  const parts = relative(dirname(folder), resolve(folder, named)).split(sep);
  const at = parts.indexOf(".git");
  return (
    at !== -1 && parts[at + 1] === "modules" && parts.slice(0, at).every((part) => part === "..")
  );
}

/**
 * The same for a folder that a person names, and that may not exist yet.
 * @throws SignetError io if a link in its path leads out of the repository that it is in
 */
export function rootOfNew(folder: string): string {
  return rootOfNamed(folder) ?? repositoryOf(targetOf(folder));
}

/**
 * Whether a resolved path is below a root. Git's own folder does not count, because its files are
 * programs and settings, not content of the repository.
 */
export function isWithin(root: string, real: string): boolean {
  // Most paths are plainly below: asking Node for the relative path takes long for many files.
  const isPlain = real.startsWith(root) && real[root.length] === sep && !real.includes("..");
  const below = isPlain ? real.slice(root.length + 1) : relative(root, real);
  // On Windows, the path to another drive is absolute.
  if (isAbsolute(below)) return false;
  const parts = below.split(sep);
  return parts[0] !== ".." && !parts.some((part) => part.toLowerCase() === ".git");
}

/** Whether a path exists, and leads out of `root`. */
export function leadsOut(root: string, path: string): boolean {
  try {
    return !isWithin(root, realpathSync.native(path));
  } catch {
    return false;
  }
}

/**
 * The folder that a path named by a person must not lead out of: the repository that the path is
 * in, as written. Links in the path came with the repository, and the person may not know about
 * them. Undefined for a path outside any repository, where links are the person's own.
 * @throws SignetError io if a folder on the way leads out
 */
export function rootOfNamed(path: string): string | undefined {
  const written = resolve(path);
  let root: string | undefined;
  let here = parse(written).root;
  for (const part of relative(here, written).split(sep)) {
    // Git's own folder is not content of the repository.
    if (part.toLowerCase() === ".git") return undefined;
    here = join(here, part);
    if (root !== undefined && leadsOut(root, here))
      throw leadsOutError("cannot use this path", path);
    if (existsItself(join(here, ".git"))) root = rootOf(here);
  }
  return root;
}

/**
 * Reads a regular file that is below `root`, with all links resolved. Never waits for a pipe, and
 * never reads a device.
 * @throws SignetError io
 */
export function readWithin(root: string, path: string, limit: number): Buffer {
  return withOpen(root, path, (file, size) => readUpTo(file, limit, path, size));
}

/**
 * Whether a word of ASCII is in such a file, in whatever encoding. Takes little memory, and looks at
 * no more than `limit` bytes.
 * @throws SignetError io
 */
export function namesWithin(root: string, path: string, word: string, limit: number): boolean {
  return withOpen(root, path, (file) => {
    const chunk = Buffer.allocUnsafe(65_536);
    let before = "";
    for (let total = 0; total < limit;) {
      const length = readSync(file, chunk);
      if (length === 0) return false;
      total += length;
      const text = before + chunk.toString("latin1", 0, length).replaceAll("\0", "");
      if (text.includes(word)) return true;
      before = text.slice(1 - word.length);
    }
    return false;
  });
}

/** Calls `use` with an open regular file that is below `root`, with all links resolved, and its size. */
function withOpen<T>(root: string, path: string, use: (file: number, size: number) => T): T {
  return onDisk("cannot read", path, () => {
    // Opening some devices has side effects, so they are refused before that too.
    if (!statSync(path).isFile()) throw notRegular(path);
    const file = openSync(path, constants.O_RDONLY | ifKnown(constants.O_NONBLOCK));
    try {
      const opened = fstatSync(file);
      if (!opened.isFile()) throw notRegular(path);
      if (!isWithin(root, placeOfOpen(file, path))) throw leadsOutError("cannot read", path);
      return use(file, opened.size);
    } finally {
      closeSync(file);
    }
  });
}

/**
 * Reads a file that Git names: one in the repository, or a temporary file elsewhere. A link must
 * not lead out of its folder.
 * @throws SignetError io
 */
export function readBeside(path: string): Buffer {
  return readWithin(rootOf(dirname(path)), path, MAX_FOUND_BYTES);
}

/** How much of a file is read at first where its size is not known, in bytes. */
const READ_AT_FIRST = 65_536;

/**
 * Reads an open file to its end. `size`: how large it was a moment ago; it is only a hint.
 * @throws SignetError io if it is larger than `limit`
 */
export function readUpTo(file: number, limit: number, path: string, size = 0): Buffer {
  // One byte more than is expected, so that the end shows.
  let bytes = Buffer.allocUnsafe(size > 0 ? Math.min(size, limit) + 1 : READ_AT_FIRST);
  for (let total = 0; ;) {
    const length = readSync(file, bytes, total, bytes.length - total, null);
    if (length === 0) return bytes.subarray(0, total);
    total += length;
    // Counted while reading, because the file may grow meanwhile, and a pipe has no size.
    if (total > limit) {
      throw new SignetError(
        "io",
        `cannot read: the file is larger than ${limit / 1024 / 1024} MiB`,
        {
          place: { file: path },
        },
      );
    }
    if (total === bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(2 * total, limit + 1));
      bytes.copy(larger);
      bytes = larger;
    }
  }
}

/**
 * The path to replace when `path` is written: with all links resolved, and below `root`. The last
 * part of it need not exist, nor do its folders. A dangling link is itself replaced.
 * @throws SignetError io
 */
export function targetWithin(root: string, path: string): string {
  return onDisk("cannot write", path, () => {
    const target = resolveExisting(resolve(path));
    if (!isWithin(root, target)) throw leadsOutError("cannot write", path);
    return target;
  });
}

/** Resolves the links in the part of a path that exists. */
function resolveExisting(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    return join(resolveExisting(dirname(path)), basename(path));
  }
}

/** The same without a root, for a path that a person named. */
export function targetOf(path: string): string {
  return onDisk("cannot write", path, () => resolveExisting(resolve(path)));
}

/**
 * For a file that was just created at `path`. A folder may have become a link since it was resolved.
 * `shown`: the path that errors name.
 * @throws SignetError io if the file is not below `root`
 */
export function checkOpenWithin(root: string, file: number, path: string, shown: string): void {
  if (!isWithin(root, placeOfOpen(file, path))) throw leadsOutError("cannot write", shown);
}

/** The resolved path of an open file, even if `path` now leads to another file. */
function placeOfOpen(file: number, path: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${file}`);
  } catch {
    // Not Linux.
    const real = realpathSync.native(path);
    const [opened, named] = [fstatSync(file, { bigint: true }), statSync(real, { bigint: true })];
    if (opened.dev === named.dev && opened.ino === named.ino) return real;
    throw new SignetError("io", "cannot read: the file was replaced meanwhile", {
      place: { file: path },
    });
  }
}

function existsItself(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Windows lacks some flags. */
function ifKnown(flag: number | undefined): number {
  return flag ?? 0;
}

/** The cause of an error about a path that leads out. */
export const LEADS_OUT = Symbol("leads out");

function leadsOutError(what: string, path: string): SignetError {
  return new SignetError(
    "io",
    `${what}: a link in this path leads outside the repository or into .git`,
    {
      hint: "replace the link with its target, or use the target's path",
      cause: LEADS_OUT,
      place: { file: path },
    },
  );
}

function notRegular(path: string): SignetError {
  return new SignetError("io", "cannot read: not a regular file", { place: { file: path } });
}

function onDisk<T>(what: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SignetError ? error : ioError(what, error, path);
  }
}
