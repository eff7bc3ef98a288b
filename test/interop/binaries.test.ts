// The programs that need no Node, as `npm run binaries` makes them for this machine: what the npm
// package's commands do, they do too. What is checked of the other platforms' is in test/cli/executables.test.ts.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runToEnd } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { installSignet, runScenario, scenarioNames } from "../scenarios/scenario.ts";

const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {password: hunter2}\n";
const CERT = resolve("test/fixtures/cert.pem");
const KEY = resolve("test/fixtures/key.pem");

let base = "";
let out = "";
let signet = "";
let kubeseal = "";
/** Of a person who has neither Node nor anything of ours. */
let env: Record<string, string>;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "signet-binaries-"));
  out = join(base, "programs");
  const options = ["--here", "--bun", partPath("bun"), "--out", out];
  execFileSync(process.execPath, ["build/binaries.mjs", ...options], { stdio: "pipe" });
  [signet, kubeseal] = [join(out, "signet"), join(out, "signet-kubeseal")];
  env = { PATH: "/usr/bin:/bin", HOME: join(base, "home") };
  installSignet(base, [signet]);
});

afterAll(() => {
  rmSync(base, { recursive: true, force: true });
});

function run(program: string, args: string[], { cwd = base, input = "" } = {}) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    env,
    input,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

/** The sources may have changed since the package was built. */
const withoutCommit = <T extends { stdout: string }>(said: T): T => ({
  ...said,
  stdout: said.stdout.replace(/ \(commit [-0-9a-f]+(dirty)?\)/, ""),
});

it("tell the versions that the package's commands tell", () => {
  for (const [program, name] of [
    [signet, "signet"],
    [kubeseal, "kubeseal"],
  ] as const) {
    const packaged = run(process.execPath, [resolve(`dist/${name}.cjs`), "--version"]);
    expect(withoutCommit(run(program, ["--version"]))).toEqual(withoutCommit(packaged));
  }
});

it.each([
  ["bash", "signet.bash"],
  ["zsh", "signet.zsh"],
  ["fish", "signet.fish"],
  ["powershell", "signet.ps1"],
])("come with the completion script for %s that they print", (shell, file) => {
  const { status, stdout } = run(signet, ["completion", shell]);
  expect(status).toBe(0);
  expect(readFileSync(join(out, "completion", file), "utf8")).toBe(stdout);
});

it("seal what the Go original opens, and open what it sealed", () => {
  const original = partPath("kubeseal");
  const open = ["--recovery-unseal", "--recovery-private-key", KEY, "--format", "yaml"];
  const seal = ["--cert", CERT, "--format", "yaml"];
  for (const [sealer, opener] of [
    [kubeseal, original],
    [original, kubeseal],
  ] as const) {
    const sealed = run(sealer, seal, { input: SECRET });
    expect(sealed).toMatchObject({ status: 0, stderr: "" });
    expect(run(opener, open, { input: sealed.stdout }).stdout).toContain("aHVudGVyMg==");
  }
});

describe("in a folder of a stranger", () => {
  it("read no settings of the runtime and run no code from there", () => {
    const folder = join(base, "stranger");
    mkdirSync(folder);
    const code = 'require("node:fs").writeFileSync("ran", ""); console.error("ran");\n';
    writeFileSync(join(folder, "evil.cjs"), code);
    writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./evil.cjs"]\n');
    writeFileSync(join(folder, ".env"), "SEALED_SECRETS_CERT=/nowhere\nSIGNET_CERT=/nowhere\n");
    writeFileSync(join(folder, ".env.local"), "SEALED_SECRETS_CERT=/nowhere\n");
    writeFileSync(join(folder, "package.json"), '{"imports": {"#fs": "./evil.cjs"}}\n');
    const paths = { "*": ["./evil.cjs"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { paths } }));
    for (const args of [["--version"], []]) {
      const { stderr } = run(kubeseal, args, { cwd: folder, input: SECRET });
      expect(stderr).not.toMatch(/nowhere|ran/);
    }
    expect(run(signet, ["scan", "."], { cwd: folder })).toMatchObject({ status: 0 });
    expect(() => readFileSync(join(folder, "ran"))).toThrow("ENOENT");
  });
});

it("fetch a certificate by HTTPS from authorities that are named, and from no others", async () => {
  const folder = join(base, "https");
  mkdirSync(folder);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", ...subject];
  execFileSync("openssl", [...request, "-keyout", key, "-out", cert], { stdio: "pipe" });
  const served = readFileSync(CERT, "utf8");
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, answer) => {
    answer.end(served);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `https://localhost:${(server.address() as AddressInfo).port}/v1/cert.pem`;
  try {
    const seal = ["seal", "--cert", url];
    const refused = await runToEnd([signet, ...seal], { cwd: folder, env, stdin: SECRET });
    expect(refused.stderr).toContain("certificate");
    expect(refused.status).toBe(1);
    const trusting = { ...env, SSL_CERT_FILE: cert };
    const sealed = await runToEnd([signet, ...seal], { cwd: folder, env: trusting, stdin: SECRET });
    expect(sealed.stderr).toBe("");
    expect(sealed.stdout).toContain("kind: SealedSecret");
  } finally {
    server.close();
  }
});

describe.concurrent("scenario, without Node", () => {
  it.for(scenarioNames())("%s", (name, { expect }) => runScenario(name, base, expect));
});
