// Measures how soon an edited or deleted Secret is restored, among thousands that are in sync.
import { type ControlPlane, type KubeObject, MERGE } from "../test/cluster/controlplane.ts";
import { startOriginal } from "../test/cluster/original.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { clean, countSecrets, createSealed, type Running, startOurs } from "./contest.ts";
import { type Bench, benchSecret } from "./measure.ts";
import { onBenchPlane } from "./plane.ts";
import {
  type Check,
  type Figure,
  formatNumber,
  median,
  type PartReport,
  percentile,
} from "./report.ts";

const ORIGINAL = "original, unlimited";
const P99_AT_MOST_MS = 1_000;
const WAIT_MS = 10_000;

type Disturb = (path: string) => Promise<void>;

interface Outcome {
  readonly edited: readonly number[];
  readonly deleted: readonly number[];
}

export async function benchDrift(bench: Bench): Promise<PartReport> {
  const count = bench.quick ? 200 : 2_000;
  const turns = bench.quick ? 20 : 300;
  return onBenchPlane(bench, async (plane, certificate) => {
    const outcomes = new Map<string, Outcome>();

    const measure = async (
      program: string,
      start: () => Promise<Running>,
      repairsEdits: boolean,
    ): Promise<void> => {
      bench.say(`${program}: drift among ${count} Secrets`);
      const namespace = `drift-${outcomes.size}`;
      await ensureNamespace(plane, namespace);
      const secrets = Array.from({ length: count }, (_, index) =>
        benchSecret(namespace, `secret-${index}`),
      );
      await createSealed(plane, secrets, certificate);
      const running = await start();
      try {
        await untilAllThere(plane, namespace, count);
        const edited = repairsEdits ? await times(plane, namespace, turns, edit(plane)) : [];
        const deleted = await times(plane, namespace, turns, remove(plane));
        outcomes.set(program, { edited, deleted });
      } finally {
        await running.stop();
      }
      await clean(plane, namespace);
    };
    for (const node of bench.nodes) {
      await measure(node.label, () => startOurs(plane, node, []), true);
    }
    const flags = ["--kubeclient-qps=-1"];
    await measure(ORIGINAL, () => startOriginal(plane, { flags }), false);
    return tell(count, outcomes);
  });
}

async function untilAllThere(plane: ControlPlane, namespace: string, count: number): Promise<void> {
  await plane.waitFor(
    `${count} Secrets`,
    async () => (await countSecrets(plane, namespace)) >= count,
    600_000,
  );
  // Wait for the remaining writes of statuses and Events.
  await new Promise((done) => setTimeout(done, 5_000));
}

const edit =
  (plane: ControlPlane): Disturb =>
  async (path) => {
    await plane.request("PATCH", path, { stringData: { "password-0": "drift" } }, MERGE);
  };

const remove =
  (plane: ControlPlane): Disturb =>
  async (path) => {
    await plane.request("DELETE", path);
  };

/**
 * Disturbs `turns` Secrets, one after the other. Returns the milliseconds from each response of the
 * API server until the Secret is restored.
 */
async function times(
  plane: ControlPlane,
  namespace: string,
  turns: number,
  disturb: Disturb,
): Promise<number[]> {
  const took: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const path = `/api/v1/namespaces/${namespace}/secrets/secret-${turn}`;
    const before = JSON.stringify((await plane.request("GET", path)).body.data);
    await disturb(path);
    const startedMs = performance.now();
    const data = async (): Promise<KubeObject["data"]> =>
      (await plane.request("GET", path)).body.data;
    while (JSON.stringify(await data()) !== before) {
      if (performance.now() - startedMs > WAIT_MS) throw new Error(`${path} was not restored`);
    }
    took.push(performance.now() - startedMs);
  }
  return took;
}

const TASKS = { edited: "edited Secret restored", deleted: "deleted Secret restored" } as const;

function tell(count: number, outcomes: ReadonlyMap<string, Outcome>): PartReport {
  const kinds = Object.keys(TASKS) as (keyof typeof TASKS)[];
  const figures = kinds.flatMap((kind) =>
    [...outcomes].flatMap(([program, outcome]): Figure[] =>
      outcome[kind].length === 0
        ? []
        : [{ task: TASKS[kind], program, unit: "ms", samples: outcome[kind] }],
    ),
  );
  const theirs = median(outcomes.get(ORIGINAL)?.deleted ?? []);
  const checks = kinds.flatMap((kind) =>
    [...outcomes].map(([program, outcome]): Check => {
      const task = TASKS[kind];
      if (outcome[kind].length === 0) return { task, program, found: "never" };
      const p99 = percentile(outcome[kind], 0.99);
      const times = theirs / median(outcome[kind]);
      const ratio = kind === "deleted" && program !== ORIGINAL;
      const found = [
        `99 of 100 within ${formatNumber(p99)} ms`,
        ...(ratio ? [`median ${formatNumber(times)} times as fast as the ${ORIGINAL}`] : []),
      ].join("; ");
      if (program === ORIGINAL) return { task, program, found };
      const met = p99 <= P99_AT_MOST_MS;
      return { task, program, found, target: `99 of 100 within ${P99_AT_MOST_MS} ms`, met };
    }),
  );
  return {
    title: `Drift among ${count} Secrets`,
    figures,
    checks,
    notes: [
      "From the API server's answer to the edit until the Secret reads as it was; one after the other, each another Secret.",
      "The original recreates a deleted Secret, and leaves an edited one as it is.",
    ],
  };
}
