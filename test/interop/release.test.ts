// A release as `npm run release` makes it: which files there are, what refuses to make it, and that
// krew, Helm and npm take what it made.

import { execFileSync, spawnSync, type SpawnSyncReturns } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runToEnd } from "../cluster/program.ts";
import { filesInTar } from "../../release/unpack.ts";
import { partPath } from "../parts/parts.ts";
import { startRegistry } from "./release/registry.ts";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const PROJECT = [
  ...[
    "package.json",
    "README.md",
    "SPEC.md",
    "LICENSE",
    "CHANGELOG.md",
    "Dockerfile",
    ".gitignore",
  ],
  ...["action.yml", "templates", "charts", "deploy", "docs", "dist"],
];
const PLATFORMS = [
  "linux-x64",
  "linux-arm64",
  "macos-x64",
  "macos-arm64",
  "windows-x64",
  "windows-arm64",
];
const RUN = resolve("node_modules/.cache/kube-signet/release/run.mjs");

let scratch = "";
const at = (name: string): string => join(scratch, name);
const files = (...path: string[]): string => at(join("out/files", ...path));
let env: Record<string, string> = {};
let registry: Server | undefined;

function run(command: string, args: string[], cwd = scratch): string {
  return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: "pipe" });
}

/** Runs the script of `npm run release` in a project. */
function release(project: string, ...options: string[]): SpawnSyncReturns<string> {
  const args = [RUN, "--repository", "owner/kube-signet", ...options];
  return spawnSync(process.execPath, args, { cwd: project, env, encoding: "utf8" });
}

function change(path: string, from: RegExp, to: string): void {
  const text = readFileSync(path, "utf8");
  expect(text, path).toMatch(from);
  writeFileSync(path, text.replace(from, to));
}

/** A copy of this project in which all is done that comes before a release. */
function makeProject(name: string, without: readonly string[] = []): string {
  const project = at(name);
  for (const path of PROJECT.filter((each) => !without.includes(each))) {
    cpSync(path, join(project, path), { recursive: true, preserveTimestamps: true });
  }
  const repository = { type: "git", url: "git+https://github.com/owner/kube-signet.git" };
  change(
    join(project, "package.json"),
    /"license"/,
    `"repository": ${JSON.stringify(repository)}, "license"`,
  );
  change(join(project, "CHANGELOG.md"), /^## \[.*\] - .*$/m, `## [${version}] - 2026-12-24`);
  change(
    join(project, "Dockerfile"),
    /^ARG NODE_IMAGE=\S+$/m,
    `ARG NODE_IMAGE=node@sha256:${"a".repeat(64)}`,
  );
  run("git", ["init", "-q"], project);
  commit(project);
  return project;
}

function commit(project: string): void {
  const author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
  run("git", ["add", "--all"], project);
  run("git", [...author, "commit", "-q", "--message", "a release"], project);
  run("git", ["tag", "--force", `v${version}`], project);
}

/** What `npm run binaries` leaves, with programs that tell their names. */
function makeBinaries(folder: string, programs = ["signet", "signet-kubeseal"]): string {
  for (const platform of PLATFORMS) {
    const isWindows = platform.startsWith("windows");
    const content = [...programs.map((each) => (isWindows ? `${each}.exe` : each)), "LICENSE"];
    const place = at(`${folder}-${platform}`);
    mkdirSync(place, { recursive: true });
    for (const name of content) {
      writeFileSync(join(place, name), `#!/bin/sh\necho ${name} for ${platform}\n`, {
        mode: 0o755,
      });
    }
    mkdirSync(at(folder), { recursive: true });
    const archive = at(`${folder}/kube-signet-${version}-${platform}`);
    if (isWindows) run("python3", ["-m", "zipfile", "-c", `${archive}.zip`, ...content], place);
    else run("tar", ["-czf", `${archive}.tar.gz`, ...content], place);
  }
  run("sh", ["-c", "sha256sum kube-signet-* > checksums.txt"], at(folder));
  return at(folder);
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "signet-release-"));
  mkdirSync(at("bin"));
  for (const name of ["helm", "kubectl"] as const) symlinkSync(partPath(name), at(`bin/${name}`));
  symlinkSync(partPath("krew"), at("bin/kubectl-krew"));
  env = {
    PATH: `${at("bin")}:${dirname(process.execPath)}:/usr/bin:/bin`,
    HOME: at("home"),
    KREW_ROOT: at("krew"),
    // npm would ask the registry, again and again, whether the version is there.
    npm_config_registry: "http://127.0.0.1:1/",
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
  };
  execFileSync(process.execPath, ["build/manual.mjs"]);
  // Puts the bundled script where it is run from; without a repository, it only says how it is used.
  spawnSync(process.execPath, ["build.mjs", "--run", "release/run.ts"]);
  registry = await startRegistry();
});

