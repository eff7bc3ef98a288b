// Creates a large Git repository for large.ts: many files, and as many commits, with `git fast-import`.
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../shared/keys/keykind.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import {
  type BenchCluster,
  CLUSTERS,
  deployment,
  git,
  NEWEST_MS,
  OLDER_MS,
  PROJECT,
  sealedText,
} from "./checkout.ts";
import { benchKey, benchSecret } from "./measure.ts";

export interface LargeRepository {
  readonly folder: string;
  readonly clusters: readonly BenchCluster[];
  /** A sealed file that was re-sealed in the middle of the history, relative to the root. */
  readonly resealed: string;
  /** A manifest without a Secret, relative to the root. */
  readonly other: string;
  readonly sealedFiles: number;
}

const TEAMS = 40;
/** Of this many files, one is sealed with the older key at HEAD. */
const LEFT_ONE_OF = 5;
/** Of this many commits, one merges a branch. It changes nothing else. */
const MERGE_ONE_OF = 10;
/** Sealing runs on threads, so several files are sealed at a time. */
const AT_ONCE = 64;
const SPAN_MS = 365 * 86_400_000;
const AUTHORS = ["Ada <ada@example.org>", "Grace <grace@example.org>", "Linus <linus@example.org>"];

interface File {
  readonly path: string;
  readonly team: string;
  readonly name: string;
  /** Undefined for a manifest without a Secret. */
  readonly keys: { readonly older: Certificate; readonly newest: Certificate } | undefined;
}

/**
 * Creates `count` files, of which one in `sealedOneOf` is sealed, and `count` commits. The first commit
 * adds all files; the others re-seal a file with the newest key or change a Deployment, and every tenth
 * merges a branch. The history covers a year, up to now.
 */
export async function makeLargeRepository(
  scratch: string,
  { count, sealedOneOf }: { readonly count: number; readonly sealedOneOf: number },
): Promise<LargeRepository> {
  const folder = join(scratch, `large-${sealedOneOf}`);
  mkdirSync(folder);
  git(folder, "init", "--quiet", "--initial-branch=main");
  const clusters = await Promise.all(
    CLUSTERS.map(async (name) => ({
      name,
      older: await benchKey(OLDER_MS),
      newest: await benchKey(NEWEST_MS),
    })),
  );
  const files = filesFor(clusters, count, sealedOneOf);
  const stream = join(scratch, "large.stream");
  const out = openSync(stream, "w");
  const write = (text: string): void => void writeSync(out, text);
  try {
    await writeFirst(write, clusters, files, count);
    await writeOthers(write, files, count);
    write("done\n");
  } finally {
    closeSync(out);
  }
  importStream(folder, stream);
  git(folder, "reset", "--quiet", "--hard");
  // As a clone has it, and as `git gc` and `git maintenance` leave it.
  git(folder, "gc", "--quiet");
  const sealed = files.filter(({ keys }) => keys !== undefined);
  const other = files.find(({ keys }) => keys === undefined);
  return {
    folder,
    clusters,
    resealed: sealed[Math.floor(sealed.length / 2) + 1]?.path ?? "",
    other: other?.path ?? "",
    sealedFiles: sealed.length,
  };
}

function filesFor(clusters: readonly BenchCluster[], count: number, sealedOneOf: number): File[] {
  const keys = clusters.map(({ older, newest }) => ({
    older: parseCertificate(older.certificatePem),
    newest: parseCertificate(newest.certificatePem),
  }));
  return Array.from({ length: count }, (_, index): File => {
    const at = Math.floor(index / sealedOneOf) % clusters.length;
    const team = `team-${Math.floor(index / sealedOneOf / clusters.length) % TEAMS}`;
    const below = `${clusters[at]?.name ?? ""}/${team}`;
    const isSealed = index % sealedOneOf === 0;
    const number = Math.floor(index / sealedOneOf);
    const name = isSealed ? `secret-${number}` : `app-${index - number - 1}`;
    const path = isSealed ? `${below}/${name}.yaml` : `${below}/apps/${name}.yaml`;
    return { path, team, name, keys: isSealed ? keys[at] : undefined };
  });
}

