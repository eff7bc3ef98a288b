// Runs one controller on waiting SealedSecrets, measures how long it takes, a restart without work,
// and its memory, and then empties the control plane.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Certificate } from "../shared/keys/keykind.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import type { ControlPlane, KubeObject } from "../test/cluster/controlplane.ts";
import { inLanes } from "../test/cluster/lanes.ts";
import {
  cleanEnvironment,
  freePort,
  requireBed,
  startProgram,
  untilReady,
} from "../test/cluster/program.ts";
import { ensureNamespace, type RunningController, signetManifest } from "../test/cluster/signet.ts";
import { benchSecret } from "./measure.ts";
import type { Runner } from "./nodes.ts";
import { mostMemoryMb, sinceBoot, startOf } from "./procfs.ts";
import { repeatWrites } from "./writes.ts";

export type Running = Pick<RunningController, "pid" | "metricsUrl" | "stop" | "logs" | "kill">;

export interface Contender {
  readonly program: string;
  readonly start: () => Promise<Running>;
  readonly timeoutMs: number;
  /**
   * The metric that shows that a restart is over: our controller counts completed reconciles
   * (`tells`), the original counts started ones (`begins`). Null: do not restart.
   */
  readonly restart: "tells" | "begins" | null;
}

export interface Outcome {
  /** From the start of the process until all Secrets exist. */
  readonly secretsS: number;
  /** From the start of the process until, in addition, every SealedSecret is Synced. */
  readonly statusesS: number;
  /** Peak resident memory, in 10^6 bytes. */
  readonly memoryMb: number;
  readonly restart: {
    readonly seconds: number;
    readonly memoryMb: number;
    /** Number of SealedSecrets decrypted; undefined if the program has no metric for it. */
    readonly decrypted: number | undefined;
    /** Peak memory of a second replica that only follows; null for the original, which has none. */
    readonly followerMb: number | null;
  } | null;
  /**
   * How many SealedSecrets a second the API server takes if a client that does nothing else repeats
   * these writes; null unless wanted.
   */
  readonly repeatedPerS: number | null;
}

/** Counting many Secrets keeps etcd busy, so the interval grows with the number of Secrets. */
const pollMs = (count: number): number => Math.max(50, count / 40);
/** Metrics have a series for each SealedSecret. */
const restartPollMs = (count: number): number => Math.max(50, count / 100);
const STATUS_POLL_MS = 200;
/** As often as a Prometheus in a hurry: metrics with a series for each SealedSecret take memory. */
const FOLLOWER_POLL_MS = 5_000;
/** Statuses to read before listing all, because a list of thousands keeps the API server busy. */
const STATUS_SAMPLE = 50;
const CALLS_AT_ONCE = 16;
/** Time for the API server's caches to settle. */
const SETTLE_MS = 1000;
const READY_TIMEOUT_MS = 60_000;
/** Deleting 100,000 objects of three kinds takes minutes. */
const CLEAN_TIMEOUT_MS = 900_000;
const NAMESPACE = "kube-system";
const COPIES = "copies";

const PREFIX = "sealed_secrets_controller_";
const ENDED = `${PREFIX}reconcile_duration_seconds_count`;
const BEGUN = `${PREFIX}unseal_requests_total`;
const DECRYPTED = `${PREFIX}unsealed_objects_total`;
const WATCHED = `${PREFIX}sealedsecrets`;

let runs = 0;

/**
 * Runs `contender` on `count` waiting SealedSecrets in a separate namespace, and then, with
 * `repeat`, its writes.
 */
export async function contest(
  plane: ControlPlane,
  contender: Contender,
  count: number,
  certificate: Certificate,
  { isLast = false, repeat = false } = {},
): Promise<Outcome> {
  const namespace = `bench-${++runs}`;
  const expected = Array.from({ length: count }, (_, index) =>
    benchSecret(namespace, `secret-${index}`),
  );
  await ensureNamespace(plane, namespace);
  await createSealed(plane, expected, certificate);
  await sleep(SETTLE_MS);
  const started = await startAnd(contender, () =>
    untilDone(`${count} Secrets`, contender, pollMs(count), async () => {
      return (await countSecrets(plane, namespace)) >= count;
    }),
  );
  const { running, startedS, endedS } = started;
  let outcome: Outcome;
  try {
    const statusesS = await untilDone(`${count} statuses`, contender, STATUS_POLL_MS, () =>
      allSynced(plane, namespace, count),
    );
    await checkSecrets(plane, expected);
    outcome = {
      secretsS: endedS - startedS,
      statusesS: statusesS - startedS,
      memoryMb: await mostMemoryMb(running.pid),
      restart: null,
      repeatedPerS: null,
    };
  } finally {
    await running.stop();
  }
  if (contender.restart !== null) {
    outcome = { ...outcome, restart: await restart(contender, contender.restart, count) };
  }
  if (repeat) {
    const names = expected.map(({ metadata }) => metadata.name);
    const token = await ourToken(plane, NAMESPACE);
    const repeatedPerS = await repeatWrites(plane, { namespace, names, token }, COPIES);
    outcome = { ...outcome, repeatedPerS };
    await clean(plane, COPIES);
  }
  // After the last contender nothing is measured; the API server ends with everything in it.
  if (!isLast) await clean(plane, namespace);
  return outcome;
}

