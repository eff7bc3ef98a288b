// Measures how much sooner several replicas that share the SealedSecrets open them all than one does.
import { setTimeout as sleep } from "node:timers/promises";
import type { Certificate } from "../shared/keys/keykind.ts";
import type { ControlPlane } from "../test/cluster/controlplane.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { countSecrets, createSealed, readMetrics, type Running, startOurs } from "./contest.ts";
import { type Bench, benchSecret } from "./measure.ts";
import type { Runner } from "./nodes.ts";
import { onBenchPlane } from "./plane.ts";
import { cpuSeconds, sinceBoot, startOf } from "./procfs.ts";
import { type Figure, formatNumber, type PartReport, type Table } from "./report.ts";

const REPLICAS = [1, 3];
/** Enough that each shard has about as many. */
const NAMESPACES = 60;
const TIMEOUT_MS = 1_800_000;
const POLL_MS = 250;
const OPENED = "sealed_secrets_controller_unsealed_objects_total";

interface Outcome {
  readonly program: string;
  /** From the start of the first process until all Secrets exist. */
  readonly secretsS: number;
  /** Secrets per second, from the first Secret to the last. */
  readonly rate: number;
  /** How many SealedSecrets each replica opened. */
  readonly opened: readonly number[];
  readonly cpuS: number;
}

export async function benchShards(bench: Bench): Promise<PartReport> {
  const count = bench.count ?? (bench.quick ? 600 : 6_000);
  const outcomes: Outcome[] = [];
  for (const node of bench.nodes) {
    for (const replicas of REPLICAS) {
      bench.say(`${node.label}, replicas: ${replicas}`);
      outcomes.push(
        await onBenchPlane(bench, (plane, certificate) =>
          measure(plane, node, { replicas, count, certificate }),
        ),
      );
    }
  }
  return tell(outcomes, count);
}

async function measure(
  plane: ControlPlane,
  node: Runner,
  { replicas, count, certificate }: { replicas: number; count: number; certificate: Certificate },
): Promise<Outcome> {
  const namespaces = Array.from({ length: NAMESPACES }, (_, index) => `share-${index}`);
  const each = Math.ceil(count / NAMESPACES);
  for (const namespace of namespaces) {
    await ensureNamespace(plane, namespace);
    const secrets = Array.from({ length: each }, (_, index) =>
      benchSecret(namespace, `secret-${index}`),
    );
    await createSealed(plane, secrets, certificate);
  }
  const flags = replicas === 1 ? [] : [`--shards=${replicas}`];
  const starting = Array.from({ length: replicas }, () => startOurs(plane, node, flags));
  const running: Running[] = await Promise.all(starting);
  try {
    let firstS: number | undefined;
    let made = 0;
    const all = each * NAMESPACES;
    const deadline = performance.now() + TIMEOUT_MS;
    while (made < all) {
      if (performance.now() > deadline) throw new Error(`${made} of ${all} Secrets in time`);
      await sleep(POLL_MS);
      const counts = await Promise.all(
        namespaces.map((namespace) => countSecrets(plane, namespace)),
      );
      made = counts.reduce((sum, found) => sum + found, 0);
      if (made > 0) firstS ??= await sinceBoot();
    }
    const endS = await sinceBoot();
    const starts = await Promise.all(running.map(({ pid }) => startOf(pid)));
    const opened = await Promise.all(
      running.map(async (replica) => (await readMetrics(replica)).get(OPENED) ?? 0),
    );
    const cpu = await Promise.all(running.map(({ pid }) => cpuSeconds(pid)));
    return {
      program: `${node.label}, replicas: ${replicas}`,
      secretsS: endS - Math.min(...starts),
      rate: all / (endS - (firstS ?? endS)),
      opened,
      cpuS: cpu.reduce((sum, seconds) => sum + seconds, 0),
    };
  } finally {
    await Promise.all(running.map((replica) => replica.stop()));
  }
}

function tell(outcomes: readonly Outcome[], count: number): PartReport {
  const figures = outcomes.flatMap(({ program, secretsS, rate, cpuS }): Figure[] => [
    { task: "all Secrets present", program, unit: "s", samples: [secretsS] },
    { task: "Secrets made, after the first", program, unit: "per s", samples: [rate] },
    { task: "processor time of all replicas", program, unit: "s", samples: [cpuS] },
  ]);
  const table: Table = {
    head: ["replicas", "SealedSecrets that each opened"],
    rows: outcomes.map(({ program, opened }) => [program, opened.map(formatNumber).join(", ")]),
  };
  return {
    title: `Shards: ${count} SealedSecrets in ${NAMESPACES} namespaces`,
    figures,
    checks: [],
    tables: [table],
    notes: [
      "SealedSecrets of 3 values at RSA-4096, created before; the replicas are started at the same time, with as many shards as replicas.",
      "On one machine all replicas, the API server and etcd share the same cores, so more replicas gain nothing there. Sharing is faster only where each replica has cores of its own.",
    ],
  };
}
