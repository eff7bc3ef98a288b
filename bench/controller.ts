// Benchmarks the controllers against each other: the settings, the rounds and the comparisons.
import type { ControlPlane } from "../test/cluster/controlplane.ts";
import { startOriginal } from "../test/cluster/original.ts";
import { type Contender, contest, type Outcome, startOurs } from "./contest.ts";
import type { Bench } from "./measure.ts";
import { onBenchPlane } from "./plane.ts";
import {
  type Check,
  type Figure,
  formatNumber,
  median,
  type PartReport,
  ratioCheck,
  type Unit,
} from "./report.ts";

const UNLIMITED = ["--kubeclient-qps=-1"];
const ORIGINAL = "original, unlimited";
const ORIGINAL_DEFAULT = "original, defaults";
/** By default its client makes 5 calls a second, and each SealedSecret takes about four calls. */
const ORIGINAL_DEFAULT_SECONDS_EACH = 0.8;

const AT_LEAST = { unlimited: 3, default: 30 };
const MEMORY_AT_MOST_MB = 150;

/** Outcomes by number of SealedSecrets, then by program. */
type Results = Map<number, Map<string, Outcome[]>>;

export async function benchController(bench: Bench): Promise<PartReport> {
  const counts = bench.quick ? [100, 400] : [400, 2000];
  return onBenchPlane(bench, async (plane, certificate) => {
    const contenders = listContenders(bench, plane);
    const run = (contender: Contender, count: number): Promise<Outcome> => {
      bench.say(`${contender.program}: ${count} SealedSecrets`);
      return contest(plane, contender, count, certificate);
    };
    // Warm up, because the first run would find a cold API server.
    for (const contender of contenders) await run(contender, 50);
    const results: Results = new Map();
    for (const count of counts) {
      const outcomes = new Map<string, Outcome[]>();
      results.set(count, outcomes);
      // One round is enough, because each run is long enough to average out noise.
      for (const contender of contenders) {
        outcomes.set(contender.program, [await run(contender, count)]);
      }
    }
    const [smaller = 0] = counts;
    const slow: Contender = {
      program: ORIGINAL_DEFAULT,
      restart: null,
      timeoutMs: 1_800_000,
      start: () => startOriginal(plane),
    };
    results.get(smaller)?.set(ORIGINAL_DEFAULT, [await run(slow, smaller)]);
    return tell(bench, results);
  });
}

function listContenders({ nodes }: Bench, plane: ControlPlane): Contender[] {
  const ours = nodes.flatMap((node) =>
    [[], UNLIMITED].map((flags): Contender => ({
      program: signetName(node.label, flags === UNLIMITED),
      restart: "tells",
      timeoutMs: 300_000,
      start: () => startOurs(plane, node, flags),
    })),
  );
  const original: Contender = {
    program: ORIGINAL,
    restart: "begins",
    timeoutMs: 600_000,
    start: () => startOriginal(plane, { flags: UNLIMITED }),
  };
  return [...ours, original];
}

function signetName(label: string, unlimited: boolean): string {
  return `signet, ${label}${unlimited ? ", unlimited" : ", defaults"}`;
}

function tell(bench: Bench, results: Results): PartReport {
  const counts = [...results.keys()];
  const largest = Math.max(...counts);
  return {
    title: "Controller",
    figures: counts.flatMap((count) => [
      ...figuresOf(results, count, "all Secrets present", "s", ({ secretsS }) => secretsS),
      ...figuresOf(results, count, "and every status written", "s", ({ statusesS }) => statusesS),
      ...figuresOf(results, count, "restart, all in sync", "s", ({ restart }) => restart?.seconds),
      ...figuresOf(results, count, "most memory", "MB", ({ memoryMb }) => memoryMb),
      ...figuresOf(
        results,
        count,
        "most memory after a restart",
        "MB",
        ({ restart }) => restart?.memoryMb,
      ),
    ]),
    checks: bench.nodes.flatMap(({ label }) => [
      ...counts.flatMap((count) => [
        ...unlimitedChecks(results, count, label),
        defaultCheck(results, count, label, count < largest),
      ]),
      ...counts.flatMap((count) => restartChecks(results, count, label)),
      memoryCheck(results, largest, label),
    ]),
    notes: [
      "From the start of the process; SealedSecrets of 3 values at RSA-4096, created before.",
      "One control plane, without a controller manager; one controller at a time.",
      "`unlimited` is `--kubeclient-qps=-1`; the targets are for our defaults.",
      "The original opens every SealedSecret again after a restart; its time is until the last begins.",
    ],
  };
}

