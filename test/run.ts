// Owns: `npm test`: the checks, the parts, the namespaces that the suites run in, and the proof
// that nothing was left out.
// Does not own: building a part (test/parts/build.ts), nor any test.
import { spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve, sep } from "node:path";
import { BED_HOST, BED_VARIABLE } from "./cluster/program.ts";
import { obtainParts, PartsUnavailable } from "./parts/build.ts";
import { PARTS_VARIABLE } from "./parts/parts.ts";

const ROOT = process.cwd();
const VITEST = resolve(ROOT, "node_modules/vitest/vitest.mjs");
const PROJECTS = ["unit", "interop", "cluster"] as const;
type Project = (typeof PROJECTS)[number];

/** Settings of the person or machine that must not reach a test. */
const FOREIGN_VARIABLES =
  /^(KUBECONFIG|KUBERNETES_.*|SEALED_SECRETS_.*|SIGNET_.*|NODE_EXTRA_CA_CERTS|POD_NAMESPACE)$/;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

interface Ended {
  status: number;
  stderr: string;
}

/** Runs a program in our terminal; with `quiet`, keeps what it says on stderr instead. */
function run(command: string[], env = process.env, quiet = false): Promise<Ended> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env, stdio: quiet ? "pipe" : "inherit" });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((done) => {
    child.once("error", (error) => {
      done({ status: 127, stderr: error.message });
    });
    child.once("close", (status) => {
      done({ status: status ?? 1, stderr });
    });
  });
}

/**
 * Wraps a command in network and mount namespaces of its own. The API server's proxy refuses
 * loopback addresses, so the bed has one more; the Go original reads its credentials below /run,
 * so the bed has an empty one.
 */
function inBed(command: string[]): string[] {
  const setUp =
    `ip link set lo up && ip addr add ${BED_HOST}/32 dev lo && ` +
    `mount -t tmpfs tmpfs ${realpathSync("/var/run")} && exec "$@"`;
  const asRoot = process.getuid?.() === 0;
  return ["unshare", asRoot ? "-nm" : "-rnm", "sh", "-c", setUp, "sh", ...command];
}

/** @throws PartsUnavailable where this machine does not let us have the namespaces. */
async function checkBed(env: NodeJS.ProcessEnv): Promise<void> {
  if (process.platform !== "linux") {
    throw new PartsUnavailable(
      `the interop and cluster suites need Linux, this machine runs ${process.platform}`,
      "run `npm test` in a Linux machine or container; `npm run test:unit` runs everywhere",
    );
  }
  const packages = { unshare: "util-linux", setpriv: "util-linux", mount: "mount", ip: "iproute2" };
  for (const [program, name] of Object.entries(packages)) {
    const probe = await run(["sh", "-c", `command -v ${program}`], env, true);
    if (probe.status !== 0) {
      throw new PartsUnavailable(
        `the program \`${program}\` is missing`,
        `install it (Debian and Ubuntu: apt-get install ${name})`,
      );
    }
  }
  const probe = await run(inBed(["setpriv", "--pdeathsig", "KILL", "--", "true"]), env, true);
  if (probe.status !== 0) {
    throw new PartsUnavailable(
      `this machine refuses a network namespace: ${probe.stderr.trim()}`,
      "run as root; or in a container with --privileged; or, on Ubuntu, allow it with " +
        "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
    );
  }
}

interface Report {
  testResults: {
    name: string;
    status: string;
    assertionResults: { status: string; fullName: string }[];
  }[];
}

interface Tally {
  passed: number;
  failed: number;
}

async function testFiles(): Promise<string[]> {
  const files = await readdir(resolve(ROOT, "test"), { recursive: true });
  return files.filter((file) => file.endsWith(".test.ts")).map((file) => join("test", file));
}

/** The project of a test file by its folder, as vitest.config.ts sorts them. */
function projectOf(file: string): Project {
  const folder = file.split(sep)[1];
  return folder === "interop" || folder === "cluster" ? folder : "unit";
}

