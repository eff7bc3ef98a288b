// The GitHub Action and the GitLab components: their own scripts, run as the forges run them, in a
// repository with a remote, with a registry of npm that has the programs of dist/.

import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { load, loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";
import { KEYS, Workplace } from "./workplace.ts";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

/** What a stranger may choose: a name of a branch, a file, a range. */
const HOSTILE = ['$(touch "$PWNED")', "`touch $PWNED`", '"; touch "$PWNED"; "', "--output=pwned"];

const place = new Workplace();
const at = (name: string): string => join(place.root, name);
let registry: Server | undefined;
let env: Record<string, string> = {};

const git = (...args: string[]): Promise<Finished> =>
  place.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", ...args]);

async function must(run: Promise<Finished>): Promise<Finished> {
  const finished = await run;
  expect(finished, finished.stderr).toMatchObject({ status: 0 });
  return finished;
}

const PACKAGE = { name: "kube-signet", version, bin: { signet: "signet.cjs" } };

/** Puts the programs of dist/ into a package. The controllers' work is done by a private key. */
async function packPrograms(): Promise<Buffer> {
  const folder = at("package");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify(PACKAGE));
  const key = JSON.stringify(["--recovery-key", KEYS.dev]);
  const text = `#!/usr/bin/env node
if (process.argv[2] === "reseal") process.argv.splice(3, 0, ...${key});
require(${JSON.stringify(resolve("dist/signet.cjs"))});
`;
  writeFileSync(join(folder, "signet.cjs"), text);
  const pack = ["npm", "pack", folder, "--pack-destination", place.root];
  await must(runToEnd(pack, { env: place.env }));
  return readFileSync(at(`kube-signet-${version}.tgz`));
}