function figuresOf(
  results: Results,
  count: number,
  task: string,
  unit: Unit,
  pick: (outcome: Outcome) => number | undefined,
): Figure[] {
  return [...(results.get(count) ?? [])].flatMap(([program, outcomes]) => {
    const samples = outcomes.map(pick).filter((value) => value !== undefined);
    return samples.length === 0 ? [] : [{ task: `${count}: ${task}`, program, unit, samples }];
  });
}

function secondsOf(results: Results, count: number, program: string): number | undefined {
  const outcomes = results.get(count)?.get(program);
  return outcomes === undefined ? undefined : median(outcomes.map(({ secretsS }) => secretsS));
}

const RATE_TASK = "all Secrets present";

/** Returns the original's time to all Secrets divided by ours; undefined if one is not known. */
function gain(
  results: Results,
  count: number,
  { program, original }: { program: string; original: string },
): number | undefined {
  const ours = secondsOf(results, count, program);
  const theirs = secondsOf(results, count, original);
  return ours === undefined || theirs === undefined ? undefined : theirs / ours;
}

function unlimitedChecks(results: Results, count: number, label: string): Check[] {
  return [false, true].flatMap((unlimited) => {
    const program = signetName(label, unlimited);
    const times = gain(results, count, { program, original: ORIGINAL });
    if (times === undefined) return [];
    const facts = {
      task: `${count}: ${RATE_TASK}`,
      program,
      against: `as fast as the ${ORIGINAL}`,
    };
    return ratioCheck(facts, times, unlimited ? undefined : { atLeast: AT_LEAST.unlimited });
  });
}

/** Only the smaller number has a target: the larger would take the original half an hour. */
function defaultCheck(results: Results, count: number, label: string, hasTarget: boolean): Check {
  const task = `${count}: ${RATE_TASK}`;
  const program = signetName(label, false);
  const bound = hasTarget ? { atLeast: AT_LEAST.default } : undefined;
  const times = gain(results, count, { program, original: ORIGINAL_DEFAULT });
  if (times !== undefined) {
    return ratioCheck(
      { task, program, against: `as fast as the ${ORIGINAL_DEFAULT}` },
      times,
      bound,
    );
  }
  const minutes = Math.max(1, Math.round((count * ORIGINAL_DEFAULT_SECONDS_EACH) / 60));
  const found = `not run: the ${ORIGINAL_DEFAULT} (about ${minutes} min by its client's rate)`;
  return { task, program, found, ...(bound && { target: `at least ${bound.atLeast}` }) };
}

function restartChecks(results: Results, count: number, label: string): Check[] {
  const program = signetName(label, false);
  const restarts = (results.get(count)?.get(program) ?? []).map(({ restart }) => restart);
  const decrypted = Math.max(...restarts.map((restart) => restart?.decrypted ?? Number.NaN));
  return [
    {
      task: `${count}: restart, all in sync`,
      program,
      found: `${decrypted} SealedSecrets decrypted`,
      target: "0",
      met: decrypted === 0,
    },
  ];
}

function memoryCheck(results: Results, count: number, label: string): Check {
  const program = signetName(label, false);
  const outcomes = results.get(count)?.get(program) ?? [];
  const most = Math.max(
    ...outcomes.flatMap(({ memoryMb, restart }) => [memoryMb, restart?.memoryMb ?? 0]),
  );
  return {
    task: `${count}: most memory, restart or not`,
    program,
    found: `${formatNumber(most)} MB`,
    target: `at most ${MEMORY_AT_MOST_MB} MB`,
    met: most <= MEMORY_AT_MOST_MB,
  };
}
