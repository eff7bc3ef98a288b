// `npm test [-- FILE... [OPTION...]]`: the checks, the parts, the namespaces that the suites run in,
// and the proof that nothing was left out. Named files need only what their own suites need.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve, sep } from "node:path";
import { parseOffset, shiftedClock } from "./clock.ts";
import { checkBed, inBed } from "./cluster/bed.ts";
import { BED_VARIABLE } from "./cluster/program.ts";
import { obtainParts, PartsUnavailable } from "./parts/build.ts";
import { PARTS_VARIABLE } from "./parts/parts.ts";

const ROOT = process.cwd();
const VITEST = resolve(ROOT, "node_modules/vitest/vitest.mjs");
const PROJECTS = ["unit", "interop", "cluster", "node"] as const;
type Project = (typeof PROJECTS)[number];

/** The other clocks under which the unit tests run each time. `--clock` takes any. */
const CLOCKS = ["400d"];

/** Settings of the person or machine that must not reach a test. */
const FOREIGN_VARIABLES =
  /^(KUBECONFIG|KUBERNETES_.*|SEALED_SECRETS_.*|SIGNET_.*|NODE_EXTRA_CA_CERTS|POD_NAMESPACE)$/;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Failures outside of tests; reported when they happen, and again at the end. */
const faults: string[] = [];

function fault(line: string): void {
  say(`failed: ${line}`);
  faults.push(line);
}

/** Where the time went, in the order of the work; reported at the end. */
const times: string[] = [];
/** Files that take long, and in which nothing depends on the date: under one clock only. */
const DATELESS = [
  "cli/forges",
  "cli/hostilefiles",
  "cli/interactive",
  "cli/kill",
  "cli/rootedfiles",
  "cli/scancorpus",
  "cli/scantrees",
  "shared/corpus",
  "shared/envelope",
  "shared/growth",
  "shared/template",
].map((file) => `test/${file}.test.ts`);

/** Names of the tests that failed. */
const failedTests: string[] = [];

/** The tallies of steps that count for themselves; reported at the end. */
const tallies: string[] = [];

const inSeconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

async function timed<T>(what: string, work: Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await work;
  } finally {
    times.push(`${what} ${inSeconds(performance.now() - started)}`);
  }
}

/** The slowest files of tests. */
function slowest({ testResults }: Report, count = 4): string {
  return testResults
    .map(({ name, startTime, endTime }) => ({ name, took: endTime - startTime }))
    .sort((left, right) => right.took - left.took)
    .slice(0, count)
    .map(({ name, took }) => `${relative(resolve(ROOT, "test"), name)} ${inSeconds(took)}`)
    .join(", ");
}

/** Runs a program in our terminal; resolves to its exit status. */
function run(command: string[], env = process.env): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env, stdio: "inherit" });
  return new Promise((done) => {
    child.once("error", (error) => {
      say(`${program}: ${error.message}`);
      done(127);
    });
    child.once("close", (status) => {
      done(status ?? 1);
    });
  });
}

