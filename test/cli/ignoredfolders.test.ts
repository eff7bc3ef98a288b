// What the user cannot read, such as the data of a database beside the manifests.

import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";

/** Root reads everything, unless these rights are taken from it. */
const AS_OTHERS =
  process.getuid?.() === 0
    ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    : [];
const PROGRAM = resolve("dist/signet.cjs");

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-ignored-"));
  spawnSync("git", ["init", "-q", folder]);
  mkdirSync(join(folder, "app/data"), { recursive: true });
  writeFileSync(join(folder, "app/service.yaml"), "kind: Service\n");
});

afterEach(() => {
  chmodSync(join(folder, "app/data"), 0o700);
  rmSync(folder, { recursive: true, force: true });
});

function signet(...args: readonly string[]): {
  status: number | null;
  stdout: string;
  stderr: string;
} {
  chmodSync(join(folder, "app/data"), 0);
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: "safe.directory",
    GIT_CONFIG_VALUE_0: "*",
  };
  const [program = "", ...rest] = [...AS_OTHERS, process.execPath, PROGRAM, ...args];
  const ran = spawnSync(program, rest, { cwd: folder, env });
  return { status: ran.status, stdout: ran.stdout.toString(), stderr: ran.stderr.toString() };
}

const SKIPPED = "app/data: skipped, because it cannot be read and Git ignores it";

it.each([["data/\n"], ["/app/data\n"], ["app/*\n!app/service.yaml\n"]])(
  "is skipped, and said, if Git ignores it: %j",
  (ignored) => {
    writeFileSync(join(folder, ".gitignore"), ignored);
    const { status, stderr } = signet("verify");
    expect(stderr).toContain(SKIPPED);
    expect(status).toBe(0);
  },
);

it.each([
  ["verify", "--json"],
  ["status", "--json"],
  ["reseal", "--json"],
])("is counted by `signet %s %s`, and so is a file", (...args) => {
  writeFileSync(join(folder, ".gitignore"), "data/\n/app/local.yaml\n");
  writeFileSync(join(folder, "signet.yaml"), "clusters: {}\n");
  writeFileSync(join(folder, "app/local.yaml"), "kind: SealedSecret\n", { mode: 0 });
  const { status, stdout, stderr } = signet(...args);
  expect([status, stderr]).toEqual([0, expect.stringContaining(SKIPPED)]);
  expect(stderr).toContain("app/local.yaml: skipped, because it cannot be read and Git ignores it");
  expect(stdout).toMatch(/"skipped": 2\b/);
  expect(stdout).toMatch(/"otherFiles": 2\b/);
});

it("does not end `signet diff`", () => {
  writeFileSync(join(folder, ".gitignore"), "data/\n/app/local.yaml\n");
  writeFileSync(join(folder, "app/local.yaml"), "kind: SealedSecret\n", { mode: 0 });
  spawnSync(
    "git",
    ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "a", "--allow-empty"],
    {
      cwd: folder,
    },
  );
  expect(signet("diff", "--revisions", "HEAD")).toEqual({
    status: 0,
    stdout: expect.any(String) as string,
    stderr: expect.stringContaining(SKIPPED) as string,
  });
});

it("is an error otherwise, and if it is named", () => {
  expect(signet("verify")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("app/data: cannot read: permission denied") as string,
  });
  writeFileSync(join(folder, ".gitignore"), "data/\n");
  expect(signet("verify", "app/data").status).toBe(1);
});

it("is an error if Git tracks a file in it", () => {
  writeFileSync(join(folder, ".gitignore"), "data/\n");
  writeFileSync(join(folder, "app/data/db.yaml"), "kind: SealedSecret\n");
  spawnSync("git", ["add", "-f", "app/data/db.yaml"], { cwd: folder });
  expect(signet("verify")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("app/data: cannot read: permission denied") as string,
  });
});

it("is an error of `signet scan`, though Git only warns of it", () => {
  expect(signet("scan")).toMatchObject({
    status: 3,
    stdout: expect.stringContaining("could not open directory 'app/data/'") as string,
  });
  writeFileSync(join(folder, ".gitignore"), "data/\n");
  expect(signet("scan").status).toBe(0);
});
