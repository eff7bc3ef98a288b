// Reports the results of the attack on the controllers: figures, ratios and targets.
import type { Counts } from "./attackers.ts";
import { type Change, GIVE_UP_MS } from "./honest.ts";
import type { Share } from "./probes.ts";
import { MEMORY_CEILING_MB, type Usage } from "./supervised.ts";
import {
  type Check,
  type Figure,
  formatNumber,
  type PartReport,
  percentile,
  ratioCheck,
} from "./report.ts";

/** What one controller did under attack. */
export interface Found {
  readonly calm: readonly Change[];
  readonly attacked: readonly Change[];
  /** Changes that the API server refused. */
  readonly refused: number;
  readonly shares: Readonly<Record<keyof typeof PROBES, Share>>;
  /** The holders of the Lease, in order; empty if the program has none. */
  readonly holders: readonly string[];
  readonly usage: Usage;
  readonly attack: Counts;
}

const P99_AT_MOST_MS = 2_000;
const ANSWERED_AT_LEAST = 0.99;
/** Our 99th percentile, as a multiple of the original's. */
const P99_TIMES_AT_MOST = 1;

/** The requests that were sent each second, and whether they have a target. */
const PROBES = {
  health: { task: "health answered within 1 s", isTarget: true },
  certificate: { task: "/v1/cert.pem answered within 2 s", isTarget: true },
  verify: { task: "/v1/verify answered within 2 s", isTarget: true },
  proxiedCertificate: { task: "/v1/cert.pem by the API server within 2 s", isTarget: false },
  proxiedVerify: { task: "/v1/verify by the API server within 2 s", isTarget: false },
} as const;

interface Told {
  readonly minutes: number;
  readonly tenants: number;
  readonly original: string;
  readonly found: ReadonlyMap<string, Found>;
  readonly limitMb: number;
}

export function tell(told: Told): PartReport {
  const { minutes, tenants, found } = told;
  const all = [...found];
  return {
    title: `${minutes} minutes of attack beside ${tenants} honest tenants`,
    figures: [
      ...timesOf(all, "changed Secret, calm", ({ calm }) => calm),
      ...timesOf(all, "changed Secret, attacked", ({ attacked }) => attacked),
      ...timesOf(all, "the same, with a template", ({ attacked }) =>
        attacked.filter(({ hasTemplate }) => hasTemplate),
      ),
      ...all.map(([program, { attacked }]): Figure => ({
        ...{ task: "the API server's own time", program, unit: "ms" },
        samples: attacked.map(({ apiMs }) => apiMs),
      })),
      ...all.map(([program, { usage }]): Figure => ({
        ...{ task: "most memory", program, unit: "MB", samples: [usage.memoryMb] },
      })),
    ],
    checks: [
      ...all.flatMap(([program, each]) => servedChecks(told, program, each)),
      ...all.flatMap(([program, each]) => otherChecks(told, program, each)),
    ],
    notes: [
      "From the API server's answer to a change of a SealedSecret until a watch reports the Secret with the new values.",
      `A change that took more than ${GIVE_UP_MS / 1000} s counts as ${GIVE_UP_MS / 1000} s.`,
      "Every second tenant's Secret has an item that a template makes.",
      `A controller that ends, or takes more than ${MEMORY_CEILING_MB} MB, is started again at once.`,
      ...all.map(([program, { attacked }]) => {
        return `99 of 100 in each minute of the attack on ${program}, in ms: ${byMinute(attacked).join(", ")}.`;
      }),
      ...all.map(([program, { attack, refused }]) => {
        const done = Object.entries(attack).map(([what, count]) => `${what} ${count}`);
        return `Attack on ${program}: ${done.join(", ")}. Changes that the API server refused: ${refused}.`;
      }),
    ],
  };
}

function timesOf(
  all: readonly (readonly [string, Found])[],
  task: string,
  pick: (found: Found) => readonly Change[],
): Figure[] {
  return all.flatMap(([program, found]): Figure[] => {
    const samples = pick(found).map(({ ms }) => ms);
    return samples.length === 0 ? [] : [{ task, program, unit: "ms", samples }];
  });
}

const p99Of = (changes: readonly Change[]): number =>
  percentile(
    changes.map(({ ms }) => ms),
    0.99,
  );

/** The 99th percentile of the changes that were made in each minute. */
function byMinute(changes: readonly Change[]): string[] {
  const minutes: Change[][] = [];
  for (const change of changes) (minutes[Math.floor(change.atMs / 60_000)] ??= []).push(change);
  return minutes.map((each) => formatNumber(p99Of(each)));
}

function servedChecks(
  { original, found }: Told,
  program: string,
  { calm, attacked }: Found,
): Check[] {
  const isOriginal = program === original;
  const phases = { "changed Secret, calm": calm, "changed Secret, attacked": attacked };
  const checks = Object.entries(phases).map(([task, changes]): Check => {
    const samples = changes.map(({ ms }) => ms);
    const shares = [0.5, 0.95, 0.99, 1].map((share) => formatNumber(percentile(samples, share)));
    const [half, most, nearlyAll, last] = shares;
    const lost = changes.filter(({ served }) => !served).length;
    const text =
      `50 of 100 within ${half} ms, 95 within ${most}, 99 within ${nearlyAll}, all within ${last}; ` +
      `${lost} of ${changes.length} not within ${GIVE_UP_MS / 1000} s`;
    if (isOriginal || changes === calm) return { task, program, found: text };
    const met = lost === 0 && percentile(samples, 0.99) <= P99_AT_MOST_MS;
    return { task, program, found: text, target: `99 of 100 within ${P99_AT_MOST_MS} ms`, met };
  });
  const theirs = found.get(original);
  if (isOriginal || theirs === undefined) return checks;
  const task = "changed Secret, attacked, 99 of 100";
  const against = `the time of the ${original}`;
  const times = p99Of(attacked) / p99Of(theirs.attacked);
  const ratio = ratioCheck({ task, program, against }, times, { atMost: P99_TIMES_AT_MOST });
  return [...checks, ratio];
}

function otherChecks({ original, limitMb }: Told, program: string, found: Found): Check[] {
  const isOriginal = program === original;
  const { holders, shares } = found;
  const { memoryMb, cores, restarts } = found.usage;
  const checked = (check: Check, target: string, met: boolean): Check =>
    isOriginal ? check : { ...check, target, met };
  const probes = Object.entries(PROBES).map(([name, { task, isTarget }]): Check => {
    const { asked, answered, others } = shares[name as keyof typeof PROBES];
    const rest = [...others].map(([outcome, count]) => `${outcome}: ${count}`);
    const text = [`${answered} of ${asked}`, ...rest].join(", ");
    const check = { task, program, found: text };
    if (!isTarget) return check;
    return checked(check, `at least ${ANSWERED_AT_LEAST}`, answered >= asked * ANSWERED_AT_LEAST);
  });
  const lease = { task: "Lease", program, found: `${holders.length - 1} changes` };
  const memory = { task: "most memory", program, found: `${formatNumber(memoryMb)} MB` };
  return [
    ...(holders.length === 0 ? [] : [checked(lease, "0", holders.length === 1)]),
    checked(memory, `at most ${formatNumber(limitMb)} MB`, memoryMb <= limitMb),
    checked({ task: "ended or killed", program, found: `${restarts} times` }, "0", restarts === 0),
    { task: "processor", program, found: `${formatNumber(cores)} cores` },
    ...probes,
  ];
}
