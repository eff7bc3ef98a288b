// Calls of Git: its folders, revisions and commits, and the texts of files in them.

import { spawnSync } from "node:child_process";
import { basename, dirname, resolve } from "node:path";
import { MAX_FOUND_BYTES } from "../../host/rootedfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { bareRepositoryAt } from "./barerepository.ts";
import { looseText } from "./loosetext.ts";

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
  /** The pathspecs are our own patterns. Else a name is a name, with a colon or a star in it too. */
  readonly hasPatterns?: boolean;
  /** What Git says is compared with its English words, and not shown in the user's language. */
  readonly inEnglish?: boolean;
  readonly maxBytes?: number;
}

type Answer = {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
};

/** Larger answers are not kept. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
let kept: Map<string, Answer> | undefined;

/** Does work that only reads the repository: what Git was asked before is answered as before. */
export async function askingOnce<T>(work: () => Promise<T>): Promise<T> {
  kept = new Map();
  try {
    return await work();
  } finally {
    kept = undefined;
  }
}

/**
 * Runs `git ARGS`, whatever its exit status is: null if it was ended for printing more than `maxBytes`.
 * @throws SignetError io if it cannot run, or prints more than 1 GiB
 */
export function runGit(args: readonly string[], options: GitOptions = {}): Answer {
  if (kept === undefined) return answerOf(args, options);
  const { cwd = ".", input, hasPatterns, inEnglish, maxBytes } = options;
  const question = JSON.stringify([args, resolve(cwd), input, hasPatterns, inEnglish, maxBytes]);
  const answer = kept.get(question) ?? answerOf(args, options);
  if (answer.stdout.length <= MAX_KEPT_BYTES) kept.set(question, answer);
  return answer;
}

