// Measures Secrets that are delivered to very many namespaces: how long it takes until all are made,
// changed and deleted, what a restart costs, the memory, and the calls of the API server.
import { setTimeout as sleep } from "node:timers/promises";
import type { Certificate } from "../shared/keys/keykind.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { type ControlPlane, MERGE } from "../test/cluster/controlplane.ts";
import { inLanes } from "../test/cluster/lanes.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { readMetrics, type Running, startOurs } from "./contest.ts";
import { type Bench, benchSecret } from "./measure.ts";
import type { Runner } from "./nodes.ts";
import { onBenchPlane } from "./plane.ts";
import { cpuSeconds, mostMemoryMb } from "./procfs.ts";
import { type Check, type Figure, formatNumber, type PartReport } from "./report.ts";
import { watchSecrets } from "./secretwatch.ts";

const HOME = "shared";
const SEALED_SECRETS = `/apis/bitnami.com/v1alpha1/namespaces/${HOME}/sealedsecrets`;
const FLAGS = [`--deliver-from=${HOME}`];
const CALLS_AT_ONCE = 16;
const TIMEOUT_MS = 1_800_000;
/** A controller that reconciled nothing for this long has nothing to do. */
const IDLE_MS = 10_000;
/** Seldom: a look at the metrics counts all deliveries. */
const POLL_MS = 500;
/** What a namespace takes among many, compared with few. */
const GROWTH_AT_MOST = 1.5;
/** The chart's limit. */
const MEMORY_AT_MOST_MB = 537;

const PREFIX = "sealed_secrets_controller_";
const ENDED = `${PREFIX}reconcile_duration_seconds_count`;
const DEPTH = `${PREFIX}queue_depth`;

/** The value of each item of a Secret, in base64, by the Secret's name. */
type Values = ReadonlyMap<string, string>;

interface Version {
  readonly objects: readonly JsonObject[];
  readonly values: Values;
}

/** What was done, how long it took, and the calls that it took. */
interface Step {
  readonly what: string;
  readonly seconds: number;
  /** What the controller computed until it had nothing left to do. */
  readonly cpuS: number;
  /** Such as `POST secrets`. */
  readonly calls: ReadonlyMap<string, number>;
}

interface Outcome {
  readonly program: string;
  readonly namespaces: number;
  readonly steps: readonly Step[];
  readonly memoryMb: number;
  readonly restartedMb: number;
}

export async function benchDeliveries(bench: Bench): Promise<PartReport> {
  const sizes = bench.quick ? [5, 15] : [50, 150, 500];
  const sources = bench.quick ? 5 : 50;
  const outcomes: Outcome[] = [];
  for (const node of bench.nodes) {
    for (const namespaces of sizes) {
      bench.say(`${node.label}: ${sources} deliveries to ${namespaces} namespaces`);
      const outcome = await onBenchPlane(bench, (plane, certificate) =>
        measure(plane, bench, node, { namespaces, sources, certificate }),
      );
      outcomes.push(outcome);
    }
  }
  return tell(outcomes, sizes, sources);
}

interface Size {
  readonly namespaces: number;
  readonly sources: number;
  readonly certificate: Certificate;
}

async function measure(
  plane: ControlPlane,
  bench: Bench,
  node: Runner,
  { namespaces, sources, certificate }: Size,
): Promise<Outcome> {
  await ensureNamespace(plane, HOME);
  await inLanes(CALLS_AT_ONCE, Array(namespaces).keys(), async (index) => {
    const metadata = { name: `target-${index}`, labels: { bench: "" } };
    await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata });
  });
  const [first, second] = [
    await version(sources, certificate),
    await version(sources, certificate),
  ];
  const delivered = await watchDelivered(plane);
  let running: Running = await startOurs(plane, node, FLAGS);
  const steps: Step[] = [];
  /** `work` resolves to when all was done, once the controller has nothing left to do. */
  const step = async (
    what: string,
    isStart: boolean,
    work: () => Promise<number>,
  ): Promise<void> => {
    const before = await callsOf(plane);
    const cpuBefore = isStart ? 0 : await cpuSeconds(running.pid);
    const startedMs = performance.now();
    const endedMs = await work();
    const seconds = (endedMs - startedMs) / 1000;
    const cpuS = (await cpuSeconds(running.pid)) - cpuBefore;
    const calls = difference(before, await callsOf(plane));
    steps.push({ what, seconds, cpuS, calls });
    const memoryMb = await mostMemoryMb(running.pid);
    bench.say(
      `  ${what}: ${seconds.toFixed(1)} s, processor ${cpuS.toFixed(1)} s, ` +
        `${memoryMb.toFixed(0)} MB, ${formatCalls(calls)}`,
    );
  };
  const change = (what: string, version: Version, ask: Ask, values = version.values) =>
    step(what, false, async () => {
      await inLanes(CALLS_AT_ONCE, version.objects, (object) => ask(plane, object));
      const isDone = (): boolean => delivered.areAll(values, namespaces);
      await plane.waitFor(`all to be ${what}`, isDone, TIMEOUT_MS);
      const endedMs = performance.now();
      await untilIdle(running);
      return endedMs;
    });
  try {
    await change("made", first, create);
    await change("changed", second, patch);
    const memoryMb = await mostMemoryMb(running.pid);
    await running.stop();
    await step("in sync after a restart", true, async () => {
      running = await startOurs(plane, node, FLAGS);
      return untilIdle(running);
    });
    const restartedMb = await mostMemoryMb(running.pid);
    await change("deleted", second, remove, new Map());
    return { program: node.label, namespaces, steps, memoryMb, restartedMb };
  } finally {
    delivered.stop();
    await running.stop();
  }
}

