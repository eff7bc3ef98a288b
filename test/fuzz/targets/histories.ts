// What Git prints of a history that somebody else wrote: names, subjects and authors are theirs.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobsOf, readBlobs } from "../../../cli/git/gitprocess.ts";
import { historyOf } from "../../../cli/git/history.ts";
import { sealedTextsIn } from "../../../cli/git/sealedtext.ts";
import type { Random } from "../random.ts";
import { mutateBytes } from "../mutate.ts";
import { plainSecret, seedsOf } from "../material.ts";
import { checkSame, Find, type Target } from "../target.ts";

const TEXTS = [
  ...[
    "a.yaml",
    "-rf.yaml",
    "::stop-commands::",
    "a\nb",
    "\u001e.yaml",
    "x\u001e\u001fy",
    "\u001ea.yaml",
  ],
  ...[
    ":(top)*.yaml",
    "\"q\" 'r'",
    ":100644 100644 abc def M",
    "\n:100644 000000",
    "a\tb",
    "\u202e",
    "=>",
  ],
  ...[
    "\u001e0000000000000000000000000000000000000000\u001f",
    "a\\b",
    "d/e.yaml",
    " x ",
    "\r\n",
    "<a@b>",
  ],
];

/** One commit: subject, author, path, content. */
type Written = readonly [subject: Buffer, author: Buffer, path: Buffer, content: Buffer];

function commitsIn(input: Uint8Array): Written[] {
  const parts: Buffer[] = [];
  const all = Buffer.from(input);
  for (let at = 0; at < all.length && parts.length < 160;) {
    const end = all.indexOf(0, at);
    parts.push(all.subarray(at, end === -1 ? all.length : end));
    at = end === -1 ? all.length : end + 1;
  }
  const commits: Written[] = [];
  for (let at = 0; at + 3 < parts.length; at += 4) {
    const [subject, author, path, content] = parts.slice(at, at + 4) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    commits.push([subject, author, path, content]);
  }
  return commits;
}

/** A path that Git takes: no empty part, none of `.git`, `.` and `..`. */
function pathOf(path: Buffer): Buffer | null {
  const parts = path.toString("latin1").split("/");
  const isFine = parts.every((part) => part !== "" && !/^(\.\.?|\.git.*|git~\d*)$/i.test(part));
  return isFine && path.length > 0 && path.length < 200 ? path : null;
}

/** The path in quotes, as `git fast-import` reads it. */
function quoted(path: Buffer): string {
  const escaped = [...path].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`);
  return `"${escaped.join("")}"`;
}

function stream(commits: readonly Written[]): { bytes: Buffer; paths: string[] } {
  const chunks: Buffer[] = [];
  const add = (text: string): void => void chunks.push(Buffer.from(text, "latin1"));
  const paths: string[] = [];
  commits.forEach(([subject, author, path, content], index) => {
    const fine = pathOf(path);
    const name = author
      .toString("latin1")
      .replace(/[<>\n]/g, "")
      .trim();
    add(`commit refs/heads/main\ncommitter ${name} <a@b> ${1_700_000_000 + index} +0000\n`);
    add(`data ${subject.length}\n`);
    chunks.push(subject);
    add("\n");
    if (fine !== null) {
      add(`M 100644 inline ${quoted(fine)}\ndata ${content.length}\n`);
      chunks.push(content);
      add("\n");
      paths.push(fine.toString());
    } else paths.push("");
  });
  return { bytes: Buffer.concat(chunks), paths };
}

function runGit(
  args: readonly string[],
  cwd: string,
  input?: Buffer,
): { ok: boolean; text: string } {
  const { status, stdout } = spawnSync("git", args, { cwd, ...(input && { input }) });
  return { ok: status === 0, text: stdout.toString() };
}

function check(folder: string, paths: readonly string[]): void {
  const ids = runGit(["rev-list", "--reverse", "main"], folder).text.split("\n").slice(0, -1);
  const commits = historyOf(["main", "--no-renames"], folder).reverse();
  checkSame(
    commits.map(({ id }) => id),
    ids,
    "the commits",
  );
  commits.forEach(({ changes, subject }, index) => {
    const path = paths[index] ?? "";
    // A file in the place of a folder, or the other way round, takes others away.
    const added = changes.filter(({ after }) => after !== null);
    if (added.length > 1) throw new Find("more changes than a commit has");
    for (const change of added) {
      checkSame(change.path, path, "the path of a change");
      checkSame(/^[0-9a-f]{40}$/.test(change.after ?? ""), true, "the blob of a change");
    }
    if (subject.includes("\n")) throw new Find("a subject of several lines");
  });
  const blobs = blobsOf(ids.at(-1) ?? "", folder);
  checkSame(
    blobs.every(({ path }) => paths.includes(path)),
    true,
    "the paths of a commit",
  );
  const contents = readBlobs(
    blobs.map(({ id }) => id),
    folder,
  );
  checkSame(contents.size, new Set(blobs.map(({ id }) => id)).size, "the count of blobs");
  for (const text of contents.values()) sealedTextsIn(text ?? "");
}

function hostile(random: Random): Uint8Array {
  const some = (): Buffer => {
    const part = random.chance(0.6)
      ? Buffer.from(random.pick(TEXTS))
      : Buffer.from(mutateBytes(random, seedsOf(TEXTS), TEXTS));
    return part.subarray(0, 150).filter((byte) => byte !== 0) as Buffer;
  };
  const content = Buffer.from(JSON.stringify(plainSecret()));
  const commits = Array.from({ length: 1 + random.below(5) }, (_, index) => [
    ...[some(), some(), some()],
    random.chance(0.5) ? some() : Buffer.concat([content, Buffer.from(String(index))]),
  ]);
  return Buffer.concat(commits.flat().flatMap((part) => [part, Buffer.of(0)]));
}

/** One history in which each hostile text is a subject, an author and a path. */
function example(): Uint8Array {
  const invalid = Buffer.from([0x61, 0xff, 0xfe, 0xc0, 0x80]);
  const parts = [invalid, ...TEXTS.map((text) => Buffer.from(text))];
  const commits = parts.map((part, index) => [part, part, part, Buffer.from(String(index))]);
  return Buffer.concat(commits.flat().flatMap((part) => [part, Buffer.of(0)]));
}

export const histories: Target = {
  name: "histories",
  seeds: () => seedsOf(TEXTS),
  examples: () => [example()],
  generate: hostile,
  short: 15,
  run: (input) => {
    const { bytes, paths } = stream(commitsIn(input));
    const folder = mkdtempSync(join(tmpdir(), "signet-fuzz-git-"));
    try {
      runGit(["init", "--quiet", "--initial-branch=main"], folder);
      const imported = runGit(["fast-import", "--quiet", "--force"], folder, bytes);
      // A path that is a file and a folder in one, or a name that Git does not take.
      if (!imported.ok || !runGit(["rev-parse", "main"], folder).ok) return;
      check(folder, paths);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
