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
import { join, resolve } from "node:path";
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
    for (let version = 0; version < 14; version++) {
      cacheOf(`v${version}`).write(CODE);
      for (const name of readdirSync(folder)) {
        if (name.includes(`-v${version}-`)) utimesSync(join(folder, name), version, version);
      }
    }
    cacheOf("newest").write(CODE);
    const kept = readdirSync(folder).map((name) => name.split("-")[1]);
    expect(kept.sort()).toEqual(
      ["newest", ...Array.from({ length: 11 }, (_, version) => `v${version + 3}`)].sort(),
    );
  });

  it("is not kept where the environment forbids it to Node", () => {
    const env = { XDG_CACHE_HOME: root, NODE_DISABLE_COMPILE_CACHE: "1" };
    expect(codeCache("kubeseal", "source", env)).toBeNull();
  });
});

/** The programs as another Node built them. */
function othersPrograms(command: string): string {
  const programs = join(root, "programs");
  cpSync("dist", programs, { recursive: true });
  const launcher = join(programs, `${command}.cjs`);
  const text = readFileSync(launcher, "utf8");
  const others = text.replace(`"${process.version} ${process.arch}"`, '"v1.0.0 x64"');
  expect(others).not.toBe(text);
  writeFileSync(launcher, others);
  return launcher;
}

/** What it prints: results, and messages. @throws if it fails */
function runIn(cwd: string, command: readonly string[], input = ""): [string, string] {
  const env = { PATH: process.env["PATH"], XDG_CACHE_HOME: root };
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd, env, input });
  expect([status, stderr.toString()]).toEqual([0, expect.anything()]);
  return [stdout.toString(), stderr.toString()];
}

describe("a command that another Node built", () => {
  const SECRET = "kind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: d}\n";

  it("keeps what it compiled at the first seal, uses it, and does without it", () => {
    const launcher = othersPrograms("kubeseal");
    const certificate = resolve("test/fixtures/cert.pem");
    const seal = (): void => {
      const printed = runIn(root, [launcher, "--cert", certificate], SECRET);
      expect(printed).toEqual([expect.stringContaining('"SealedSecret"'), ""]);
    };
    // Too little of it is compiled for that.
    runIn(root, [launcher, "--version"]);
    expect(existsSync(folder)).toBe(false);
    seal();
    const file = theFile();
    const size = statSync(file).size;
    utimesSync(file, 1, 1);
    seal();
    expect(statSync(file).mtimeMs).toBe(1000);
    writeFileSync(file, "damaged");
    seal();
    expect(statSync(file).size).toBeGreaterThan(size / 2);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it("keeps what the pre-commit hook needs apart, and reads it for nothing else", () => {
    const launcher = othersPrograms("signet");
    const repository = join(root, "repository");
    mkdirSync(repository);
    writeFileSync(join(repository, "a.yaml"), "kind: Namespace\nmetadata: {name: b}\n");
    for (const args of [
      ["init", "-q"],
      ["add", "."],
    ]) {
      expect(spawnSync("git", args, { cwd: repository }).status).toBe(0);
    }
    const check = (): void => {
      const [, messages] = runIn(repository, [launcher, "git", "check"]);
      expect(messages).toContain("no problems found");
    };
    check();
    const [file = ""] = readdirSync(folder).filter((name) => name.startsWith("signet-git-"));
    expect(file).not.toBe("");
    utimesSync(join(folder, file), 1, 1);
    check();
    expect(statSync(join(folder, file)).mtimeMs).toBe(1000);
    writeFileSync(join(folder, file), "damaged");
    runIn(repository, [launcher, "--version"]);
    expect(readFileSync(join(folder, file), "utf8")).toBe("damaged");
    check();
    expect(statSync(join(folder, file)).size).toBeGreaterThan(100_000);
  });
});