async function startRegistry(): Promise<string> {
  const tarball = await packPrograms();
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const server = createServer(({ url, headers: { host = "" } }, response) => {
    if (url === "/package.tgz") return response.end(tarball);
    if (url !== "/kube-signet") return response.writeHead(404).end();
    const dist = { tarball: `http://${host}/package.tgz`, integrity };
    const versions = { [version]: { ...PACKAGE, dist } };
    return response.end(
      JSON.stringify({ name: "kube-signet", "dist-tags": { latest: version }, versions }),
    );
  });
  registry = server;
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** In place of GitHub's program: notes how it was called. */
const GH = `#!/bin/sh
printf '%s\\n' "gh $*" >> "$NOTES"
case "$1 $2" in
  "pr list") cat "$OPEN_REQUEST" ;;
  "pr create") echo https://example.org/pull/1 | tee "$OPEN_REQUEST" ;;
esac
`;

const notes = (): string => readFileSync(at("notes"), "utf8");

beforeAll(async () => {
  for (const folder of ["bin", "runner"]) mkdirSync(at(folder));
  for (const file of ["notes", "output", "summary", "open-request"]) writeFileSync(at(file), "");
  writeFileSync(at("bin/gh"), GH);
  chmodSync(at("bin/gh"), 0o755);
  writeFileSync(at("home/.npmrc"), `registry=${await startRegistry()}\n`);
  env = {
    ...place.env,
    PATH: `${at("bin")}:${process.env["PATH"] ?? ""}`,
    NOTES: at("notes"),
    OPEN_REQUEST: at("open-request"),
    PWNED: at("pwned"),
    RUNNER_TEMP: at("runner"),
    GITHUB_REF: "refs/heads/main",
    GITHUB_REF_NAME: "main",
    GITHUB_OUTPUT: at("output"),
    GITHUB_STEP_SUMMARY: at("summary"),
    CI_COMMIT_BRANCH: "main",
    CI_PROJECT_URL: at("origin"),
    SIGNET_TOKEN: "hunter2",
  };
  // What a pull request may bring: npm must not ask whom it names.
  place.write(".npmrc", "registry=http://127.0.0.1:1/\n");
  place.write(
    "signet.yaml",
    'clusters:\n  prod: {}\npaths:\n  "prod/{namespace}/{name}.yaml": prod\n',
  );
  // A key that was renewed: the certificate of the newest, and of the one before.
  const certificates = ["other-cert.pem", "cert.pem"].map((name) =>
    readFileSync(join("test/fixtures", name), "utf8"),
  );
  place.write("certificates/prod.pem", certificates.join(""));
  const sealed = await place.sealed("dev", "db", { password: "hunter2" });
  place.write("prod/shop/db.yaml", sealed);
  await must(git("init", "-q", "-b", "main"));
  await must(git("add", "-A"));
  await must(git("commit", "-q", "-m", "the beginning"));
  await must(git("init", "-q", "--bare", at("origin.git")));
  await must(git("--git-dir", at("origin.git"), "config", "receive.advertisePushOptions", "true"));
  const hook = '#!/bin/sh\nenv | grep ^GIT_PUSH_OPTION_ | sort >> "$NOTES"\n';
  writeFileSync(at("origin.git/hooks/post-receive"), hook);
  chmodSync(at("origin.git/hooks/post-receive"), 0o755);
  await must(git("remote", "add", "origin", at("origin.git")));
  await must(git("push", "-q", "origin", "main"));
});

afterAll(() => {
  registry?.close();
  place.remove();
});

type Inputs = Readonly<Record<string, string>>;

/** Fills in the inputs, which may stand nowhere but in the variables. */
function filled(text: string, pattern: RegExp, given: Inputs, known: Inputs): string {
  return text.replaceAll(pattern, (_, name: string) => {
    const value = given[name] ?? known[name];
    if (value === undefined) throw new Error(`there is no input ${name}`);
    return value;
  });
}

interface Step {
  readonly run: string;
  readonly env: Record<string, string>;
}

const action = load(readFileSync("action.yml", "utf8")) as {
  inputs: Record<string, { default: string }>;
  runs: { using: string; steps: [Step, Step] };
};

const defaultsOf = (inputs: Readonly<Record<string, { default: string }>>): Inputs =>
  Object.fromEntries(Object.entries(inputs).map(([name, each]) => [name, each.default]));

/** Runs a step of the action as GitHub does. */
function runStep({ run, env: variables }: Step, given: Inputs): Promise<Finished> {
  const values = Object.entries(variables)
    .filter(([name]) => name !== "GH_TOKEN")
    .map(([name, text]): [string, string] => [
      name,
      filled(text, /\$\{\{ inputs\.([a-z-]+) \}\}/g, given, defaultsOf(action.inputs)),
    ]);
  const command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", run];
  const all = { ...env, ...Object.fromEntries(values) };
  return runToEnd(command, { cwd: place.folder, env: all });
}

interface Component {
  readonly inputs: Record<string, { default: string; options?: string[]; regex?: string }>;
  readonly variables: Record<string, { value: string; expand: boolean }>;
  readonly script: string;
}

function component(name: string): Component {
  const [{ spec }, jobs] = loadAll(readFileSync(`templates/${name}.yml`, "utf8")) as [
    { spec: Pick<Component, "inputs"> },
    Record<string, { variables: Component["variables"]; script: [string] }>,
  ];
  const [job] = Object.values(jobs);
  if (job === undefined) throw new Error(`${name} has no job`);
  return { inputs: spec.inputs, variables: job.variables, script: job.script[0] };
}

/** Runs a component's job as GitLab does, in a shell that need not be bash. */
function runJob(name: string, given: Inputs = {}): Promise<Finished> {
  const { inputs, variables, script } = component(name);
  const values = Object.entries(variables).map(([variable, { value }]): [string, string] => [
    variable,
    filled(value, /\$\[\[ inputs\.([a-z-]+) \]\]/g, given, defaultsOf(inputs)),
  ]);
  const all = { ...env, ...Object.fromEntries(values) };
  return runToEnd(["sh", "-c", script], { cwd: place.folder, env: all });
}

/** What is on the branch of the origin, and who made it of what. */
async function onBranch(branch: string): Promise<{ subject: string; files: string[] }> {
  const shown = await must(
    git("--git-dir", at("origin.git"), "show", "--name-only", "--format=%s", branch),
  );
  const [subject = "", ...files] = shown.stdout.trim().split(/\n+/);
  return { subject, files };
}

/** As it is when a job starts. */
async function fresh(): Promise<void> {
  await must(git("checkout", "-q", "--force", "main"));
  await must(git("clean", "-q", "-d", "--force"));
  writeFileSync(at("notes"), "");
}

describe("the files", () => {
  it("use no input inside a script", () => {
    for (const { run } of action.runs.steps) expect(run).not.toContain("${{");
    for (const name of ["check", "reseal"]) {
      const { script, variables } = component(name);
      expect(script).not.toContain("$[[");
      for (const { expand } of Object.values(variables)) expect(expand).toBe(false);
    }
  });

  it("give the token to nothing but reseal", () => {
    const [install, run] = action.runs.steps;
    expect(JSON.stringify(install)).not.toContain("token");
    expect(run.env["GH_TOKEN"]).toBe("${{ inputs.command == 'reseal' && inputs.token || '' }}");
  });
});

describe("the action", () => {
  const [install, run] = action.runs.steps;

  beforeAll(async () => {
    // Where the step's `working-directory` is.
    await must(runStep({ ...install, run: `cd "$RUNNER_TEMP"\n${install.run}` }, {}));
  });

  it("installs exact versions only", async () => {
    for (const wrong of ["latest", "^1.0.0", "1.0.0 left-pad", "1.0.0\nleft-pad", ...HOSTILE]) {
      const { status, stdout } = await runStep(install, { version: wrong });
      expect(status, wrong).toBe(1);
      expect(stdout).toBe("::error::version: not an exact version, such as 1.2.3\n");
    }
  });

  it("verifies, and names the place of what it finds", async () => {
    expect(await runStep(run, { command: "verify" })).toMatchObject({ status: 0, stdout: "" });
    place.write("prod/other/db.yaml", place.read("prod/shop/db.yaml"));
    const { status, stdout } = await runStep(run, { command: "verify" });
    expect(status).toBe(3);
    expect(stdout).toMatch(/^::error file=prod\/other\/db\.yaml,/m);
    await fresh();
  });

  it("scans the files, or a range of commits", async () => {
    const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {b: hunter2}\n";
    place.write("plain.yaml", secret);
    const found = await runStep(run, { command: "scan", paths: "prod\n\nplain.yaml\n" });
    expect(found).toMatchObject({ status: 3 });
    expect(found.stdout).toMatch(/^::error file=plain\.yaml,/m);
    expect(await runStep(run, { command: "scan", paths: "prod" })).toMatchObject({ status: 0 });
    const range = await runStep(run, { command: "scan", range: "main..HEAD" });
    expect(range).toMatchObject({ status: 0 });
    await fresh();
  });

  it("re-seals in a pull request, which a later run changes", async () => {
    const first = await must(runStep(run, { command: "reseal" }));
    expect(first.stdout).not.toContain("hunter2");
    expect(notes()).toMatch(/^gh pr create --head signet\/reseal --base main --title /m);
    expect(readFileSync(at("output"), "utf8")).toBe("pull-request=https://example.org/pull/1\n");
    expect(readFileSync(at("summary"), "utf8")).toContain("prod/shop/db.yaml");
    expect(await onBranch("signet/reseal")).toEqual({
      subject: "Re-seal what is under older keys",
      files: ["prod/shop/db.yaml"],
    });
    const { stdout } = await must(git("branch", "--show-current"));
    expect(stdout).toBe("main\n");
    await fresh();
    await must(runStep(run, { command: "reseal", cluster: "prod" }));
    expect(notes()).toContain("gh pr edit https://example.org/pull/1 --body-file ");
    await fresh();
  });

  it("opens nothing where nothing is stale", async () => {
    await must(git("checkout", "-q", "signet/reseal"));
    const { stdout } = await must(runStep(run, { command: "reseal" }));
    expect(stdout).toBe("nothing is stale\n");
    expect(notes()).toBe("");
    await fresh();
  });

  it("commits nothing that was there before it", async () => {
    place.write("kubeconfig", "a token\n");
    const { status, stdout } = await runStep(run, { command: "reseal" });
    expect([status, stdout]).toEqual([
      1,
      "::error::reseal needs a clean checkout: write other files elsewhere\n",
    ]);
    await fresh();
  });

  it.each(["main", "signet/", "signet/../main", "signet/a..b", "refs/heads/signet/a", ...HOSTILE])(
    "overwrites no branch but its own: %s",
    async (branch) => {
      const before = await must(git("--git-dir", at("origin.git"), "show-ref"));
      const { status, stdout } = await runStep(run, { command: "reseal", branch });
      expect(status).toBe(1);
      expect(stdout).toContain("::error::branch: expected ");
      const after = await must(git("--git-dir", at("origin.git"), "show-ref"));
      expect(after.stdout).toBe(before.stdout);
      await fresh();
    },
  );

  it.each(HOSTILE)("takes %s for a name", async (text) => {
    for (const given of [
      { command: text },
      { command: "verify", paths: text },
      { command: "verify", strict: text, paths: "missing" },
      { command: "scan", range: text },
      { command: "reseal", cluster: text },
    ]) {
      const { status } = await runStep(run, given);
      expect([1, 2], JSON.stringify(given)).toContain(status);
    }
    expect(existsSync(at("pwned"))).toBe(false);
    expect((await git("status", "--porcelain")).stdout).toBe("");
  });
});

describe("the components", () => {
  it("accept exact versions, and branches of their own", () => {
    for (const name of ["check", "reseal"]) {
      const pattern = new RegExp(component(name).inputs["version"]?.regex ?? "^$");
      expect(pattern.test(version)).toBe(true);
      for (const wrong of ["latest", "1.0.0 left-pad", ...HOSTILE]) {
        expect(pattern.test(wrong)).toBe(false);
      }
    }
    const branch = new RegExp(component("reseal").inputs["branch"]?.regex ?? "^$");
    expect(branch.test("signet/reseal-prod")).toBe(true);
    for (const wrong of ["main", "signet/", ...HOSTILE]) expect(branch.test(wrong)).toBe(false);
  });

  it("check, report to the merge request, and show the findings in the log", async () => {
    appendFileSync(join(place.folder, ".git/info/exclude"), "gl-code-quality-report.json\n");
    const report = (): unknown => JSON.parse(place.read("gl-code-quality-report.json"));
    await must(runJob("check"));
    expect(report()).toEqual([]);
    place.write("prod/other/db.yaml", place.read("prod/shop/db.yaml"));
    const { status, stdout } = await runJob("check", { paths: "prod/shop\nprod/other" });
    expect(status).toBe(3);
    expect(stdout).toMatch(/^prod\/other\/db\.yaml:\d+: /m);
    const location = { path: "prod/other/db.yaml" };
    expect(report()).toMatchObject([{ location }, { location }]);
    await fresh();
  });

  it("re-seal in a merge request, with the token in no argument", async () => {
    const { stdout } = await must(runJob("reseal", { branch: "signet/reseal-prod" }));
    expect(stdout).not.toContain("hunter2");
    expect(notes()).toBe(`GIT_PUSH_OPTION_0=merge_request.create
GIT_PUSH_OPTION_1=merge_request.target=main
GIT_PUSH_OPTION_2=merge_request.title=Re-seal what is under older keys
GIT_PUSH_OPTION_COUNT=3
`);
    expect(await onBranch("signet/reseal-prod")).toMatchObject({ files: ["prod/shop/db.yaml"] });
    await fresh();
  });

  it("take what a stranger wrote for names", async () => {
    const [first = ""] = HOSTILE;
    expect([1, 2]).toContain((await runJob("check", { paths: HOSTILE.join("\n") })).status);
    expect([1, 2]).toContain((await runJob("reseal", { cluster: first })).status);
    expect(existsSync(at("pwned"))).toBe(false);
    await fresh();
  });
});