function answerOf(
  args: readonly string[],
  { cwd, input, hasPatterns = false, inEnglish = false, maxBytes = MAX_OUTPUT_BYTES }: GitOptions,
): Answer {
  // Git does not search for a repository that the environment names, as in a hook.
  const bare = process.env["GIT_DIR"] === undefined ? bareRepositoryAt(cwd ?? ".") : null;
  if (bare !== null) {
    const stderr = Buffer.from(`fatal: cannot use bare repository '${bare}'`);
    return { status: 128, stdout: Buffer.alloc(0), stderr };
  }
  const words = hasPatterns ? [] : ["--literal-pathspecs"];
  const { status, stdout, stderr, error } = spawnSync("git", [...SAFELY, ...words, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? {} : { input }),
    ...(inEnglish ? { env: { ...process.env, LC_ALL: "C" } } : {}),
    maxBuffer: maxBytes,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  if (error !== undefined && "code" in error) {
    if (error.code === "ENOENT") {
      throw new SignetError("io", "the command `git` was not found", {
        hint: "install Git, or add its folder to PATH",
      });
    }
    if (error.code === "ENOBUFS" && maxBytes === MAX_OUTPUT_BYTES) {
      throw new SignetError("io", `git ${args[0] ?? ""}: its output is larger than 1 GiB`);
    }
  }
  return { status, stdout, stderr };
}

/** What `git ARGS` prints. @throws SignetError io with Git's own words */
export function git(args: readonly string[], options: GitOptions = {}): Buffer {
  return outputOf(args, runGit(args, options));
}

function outputOf(
  args: readonly string[],
  { status, stdout, stderr }: ReturnType<typeof runGit>,
): Buffer {
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
  return entriesOf(git(args, options));
}

const entriesOf = (output: Buffer): string[] =>
  output
    .toString()
    .split("\0")
    .filter((entry) => entry !== "");

/**
 * The files below a folder that Git has, or would have, and why it could not look into some folders
 * there, of which it only warns.
 */
export function gitFiles(folder: string): { readonly files: string[]; readonly faults: string[] } {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  const answer = runGit(args, { cwd: folder, inEnglish: true });
  const files = entriesOf(outputOf(args, answer));
  const warnings = answer.stderr.toString().matchAll(/^warning: (could not open directory .*)$/gm);
  return { files, faults: Array.from(warnings, ([, words = ""]) => words) };
}

const TOP = ["rev-parse", "--show-toplevel"];

/** The top folder of the working tree that a folder is in; null outside of one. */
export function workTree(folder = process.cwd()): string | null {
  try {
    return gitText(TOP, { cwd: folder, inEnglish: true }).replace(/\n$/, "");
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

/** @throws SignetError io outside of a working tree, or with Git's words for why it cannot tell */
export function needWorkTree(): string {
  const { status, stdout, stderr } = runGit(TOP, { inEnglish: true });
  if (status === 0) return stdout.toString().replace(/\n$/, "");
  const [first = "", ...more] = stderr.toString().trim().split("\n");
  const words = first.replace(/^fatal: /, "");
  if (/^not a git repository \(or any/.test(words)) {
    throw new SignetError("io", "this is not a Git working tree", { hint: "run it inside one" });
  }
  // Git puts a command that helps below its error, as for a folder of another user.
  const advice = more.map((line) => line.trim()).find((line) => line.startsWith("git "));
  throw new SignetError("io", `git: ${words || "it failed"}`, {
    ...(advice === undefined ? {} : { hint: `if you trust this folder: ${advice}` }),
  });
}

/** Whether Git ignores a file or folder, and tracks nothing in it. */
export function isIgnored(path: string): boolean {
  const cwd = dirname(path);
  const name = `./${basename(path)}`;
  // `git check-ignore` refuses literal pathspecs; behind `./` nothing is a pattern's magic.
  return runGit(["check-ignore", "-q", "--", name], { cwd, hasPatterns: true }).status === 0;
}

/** Whether the history ends where the clone does, not where it began. */
export function isShallow(cwd: string): boolean {
  return gitText(["rev-parse", "--is-shallow-repository"], { cwd }).trim() === "true";
}

/** The commit that a revision means. @throws SignetError usage */
export function commitOf(revision: string, cwd?: string): string {
  try {
    const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${revision}^{commit}`];
    return gitText(args, cwd === undefined ? {} : { cwd }).trim();
  } catch {
    throw new SignetError("usage", `unknown Git revision ${JSON.stringify(revision)}`);
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

/** The commits that a range of commits leaves out, such as `main` of `main..HEAD`. */
export function basesOf(range: string, cwd: string): string[] {
  const args = ["rev-parse", "--revs-only", range.includes("..") ? range : `${range}^@`];
  const commits = gitText(args, { cwd }).split("\n").filter(Boolean);
  return range.includes("..")
    ? commits.filter((each) => each.startsWith("^")).map((each) => each.slice(1))
    : commits;
}

/** The commits that a commit was made from, as far as the clone has them. */
export function parentsOf(commit: string, cwd: string): string[] {
  const args = ["rev-parse", "--revs-only", `${commit}^@`];
  const { status, stdout } = runGit(args, { cwd });
  return status === 0 ? stdout.toString().split("\n").filter(Boolean) : [];
}

/**
 * The text of a file in a commit; null if it has none there. `path`: from the top, or below `cwd` where
 * it begins with `./`.
 */
export function fileAt(commit: string, path: string, cwd: string): string | null {
  const { status, stdout } = runGit(["cat-file", "blob", `${commit}:${path}`], { cwd });
  return status === 0 ? stdout.toString() : null;
}

/**
 * Reads files in commits with one call of Git. Returns the text of each, or null if the commit does not have
 * it. Each `path` starts with `./` and is relative to `cwd`.
 */
export function filesAt(
  files: readonly { readonly commit: string; readonly path: string }[],
  cwd: string,
): (string | null)[] {
  if (files.some(({ path }) => path.includes("\n"))) {
    return files.map(({ commit, path }) => fileAt(commit, path, cwd));
  }
  const input = files.map(({ commit, path }) => `${commit}:${path}\n`).join("");
  const objects = objectsIn(git(["cat-file", "--batch"], { cwd, input }));
  return files.map((_, index) => {
    const object = objects[index];
    return object?.type === "blob" ? object.bytes.toString() : null;
  });
}

interface Searched {
  /** A commit; the index without one. */
  readonly commit?: string | undefined;
  /** Only files that one of these patterns of Git matches. */
  readonly among?: readonly string[];
  readonly ignoresCase?: boolean;
}

/** Files whose text has one of some words; paths from the top. @throws SignetError io */
export function filesWithWord(
  words: readonly string[],
  top: string,
  { commit, among = [], ignoresCase = false }: Searched = {},
): string[] {
  const args = ["grep", "-z", "-l", "-F", "--full-name", ...(ignoresCase ? ["-i"] : [])];
  const patterns = words.flatMap((word) => ["-e", word]);
  const where = [commit ?? "--cached", "--", ...among];
  const all = [...args, ...patterns, ...where];
  const answer = runGit(all, { cwd: top, hasPatterns: among.length > 0 });
  // It says by its status that it found none.
  const stdout = answer.status === 1 ? Buffer.alloc(0) : outputOf(all, answer);
  const prefix = commit === undefined ? "" : `${commit}:`;
  return entriesOf(stdout).map((entry) => entry.slice(prefix.length));
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
  for (const [id, bytes] of blobsById(ids, cwd)) {
    texts.set(id, bytes === null ? null : looseText(bytes));
  }
  return texts;
}

/**
 * The bytes of blobs by their id, each once, and a few at a time; null for what is too large.
 * @throws SignetError io for a blob that Git does not have
 */
export function* blobsById(
  ids: Iterable<string>,
  cwd: string,
): Generator<readonly [id: string, bytes: Buffer | null]> {
  const wanted = [...new Set(ids)];
  const small = smallBlobs(wanted, cwd);
  if (small !== null) {
    yield* small;
    return;
  }
  let batch: SizedBlob[] = [];
  let bytes = 0;
  for (const blob of sizesOf(wanted, cwd)) {
    if (blob.size > MAX_FOUND_BYTES) {
      yield [blob.id, null];
      continue;
    }
    if (bytes + blob.size > READ_AT_ONCE_BYTES) {
      yield* readBatch(batch, cwd);
      batch = [];
      bytes = 0;
    }
    batch.push(blob);
    bytes += blob.size;
  }
  yield* readBatch(batch, cwd);
}

/** What a commit usually changes is read without asking for sizes first, by one call of Git. */
const FEW_BLOBS = 100;
const SMALL_BYTES = 4 * 1024 * 1024;

/** Null if there is more to read than that, or if Git does not have all of it. */
function smallBlobs(ids: readonly string[], cwd: string): [string, Buffer][] | null {
  if (ids.length === 0) return [];
  if (ids.length > FEW_BLOBS) return null;
  const input = ids.map((id) => `${id}\n`).join("");
  const args = ["cat-file", "--batch"];
  const { status, stdout } = runGit(args, { cwd, input, maxBytes: SMALL_BYTES });
  const objects = status === 0 ? objectsIn(stdout) : [];
  const blobs = objects.flatMap((object) =>
    object?.type === "blob" ? [[object.id, object.bytes] as [string, Buffer]] : [],
  );
  return blobs.length === ids.length ? blobs : null;
}

interface GitObject {
  readonly id: string;
  readonly type: string;
  readonly bytes: Buffer;
}

/** What `git cat-file --batch` prints: for each name a line `ID TYPE SIZE` and the bytes, or `NAME missing`. */
function objectsIn(output: Buffer): (GitObject | null)[] {
  const objects: (GitObject | null)[] = [];
  let at = 0;
  while (at < output.length) {
    const end = output.indexOf(0x0a, at);
    const line = output.toString("latin1", at, end);
    const [, id, type, size] = /^([0-9a-f]+) (\w+) (\d+)$/.exec(line) ?? [];
    at = end + 1;
    if (id === undefined || type === undefined) {
      objects.push(null);
      continue;
    }
    const bytes = output.subarray(at, at + Number(size));
    objects.push({ id, type, bytes });
    at += bytes.length + 1;
  }
  return objects;
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
    throw new SignetError("io", `Git has no file with the ID ${id.slice(0, 12)}`, {
      hint: "in a partial clone, run `git fetch --refetch --no-filter` to fetch what is missing",
    });
  });
}

function* readBatch(
  blobs: readonly SizedBlob[],
  cwd: string,
): Generator<readonly [string, Buffer]> {
  if (blobs.length === 0) return;
  const input = blobs.map(({ id }) => `${id}\n`).join("");
  const objects = objectsIn(git(["cat-file", "--batch"], { cwd, input }));
  for (const object of objects) if (object !== null) yield [object.id, object.bytes];
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

/** Files of the index that a sparse checkout leaves out of a folder; paths from that folder. */
export function sparseBlobs(folder: string, paths: readonly string[] = []): Blob[] {
  const skipped = gitList(["ls-files", "-t", "-z", "--", ...paths], { cwd: folder })
    .filter((entry) => entry.startsWith("S "))
    .map((entry) => entry.slice(2));
  if (skipped.length === 0) return [];
  const wanted = new Set(skipped);
  return indexBlobs(folder).filter(({ path }) => wanted.has(path));
}

/** What the index has in a folder, conflicts and submodules left out; paths from that folder. */
export function indexBlobs(folder: string): Blob[] {
  return gitList(["ls-files", "--stage", "-z"], { cwd: folder }).flatMap((entry) => {
    const [, mode, id, path] = /^(\d+) ([0-9a-f]+) 0\t(.*)$/s.exec(entry) ?? [];
    return mode !== SUBMODULE && id !== undefined && path !== undefined ? [{ id, path }] : [];
  });
}

/** The submodules in a folder, which are repositories of their own; paths from that folder. */
export function submodulesIn(folder: string): string[] {
  return gitList(["ls-files", "--stage", "-z"], { cwd: folder })
    .filter((entry) => entry.startsWith(`${SUBMODULE} `))
    .map((entry) => entry.slice(entry.indexOf("\t") + 1));
}
