// Measures a first start and a restart with very many SealedSecrets, the memory, and how close the
// times are to what RSA and the API server allow on this machine.
import { startOriginal } from "../test/cluster/original.ts";
import { type Contender, contest, type Outcome, startOurs } from "./contest.ts";
import { openRate } from "./keyring.ts";
import { type Bench, ITEMS_PER_SECRET } from "./measure.ts";
import { onBenchPlane } from "./plane.ts";
import { type Check, type Figure, formatNumber, type PartReport, ratioCheck } from "./report.ts";
import { REPEATED_NOTE } from "./writes.ts";

const ORIGINAL = "original, unlimited";
const AT_LEAST = 3;
/** Required ratio of the limit (RSA operations and writes alone) to the measured time. */
const LIMIT_SHARE_AT_LEAST = 0.6;
const MEMORY_AT_MOST_MB = 400;
/** The original takes some 30 ms for each. */
const TIMEOUT_MS_EACH = 180;

export async function benchScale(bench: Bench): Promise<PartReport> {
  const count = bench.count ?? (bench.quick ? 1_000 : 10_000);
  const rsa = new Map<string, number>();
  for (const node of bench.nodes) {
    bench.say(`rate of RSA, ${node.label}`);
    rsa.set(node.label, await openRate(bench, node));
  }
  return onBenchPlane(bench, async (plane, certificate) => {
    const contenders: Contender[] = bench.nodes.map((node) => ({
      program: node.label,
      restart: "tells",
      timeoutMs: count * TIMEOUT_MS_EACH,
      start: () => startOurs(plane, node, []),
    }));
    if (!bench.oursOnly) {
      contenders.push({
        program: ORIGINAL,
        restart: "begins",
        timeoutMs: count * TIMEOUT_MS_EACH,
        start: () => startOriginal(plane, { flags: ["--kubeclient-qps=-1"] }),
      });
    }
    const outcomes = new Map<string, Outcome>();
    for (const contender of contenders) {
      bench.say(`${contender.program}: ${count} SealedSecrets`);
      const isLast = contender === contenders.at(-1);
      const repeat = contender.program !== ORIGINAL;
      const outcome = await contest(plane, contender, count, certificate, { isLast, repeat });
      outcomes.set(contender.program, outcome);
    }
    return tell({ bench, count, outcomes, rsa });
  });
}

interface Found {
  readonly bench: Bench;
  readonly count: number;
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Values per second, by Node version. */
  readonly rsa: ReadonlyMap<string, number>;
}

function besideTheirs(program: string, ours: Outcome, theirs: Outcome): Check[] {
  const against = `as fast as the ${ORIGINAL}`;
  const restarts = (theirs.restart?.seconds ?? 0) / (ours.restart?.seconds ?? 0);
  return [
    ratioCheck({ task: "all Secrets present", program, against }, theirs.secretsS / ours.secretsS, {
      atLeast: AT_LEAST,
    }),
    ratioCheck({ task: "restart, all in sync", program, against }, restarts),
  ];
}

function tell({ bench, count, outcomes, rsa }: Found): PartReport {
  const figures = [...outcomes].flatMap(([program, outcome]): Figure[] => {
    const { secretsS, statusesS, memoryMb, restart, repeatedPerS } = outcome;
    const repeated: Figure[] =
      repeatedPerS === null
        ? []
        : [{ task: "the same writes alone", program, unit: "per s", samples: [repeatedPerS] }];
    const followerMb = restart?.followerMb ?? null;
    const followers: Figure[] =
      followerMb === null
        ? []
        : [{ task: "most memory of a follower", program, unit: "MB", samples: [followerMb] }];
    return [
      { task: "all Secrets present", program, unit: "s", samples: [secretsS] },
      { task: "and every status written", program, unit: "s", samples: [statusesS] },
      { task: "most memory", program, unit: "MB", samples: [memoryMb] },
      { task: "restart, all in sync", program, unit: "s", samples: [restart?.seconds ?? 0] },
      { task: "most memory after it", program, unit: "MB", samples: [restart?.memoryMb ?? 0] },
      ...followers,
      ...repeated,
    ];
  });
  const rates = [...rsa].map(([program, rate]): Figure => ({
    task: "RSA alone, values",
    program,
    unit: "per s",
    samples: [rate],
  }));
  const theirs = outcomes.get(ORIGINAL);
  const checks = bench.nodes.flatMap(({ label: program }): Check[] => {
    const ours = outcomes.get(program);
    if (ours === undefined) return [];
    const rsaS = (count * ITEMS_PER_SECRET) / (rsa.get(program) ?? 0);
    const limitS = rsaS + count / (ours.repeatedPerS ?? Number.NaN);
    const share = limitS / ours.statusesS;
    const decrypted = ours.restart?.decrypted ?? Number.NaN;
    const { memoryMb: restartMb = 0, followerMb = 0 } = ours.restart ?? {};
    const memoryMb = Math.max(ours.memoryMb, restartMb, followerMb ?? 0);
    return [
      ...(theirs === undefined ? [] : besideTheirs(program, ours, theirs)),
      {
        task: "every status written",
        program,
        found: `${formatNumber(share)} of the limit, which is ${formatNumber(limitS)} s; all Secrets after ${formatNumber(ours.secretsS)} s`,
        target: `at least ${LIMIT_SHARE_AT_LEAST}`,
        met: share >= LIMIT_SHARE_AT_LEAST,
      },
      {
        task: "restart, all in sync",
        program,
        found: `${decrypted} SealedSecrets decrypted`,
        target: "0",
        met: decrypted === 0,
      },
      {
        task: "most memory of these",
        program,
        found: `${formatNumber(memoryMb)} MB`,
        target: `at most ${MEMORY_AT_MOST_MB} MB`,
        met: memoryMb <= MEMORY_AT_MOST_MB,
      },
    ];
  });
  return {
    title: `Scale: ${count} SealedSecrets`,
    figures: [...figures, ...rates],
    checks,
    notes: [
      "SealedSecrets of 3 values at RSA-4096, created before; ours with its defaults.",
      "The limit: the time of the RSA operations alone, on all cores, plus the time of the same writes alone. Both need the same cores.",
      REPEATED_NOTE,
      `The original with its defaults would take about ${formatNumber((count * 0.8) / 3600)} hours; not run.`,
    ],
  };
}
