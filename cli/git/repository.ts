// Owns: what is asked of Git: its folders, revisions, commits and the texts of files in them.
// Does not own: what is looked for there (scan.ts, diff.ts, log.ts).

import { spawnSync } from "node:child_process";
import { SignetError } from "../../shared/errors.ts";

const MAX_OUTPUT_BYTES = 1024 * 1024 * 1024;

export interface GitOptions {
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
    const size = Number(/ blob (\d+)$/.exec(header)?.[1]);
    if (!Number.isInteger(size)) continue;
    const bytes = output.subarray(at, at + size);
    at += size + 1;
    texts.set(id, asText(bytes));
  }
  return texts;
}

/** No manifest that a cluster takes is larger. */
const MAX_TEXT_BYTES = 32 * 1024 * 1024;

function asText(bytes: Buffer): string | null {
  if (bytes.length > MAX_TEXT_BYTES || bytes.subarray(0, 8000).includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
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

export interface Commit {
  readonly id: string;
  readonly author: string;
  /** ISO 8601. */
  readonly date: string;
  readonly subject: string;
  readonly parents: readonly string[];
}

/** A commit with the files that it changed; ids are null where a file was not there. */
export interface CommitChanges extends Commit {
  readonly changes: readonly {
    readonly path: string;
    readonly oldPath: string;
    readonly before: string | null;
    readonly after: string | null;
  }[];
}

const RECORD = "\u001e";
const FIELD = "\u001f";

/**
 * Commits with what each changed against its first parent, the newest first. `args`: which ones, as
 * `git log` takes them.
 */
export function historyOf(args: readonly string[], cwd: string): CommitChanges[] {
  const format = `--format=${RECORD}%H${FIELD}%P${FIELD}%an <%ae>${FIELD}%aI${FIELD}%s`;
  const output = gitText(
    ["log", "-z", "--raw", "--no-abbrev", "-m", "--first-parent", "--root", format, ...args],
    { cwd },
  );
  return output.split(RECORD).slice(1).map(parseCommit);
}

function parseCommit(record: string): CommitChanges {
  const [header = "", ...entries] = record.split("\0").filter((part) => part.trim() !== "");
  const [id = "", parents = "", author = "", date = "", subject = ""] = header.split(FIELD);
  const changes: CommitChanges["changes"][number][] = [];
  for (let at = 0; at < entries.length; at++) {
    const match = /^\n?:\d+ \d+ ([0-9a-f]+) ([0-9a-f]+) ([A-Z])\d*$/.exec(entries[at] ?? "");
    if (match === null) continue;
    const [, before = "", after = "", kind = ""] = match;
    const oldPath = entries[++at] ?? "";
    const path = kind === "R" || kind === "C" ? (entries[++at] ?? "") : oldPath;
    const there = (blob: string): string | null => (/^0+$/.test(blob) ? null : blob);
    changes.push({ path, oldPath, before: there(before), after: there(after) });
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