afterAll(() => {
  registry?.close();
  rmSync(scratch, { recursive: true, force: true });
});

describe("a release", () => {
  let project = "";
  beforeAll(() => {
    project = makeProject("project");
    const made = release(project, "--binaries", makeBinaries("binaries"), "--out", at("out"));
    expect(made.stderr).toBe("");
    expect(made.status).toBe(0);
  });

  it("has these files, with their checksums", () => {
    expect(readdirSync(at("out"))).toEqual(["files", "homebrew", "krew", "notes.md"]);
    expect(readdirSync(files()).sort()).toEqual(
      [
        ...PLATFORMS.map(
          (each) =>
            `kube-signet-${version}-${each}.${each.startsWith("windows") ? "zip" : "tar.gz"}`,
        ),
        `kube-signet-${version}-man.tar.gz`,
        `kube-signet-${version}.cdx.json`,
        `kube-signet-${version}.tgz`,
        `signet-${version}.tgz`,
        "signet.yaml",
        "checksums.txt",
      ].sort(),
    );
    const checked = run("sha256sum", ["--check", "--strict", "checksums.txt"], files());
    expect(checked.trim().split("\n")).toHaveLength(readdirSync(files()).length - 1);
  });

  it("has the entry of the changelog for its page", () => {
    const notes = readFileSync(at("out/notes.md"), "utf8");
    expect(notes).toMatch(/^The first version\.\n/);
    expect(notes).not.toContain("## [");
  });

  it("is made of the same bytes again", () => {
    const again = release(project, "--binaries", at("binaries"), "--out", at("again"));
    expect(again.status).toBe(0);
    for (const path of ["files/checksums.txt", "krew/signet.yaml", "homebrew/kube-signet.rb"]) {
      expect(readFileSync(at(`again/${path}`), "utf8")).toBe(
        readFileSync(at(`out/${path}`), "utf8"),
      );
    }
    // Whenever the files were checked out.
    const time = Number(run("git", ["log", "-1", "--format=%ct"], project));
    const tar = gunzipSync(readFileSync(files(`signet-${version}.tgz`)));
    const times = [...tar.toString("latin1").matchAll(/\0([0-7]{11})\0[0-7 ]{6}\0 0/g)];
    expect(times.length).toBeGreaterThan(10);
    expect(new Set(times.map(([, octal = ""]) => Number.parseInt(octal, 8)))).toEqual(
      new Set([time]),
    );
  });

  it("has a manual page for each command, in the package as well", () => {
    const pages = readdirSync("dist/man").sort();
    expect(pages).toContain("signet-reseal.1");
    const packed = [
      ...filesInTar(gunzipSync(readFileSync(files(`kube-signet-${version}-man.tar.gz`)))),
    ];
    expect(packed.map(({ path }) => path)).toEqual(pages);
  });

  it("is installed by krew as `kubectl signet`, and as nothing else", () => {
    const manifest = at("out/krew/signet.yaml");
    const check = [
      "-manifest",
      manifest,
      "-skip-install",
      "-logtostderr=false",
      "-stderrthreshold=3",
    ];
    run(partPath("validate-krew-manifest"), check);
    const archive = files(`kube-signet-${version}-linux-x64.tar.gz`);
    run(at("bin/kubectl-krew"), ["install", `--manifest=${manifest}`, `--archive=${archive}`]);
    expect(readdirSync(at("krew/bin"))).toEqual(["kubectl-signet"]);
    env["PATH"] = `${at("krew/bin")}:${env["PATH"] ?? ""}`;
    expect(run("kubectl", ["signet", "--version"])).toBe("signet for linux-x64\n");
  });

  it("is not installed by krew with other bytes than the manifest names", () => {
    const manifest = `--manifest=${at("out/krew/signet.yaml")}`;
    const archive = `--archive=${files(`kube-signet-${version}-macos-x64.tar.gz`)}`;
    rmSync(at("krew"), { recursive: true });
    const args = ["install", manifest, archive];
    const { status, stderr } = spawnSync(at("bin/kubectl-krew"), args, { env, encoding: "utf8" });
    expect(status).not.toBe(0);
    expect(stderr).toContain("checksum does not match");
  });

  it("has a formula with each archive's own sum, which installs no `kubeseal`", () => {
    const formula = readFileSync(at("out/homebrew/kube-signet.rb"), "utf8");
    const sums = new Map(
      readFileSync(files("checksums.txt"), "utf8")
        .split("\n")
        .map((line) => line.split("  ").reverse() as [string, string]),
    );
    const sources = [
      ...formula.matchAll(
        /url "https:\/\/github\.com\/owner\/kube-signet\/releases\/download\/v([^/]+)\/([^"]+)"\n +sha256 "([0-9a-f]{64})"/g,
      ),
    ];
    expect(sources.map(([, tag, file]) => [tag, file])).toEqual(
      ["macos-arm64", "macos-x64", "linux-arm64", "linux-x64", "man"].map((each) => [
        version,
        `kube-signet-${version}-${each}.tar.gz`,
      ]),
    );
    for (const [, , file = "", sum] of sources) expect(sums.get(file), file).toBe(sum);
    expect(formula).toContain('bin.install "signet", "signet-kubeseal"\n');
    expect(formula).toContain(
      '(bin/"signet", "completion", shells: [:bash, :zsh, :fish, :pwsh])\n',
    );
    const opened = formula.match(/(?<=^ *)(class|def|resource "|test do|on_\w+ do)\b/gm) ?? [];
    expect(formula.match(/^ *end$/gm)).toHaveLength(opened.length);
  });

  it("has a chart that a registry takes, and that installs the image of its version", async () => {
    const port = (registry?.address() as AddressInfo).port;
    const repository = `oci://127.0.0.1:${port}/charts`;
    const helm = (...args: string[]) =>
      runToEnd([partPath("helm"), ...args, "--plain-http"], { env });
    const chart = files(`signet-${version}.tgz`);
    const pushed = await helm("push", chart, repository);
    expect(pushed).toMatchObject({ status: 0 });
    // What the workflow signs.
    const [, digest = ""] =
      /^Digest: (sha256:[0-9a-f]{64})$/m.exec(pushed.stdout + pushed.stderr) ?? [];
    const pulled = await helm("pull", `${repository}/signet@${digest}`, "--destination", scratch);
    expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    const back = readdirSync(scratch).find(
      (name) => name.startsWith("signet") && name.endsWith(".tgz"),
    );
    expect(readFileSync(at(back ?? "")).equals(readFileSync(chart))).toBe(true);
    const rendered = await helm("template", "signet", `${repository}/signet`, "--version", version);
    expect(rendered.stdout).toContain(`/signet-controller:${version}`);
  });
});