/** The same SealedSecrets with other values. */
async function version(sources: number, certificate: Certificate): Promise<Version> {
  const objects: JsonObject[] = [];
  const values = new Map<string, string>();
  for (let index = 0; index < sources; index++) {
    const secret = benchSecret(HOME, `login-${index}`);
    const annotations = { "kube-signet/deliver-to": "bench" };
    const metadata = { ...secret.metadata, annotations };
    objects.push(
      formatSealedSecret(await seal({ ...secret, metadata }, certificate, "cluster-wide")),
    );
    const data = [...secret.data].map(([item, value]) => [
      item,
      Buffer.from(value).toString("base64"),
    ]);
    values.set(metadata.name, JSON.stringify(data.sort()));
  }
  return { objects, values };
}

type Ask = (plane: ControlPlane, object: JsonObject) => Promise<void>;

const pathOf = ({ metadata }: JsonObject): string =>
  `${SEALED_SECRETS}/${(metadata as { name: string }).name}`;

async function create(plane: ControlPlane, object: JsonObject): Promise<void> {
  const { status, text } = await plane.request("POST", SEALED_SECRETS, object);
  if (status !== 201) throw new Error(`creating a SealedSecret: ${text}`);
}

async function patch(plane: ControlPlane, object: JsonObject): Promise<void> {
  const { status, text } = await plane.request("PATCH", pathOf(object), object, MERGE);
  if (status !== 200) throw new Error(`changing a SealedSecret: ${text}`);
}

async function remove(plane: ControlPlane, object: JsonObject): Promise<void> {
  const { status, text } = await plane.request("DELETE", pathOf(object));
  if (status !== 200) throw new Error(`deleting a SealedSecret: ${text}`);
}

interface DeliveredWatch {
  /** Whether each namespace has all of these, and nothing else was delivered. */
  readonly areAll: (values: Values, namespaces: number) => boolean;
  readonly stop: () => void;
}

async function watchDelivered(plane: ControlPlane): Promise<DeliveredWatch> {
  const seen = new Map<string, { readonly name: string; readonly data: string }>();
  const stop = await watchSecrets(
    plane,
    "kube-signet/secret=delivered",
    ({ metadata, data = {} }, isDeleted) => {
      const { namespace = "", name = "" } = metadata ?? {};
      if (isDeleted) seen.delete(`${namespace}/${name}`);
      else
        seen.set(`${namespace}/${name}`, {
          name,
          data: JSON.stringify(Object.entries(data).sort()),
        });
    },
  );
  return {
    areAll: (values, namespaces) =>
      seen.size === values.size * namespaces &&
      [...seen.values()].every(({ name, data }) => values.get(name) === data),
    stop,
  };
}

/** Waits until a controller has nothing to do. Returns when it did something last. */
async function untilIdle(running: Running): Promise<number> {
  let ended = -1;
  let lastMs = performance.now();
  for (;;) {
    // This process, too, may have been too busy to keep a connection.
    const metrics = await readMetrics(running).catch(() => null);
    const nowMs = performance.now();
    const now = metrics?.get(ENDED) ?? 0;
    if (metrics === null || now !== ended || (metrics.get(DEPTH) ?? 0) > 0) {
      ended = now;
      lastMs = nowMs;
    } else if (nowMs - lastMs > IDLE_MS) {
      return lastMs;
    }
    await sleep(POLL_MS);
  }
}