/** Writes the first commit, with all files under the older keys. */
async function writeFirst(
  write: (text: string) => void,
  clusters: readonly BenchCluster[],
  files: readonly File[],
  commits: number,
): Promise<void> {
  write(`feature done\n${head(1, commits, {})}`);
  write(change("signet.yaml", PROJECT));
  for (const { name, older, newest } of clusters) {
    write(change(`certificates/${name}.pem`, newest.certificatePem + older.certificatePem));
  }
  for (let at = 0; at < files.length; at += AT_ONCE) {
    const texts = files.slice(at, at + AT_ONCE).map(async (file) => ({
      file,
      text: await textOf(file, file.keys?.older, 0),
    }));
    for (const { file, text } of await Promise.all(texts)) write(change(file.path, text));
  }
}

/** Writes the commits after the first. */
async function writeOthers(
  write: (text: string) => void,
  files: readonly File[],
  commits: number,
): Promise<void> {
  const sealed = files.filter(({ keys }) => keys !== undefined);
  const stale = sealed.filter((_, index) => index % LEFT_ONE_OF !== 0);
  const others = files.filter(({ keys }) => keys === undefined);
  // Re-sealing is spread over the whole history.
  const every = Math.max(1, Math.floor((commits * (1 - 1 / MERGE_ONE_OF)) / stale.length));
  let resealed = 0;
  const fileOf = (mark: number): File | undefined =>
    (mark % every === 0 && mark % MERGE_ONE_OF !== 0 ? stale[resealed++] : undefined) ??
    others[mark % others.length];
  let branch = "";
  for (let at = 2; at <= commits; at += AT_ONCE) {
    const marks = Array.from({ length: Math.min(AT_ONCE, commits - at + 1) }, (_, i) => at + i);
    const changes = marks.map(async (mark) => {
      const file = fileOf(mark);
      if (file === undefined) throw new Error("no file to change");
      return change(file.path, await textOf(file, file.keys?.newest, mark));
    });
    for (const [index, text] of (await Promise.all(changes)).entries()) {
      const mark = at + index;
      const isBranch = (mark + 1) % MERGE_ONE_OF === 0 && mark + 1 <= commits;
      const isMerge = mark % MERGE_ONE_OF === 0;
      if (isBranch) write(head(mark, commits, { from: mark - 2, ref: "branch" }) + text);
      else if (isMerge) write(head(mark, commits, { from: mark - 2, merged: mark - 1 }) + branch);
      else write(head(mark, commits, { from: mark - 1 }) + text);
      branch = text;
    }
  }
}

interface Ancestry {
  readonly from?: number;
  /** The other parent of a merge. */
  readonly merged?: number;
  readonly ref?: string;
}

/** The beginning of a commit, which changes follow. */
function head(mark: number, commits: number, { from, merged, ref = "main" }: Ancestry): string {
  const second = Math.floor((Date.now() - SPAN_MS * (1 - mark / commits)) / 1000);
  const author = AUTHORS[mark % AUTHORS.length] ?? "";
  const subject = merged === undefined ? `Change ${mark}` : "Merge branch";
  return [
    `commit refs/heads/${ref}`,
    `mark :${mark}`,
    `author ${author} ${second} +0000`,
    `committer ${author} ${second} +0000`,
    `data ${Buffer.byteLength(subject)}`,
    subject,
    ...(from === undefined ? [] : [`from :${from}`]),
    ...(merged === undefined ? [] : [`merge :${merged}`]),
    "",
  ].join("\n");
}

function change(path: string, text: string): string {
  return `M 100644 inline ${path}\ndata ${Buffer.byteLength(text)}\n${text}\n`;
}

/** `version`: of the image. Each sealed text has new values. */
async function textOf(
  { team, name, keys }: File,
  certificate: Certificate | undefined,
  version: number,
): Promise<string> {
  if (keys === undefined || certificate === undefined) return deployment(team, name, version);
  return sealedText(benchSecret(team, name), certificate);
}

function importStream(folder: string, stream: string): void {
  const input = openSync(stream, "r");
  try {
    const { status, stderr } = spawnSync("git", ["fast-import", "--quiet"], {
      cwd: folder,
      env: cleanEnvironment(),
      stdio: [input, "ignore", "pipe"],
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`git fast-import: ${stderr}`);
  } finally {
    closeSync(input);
  }
  rmSync(stream);
}
