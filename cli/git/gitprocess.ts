// Calls of Git: its folders, revisions and commits, and the texts of files in them.

import { spawnSync } from "node:child_process";
import { SignetError } from "../../shared/errors.ts";

const MAX_OUTPUT_BYTES = 1024 * 1024 * 1024;

/**
 * What every call of Git begins with. A folder of the working tree can be a bare repository with a
 * configuration of its own, which came with the clone: Git must neither use it nor start a program
 * for us. The objects that were committed count, not local replacements.
 */
const SAFELY = [
  "--no-pager",
  "--no-replace-objects",
  ...["-c", "safe.bareRepository=explicit"],
  ...["-c", "core.fsmonitor=false"],
];

interface GitOptions {
  readonly cwd?: string;
  readonly input?: string;
}

/** Runs `git ARGS`, whatever its exit status is. @throws SignetError io if it cannot run */
export function runGit(
  args: readonly string[],
  { cwd, input }: GitOptions = {},
): { readonly status: number | null; readonly stdout: Buffer; readonly stderr: Buffer } {
  const { status, stdout, stderr, error } = spawnSync("git", [...SAFELY, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? {} : { input }),
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  if (error !== undefined && "code" in error) {
    if (error.code === "ENOENT") {
      throw new SignetError("io", "Git is not there: the command `git` is missing");
    }
    if (error.code === "ENOBUFS") {
      throw new SignetError("io", `git ${args[0] ?? ""}: it prints more than 1 GiB`);
    }
  }
  return { status, stdout, stderr };
}

/** What `git ARGS` prints. @throws SignetError io with Git's own words */
export function git(args: readonly string[], options: GitOptions = {}): Buffer {
  const { status, stdout, stderr } = runGit(args, options);
  if (status === 0) return stdout;
  const words = stderr
    .toString()
    .trim()
    .split("\n")
    .at(-1)
    ?.replace(/^(fatal|error): /, "");
  throw new SignetError("io", `git ${args[0] ?? ""}: ${words || "it failed"}`);
}

export function gitText(args: readonly string[], options: GitOptions = {}): string {
  return git(args, options).toString();
}

/** Entries that `-z` divides. */
export function gitList(args: readonly string[], options: GitOptions = {}): string[] {
  return gitText(args, options)
    .split("\0")
    .filter((entry) => entry !== "");
}

/** The top folder of the working tree that a folder is in; null outside of one. */
export function workTree(folder = process.cwd()): string | null {
  try {
    return gitText(["rev-parse", "--show-toplevel"], { cwd: folder }).replace(/\n$/, "");
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

/** @throws SignetError io outside of a working tree */
export function needWorkTree(): string {
  const found = workTree();
  if (found !== null) return found;
  throw new SignetError("io", "this is not a Git working tree", { hint: "run it inside of one" });
}

/** The commit that a revision means. @throws SignetError usage */
export function commitOf(revision: string, cwd?: string): string {
  try {
    const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${revision}^{commit}`];
    return gitText(args, cwd === undefined ? {} : { cwd }).trim();
  } catch {
    throw new SignetError("usage", `Git knows no revision ${JSON.stringify(revision)}`);
  }
}

/** Where two commits parted. @throws SignetError usage where they have nothing in common */
export function mergeBaseOf(one: string, other: string, cwd: string): string {
  try {
    return gitText(["merge-base", one, other], { cwd }).trim();
  } catch {
    throw new SignetError("usage", "these revisions have no commit in common");
  }
}

/** A file as some commit, or the index, has it. */
export interface Blob {
  readonly id: string;
  readonly path: string;
}

/** The manifests of a commit, paths from the top. */
export function blobsOf(commit: string, cwd: string, paths: readonly string[] = []): Blob[] {
  const args = ["ls-tree", "-r", "-z", "--full-tree", commit, "--", ...paths];
  return gitList(args, { cwd }).flatMap((entry) => {
    const match = /^\d+ blob ([0-9a-f]+)\t(.*)$/s.exec(entry);
    const [, id, path] = match ?? [];
    return id !== undefined && path !== undefined ? [{ id, path }] : [];
  });
}

/** The texts of one call of Git: a call that reads more is split. */
const READ_AT_ONCE_BYTES = 64 * 1024 * 1024;

/**
 * The texts of blobs by their id; null for what is no text or too large.
 * @throws SignetError io for a blob that Git does not have
 */
export function readBlobs(ids: Iterable<string>, cwd: string): Map<string, string | null> {
  const texts = new Map<string, string | null>();
  let batch: SizedBlob[] = [];
  let bytes = 0;
  const read = (): void => {
    for (const [id, text] of readBatch(batch, cwd)) texts.set(id, text);
    batch = [];
    bytes = 0;
  };
  for (const blob of sizesOf([...new Set(ids)], cwd)) {
    texts.set(blob.id, null);
    if (blob.size > MAX_TEXT_BYTES) continue;
    if (bytes + blob.size > READ_AT_ONCE_BYTES) read();
    batch.push(blob);
    bytes += blob.size;
  }
  read();
  return texts;
}

interface SizedBlob {
  readonly id: string;
  readonly size: number;
}

/** @throws SignetError io for a blob that Git does not have */
function sizesOf(ids: readonly string[], cwd: string): SizedBlob[] {
  if (ids.length === 0) return [];
  const input = ids.map((id) => `${id}\n`).join("");
  const lines = gitText(["cat-file", "--batch-check"], { cwd, input }).split("\n");
  return ids.map((id, index) => {
    const [, type, size] = /^[0-9a-f]+ (\w+) (\d+)$/.exec(lines[index] ?? "") ?? [];
    if (type === "blob" && size !== undefined) return { id, size: Number(size) };
    throw new SignetError("io", `Git has no file with the id ${id.slice(0, 12)}`, {
      hint: "in a partial clone, `git fetch --refetch --no-filter` brings what is missing",
    });
  });
}

function* readBatch(
  blobs: readonly SizedBlob[],
  cwd: string,
): Generator<readonly [string, string | null]> {
  if (blobs.length === 0) return;
  const input = blobs.map(({ id }) => `${id}\n`).join("");
  const output = git(["cat-file", "--batch"], { cwd, input });
  let at = 0;
  for (const { id, size } of blobs) {
    // A line `ID TYPE SIZE`, the bytes, and a line end.
    const from = output.indexOf(0x0a, at) + 1;
    at = from + size + 1;
    yield [id, looseText(output.subarray(from, from + size))];
  }
}

/** No manifest that a cluster takes is larger. */
const MAX_TEXT_BYTES = 32 * 1024 * 1024;

/** The text of a file in whatever encoding; null for what is no text or too large. */
export function looseText(bytes: Buffer): string | null {
  if (bytes.length > MAX_TEXT_BYTES) return null;
  // What `kubectl ... > secret.yaml` writes in older PowerShells.
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString("utf16le", 2);
  return bytes.subarray(0, 8000).includes(0) ? null : bytes.toString("utf8");
}

/** The mode of a submodule, whose id is that of a commit in another repository. */
export const SUBMODULE = "160000";

/** What the next commit would add or change, without submodules; paths from the top. */
export function stagedBlobs(paths: readonly string[]): Blob[] {
  const args = ["diff", "--cached", "--raw", "--no-abbrev", "-z", "--no-renames", "--no-relative"];
  const entries = gitText([...args, "--diff-filter=d", "--", ...paths]).split("\0");
  const blobs: Blob[] = [];
  for (let at = 0; at + 1 < entries.length; at += 2) {
    const [, mode, , id = "", status] = (entries[at] ?? "").split(" ");
    if (mode === SUBMODULE || status === "U") continue;
    blobs.push({ id, path: entries[at + 1] ?? "" });
  }
  return blobs;
}

/** What the index has, conflicts and submodules left out, paths from the top. */
export function indexBlobs(top: string): Blob[] {
  return gitList(["ls-files", "--stage", "-z"], { cwd: top }).flatMap((entry) => {
    const [, mode, id, path] = /^(\d+) ([0-9a-f]+) 0\t(.*)$/s.exec(entry) ?? [];
    return mode !== SUBMODULE && id !== undefined && path !== undefined ? [{ id, path }] : [];
  });
}
