// Calls of Git: its folders, revisions and commits, and the texts of files in them.

import { spawnSync } from "node:child_process";
import { SignetError } from "../../shared/errors.ts";

const MAX_OUTPUT_BYTES = 1024 * 1024 * 1024;

interface GitOptions {
  readonly cwd?: string;
  readonly input?: string;
}

/** What `git ARGS` prints. @throws SignetError io with Git's own words */
export function git(args: readonly string[], { cwd, input }: GitOptions = {}): Buffer {
  const { status, stdout, stderr, error } = spawnSync("git", ["--no-pager", ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? {} : { input }),
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  if (status === 0) return stdout;
  if (error !== undefined && "code" in error && error.code === "ENOENT") {
    throw new SignetError("io", "Git is not there: the command `git` is missing");
  }
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

/** The texts of blobs by their id, read in one go; null for what is no UTF-8 text or too large. */
export function readBlobs(ids: Iterable<string>, cwd: string): Map<string, string | null> {
  const wanted = [...new Set(ids)];
  const texts = new Map<string, string | null>();
  if (wanted.length === 0) return texts;
  const output = git(["cat-file", "--batch"], {
    cwd,
    input: wanted.map((id) => `${id}\n`).join(""),
  });
  let at = 0;
  for (const id of wanted) {
    const lineEnd = output.indexOf(0x0a, at);
    const header = output.toString("latin1", at, lineEnd);
    at = lineEnd + 1;
    const [, type, digits] = / (\w+) (\d+)$/.exec(header) ?? [];
    if (digits === undefined) continue;
    const size = Number(digits);
    const bytes = output.subarray(at, at + size);
    at += size + 1;
    if (type === "blob") texts.set(id, looseText(bytes));
  }
  return texts;
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

/** What the next commit would add or change, paths from the top. */
export function stagedBlobs(paths: readonly string[]): Blob[] {
  const args = [
    "diff",
    "--cached",
    "--raw",
    "--no-abbrev",
    "-z",
    "--no-renames",
    "--no-relative",
    "--diff-filter=d",
  ];
  const entries = gitList([...args, "--", ...paths]);
  const blobs: Blob[] = [];
  for (let at = 0; at + 1 < entries.length; at += 2) {
    const id = (entries[at] ?? "").split(" ")[3] ?? "";
    blobs.push({ id, path: entries[at + 1] ?? "" });
  }
  return blobs;
}

/** What the index has, conflicts left out, paths from the top. */
export function indexBlobs(top: string): Blob[] {
  return gitList(["ls-files", "--stage", "-z"], { cwd: top }).flatMap((entry) => {
    const [, id, path] = /^\d+ ([0-9a-f]+) 0\t(.*)$/s.exec(entry) ?? [];
    return id !== undefined && path !== undefined ? [{ id, path }] : [];
  });
}

interface Commit {
  readonly id: string;
  readonly author: string;
  /** ISO 8601. */
  readonly date: string;
  readonly subject: string;
  readonly parents: readonly string[];
}

/** A file that a commit changed; for a merge, one that is as none of its parents has it. */
export interface Change {
  readonly path: string;
  /** Its path and blob in each parent; null where it was not there. One of each for a root. */
  readonly oldPaths: readonly string[];
  readonly before: readonly (string | null)[];
  /** Null where it is taken away. */
  readonly after: string | null;
}

export interface CommitChanges extends Commit {
  readonly changes: readonly Change[];
}

const RECORD = "\u001e";
const FIELD = "\u001f";

/**
 * Commits with what each changed, every commit before its parents, else the newest first. What a
 * merge only brings together is told at the commits that it comes from. `args`: which commits and
 * paths, as `git log` takes them.
 */
export function historyOf(args: readonly string[], cwd: string): CommitChanges[] {
  const format = `--format=${RECORD}%H${FIELD}%P${FIELD}%an <%ae>${FIELD}%aI${FIELD}%s`;
  const options = ["-z", "--raw", "--no-abbrev", "-c", "--combined-all-paths", "--root"];
  // Nothing that a user's settings add; and no branch left out because its changes were undone.
  const plain = ["--no-color", "--no-show-signature", "--date-order", "--full-history"];
  const output = gitText(["log", ...options, ...plain, format, ...args], { cwd });
  return output.split(RECORD).slice(1).map(parseCommit);
}

function parseCommit(record: string): CommitChanges {
  const [header = "", ...entries] = record.split("\0").filter((part) => part.trim() !== "");
  const [id = "", parents = "", author = "", date = "", subject = ""] = header.split(FIELD);
  const changes: Change[] = [];
  const there = (blob: string): string | null => (/^0+$/.test(blob) ? null : blob);
  for (let at = 0; at < entries.length; at++) {
    // `:MODE MODE BLOB BLOB STATUS`; a merge has a colon, a mode and a blob for each parent.
    const match = /^\n?(:+)([0-9a-f ]+) ([A-Z]+)\d*$/.exec(entries[at] ?? "");
    if (match === null) continue;
    const [, colons = "", numbers = "", kind = ""] = match;
    const blobs = numbers
      .split(" ")
      .slice(colons.length + 1)
      .map(there);
    const isRename = colons.length === 1 && /^[RC]/.test(kind);
    const paths = entries.slice(
      at + 1,
      at + 1 + (colons.length > 1 ? colons.length + 1 : isRename ? 2 : 1),
    );
    at += paths.length;
    const path = paths.at(-1) ?? "";
    changes.push({
      path,
      oldPaths: paths.length === 1 ? paths : paths.slice(0, -1),
      before: blobs.slice(0, -1),
      after: blobs.at(-1) ?? null,
    });
  }
  return {
    id,
    author,
    date,
    subject: subject.trim(),
    parents: parents.split(" ").filter((each) => each !== ""),
    changes,
  };
}
