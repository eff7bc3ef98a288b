// Runs `signet scan` and scanners for any kind of secret on the same files, and counts what each
// reports.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { inTree, treesOf } from "../test/cli/trees.ts";
import { type PartName, partPath } from "../test/parts/parts.ts";
import type { Bench } from "./measure.ts";
import type { PartReport, Table } from "./report.ts";
import { hasSecret, sampleFiles } from "./scannedfiles.ts";
import { type Answers, answerOf, type Hit, type Sample, tallies, type Tally } from "./scantally.ts";

/** The programs to compare with ours. */
export const SCANNER_PARTS: readonly PartName[] = ["gitleaks", "trufflehog"];

/** Files that are scanned at once. */
interface Batch {
  readonly root: string;
  readonly samples: readonly Sample[];
  /** The files on the command line; empty: the folder. */
  readonly named: readonly string[];
}

interface Scanner {
  readonly name: string;
  readonly isOurs: boolean;
  readonly scan: (batch: Batch) => Hit[];
}

export async function benchScanners(bench: Bench): Promise<PartReport> {
  const scanners = scannersOf(bench);
  bench.say("scanning files");
  const all = answersTo(writeSamples(join(bench.scratch, "scanned")), scanners);
  bench.say("scanning folders");
  const trees = treesOf(readFileSync("test/fixtures/scan/trees.txt", "utf8"));
  // Without one, a folder may still have plaintext that Git ignores or signet.yaml allows.
  for (const tree of trees.filter(({ want }) => hasSecret(want) === true)) {
    const sample = { group: "whole folders", hasSecret: true, folder: "" };
    const batch = { root: ".", samples: [sample], named: tree.args };
    all.push(...(await inTree(tree, () => Promise.resolve(answersTo(batch, scanners)))));
  }
  return {
    title: "Scanners",
    figures: [],
    checks: [],
    tables: [tableOf(tallies(all), scanners)],
    notes: [
      "Files in which a program reported anything, of those with a Secret in plain text and of those without.",
      "In brackets: it reported a line of that Secret.",
      "Signet looks for Kubernetes Secrets and nothing else; the others look for any secret, by their default rules.",
      "The files are the ones that Signet's tests use, so that its own columns say nothing about files it has not seen.",
    ],
  };
}

function scannersOf({ nodes: [first] }: Bench): Scanner[] {
  const signet = (args: readonly string[], root: string): Hit[] => {
    if (first === undefined) throw new Error("no Node to run signet with");
    const command = [first.path, join(first.programs, "signet.cjs"), "scan", "--json", ...args];
    return signetHits(run(command, root));
  };
  return [
    { name: "signet scan", isOurs: true, scan: ({ root }) => signet([], root) },
    { name: "signet scan FILE", isOurs: true, scan: ({ root, named }) => signet(named, root) },
    { name: "gitleaks dir", isOurs: false, scan: ({ root }) => gitleaks(root) },
    { name: "trufflehog filesystem", isOurs: false, scan: ({ root }) => trufflehog(root) },
  ];
}

interface SignetReport {
  readonly findings: readonly {
    readonly rule: string;
    readonly severity: "error" | "warning";
    readonly file: string;
    readonly line?: number;
  }[];
}

/** A file that cannot be read does not count as a Secret that was found. */
function signetHits(output: string): Hit[] {
  const { findings } = JSON.parse(output) as SignetReport;
  return findings
    .filter(({ rule, severity }) => rule !== "unreadable" && severity === "error")
    .map(({ file, line = 1 }) => ({ file, firstLine: line, lastLine: line }));
}

interface GitleaksFinding {
  readonly File: string;
  readonly StartLine: number;
  readonly EndLine: number;
}

function gitleaks(root: string): Hit[] {
  const quiet = ["--no-banner", "--log-level", "error", "--redact", "--exit-code", "0"];
  const report = ["--report-format", "json", "--report-path", "-"];
  const output = run([partPath("gitleaks"), "dir", ".", ...quiet, ...report], root);
  return (JSON.parse(output) as GitleaksFinding[]).map(({ File, StartLine, EndLine }) => ({
    file: normalize(File),
    firstLine: StartLine,
    lastLine: EndLine,
  }));
}

interface TrufflehogFinding {
  readonly SourceMetadata: { readonly Data: { readonly Filesystem: TrufflehogPlace } };
}

interface TrufflehogPlace {
  readonly file: string;
  readonly line: number;
}

/** Runs it without verification: the values are made up, and no value may leave the machine. */
function trufflehog(root: string): Hit[] {
  const quiet = ["--no-verification", "--no-update", "--log-level=-1", "--json"];
  const output = run([partPath("trufflehog"), "filesystem", ".", ...quiet], root);
  return output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => (JSON.parse(line) as TrufflehogFinding).SourceMetadata.Data.Filesystem)
    .map(({ file, line }) => ({ file: normalize(file), firstLine: line, lastLine: line }));
}

/**
 * Returns what a scanner printed. @throws Error if it failed; finding something is not a failure
 */
function run([program = "", ...args]: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    env: cleanEnvironment(),
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
  });
  // 3: `signet scan` found something.
  if (status === 0 || status === 3) return stdout;
  throw new Error(`\`${program} ${args.slice(0, 5).join(" ")}\` ended with ${status}: ${stderr}`);
}

function writeSamples(root: string): Batch {
  const samples = sampleFiles();
  for (const { folder, path, text } of samples) {
    const file = join(root, folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    const chart = /^(.*\/)templates\//.exec(path)?.[1];
    if (chart?.startsWith("charts/") === true)
      writeFileSync(join(root, folder, chart, "Chart.yaml"), "apiVersion: v2\nname: shop\n");
  }
  spawnSync("git", ["init", "-q", root]);
  return { root, samples, named: samples.map(({ folder, path }) => join(folder, path)) };
}

function answersTo(batch: Batch, scanners: readonly Scanner[]): Answers[] {
  const hits = scanners.map(({ scan }) => scan(batch));
  // Where the Secrets begin is what ours says.
  const objects = scanners.flatMap(({ isOurs }, index) => (isOurs ? (hits[index] ?? []) : []));
  const textOf = (file: string): string => readFileSync(join(batch.root, file), "utf8");
  return batch.samples.map((sample) => ({
    sample,
    answers: hits.map((each) => answerOf(sample, each, objects, textOf)),
  }));
}

function tableOf(rows: readonly Tally[], scanners: readonly Scanner[]): Table {
  const names = scanners.map(({ name }) => name);
  return {
    head: ["files", "with a Secret", ...names, "without", ...names],
    rows: rows.map((row) => [
      row.group,
      String(row.withSecret),
      ...row.scanners.map(({ found, inObject }, index) =>
        scanners[index]?.isOurs === true ? String(found) : `${found} (${inObject})`,
      ),
      String(row.without),
      ...row.scanners.map(({ falseAlarms }) => String(falseAlarms)),
    ]),
  };
}
