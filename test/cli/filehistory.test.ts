// Which commits changed a file, told from real histories with renames.

import { execFileSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { historyOfFile } from "../../cli/git/filehistory.ts";

/** Enough lines for Git to see that a file is the same after an edit. */
const LINES = Array.from({ length: 20 }, (_, line) => `line ${line}\n`).join("");

let top: string;
let minute: number;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "signet-history-"));
  minute = 0;
  git("init", "-q", "-b", "main");
});
afterEach(() => {
  rmSync(top, { recursive: true, force: true });
});

function git(...args: string[]): void {
  const date = new Date(Date.UTC(2026, 0, 1, 0, minute++)).toISOString();
  execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
    cwd: top,
    env: { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  });
}

function write(path: string, edit: string): void {
  writeFileSync(join(top, path), `${edit}\n${LINES}`);
}

function commit(subject: string): void {
  git("add", "-A");
  git("commit", "-q", "-m", subject);
}

function rename(from: string, to: string): void {
  renameSync(join(top, from), join(top, to));
  commit(`${from} becomes ${to}`);
}

const subjectsOf = (path: string): string[] => historyOfFile(path, top).map((each) => each.subject);

it("are those of its former names too, but not of another file that has such a name later", () => {
  write("old.yaml", "one");
  commit("first");
  rename("old.yaml", "new.yaml");
  writeFileSync(join(top, "old.yaml"), "another file\n");
  commit("another");
  write("new.yaml", "two");
  commit("edit");
  expect(subjectsOf("new.yaml")).toEqual(["edit", "old.yaml becomes new.yaml", "first"]);
  expect(subjectsOf("old.yaml")).toEqual(["another", "first"]);
});

it("are those of both sides where one renamed it and the other changed it", () => {
  write("old.yaml", "one");
  commit("first");
  git("checkout", "-q", "-b", "side");
  write("old.yaml", "two");
  commit("edit on the side");
  git("checkout", "-q", "main");
  rename("old.yaml", "new.yaml");
  git("merge", "-q", "-m", "merge", "side");
  expect(subjectsOf("new.yaml")).toEqual([
    "merge",
    "old.yaml becomes new.yaml",
    "edit on the side",
    "first",
  ]);
});

it("are all of them, however often it was renamed, and whatever the user has set", () => {
  git("config", "log.follow", "true");
  git("config", "diff.renames", "false");
  write("0.yaml", "one");
  commit("first");
  for (let name = 0; name < 12; name++) rename(`${name}.yaml`, `${name + 1}.yaml`);
  expect(subjectsOf("12.yaml")).toHaveLength(13);
  expect(subjectsOf("3.yaml")).toEqual(
    [2, 1, 0].map((name) => `${name}.yaml becomes ${name + 1}.yaml`).concat("first"),
  );
});

it("are found where the name has the letters of a pattern", () => {
  write("*.yaml", "one");
  write("other.yaml", "two");
  commit("both");
  write("other.yaml", "three");
  commit("the other");
  expect(subjectsOf("*.yaml")).toEqual(["both"]);
});