describe("no release is made", () => {
  /** The reasons that are given for a project that was changed; `commits` says whether it was committed. */
  function reasonsFor(name: string, alter: (project: string) => void, commits = true): string[] {
    const project = makeProject(name, ["docs", "dist", "deploy"]);
    alter(project);
    if (commits) commit(project);
    const { status, stdout } = release(project, "--binaries", at("binaries"));
    expect(status).toBe(1);
    expect(existsSync(join(project, "out"))).toBe(false);
    return [...stdout.matchAll(/^not ready: (.*)$/gm)].map(([, reason = ""]) => reason);
  }

  it.each<[string, string, RegExp, string, string]>([
    [
      "the chart",
      "charts/signet/Chart.yaml",
      /^version: .*/m,
      "version: 9.9.9",
      "the version of charts/signet/Chart.yaml is 9.9.9",
    ],
    [
      "the chart's image",
      "charts/signet/Chart.yaml",
      /^appVersion: .*/m,
      "appVersion: 9.9.9",
      "the appVersion of charts/signet/Chart.yaml is 9.9.9",
    ],
    [
      "the action",
      "action.yml",
      /default: "\d[^"]*"/,
      'default: "9.9.9"',
      "the inputs.version of action.yml is 9.9.9",
    ],
    [
      "a component",
      "templates/reseal.yml",
      /default: "\d[^"]*"/,
      'default: "9.9.9"',
      "the spec.inputs.version of templates/reseal.yml is 9.9.9",
    ],
    [
      "the changelog",
      "CHANGELOG.md",
      / - 2026-12-24$/m,
      " - unreleased",
      "CHANGELOG.md has no dated entry",
    ],
    [
      "the base image",
      "Dockerfile",
      /@sha256:a+/,
      ":24",
      "NODE_IMAGE in the Dockerfile has no digest",
    ],
    [
      "the repository",
      "package.json",
      /owner\/kube-signet/,
      "another/kube-signet",
      "the repository in package.json is not owner/kube-signet",
    ],
  ])("where %s lags behind", (what, path, from, to, words) => {
    const reasons = reasonsFor(what, (project) => {
      change(join(project, path), from, to);
    });
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toContain(words);
  });

  it("of files that are not committed, or of another commit than the tag's", () => {
    const untagged = reasonsFor(
      "untagged",
      (project) => void run("git", ["tag", "--delete", `v${version}`], project),
      false,
    );
    expect(untagged).toEqual([`the commit has no tag v${version}`]);
    const changed = reasonsFor(
      "changed",
      (project) => {
        writeFileSync(join(project, "new"), "");
      },
      false,
    );
    expect(changed).toEqual(["uncommitted files:"]);
  });

  it("but in a dry run, which tries npm and Helm out", () => {
    const project = makeProject("dry");
    change(join(project, "CHANGELOG.md"), / - 2026-12-24$/m, " - unreleased");
    const { status, stdout } = release(project, "--dry-run");
    expect(stdout).toContain("not ready: CHANGELOG.md has no dated entry");
    expect(stdout).toContain("not ready: no --binaries");
    expect(stdout).toContain("npm publish --dry-run and helm lint --strict succeeded\n");
    expect(status).toBe(0);
    expect(readdirSync(join(project, "out"))).toEqual(["files", "notes.md"]);
  });

  it.each<[string, (folder: string) => void, string]>([
    [
      "is damaged",
      (folder) => {
        writeFileSync(join(folder, `kube-signet-${version}-linux-x64.tar.gz`), "x");
      },
      "does not match checksums.txt",
    ],
    [
      "is of another version",
      (folder) => {
        change(
          join(folder, "checksums.txt"),
          new RegExp(`${version}-linux-x64`),
          "9.9.9-linux-x64",
        );
        cpSync(
          join(folder, `kube-signet-${version}-linux-x64.tar.gz`),
          join(folder, "kube-signet-9.9.9-linux-x64.tar.gz"),
        );
      },
      "is not named kube-signet-",
    ],
    [
      "is named to lead elsewhere",
      (folder) => {
        change(join(folder, "checksums.txt"), /kube-signet\S*linux-x64/, "../x");
      },
      "not a checksum",
    ],
  ])("where an archive %s", (what, alter, words) => {
    const folder = makeBinaries(`archives ${what}`.replaceAll(" ", "-"));
    alter(folder);
    const { status, stderr } = release(
      at("project"),
      "--binaries",
      folder,
      "--out",
      at(`no ${what}`),
    );
    expect(status).not.toBe(0);
    expect(stderr).toContain(words);
  });

  it("where unpacking an archive would replace somebody's `kubeseal`", () => {
    const folder = makeBinaries("shadowing", ["signet", "kubeseal"]);
    const { status, stderr } = release(
      at("project"),
      "--binaries",
      folder,
      "--out",
      at("shadowed"),
    );
    expect(status).not.toBe(0);
    expect(stderr).toContain("the archive has no signet-kubeseal");
  });

  it("for a repository that is none, or into a folder that is there", () => {
    const wrong = 'owner/name"; system "x';
    const unnamed = spawnSync(process.execPath, [RUN, "--repository", wrong], {
      env,
      cwd: scratch,
      encoding: "utf8",
    });
    expect([unnamed.status, unnamed.stderr]).toEqual([
      2,
      expect.stringContaining("--repository OWNER/NAME is required"),
    ]);
    const { status, stderr } = release(at("project"), "--out", at("out"));
    expect([status, stderr]).toEqual([1, `${at("out")} exists: remove it first\n`]);
  });
});

it("is published in the order of the workflow from what was made", () => {
  const { jobs } = load(readFileSync(".github/workflows/release.yaml", "utf8")) as {
    jobs: Record<string, { needs?: string | string[] }>;
  };
  expect(jobs["publish"]?.needs).toEqual(["files", "image"]);
});