/** What a green vitest run may still hide: files and tests that did not run. */
async function leftOut(report: Report, projects: readonly Project[]): Promise<string[]> {
  const faults: string[] = [];
  const ran = new Map(report.testResults.map((file) => [relative(ROOT, file.name), file]));
  for (const file of await testFiles()) {
    if (projects.includes(projectOf(file)) && !ran.has(file)) {
      faults.push(`${file} did not run: does vitest.config.ts name its folder?`);
    }
  }
  for (const project of projects) {
    const files = [...ran].filter(([file]) => projectOf(file) === project);
    const tests = files.flatMap(([, { assertionResults }]) => assertionResults);
    if (tests.length === 0) faults.push(`the suite ${project} ran no test`);
  }
  for (const [file, { assertionResults }] of ran) {
    for (const { status, fullName } of assertionResults) {
      if (status !== "passed" && status !== "failed") {
        faults.push(`${file}: "${fullName}" was not run (${status})`);
      }
    }
  }
  return faults;
}

/** Runs the projects and counts; a fault of a file, or of the run as a whole, counts as a failure. */
async function runSuites(
  projects: readonly Project[],
  args: string[],
  env: NodeJS.ProcessEnv,
  scratch: string,
  bed: boolean,
): Promise<Tally> {
  const reportFile = join(scratch, "report.json");
  const vitest = [process.execPath, VITEST, "run"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  const selection = projects.map((project) => `--project=${project}`);
  const command = [...vitest, ...reporters, ...selection, ...args];
  const { status } = await run(bed ? inBed(command) : command, env);

  let report: Report;
  try {
    report = JSON.parse(await readFile(reportFile, "utf8")) as Report;
  } catch {
    say(`failed: vitest ended with ${status} and left no report`);
    return { passed: 0, failed: 1 };
  }
  const tally: Tally = { passed: 0, failed: 0 };
  for (const { name, status: fileStatus, assertionResults } of report.testResults) {
    const failed = assertionResults.filter((test) => test.status === "failed").length;
    tally.passed += assertionResults.filter((test) => test.status === "passed").length;
    tally.failed += failed;
    if (fileStatus === "failed" && failed === 0) {
      say(`failed: ${relative(ROOT, name)} as a whole, see above`);
      tally.failed++;
    }
  }
  // With a filter, leaving out is what was asked for.
  const faults = args.length === 0 ? await leftOut(report, projects) : [];
  for (const fault of faults) say(`failed: ${fault}`);
  tally.failed += faults.length;
  if (tally.passed + tally.failed === 0) {
    say("failed: no test ran");
    tally.failed++;
  }
  if (status !== 0 && tally.failed === 0) {
    say(`failed: vitest ended with ${status} though no test failed, see above`);
    tally.failed++;
  }
  return tally;
}

/** A fault outside the tests counts as one failure, so that the last line never looks green. */
async function runAll(args: string[], unitOnly: boolean, scratch: string): Promise<Tally> {
  // Tests write below a folder of this run, so that a killed one leaves nothing in /tmp.
  const env: NodeJS.ProcessEnv = { TMPDIR: scratch };
  for (const [name, value] of Object.entries(process.env)) {
    if (!FOREIGN_VARIABLES.test(name) && name !== "TMPDIR") env[name] = value;
  }
  // Not on the PATH of an ordinary user everywhere, though `ip` is there.
  env.PATH = `${env.PATH ?? ""}:/usr/sbin:/sbin`;
  if (unitOnly) return runSuites(["unit"], args, env, scratch, false);

  let failedBefore = 0;
  if (args.length === 0) {
    say("checking types, lint and format");
    const { status } = await run(["npm", "run", "--silent", "lint"]);
    if (status !== 0) {
      say("failed: `npm run lint`, see above; the tests run all the same");
      failedBefore++;
    }
  }
  try {
    await checkBed(env);
    env[PARTS_VARIABLE] = JSON.stringify(await obtainParts(say));
    env[BED_VARIABLE] = "1";
  } catch (error) {
    if (!(error instanceof PartsUnavailable)) throw error;
    const tally = await runSuites(["unit"], args, env, scratch, false);
    say(`NOT RUN: the suites interop and cluster\n  reason: ${error.message}`);
    say(`  remedy: ${error.remedy}`);
    return { passed: tally.passed, failed: tally.failed + failedBefore + 1 };
  }
  const tally = await runSuites(PROJECTS, args, env, scratch, true);
  return { passed: tally.passed, failed: tally.failed + failedBefore };
}

const given = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "kube-signet-test-"));
process.once("exit", () => {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
});
// The terminal sends Ctrl-C to vitest as well; wait for its end, then count and clean.
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (interrupted) process.exit(1);
    interrupted = true;
  });
}
const { passed, failed } = await runAll(
  given.filter((arg) => arg !== "--unit"),
  given.includes("--unit"),
  scratch,
);
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
