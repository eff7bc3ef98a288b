// Compiled code in the user's cache folder: used if only the user can have written it, and never in
// the way. docs/decisions/2026-11-one-bundle-and-compiled-code.md
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type CodeCache, codeCache } from "../../host/codecache.ts";

let root: string;
let folder: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "signet-code-"));
  folder = join(root, "kube-signet/code");
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true });
});

const CODE = Buffer.from("compiled");
const cacheOf = (source = "source"): CodeCache => {
  const cache = codeCache("kubeseal", source, { XDG_CACHE_HOME: root });
  if (cache === null) throw new Error("no cache");
  return cache;
};
const theFile = (): string => join(folder, readdirSync(folder)[0] ?? "");

describe("compiled code", () => {
  it("is kept for the user alone, and read again", () => {
    expect(cacheOf().read()).toBeUndefined();
    cacheOf().write(CODE);
    expect(cacheOf().read()).toEqual(CODE);
    expect([folder, theFile()].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o600]);
    // Another version of the command has its own.
    expect(cacheOf("other").read()).toBeUndefined();
  });

  it.each<[string, () => void]>([
    [
      "others may write to",
      () => {
        chmodSync(theFile(), 0o620);
      },
    ],
    [
      "others may replace",
      () => {
        chmodSync(folder, 0o770);
      },
    ],
    [
      "is a link",
      () => {
        const file = theFile();
        renameSync(file, join(root, "elsewhere"));
        symlinkSync(join(root, "elsewhere"), file);
      },
    ],
    [
      "is in a folder that is a link",
      () => {
        renameSync(folder, join(root, "elsewhere"));
        symlinkSync(join(root, "elsewhere"), folder);
      },
    ],
    [
      "is somebody else's",
      () => {
        const uid = process.getuid?.() ?? 0;
        vi.spyOn(process, "getuid").mockReturnValue(uid + 1);
      },
    ],
    [
      "is no file",
      () => {
        const file = theFile();
        rmSync(file);
        mkdirSync(file);
      },
    ],
  ])("is not read if it %s", (_what, damage) => {
    cacheOf().write(CODE);
    damage();
    expect(cacheOf().read()).toBeUndefined();
  });

  it("is not written where others may replace it, and says nothing where it cannot be", () => {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o777);
    cacheOf().write(CODE);
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "a file");
    cacheOf().write(CODE);
    expect(readFileSync(folder, "utf8")).toBe("a file");
  });

  it("of the oldest versions goes", () => {
    for (let version = 0; version < 10; version++) {
      cacheOf(`v${version}`).write(CODE);
      for (const name of readdirSync(folder)) {
        if (name.includes(`-v${version}-`)) utimesSync(join(folder, name), version, version);
      }
    }
    cacheOf("newest").write(CODE);
    const kept = readdirSync(folder).map((name) => name.split("-")[1]);
    expect(kept.sort()).toEqual(["newest", "v3", "v4", "v5", "v6", "v7", "v8", "v9"]);
  });

  it("is not kept where the environment forbids it to Node", () => {
    const env = { XDG_CACHE_HOME: root, NODE_DISABLE_COMPILE_CACHE: "1" };
    expect(codeCache("kubeseal", "source", env)).toBeNull();
  });
});

describe("a command that another Node built", () => {
  const SECRET = "kind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: d}\n";

  it("keeps what it compiled at the first seal, uses it, and does without it", () => {
    const programs = join(root, "programs");
    cpSync("dist", programs, { recursive: true });
    const launcher = join(programs, "kubeseal.cjs");
    const text = readFileSync(launcher, "utf8");
    const others = text.replace(`"${process.version} ${process.arch}"`, '"v1.0.0 x64"');
    expect(others).not.toBe(text);
    writeFileSync(launcher, others);
    const run = (args: readonly string[]): string => {
      const env = { PATH: process.env["PATH"], XDG_CACHE_HOME: root };
      const input = SECRET;
      const command = [launcher, ...args];
      const { status, stdout, stderr } = spawnSync(process.execPath, command, { env, input });
      expect([status, stderr.toString()]).toEqual([0, ""]);
      return stdout.toString();
    };
    const seal = (): string => run(["--cert", "test/fixtures/cert.pem"]);
    // Too little of it is compiled for that.
    run(["--version"]);
    expect(existsSync(folder)).toBe(false);
    expect(seal()).toContain('"SealedSecret"');
    const file = theFile();
    const size = statSync(file).size;
    utimesSync(file, 1, 1);
    seal();
    expect(statSync(file).mtimeMs).toBe(1000);
    writeFileSync(file, "damaged");
    expect(seal()).toContain('"SealedSecret"');
    expect(statSync(file).size).toBeGreaterThan(size / 2);
    expect(readdirSync(folder)).toHaveLength(1);
  });
});