interface Report {
  testResults: {
    name: string;
    status: string;
    /** Milliseconds since 1970. */
    startTime: number;
    endTime: number;
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
  return PROJECTS.find((project) => project === folder) ?? "unit";
}

/**
 * The projects of the files that the arguments name before the first option, each by a part of its
 * path, as vitest takes them; all projects where none is named.
 */
async function projectsOf(args: readonly string[]): Promise<readonly Project[]> {
  const end = args.findIndex((arg) => arg.startsWith("-"));
  const names = end < 0 ? args : args.slice(0, end);
  if (names.length === 0) return PROJECTS;
  const files = await testFiles();
  const chosen = new Set<Project>();
  for (const name of names) {
    // FILE:LINE names one test.
    const part = name.replace(/:\d+$/, "");
    const found = files.filter(
      (file) => file.includes(part) || resolve(ROOT, file).startsWith(part),
    );
    if (found.length === 0) fault(`no file of tests has ${name} in its path`);
    for (const file of found) chosen.add(projectOf(file));
  }
  return PROJECTS.filter((project) => chosen.has(project));
}

/** What a green vitest run may still hide: files and tests that did not run. */
async function leftOut(
  report: Report,
  projects: readonly Project[],
  without: readonly string[],
): Promise<string[]> {
  const missing: string[] = [];
  const ran = new Map(report.testResults.map((file) => [relative(ROOT, file.name), file]));
  for (const file of await testFiles()) {
    if (projects.includes(projectOf(file)) && !ran.has(file) && !without.includes(file)) {
      missing.push(`${file} did not run: does vitest.config.ts name its folder?`);
    }
  }
  for (const project of projects) {
    const files = [...ran].filter(([file]) => projectOf(file) === project);
    const tests = files.flatMap(([, { assertionResults }]) => assertionResults);
    if (tests.length === 0) missing.push(`the suite ${project} ran no test`);
  }
  for (const [file, { assertionResults }] of ran) {
    for (const { status, fullName } of assertionResults) {
      if (status !== "passed" && status !== "failed") {
        missing.push(`${file}: "${fullName}" was not run (${status})`);
      }
    }
  }
  return missing;
}

/** Runs the projects and counts the tests. */
async function runSuites(
  projects: readonly Project[],
  args: string[],
  env: NodeJS.ProcessEnv,
  scratch: string,
  bed: boolean,
  what = "tests",
  without: readonly string[] = [],
): Promise<Tally> {
  const reportFile = join(scratch, `${what.replaceAll(" ", "-")}.json`);
  const vitest = [process.execPath, VITEST, "run"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  const selection = projects.map((project) => `--project=${project}`);
  const excluded = without.map((file) => `--exclude=${file}`);
  const command = [...vitest, ...reporters, ...selection, ...excluded, ...args];
  const status = await timed(what, run(bed ? inBed(command) : command, env));

  let report: Report;
  try {
    report = JSON.parse(await readFile(reportFile, "utf8")) as Report;
  } catch {
    fault(`vitest ended with ${status} and left no report`);
    return { passed: 0, failed: 0 };
  }
  if (!what.includes(" at ")) times.push(`the slowest files of ${what}: ${slowest(report)}`);
  const tally: Tally = { passed: 0, failed: 0 };
  for (const { name, status: fileStatus, assertionResults } of report.testResults) {
    const failed = assertionResults.filter((test) => test.status === "failed").length;
    tally.passed += assertionResults.filter((test) => test.status === "passed").length;
    tally.failed += failed;
    for (const { status: testStatus, fullName } of assertionResults) {
      if (testStatus === "failed")
        failedTests.push(`${relative(ROOT, name)}: ${fullName} (${what})`);
    }
    if (fileStatus === "failed" && failed === 0) {
      fault(`${relative(ROOT, name)} as a whole, see above`);
    }
  }
  // With a filter, leaving out is what was asked for.
  if (args.length === 0) for (const line of await leftOut(report, projects, without)) fault(line);
  if (tally.passed + tally.failed === 0) fault("no test ran");
  if (status !== 0 && tally.failed + faults.length === 0) {
    fault(`vitest ended with ${status} though no test failed, see above`);
  }
  return tally;
}

/** Runs the unit tests, and what they start, with the wall clock shifted. */
async function runShifted(
  clock: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  scratch: string,
): Promise<Tally> {
  const offsetMs = parseOffset(clock);
  if (offsetMs === undefined) {
    fault(`--clock ${clock}: expected days or hours, such as 400d, -30d or 12h`);
    return { passed: 0, failed: 0 };
  }
  say(`unit tests with the clock at ${clock}; these alone: npm run test:unit -- --clock=${clock}`);
  const shifted = { ...env, ...shiftedClock(ROOT, offsetMs, env.NODE_OPTIONS) };
  const what = `unit tests at ${clock}`;
  return runSuites(["unit"], args, shifted, scratch, false, what, args.length > 0 ? [] : DATELESS);
}

/**
 * Adds the results of the unit tests under other clocks: their failures count, their passes are
 * reported.
 */
async function withShifted(
  tally: Tally,
  args: string[],
  env: NodeJS.ProcessEnv,
  scratch: string,
): Promise<Tally> {
  // A filter asks for certain files under the clock that is there.
  if (args.length > 0) return tally;
  let { failed } = tally;
  for (const clock of CLOCKS) {
    if (interrupted) break;
    const shifted = await runShifted(clock, args, env, scratch);
    tallies.push(`unit tests at ${clock}: ${shifted.passed} passed, ${shifted.failed} failed`);
    failed += shifted.failed;
  }
  return { ...tally, failed };
}

async function runAll(
  args: string[],
  unitOnly: boolean,
  clock: string | undefined,
  scratch: string,
): Promise<Tally> {
  // Tests write below a folder of this run, so that a killed one leaves nothing in /tmp.
  const env: NodeJS.ProcessEnv = { TMPDIR: scratch };
  for (const [name, value] of Object.entries(process.env)) {
    if (!FOREIGN_VARIABLES.test(name) && name !== "TMPDIR") env[name] = value;
  }
  // Not on the PATH of an ordinary user everywhere, though `ip` is there.
  env.PATH = `${env.PATH ?? ""}:/usr/sbin:/sbin`;
  if (clock !== undefined) return runShifted(clock, args, env, scratch);
  const named = await projectsOf(args);
  const projects = unitOnly ? named.filter((project) => project === "unit") : named;
  if (projects.length === 0) {
    if (faults.length === 0) fault("the files that are named are not in the suite unit");
    return { passed: 0, failed: 0 };
  }
  if (projects.every((project) => project === "unit")) {
    return runSuites(projects, args, env, scratch, false);
  }

  if (args.length === 0) {
    say("checking types, lint and format");
    const status = await timed("checks", run(["npm", "run", "--silent", "lint"]));
    if (status !== 0) {
      fault("`npm run lint`, see above; the tests run all the same");
    }
  }
  try {
    checkBed(env);
    env[PARTS_VARIABLE] = JSON.stringify(await timed("real programs", obtainParts(say)));
    env[BED_VARIABLE] = "1";
  } catch (error) {
    if (!(error instanceof PartsUnavailable)) throw error;
    const tally = projects.includes("unit")
      ? await runSuites(["unit"], args, env, scratch, false)
      : { passed: 0, failed: 0 };
    const why = `  reason: ${error.message}\n  remedy: ${error.remedy}`;
    fault(`NOT RUN: the suites interop, cluster and node\n${why}`);
    return withShifted(tally, args, env, scratch);
  }
  if (args.length > 0) return runSuites(projects, args, env, scratch, true);
  return inLanes(env, scratch);
}

/**
 * Everything, in two lanes: clusters wait for programs much of their time, which the rest uses. Each
 * lane has namespaces of its own.
 */
async function inLanes(env: NodeJS.ProcessEnv, scratch: string): Promise<Tally> {
  const rest = PROJECTS.filter((project) => project !== "cluster");
  const [ofClusters, ofRest] = await Promise.all([
    runSuites(["cluster"], [], env, scratch, true, "clusters"),
    runSuites(rest, [], env, scratch, true, "the rest").then((tally) =>
      withShifted(tally, [], env, scratch),
    ),
  ]);
  return {
    passed: ofClusters.passed + ofRest.passed,
    failed: ofClusters.failed + ofRest.failed,
  };
}

/** Takes an option and its value out of the arguments. */
function takeOption(name: string, args: string[]): string | undefined {
  const at = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  if (at < 0) return undefined;
  const [first = "", ...rest] = args.splice(at, args[at] === name ? 2 : 1);
  return rest[0] ?? first.slice(name.length + 1);
}

const given = process.argv.slice(2);
const clock = takeOption("--clock", given);
const scratch = mkdtempSync(join(tmpdir(), "kube-signet-test-"));
process.once("exit", () => {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
});
// The terminal also sends Ctrl-C to vitest: wait until it ends, then count and clean up.
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
  clock,
  scratch,
);
// Their reasons are far above, beyond the part of a log that is shown first.
for (const test of failedTests) say(`failed: ${test}`);
// A fault outside the tests counts as a failure, so that the last line never looks green.
for (const line of faults) say(`failed: ${line}`);
say(`time: ${times.join("; ")}`);
for (const line of tallies) say(line);
say(`${passed} passed, ${failed + faults.length} failed`);
process.exitCode = failed + faults.length === 0 ? 0 : 1;
