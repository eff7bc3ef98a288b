// `npm run bench`: chooses the parts and Node versions, enters the test bed if a part needs a
// cluster, and sets the exit status.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkBed, inBed } from "../test/cluster/bed.ts";
import { BED_VARIABLE, insideBed } from "../test/cluster/program.ts";
import { obtainParts, PartsUnavailable } from "../test/parts/build.ts";
import { partPath, PARTS_VARIABLE } from "../test/parts/parts.ts";
import { benchAlgorithms } from "./algorithms.ts";
import { benchAttack } from "./attack.ts";
import { type Attack, runAttacker } from "./attackers.ts";
import { benchController } from "./controller.ts";
import { benchDeliveries } from "./deliveries.ts";
import { benchDrift } from "./drift.ts";
import { benchKeyring } from "./keyring.ts";
import { benchLarge } from "./large.ts";
import type { Bench } from "./measure.ts";
import { DEFAULT_NODES, obtainNode, type Runner } from "./nodes.ts";
import { runOpener } from "./opener.ts";
import { buildOther, type OtherBuild } from "./otherbuild.ts";
import { comparedWith, formatPart, type PartReport } from "./report.ts";
import { benchRepository } from "./repository.ts";
import { keepResult } from "./results.ts";
import { benchScale } from "./scale.ts";
import { benchScanners, SCANNER_PARTS } from "./scanners.ts";
import { benchSeal } from "./seal.ts";
import { benchShards } from "./shards.ts";
import { benchStartup } from "./startup.ts";

const PARTS = {
  seal: benchSeal,
  startup: benchStartup,
  keyring: benchKeyring,
  algorithms: benchAlgorithms,
  scanners: benchScanners,
  repository: benchRepository,
  large: benchLarge,
  controller: benchController,
  scale: benchScale,
  drift: benchDrift,
  deliveries: benchDeliveries,
  shards: benchShards,
  attack: benchAttack,
};
/** The parts that do not need a cluster. */
const BARE: readonly Part[] = ["seal", "startup", "keyring", "scanners", "large"];
type Part = keyof typeof PARTS;

const USAGE = `Usage: npm run bench -- [OPTION...] [PART...]

Measure our programs and the Go original: seal, startup, keyring, repository, large, controller,
scale, drift, attack; post-quantum sealing and RSA: algorithms; deliveries to many namespaces:
deliveries; replicas that share the work: shards; and signet scan and other scanners: scanners.
Without a part, run all of them. Results go to standard output, progress to standard error.

  --quick             fewer rounds and smaller numbers, to see that it works
  --minutes N         how long the attack lasts (default: 10, with --quick 1)
  --count N           how many SealedSecrets scale, shards and algorithms have (default: 10000, less
                      with --quick), and how many files and commits large has (default: 20000)
  --ours              scale and attack without the original, which takes long
  --node MAJOR|PATH   run ours with this Node; once for each (default: --node 20 --node 24)
  --compare REF       measure the programs of this commit too, side by side with those of now
  --record            keep the results in bench/results, from which docs/benchmarks.md has its tables;
                      with --count, in a file of their own
  --strict            exit with 1 if a target is missed or was not measured
  --help              print this
`;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function isPart(name: string): name is Part {
  return Object.hasOwn(PARTS, name);
}

interface Wishes {
  readonly parts: Part[];
  readonly nodes: string[];
  readonly quick: boolean;
  readonly minutes: number | undefined;
  readonly count: number | undefined;
  readonly oursOnly: boolean;
  readonly compare: string | undefined;
  readonly record: boolean;
  readonly strict: boolean;
}

/** Returns null if `--help` is given. @throws Error if an option or part is unknown or invalid */
function readArguments(args: string[]): Wishes | null {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      minutes: { type: "string" },
      count: { type: "string" },
      ours: { type: "boolean", default: false },
      compare: { type: "string" },
      record: { type: "boolean", default: false },
      strict: { type: "boolean", default: false },
      node: { type: "string", multiple: true, default: DEFAULT_NODES },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  if (values.record && values.compare !== undefined) {
    throw new Error("--record and --compare are mutually exclusive");
  }
  const unknown = positionals.find((name) => !isPart(name));
  if (unknown !== undefined) throw new Error(`unknown part: ${unknown}`);
  const named = positionals.filter(isPart);
  const parts = named.length === 0 ? (Object.keys(PARTS) as Part[]) : named;
  return {
    parts,
    nodes: values.node,
    quick: values.quick,
    minutes: readNumber("--minutes", values.minutes),
    count: readNumber("--count", values.count),
    oursOnly: values.ours,
    compare: values.compare,
    record: values.record,
    strict: values.strict,
  };
}

function readNumber(option: string, text: string | undefined): number | undefined {
  const value = text === undefined ? undefined : Number(text);
  if (value !== undefined && !(value > 0)) {
    throw new Error(`${option} must be a number greater than 0`);
  }
  return value;
}

/** Runs this program again inside the Linux namespaces that a cluster needs. Returns its status. */
async function runInBed(args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  checkBed(env);
  const [, script = ""] = process.argv;
  const [program = "", ...rest] = inBed([process.execPath, script, ...args]);
  const child = spawn(program, rest, { env: { ...env, [BED_VARIABLE]: "1" }, stdio: "inherit" });
  // Ctrl-C also reaches the child, which cleans up. Wait until it exits.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => {
    child.kill("SIGTERM");
  });
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (status) => {
      done(status ?? 1);
    });
  });
}