async function restart(
  contender: Contender,
  over: "tells" | "begins",
  count: number,
): Promise<Outcome["restart"]> {
  let running: Running | undefined;
  const metric = over === "tells" ? ENDED : BEGUN;
  const noted: Contender = {
    ...contender,
    start: async () => (running = await contender.start()),
  };
  const restarted = await startAnd(noted, () =>
    untilDone(`${count} after a restart`, contender, restartPollMs(count), async () => {
      return running !== undefined && ((await readMetrics(running)).get(metric) ?? 0) >= count;
    }),
  );
  try {
    return {
      seconds: restarted.endedS - restarted.startedS,
      memoryMb: await mostMemoryMb(restarted.running.pid),
      decrypted: (await readMetrics(restarted.running)).get(DECRYPTED),
      followerMb: over === "tells" ? await follow(contender, count) : null,
    };
  } finally {
    await restarted.running.stop();
  }
}

/** Starts a second replica, and returns its peak memory once it knows all SealedSecrets. */
async function follow(contender: Contender, count: number): Promise<number> {
  const follower = await contender.start();
  try {
    await untilDone(`${count} known to a follower`, contender, FOLLOWER_POLL_MS, async () => {
      return ((await readMetrics(follower)).get(WATCHED) ?? 0) >= count;
    });
    return await mostMemoryMb(follower.pid);
  } finally {
    await follower.stop();
  }
}

/** Starts and watches the program at the same time: it may finish before it reports ready. */
async function startAnd(
  contender: Contender,
  watch: () => Promise<number>,
): Promise<{ running: Running; startedS: number; endedS: number }> {
  const [started, watched] = await Promise.allSettled([contender.start(), watch()]);
  if (started.status === "rejected") throw started.reason;
  const running = started.value;
  if (watched.status === "rejected") {
    await running.stop();
    throw new Error(`last log lines of ${contender.program}:\n${running.logs().slice(-2000)}`, {
      cause: watched.reason,
    });
  }
  return { running, startedS: await startOf(running.pid), endedS: watched.value };
}

/** Returns the time when `probe` first returns true, in seconds since the machine booted. */
async function untilDone(
  what: string,
  { program, timeoutMs }: Contender,
  pollMs: number,
  probe: () => Promise<boolean>,
): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (await probe()) return sinceBoot();
    await sleep(pollMs);
  }
  throw new Error(`${program}: no ${what} within ${timeoutMs / 1000} s`);
}

export async function createSealed(
  plane: ControlPlane,
  secrets: readonly Secret[],
  certificate: Certificate,
): Promise<void> {
  const path = `/apis/bitnami.com/v1alpha1/namespaces/${secrets[0]?.metadata.namespace ?? ""}`;
  await inLanes(CALLS_AT_ONCE, secrets, async (secret) => {
    const object = formatSealedSecret(await seal(secret, certificate));
    const answer = await plane.request("POST", `${path}/sealedsecrets`, object);
    if (answer.status !== 201) throw new Error(`creating a SealedSecret: ${answer.text}`);
  });
}

/** Counts Secrets with a list limited to one, which states how many remain and is cheap. */
export async function countSecrets(plane: ControlPlane, namespace: string): Promise<number> {
  const path = `/api/v1/namespaces/${namespace}/secrets?limit=1`;
  const { body } = await plane.request("GET", path);
  const { remainingItemCount = 0 } = (body.metadata ?? {}) as { remainingItemCount?: number };
  return (body.items?.length ?? 0) + remainingItemCount;
}

/** Objects a page: all of a large collection in one response would be too long for a string. */
const PAGE = 500;

/** Every object of a collection, read page by page, so that they are never all in memory. */
async function* listed(plane: ControlPlane, path: string): AsyncGenerator<KubeObject> {
  let from = "";
  do {
    const page = `limit=${PAGE}${from === "" ? "" : `&continue=${encodeURIComponent(from)}`}`;
    const { status, body, text } = await plane.request("GET", `${path}?${page}`);
    if (status !== 200) throw new Error(`listing ${path}: ${text}`);
    yield* body.items ?? [];
    from = ((body.metadata ?? {}) as { continue?: string }).continue ?? "";
  } while (from !== "");
}