/**
 * The calls that only a controller makes, by verb and resource, from the API server's metrics. What
 * the bench does itself is another verb or another resource.
 */
async function callsOf(plane: ControlPlane): Promise<Map<string, number>> {
  const { text } = await plane.request("GET", "/metrics");
  const calls = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, labels = "", count] = /^apiserver_request_total\{(.*)\} (\S+)$/.exec(line) ?? [];
    if (count === undefined) continue;
    const label = (name: string): string =>
      new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
    const verb = label("verb");
    const [resource, subresource] = [label("resource"), label("subresource")];
    const what = subresource === "" ? resource : `${resource}/${subresource}`;
    const isOurs =
      (what === "secrets" && verb !== "WATCH") ||
      what === "sealedsecrets/status" ||
      what === "events" ||
      (["sealedsecrets", "namespaces"].includes(what) && ["LIST", "GET"].includes(verb));
    if (!isOurs) continue;
    const named = `${verb} ${what}`;
    calls.set(named, (calls.get(named) ?? 0) + Number(count));
  }
  return calls;
}

function difference(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): Map<string, number> {
  return new Map(
    [...after]
      .map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const)
      .filter(([, count]) => count > 0)
      .sort(([, a], [, b]) => b - a),
  );
}

const formatCalls = (calls: Step["calls"]): string =>
  [...calls].map(([name, count]) => `${count} ${name}`).join(", ");

function tell(outcomes: readonly Outcome[], sizes: readonly number[], sources: number): PartReport {
  const figures = outcomes.flatMap(
    ({ program, namespaces, steps, memoryMb, restartedMb }): Figure[] => [
      ...steps.map(({ what, seconds }): Figure => ({
        task: `${namespaces} namespaces: all ${what}`,
        program,
        unit: "s",
        samples: [seconds],
      })),
      {
        task: `${namespaces} namespaces: most memory`,
        program,
        unit: "MB",
        samples: [Math.max(memoryMb, restartedMb)],
      },
    ],
  );
  const rows = outcomes.flatMap(({ program, namespaces, steps }) =>
    steps.map(({ what, calls }) => [
      `${namespaces} namespaces: all ${what}`,
      program,
      formatCalls(calls),
    ]),
  );
  return {
    title: `Deliveries of ${sources} Secrets`,
    figures,
    checks: [...new Set(outcomes.map(({ program }) => program))].flatMap((program) =>
      checksOf(
        program,
        outcomes.filter((each) => each.program === program),
      ),
    ),
    tables: [{ head: ["task", "program", "calls"], rows }],
    notes: [
      `${sources} SealedSecrets of 3 values at RSA-4096 with the scope cluster-wide, in one namespace, delivered to ${sizes.join(", ")} others; all are created, changed and deleted at once. Ours with its defaults.`,
      "From the first change until a watch of the API server has reported all Secrets with these values; the restart from the start of the process until nothing is left to do. The controller's processor time and the calls, from the API server's metrics, are those until nothing is left to do.",
      "A SealedSecret must be gone for 3 s before its Secrets are deleted.",
    ],
  };
}

/** Whether its work is in proportion to the number of Secrets, and the memory is bounded. */
function checksOf(program: string, outcomes: readonly Outcome[]): Check[] {
  const [few, many] = [outcomes[0], outcomes.at(-1)];
  if (few === undefined || many === undefined) return [];
  const growths = ["made", "changed", "in sync after a restart", "deleted"].map((what): Check => {
    const perNamespace = ({ steps, namespaces }: Outcome): number =>
      (steps.find((step) => step.what === what)?.cpuS ?? Number.NaN) / namespaces;
    const growth = perNamespace(many) / perNamespace(few);
    return {
      task: `all ${what}, processor for one namespace`,
      program,
      found: `of ${many.namespaces} ${formatNumber(growth)} times that of ${few.namespaces}`,
      target: `at most ${GROWTH_AT_MOST}`,
      met: growth <= GROWTH_AT_MOST,
    };
  });
  const most = Math.max(...outcomes.flatMap((each) => [each.memoryMb, each.restartedMb]));
  return [
    ...growths,
    {
      task: "most memory, restart or not",
      program,
      found: `${formatNumber(most)} MB`,
      target: `at most ${MEMORY_AT_MOST_MB} MB`,
      met: most <= MEMORY_AT_MOST_MB,
    },
  ];
}