function removedAtExit(): string {
  const scratch = mkdtempSync(join(tmpdir(), "kube-signet-bench-"));
  process.once("exit", () => {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      process.exit(1);
    });
  }
  return scratch;
}

/** Copies dist/, because a build during the run must not affect the results. */
function copyPrograms(scratch: string): string {
  const programs = join(scratch, "dist");
  cpSync(resolve(process.cwd(), "dist"), programs, { recursive: true });
  return programs;
}

/** Every wanted Node with the programs of now, and with those to compare. */
async function runnersOf(nodes: readonly string[], scratch: string): Promise<Runner[]> {
  const programs = copyPrograms(scratch);
  const found = await Promise.all(nodes.map((wanted) => obtainNode(wanted, say)));
  const other = otherBuild();
  return found.flatMap((node) => [
    { ...node, programs },
    ...(other === null
      ? []
      : [{ ...node, label: `${node.label}, ${other.name}`, programs: other.programs }]),
  ]);
}

/** How the build to compare reaches the process in the test bed, which has no network. */
const OTHER_VARIABLE = "KUBE_SIGNET_BENCH_OTHER";

function otherBuild(): OtherBuild | null {
  return JSON.parse(process.env[OTHER_VARIABLE] ?? "null") as OtherBuild | null;
}

/** The programs that tests need too, and those that only a part of the bench needs. */
async function obtainPrograms(parts: readonly Part[]): ReturnType<typeof obtainParts> {
  const isOnlyScanners = parts.every((part) => part === "scanners");
  const programs = await obtainParts(say, isOnlyScanners ? ["kubeseal"] : undefined);
  if (!parts.includes("scanners")) return programs;
  return { ...programs, ...(await obtainParts(say, SCANNER_PARTS)) };
}

const machine = (): string =>
  `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? "unknown"})`;

/** The short id of the commit that is measured, as far as Git knows. */
function commitOfRun(): string {
  const { stdout } = spawnSync("git", ["describe", "--always", "--abbrev=7", "--dirty"], {
    encoding: "utf8",
  });
  return stdout.trim() || "unknown";
}

function describeRun({ nodes, quick }: Bench): string {
  const { stdout } = spawnSync(partPath("kubeseal"), ["--version"], { encoding: "utf8" });
  const facts = [
    machine(),
    nodes.map(({ label }) => label).join(", "),
    `the original's ${stdout.trim().replace("kubeseal version:", "kubeseal")}`,
    ...(quick ? ["quick: few rounds, figures for trying only"] : []),
  ];
  return `${facts.join("; ")}.\n`;
}

async function runHere({
  parts,
  nodes,
  strict,
  record,
  compare: _made,
  ...settings
}: Wishes): Promise<number> {
  const scratch = removedAtExit();
  const bench: Bench = {
    ...settings,
    nodes: await runnersOf(nodes, scratch),
    scratch,
    say,
  };
  process.stdout.write(`${describeRun(bench)}\n`);
  // Before hours of measuring, in which somebody may commit.
  const commit = commitOfRun();
  const reports: PartReport[] = [];
  for (const part of parts) {
    const measured = await PARTS[part](bench);
    const other = otherBuild();
    const compared = other === null ? [] : comparedWith(other.name, measured.figures);
    const report = { ...measured, tables: [...(measured.tables ?? []), ...compared] };
    reports.push(report);
    process.stdout.write(`${formatPart(report)}\n`);
    if (record) {
      const command = `npm run bench -- ${process.argv.slice(2).join(" ")}`;
      const run = { commit, machine: machine(), command, nodes: bench.nodes };
      // With another number beside it, for a curve.
      keepResult(settings.count === undefined ? part : `${part}-${settings.count}`, report, run);
    }
  }
  const targets = reports.flatMap(({ checks }) => checks).filter(({ target }) => target);
  const met = targets.filter(({ met }) => met === true).length;
  const missed = targets.filter(({ met }) => met === false).length;
  const open = targets.length - met - missed;
  process.stdout.write(`${met} targets met, ${missed} missed, ${open} not run\n`);
  return strict && met < targets.length ? 1 : 0;
}

async function main(args: string[]): Promise<number> {
  const [mode, file = ""] = args;
  if (mode === "--opener") {
    process.stdout.write(`${JSON.stringify(await runOpener(file))}\n`);
    return 0;
  }
  if (mode === "--attacker") {
    await runAttacker(JSON.parse(readFileSync(file, "utf8")) as Attack);
    return 0;
  }
  let wishes: Wishes | null;
  try {
    wishes = readArguments(args);
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (wishes === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  try {
    if (insideBed()) return await runHere(wishes);
    process.env[PARTS_VARIABLE] ??= JSON.stringify(await obtainPrograms(wishes.parts));
    // Download first, because the network is not reachable inside the namespaces.
    for (const wanted of wishes.nodes) await obtainNode(wanted, say);
    if (wishes.compare !== undefined) {
      say(`building the programs of ${wishes.compare}`);
      process.env[OTHER_VARIABLE] = JSON.stringify(buildOther(wishes.compare, removedAtExit()));
    }
    if (wishes.parts.every((part) => BARE.includes(part))) return await runHere(wishes);
    // `ip` is in these folders, which are not on every ordinary user's PATH.
    const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
    return await runInBed(args, { ...process.env, PATH: path });
  } catch (error) {
    if (!(error instanceof PartsUnavailable)) throw error;
    say(`NOT RUN: ${error.message}\n  remedy: ${error.remedy}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
