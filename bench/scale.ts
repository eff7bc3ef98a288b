// Measures a first start and a restart with very many SealedSecrets, the memory, and how close the
// times are to what RSA and the API server allow on this machine.
import type { Certificate } from "../shared/keys/keykind.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { ControlPlane, KubeObject } from "../test/cluster/controlplane.ts";
import { inLanes } from "../test/cluster/lanes.ts";
import { startOriginal } from "../test/cluster/original.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { clean, type Contender, contest, type Outcome, startOurs } from "./contest.ts";
import { openRate } from "./keyring.ts";
import { type Bench, benchSecret, ITEMS_PER_SECRET } from "./measure.ts";
import { onBenchPlane } from "./plane.ts";
import { type Check, type Figure, formatNumber, type PartReport, ratioCheck } from "./report.ts";

const ORIGINAL = "original, unlimited";
const AT_LEAST = 3;
/** Required ratio of the limit (RSA operations and writes alone) to the measured time. */
const LIMIT_SHARE_AT_LEAST = 0.6;
const MEMORY_AT_MOST_MB = 400;
const CALLS_AT_ONCE = 16;
const TIMEOUT_MS = 1_800_000;

export async function benchScale(bench: Bench): Promise<PartReport> {
  const count = bench.count ?? (bench.quick ? 1_000 : 10_000);
  const rsa = new Map<string, number>();
  for (const node of bench.nodes) {
    bench.say(`rate of RSA, ${node.label}`);
    rsa.set(node.label, await openRate(bench, node));
  }
  return onBenchPlane(bench, async (plane, certificate) => {
    bench.say("rate of writes");
    const writes = await writeRates(plane, certificate, bench.quick ? 500 : 2_000);

    const contenders: Contender[] = bench.nodes.map((node) => ({
      program: node.label,
      restart: "tells",
      timeoutMs: TIMEOUT_MS,
      start: () => startOurs(plane, node, []),
    }));
    if (!bench.oursOnly) {
      contenders.push({
        program: ORIGINAL,
        restart: "begins",
        timeoutMs: TIMEOUT_MS,
        start: () => startOriginal(plane, { flags: ["--kubeclient-qps=-1"] }),
      });
    }
    const outcomes = new Map<string, Outcome>();
    for (const contender of contenders) {
      bench.say(`${contender.program}: ${count} SealedSecrets`);
      const isLast = contender === contenders.at(-1);
      const outcome = await contest(plane, contender, count, certificate, { isLast });
      outcomes.set(contender.program, outcome);
    }
    return tell({ bench, count, outcomes, rsa, writes });
  });
}

/** SealedSecrets per second. */
export interface WriteRates {
  /** With a Secret, a status and an Event for each. */
  readonly all: number;
  /** With a Secret and a status. */
  readonly withoutEvents: number;
}

/** Returns the rates at which the API server accepts writes from a client that does nothing else. */
export async function writeRates(
  plane: ControlPlane,
  certificate: Certificate,
  count: number,
): Promise<WriteRates> {
  const namespace = "writes";
  await ensureNamespace(plane, namespace);
  const root = `/apis/bitnami.com/v1alpha1/namespaces/${namespace}/sealedsecrets`;
  const example = await seal(benchSecret(namespace, "example"), certificate);
  const data = Object.fromEntries(
    [...benchSecret(namespace, "example").data].map(([item, value]) => [
      item,
      Buffer.from(value).toString("base64"),
    ]),
  );
  const names = Array.from({ length: count }, (_, index) => `secret-${index}`);
  const made = new Map<string, KubeObject>();
  const must = async (method: string, path: string, body: unknown): Promise<KubeObject> => {
    const answer = await plane.request(method, path, body);
    if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.text}`);
    return answer.body;
  };
  await inLanes(CALLS_AT_ONCE, names, async (name) => {
    const object = formatSealedSecret({
      ...example,
      metadata: { ...example.metadata, name },
    });
    made.set(name, await must("POST", root, object));
  });
  const startedMs = performance.now();
  const perSecond = (): number => (count * 1000) / (performance.now() - startedMs);
  await inLanes(CALLS_AT_ONCE, names, async (name) => {
    const sealed = made.get(name);
    const owner = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      name,
      uid: (sealed?.metadata as { uid?: string } | undefined)?.uid,
      controller: true,
    };
    await must("POST", `/api/v1/namespaces/${namespace}/secrets`, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace, ownerReferences: [owner] },
      data,
    });
    const condition = { type: "Synced", status: "True", lastUpdateTime: new Date().toISOString() };
    const status = { observedGeneration: 1, conditions: [condition] };
    await must("PUT", `${root}/${name}/status`, { ...sealed, status });
  });
  const withoutEvents = perSecond();
  await inLanes(CALLS_AT_ONCE, names, async (name) => {
    await must("POST", `/api/v1/namespaces/${namespace}/events`, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      involvedObject: { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", name, namespace },
      reason: "Unsealed",
      type: "Normal",
      message: "SealedSecret unsealed successfully",
    });
  });
  const all = perSecond();
  await clean(plane, namespace);
  return { all, withoutEvents };
}

/** What the limit has and the controller has not. */
export function eventsNote(count: number, { withoutEvents }: WriteRates): string {
  return (
    "The limit includes an Event for each SealedSecret. The controller writes about a hundred for one namespace at once, and then one every 5 s. " +
    `Without Events the writes alone take ${formatNumber(count / withoutEvents)} s.`
  );
}

interface Found {
  readonly bench: Bench;
  readonly count: number;
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Values per second, by Node version. */
  readonly rsa: ReadonlyMap<string, number>;
  readonly writes: WriteRates;
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

function tell({ bench, count, outcomes, rsa, writes }: Found): PartReport {
  const figures = [...outcomes].flatMap(([program, outcome]): Figure[] => {
    const { secretsS, statusesS, memoryMb, restart } = outcome;
    return [
      { task: "all Secrets present", program, unit: "s", samples: [secretsS] },
      { task: "and every status written", program, unit: "s", samples: [statusesS] },
      { task: "most memory", program, unit: "MB", samples: [memoryMb] },
      { task: "restart, all in sync", program, unit: "s", samples: [restart?.seconds ?? 0] },
      { task: "most memory after it", program, unit: "MB", samples: [restart?.memoryMb ?? 0] },
    ];
  });
  const rates = [...rsa].map(([program, rate]): Figure => ({
    task: "RSA alone, values",
    program,
    unit: "per s",
    samples: [rate],
  }));
  rates.push({ task: "writes alone", program: "API server", unit: "per s", samples: [writes.all] });
  const theirs = outcomes.get(ORIGINAL);
  const checks = bench.nodes.flatMap(({ label: program }): Check[] => {
    const ours = outcomes.get(program);
    if (ours === undefined) return [];
    const limitS = (count * ITEMS_PER_SECRET) / (rsa.get(program) ?? 0) + count / writes.all;
    const share = limitS / ours.statusesS;
    const decrypted = ours.restart?.decrypted ?? Number.NaN;
    const memoryMb = Math.max(ours.memoryMb, ours.restart?.memoryMb ?? 0);
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
        task: "most memory, restart or not",
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
      "The limit: the time of the RSA operations alone, on all cores, plus the time of the writes alone (Secret, status, Event; 16 at once). Both need the same cores.",
      eventsNote(count, writes),
      `The original with its defaults would take about ${formatNumber((count * 0.8) / 3600)} hours; not run.`,
    ],
  };
}