async function allSynced(plane: ControlPlane, namespace: string, count: number): Promise<boolean> {
  const path = `/apis/bitnami.com/v1alpha1/namespaces/${namespace}/sealedsecrets`;
  for (let taken = 0; taken < STATUS_SAMPLE; taken++) {
    const name = `secret-${Math.floor(Math.random() * count)}`;
    if (!isSynced((await plane.request("GET", `${path}/${name}`)).body)) return false;
  }
  let synced = 0;
  for await (const object of listed(plane, path)) {
    if (!isSynced(object)) return false;
    synced++;
  }
  return synced === count;
}

function isSynced({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as {
    conditions?: { type: string; status: string }[];
  };
  return conditions.some((each) => each.type === "Synced" && each.status === "True");
}

/** Fast but wrong results do not count. @throws Error if a value differs from what was sealed */
async function checkSecrets(plane: ControlPlane, expected: readonly Secret[]): Promise<void> {
  const namespace = expected[0]?.metadata.namespace ?? "";
  const missing = new Map(expected.map((secret) => [secret.metadata.name, secret.data]));
  for await (const { metadata, data } of listed(plane, `/api/v1/namespaces/${namespace}/secrets`)) {
    const name = metadata?.name ?? "";
    for (const [item, value] of missing.get(name) ?? []) {
      if (data?.[item] !== Buffer.from(value).toString("base64")) {
        throw new Error(`${namespace}/${name}: ${item} is not what was sealed`);
      }
    }
    missing.delete(name);
  }
  if (missing.size > 0) throw new Error(`${namespace}: ${missing.size} Secrets are missing`);
}

/** Returns the total of each metric over all labels, by metric name. */
export async function readMetrics({
  metricsUrl,
}: Pick<Running, "metricsUrl">): Promise<Map<string, number>> {
  const response = await fetch(`${metricsUrl}/metrics`);
  const totals = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    const [, name = "", value] = /^([a-z_:]+)(?:\{.*\})? (\S+)$/i.exec(line) ?? [];
    if (name !== "") totals.set(name, (totals.get(name) ?? 0) + Number(value));
  }
  return totals;
}

/** Empties a namespace, because there is no controller manager to do garbage collection. */
export async function clean(plane: ControlPlane, namespace: string): Promise<void> {
  const paths = [
    `/apis/bitnami.com/v1alpha1/namespaces/${namespace}/sealedsecrets`,
    `/api/v1/namespaces/${namespace}/secrets`,
    `/api/v1/namespaces/${namespace}/events`,
  ];
  for (const path of paths) {
    await plane.waitFor(
      `${path} to be empty`,
      async () => {
        // Deleting many objects may exceed the timeout of one call; the next call continues.
        await plane.request("DELETE", path);
        const { body } = await plane.request("GET", `${path}?limit=1`);
        return body.items?.length === 0;
      },
      CLEAN_TIMEOUT_MS,
    );
  }
  await sleep(SETTLE_MS);
}

/** The heap that Node takes by itself under the chart's limit of 512 MiB, which a bench has not. */
const HEAP = "--max-old-space-size=259";

/** What the image sets for the program. */
const OF_IMAGE = { NODE_ENV: "production", MALLOC_ARENA_MAX: "2" };

/** A token of the account with the chart's permissions. */
async function ourToken(plane: ControlPlane, namespace: string): Promise<string> {
  const manifest = await signetManifest(namespace);
  const account = manifest.find(({ kind }) => kind === "ServiceAccount")?.metadata?.name ?? "";
  return plane.serviceAccountToken(namespace, account);
}

/** Starts our controller as the chart runs it. */
export async function startOurs(
  plane: ControlPlane,
  { path, programs }: Runner,
  flags: readonly string[],
  { namespace = NAMESPACE, port: wanted }: { namespace?: string; port?: number } = {},
): Promise<Running & { readonly port: number }> {
  const host = requireBed("the benchmark of controllers");
  const token = await ourToken(plane, namespace);
  const port = wanted ?? (await freePort(host));
  const metricsPort = await freePort(host);
  const running = startProgram(
    [
      ...[path, HEAP, join(programs, "signet-controller.mjs")],
      `--kubeconfig=${await plane.kubeconfig({ token, namespace })}`,
      ...[`--listen-addr=${host}:${port}`, `--listen-metrics-addr=${host}:${metricsPort}`],
      ...flags,
    ],
    { env: cleanEnvironment({ POD_NAMESPACE: namespace, ...OF_IMAGE }) },
  );
  const probe = async (): Promise<boolean> => {
    return (await fetch(`http://${host}:${port}/readyz`)).ok;
  };
  await untilReady("signet-controller", running, probe, READY_TIMEOUT_MS);
  return { ...running, port, metricsUrl: `http://${host}:${metricsPort}` };
}
