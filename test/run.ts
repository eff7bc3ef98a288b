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

/** A file of tests in which something failed. */
interface FailedFile {
  readonly file: string;
  /** A line for each test that failed, or for the file as a whole. */
  readonly lines: readonly string[];
  /** Runs the file again, and nothing beside it; whether all of its tests passed. */
  readonly again: () => Promise<boolean>;
}
const failedFiles: FailedFile[] = [];
/** More failures than in so many files are not chance: nothing is run again. */
const AGAIN_AT_MOST = 3;
/** What failed beside all other tests and passed alone; reported at the end. */
const unsteady: string[] = [];

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

/** How tests are run. */
interface Setting {
  readonly env: NodeJS.ProcessEnv;
  /** The folder for reports. */
  readonly scratch: string;
  /** Whether in namespaces of their own. */
  readonly bed: boolean;
  /** What they are called in reports. */
  readonly what: string;
}

/** Runs vitest; resolves to its exit status, and its report if there is one. */
async function runVitest(
  args: readonly string[],
  { env, scratch, bed, what }: Setting,
): Promise<{ status: number; report: Report | undefined }> {
  const reportFile = join(scratch, `${what.replaceAll(/\W+/g, "-")}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  const command = [process.execPath, VITEST, "run", ...reporters, ...args];
  const status = await timed(what, run(bed ? inBed(command) : command, env));
  try {
    return { status, report: JSON.parse(await readFile(reportFile, "utf8")) as Report };
  } catch {
    return { status, report: undefined };
  }
}

/** Runs the projects and counts the tests. */
async function runSuites(
  projects: readonly Project[],
  args: string[],
  setting: Setting,
  without: readonly string[] = [],
): Promise<Tally> {
  const { what } = setting;
  const selection = projects.map((project) => `--project=${project}`);
  const excluded = without.map((file) => `--exclude=${file}`);
  const { status, report } = await runVitest([...selection, ...excluded, ...args], setting);
  const tally: Tally = { passed: 0, failed: 0 };
  if (report === undefined) {
    fault(`vitest ended with ${status} and left no report`);
    return tally;
  }
  if (!what.includes(" at ")) times.push(`the slowest files of ${what}: ${slowest(report)}`);
  for (const { name, status: fileStatus, assertionResults } of report.testResults) {
    const file = relative(ROOT, name);
    tally.passed += assertionResults.filter((test) => test.status === "passed").length;
    const failed = assertionResults.filter((test) => test.status === "failed");
    tally.failed += failed.length;
    if (fileStatus !== "failed" && failed.length === 0) continue;
    const lines = failed.map(({ fullName }) => `${file}: ${fullName} (${what})`);
    failedFiles.push({
      file,
      lines: lines.length > 0 ? lines : [`${file} as a whole, see above (${what})`],
      again: () => passesAgain(file, { ...setting, what: `${file} again` }),
    });
  }
  // With a filter, leaving out is what was asked for.
  if (args.length === 0) for (const line of await leftOut(report, projects, without)) fault(line);
  if (tally.passed + tally.failed === 0) fault("no test ran");
  if (status !== 0 && failedFiles.length + faults.length === 0) {
    fault(`vitest ended with ${status} though no test failed, see above`);
  }
  return tally;
}

async function passesAgain(file: string, setting: Setting): Promise<boolean> {
  const { status, report } = await runVitest([`--project=${projectOf(file)}`, file], setting);
  const results = report?.testResults.flatMap(({ assertionResults }) => assertionResults) ?? [];
  return status === 0 && results.length > 0 && results.every((test) => test.status === "passed");
}

/**
 * Runs the files in which something failed again, one after the other: what fails only beside all
 * other tests, on a machine that is busy with them, is reported as such, and is no failure.
 */
async function runFailedAgain(): Promise<void> {
  if (failedFiles.length > AGAIN_AT_MOST) return;
  for (const failed of [...failedFiles]) {
    if (interrupted) return;
    for (const line of failed.lines) say(`failed, is run again alone: ${line}`);
    if (!(await failed.again())) continue;
    unsteady.push(...failed.lines);
    failedFiles.splice(failedFiles.indexOf(failed), 1);
  }
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
  const setting = { env: shifted, scratch, bed: false, what: `unit tests at ${clock}` };
  return runSuites(["unit"], args, setting, args.length > 0 ? [] : DATELESS);
}

/** Runs the unit tests under other clocks: their failures count, their passes are reported. */
async function runAllShifted(env: NodeJS.ProcessEnv, scratch: string): Promise<void> {
  for (const clock of CLOCKS) {
    if (interrupted) break;
    const shifted = await runShifted(clock, [], env, scratch);
    tallies.push(`unit tests at ${clock}: ${shifted.passed} passed, ${shifted.failed} failed`);
  }
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
    return runSuites(projects, args, { env, scratch, bed: false, what: "tests" });
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
      ? await runSuites(["unit"], args, { env, scratch, bed: false, what: "tests" })
      : { passed: 0, failed: 0 };
    const why = `  reason: ${error.message}\n  remedy: ${error.remedy}`;
    fault(`NOT RUN: the suites interop, cluster and node\n${why}`);
    // A filter asks for certain files under the clock that is there.
    if (args.length === 0) await runAllShifted(env, scratch);
    return tally;
  }
  if (args.length > 0) return runSuites(projects, args, { env, scratch, bed: true, what: "tests" });
  const tally = await inLanes(env, scratch);
  await runFailedAgain();
  return tally;
}

/**
 * Everything, in two lanes: clusters wait for programs much of their time, which the rest uses. Each
 * lane has namespaces of its own.
 */
async function inLanes(env: NodeJS.ProcessEnv, scratch: string): Promise<Tally> {
  const rest = PROJECTS.filter((project) => project !== "cluster");
  const setting = { env, scratch, bed: true };
  const [ofClusters, ofRest] = await Promise.all([
    runSuites(["cluster"], [], { ...setting, what: "clusters" }),
    runSuites(rest, [], { ...setting, what: "the rest" }).then(async (tally) => {
      await runAllShifted(env, scratch);
      return tally;
    }),
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
const { passed } = await runAll(
  given.filter((arg) => arg !== "--unit"),
  given.includes("--unit"),
  clock,
  scratch,
);
// Their reasons are far above, beyond the part of a log that is shown first.
const failedTests = failedFiles.flatMap(({ lines }) => lines);
for (const test of failedTests) say(`failed: ${test}`);
// A fault outside the tests counts as a failure, so that the last line never looks green.
for (const line of faults) say(`failed: ${line}`);
say(`time: ${times.join("; ")}`);
for (const line of tallies) say(line);
for (const test of unsteady) say(`failed beside all others, passed alone: ${test}`);
const failed = failedTests.length + faults.length;
say(`${passed + unsteady.length} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
