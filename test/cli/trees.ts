// Folders of files that tests write and check: a text holds many, each with what a command should say of it.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { spawnSync } from "node:child_process";
import { Command } from "commander";
import type { Finding } from "../../cli/checks/findings.ts";
import { SignetError } from "../../shared/errors.ts";

export interface Tree {
  readonly title: string;
  /** Sorted. */
  readonly want: string;
  /** What must be reported in addition to the findings, if anything. */
  readonly said: string;
  /** The command's arguments. */
  readonly args: readonly string[];
  /** Names of files as the text has them, and what is in them. */
  readonly files: ReadonlyMap<string, string>;
}

/** Behind the name of a file, how it is written. */
const ENCODINGS: Record<string, (text: string) => Buffer> = {
  "utf-16le": (text) => Buffer.from(`\uFEFF${text}`, "utf16le"),
  "utf-16be": (text) => Buffer.from(`\uFEFF${text}`, "utf16le").swap16(),
  bom: (text) => Buffer.from(`\uFEFF${text}`),
  crlf: (text) => Buffer.from(text.replaceAll("\n", "\r\n")),
  binary: (text) => Buffer.from(`\0\u0001${text}`),
  latin1: (text) => Buffer.from(text, "latin1"),
  large: (text) => Buffer.from(text + "# filler\n".repeat(500_000)),
};

/**
 * A tree is a line `=== TITLE`, a line `want: FINDING; ...` or `want: nothing`, lines `run: ARGUMENTS`
 * and `said: TEXT` where they matter, and files: each a line `--- PATH` or `--- PATH (ENCODING)`, and
 * its text. `--- PATH -> TARGET` is a link.
 */
export function treesOf(text: string): Tree[] {
  const [, ...parts] = `\n${text}`.split("\n=== ");
  return parts.map((part) => {
    const [head = "", ...sections] = `${part}\n`.split(/^--- (?=\S)/m);
    const field = (name: string): string =>
      new RegExp(`^${name}: (.*)$`, "m").exec(head)?.[1] ?? "";
    const files = sections.map((section): [string, string] => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end + 1)];
    });
    return {
      title: head.split("\n")[0] ?? "",
      want: field("want").split("; ").sort().join("; "),
      said: field("said"),
      args: field("run").split(" ").filter(Boolean),
      files: new Map(files),
    };
  });
}

/** Writes a tree into a new Git repository, and gives the folder to `use`. */
export async function inTree<T>(tree: Tree, use: () => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "signet-tree-"));
  const before = process.cwd();
  try {
    spawnSync("git", ["init", "-q", folder]);
    for (const [written, text] of tree.files) writeInto(folder, written, text);
    process.chdir(folder);
    return await use();
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeInto(folder: string, written: string, text: string): void {
  const [, name = written, encoding] = /^(.*) \(([-a-z0-9]+)\)$/.exec(written) ?? [];
  const [path = "", target] = name.split(" -> ");
  const place = join(folder, path);
  mkdirSync(dirname(place), { recursive: true });
  if (target !== undefined) symlinkSync(target, place);
  else writeFileSync(place, encoding === undefined ? text : (ENCODINGS[encoding]?.(text) ?? text));
}

interface Report {
  /** Such as `2 files`. */
  readonly checked: string;
  readonly findings: readonly Finding[];
}

/** Runs a check in this process. What it prints comes to be in `printed`. */
export async function reportOf(
  define: (command: Command) => void,
  args: readonly string[],
  printed: string[],
): Promise<Report> {
  printed.length = 0;
  const command = new Command().exitOverride();
  define(command);
  try {
    await command.parseAsync(["--json", ...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof SignetError && error.code === "check-found")) throw error;
  }
  return JSON.parse(printed.join("")) as Report;
}

export const readFixture = (path: string): string =>
  readFileSync(new URL(`../fixtures/${path}`, import.meta.url), "utf8");
