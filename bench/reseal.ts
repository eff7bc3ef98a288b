// Measures re-sealing a repository after a rotation, offline and through the clusters' controllers,
// against the bounds of RSA and rate limits, and against `kubeseal --re-encrypt` in a loop.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { formatKeySecret } from "../shared/keys/keyfile.ts";
import { type ControlPlane, startControlPlane } from "../test/cluster/controlplane.ts";
import { startOriginal } from "../test/cluster/original.ts";
import {
  addAccount,
  ensureNamespace,
  exposeController,
  installSignet,
  signetManifest,
} from "../test/cluster/signet.ts";
import { partPath } from "../test/parts/parts.ts";
import {
  type BenchCluster,
  checkOpens,
  type Checkout,
  checkResealed,
  clusterOf,
  restore,
} from "./checkout.ts";
import { startOurs } from "./contest.ts";
import { openRate } from "./keyring.ts";
import {
  alternate,
  type Bench,
  ITEMS_PER_SECRET,
  type Subject,
  toFigures,
  wallMs,
} from "./measure.ts";
import type { Runner } from "./nodes.ts";
import { type Check, type Figure, formatNumber, median, ratioCheck } from "./report.ts";

const OFFLINE = "signet reseal --recovery-key";
const ONLINE = "signet reseal";
const LIVE = "signet verify --live";
/** Values that all cores open per second, measured alternately with each of the two. */
const RSA_OFFLINE = "RSA alone, values (offline)";
const RSA_ONLINE = "RSA alone, values";
const RE_ENCRYPT = "kubeseal --re-encrypt";
const VALIDATE = "kubeseal --validate";
/** The original's equivalent of each command, which runs file by file. */
const LOOPS = { [ONLINE]: RE_ENCRYPT, [LIVE]: VALIDATE };
/** Required share of the rate that RSA alone, or the rate limit for a client, allows. */
const OFFLINE_SHARE_AT_LEAST = 0.8;
const ONLINE_SHARE_AT_LEAST = 0.6;

/** The defaults of our controller; SPEC.md, "HTTP". */
const VALUES_A_REQUEST = 19;
const REQUESTS_A_SECOND = 20;
const REQUESTS_AT_ONCE = 40;
/** Time after which a client has its full burst of requests again. */
const RESTED_MS = (1000 * REQUESTS_AT_ONCE) / REQUESTS_A_SECOND;

const SERVICE = "sealed-secrets-controller";
const ORIGINAL = "original";
const NO_LIMIT = ["--rate-limit=100000", "--rate-limit-burst=100000"];
/** Files to loop over, because a loop over all files would take minutes. */
const LOOP_FILES = 50;

// $0 mode, $1 kubeseal, $2 kubeconfig, $3 output folder, then the files. Retries, because the
// controller rejects requests above its rate limit.
const LOOP = `
kubeseal=$1 kubeconfig=$2 output=$3
shift 3
for file; do
  tries=0
  until "$kubeseal" "$0" --kubeconfig "$kubeconfig" --controller-namespace ${ORIGINAL} \\
    --format yaml < "$file" > "$output/$file" 2> "$output/refusal"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 100 ]; then cat "$output/refusal" >&2; exit 1; fi
    sleep 0.1
  done
done`;

/** By default the original allows two validations a second, so that loop is slow and runs once. */
const ORIGINALS = [
  {
    program: "original, defaults",
    flags: [],
    loops: [
      { task: RE_ENCRYPT, mode: "--re-encrypt", isSlow: false },
      { task: VALIDATE, mode: "--validate", isSlow: true },
    ],
  },
  {
    program: "original, unlimited",
    flags: NO_LIMIT,
    loops: [{ task: VALIDATE, mode: "--validate", isSlow: false }],
  },
] as const;

interface Told {
  readonly figures: Figure[];
  readonly checks: Check[];
  readonly notes: string[];
}

interface Setting {
  readonly bench: Bench;
  readonly checkout: Checkout;
  /** The working tree that is re-sealed repeatedly. */
  readonly tree: string;
  readonly rounds: number;
}

export async function benchReseal(bench: Bench, checkout: Checkout, tree: string): Promise<Told> {
  const setting = { bench, checkout, tree, rounds: bench.quick ? 2 : 5 };
  const offline = await benchOffline(setting);
  const online = await benchOnline(setting);
  return {
    figures: [...offline.figures, ...online.figures],
    checks: [...offline.checks, ...online.checks],
    notes: [
      "Re-sealed: all files, from older keys to newer ones. The bound of RSA: one operation with a private key for each value, on all cores, with nothing else to do; its rate is taken in turn with what is held against it.",
      `The bound of requests: ${VALUES_A_REQUEST} values in each, ${REQUESTS_AT_ONCE} at once and then ${REQUESTS_A_SECOND} a second at each of three controllers side by side.`,
      `The loops of the original run over ${LOOP_FILES} files; their rows show one file; unlimited: \`${NO_LIMIT.join(" ")}\`.`,
    ],
  };
}

/** A lower bound: seconds for all values, and what sets the bound. */
interface Bound {
  readonly seconds: number;
  readonly what: string;
}

function rsaBound({ values }: Checkout, { samples }: Figure): Bound {
  return { seconds: values / median(samples), what: "RSA" };
}

function onlineBound(checkout: Checkout, rsa: Figure): Bound {
  const ofRsa = rsaBound(checkout, rsa);
  const requests = checkout.values / checkout.clusters.length / VALUES_A_REQUEST;
  const seconds = Math.max(0, requests - REQUESTS_AT_ONCE) / REQUESTS_A_SECOND;
  return seconds > ofRsa.seconds ? { seconds, what: "requests" } : ofRsa;
}

function boundCheck(
  { task, program, samples }: Figure,
  { seconds, what }: Bound,
  atLeast: number,
): Check {
  const share = seconds / median(samples);
  return {
    task,
    program,
    found: `${formatNumber(share)} of the bound of ${what}, which is ${formatNumber(seconds)} s`,
    target: `at least ${atLeast}`,
    met: share >= atLeast,
  };
}

/** Returns a figure that was measured earlier. @throws Error if there is none */
function figureOf(figures: readonly Figure[], task: string, program: string): Figure {
  const found = figures.find((each) => each.task === task && each.program === program);
  if (found === undefined) throw new Error(`no figure of ${task}, ${program}`);
  return found;
}

async function benchOffline(setting: Setting): Promise<Omit<Told, "notes">> {
  const { bench, checkout, tree, rounds } = setting;
  bench.say(OFFLINE);
  const keys = join(bench.scratch, "recovery");
  mkdirSync(keys, { mode: 0o700 });
  for (const { name, older, newest } of checkout.clusters) {
    const text = older.privateKeyPem + newest.privateKeyPem;
    writeFileSync(join(keys, `${name}.pem`), text, { mode: 0o600 });
  }
  const seconds = bench.nodes.map((node): Subject => ({
    program: node.label,
    measure: () => resealed(setting, node, ["--recovery-key", keys]),
  }));
  const rates = bench.nodes.map((node): Subject => ({
    program: node.label,
    measure: () => openRate(bench, node, 1),
  }));
  const samples = await alternate([...seconds, ...rates], rounds);
  const figures = [
    ...toFigures(OFFLINE, "s", seconds, samples),
    ...toFigures(RSA_OFFLINE, "per s", rates, samples.slice(seconds.length)),
  ];
  const checks = bench.nodes.map(({ label }) =>
    boundCheck(
      figureOf(figures, OFFLINE, label),
      rsaBound(checkout, figureOf(figures, RSA_OFFLINE, label)),
      OFFLINE_SHARE_AT_LEAST,
    ),
  );
  restore(tree);
  return { figures, checks };
}

/** Re-seals all stale values in the tree and returns the seconds that it takes. */
async function resealed(
  { checkout, tree }: Setting,
  { path, programs }: Runner,
  args: readonly string[],
): Promise<number> {
  restore(tree);
  const command = [path, join(programs, "signet.cjs"), "reseal", ...args];
  const tookMs = await wallMs(command, undefined, { cwd: tree });
  await checkResealed(checkout, tree);
  return tookMs / 1000;
}

async function benchOnline(setting: Setting): Promise<Omit<Told, "notes">> {
  const { bench, checkout, tree } = setting;
  const plane = await startControlPlane({ controllerManager: false, directory: bench.scratch });
  try {
    await installControllers(plane, checkout.clusters);
    const figures: Figure[] = [];
    for (const node of bench.nodes) figures.push(...(await withOurs(setting, plane, node)));
    restore(tree);
    for (const original of ORIGINALS) {
      figures.push(...(await withOriginal(setting, plane, original, setting.rounds)));
    }
    return { figures, checks: tellOnline(setting, figures) };
  } finally {
    await plane.stop();
  }
}

/** Installs the permissions and keys of each cluster's controller, and the original's keys. */
async function installControllers(
  plane: ControlPlane,
  clusters: readonly BenchCluster[],
): Promise<void> {
  const manifest = await signetManifest();
  const nameOf = (kind: string): string =>
    manifest.find((object) => object.kind === kind)?.metadata?.name ?? "";
  for (const { name: namespace, older, newest } of clusters) {
    await installSignet(plane, { namespace });
    // Each installation overwrites the binding of the previous one, so add a separate binding.
    await addAccount(plane, {
      namespace,
      name: nameOf("ServiceAccount"),
      role: nameOf("ClusterRole"),
    });
    await addKeys(plane, namespace, [older, newest]);
  }
  const [first] = clusters;
  if (first === undefined) throw new Error("a repository without clusters");
  await ensureNamespace(plane, ORIGINAL);
  await addKeys(plane, ORIGINAL, [first.older, first.newest]);
}

async function addKeys(
  plane: ControlPlane,
  namespace: string,
  pairs: readonly SealingKeyPair[],
): Promise<void> {
  for (const [index, pair] of pairs.entries()) {
    await plane.apply(formatKeySecret(pair, { name: `sealed-secrets-key-${index}`, namespace }));
  }
}

/** Measures `signet` with our controllers, one for each cluster. */
async function withOurs(setting: Setting, plane: ControlPlane, node: Runner): Promise<Figure[]> {
  const { bench, checkout, tree, rounds } = setting;
  const { label: program } = node;
  bench.say(`${ONLINE}, ${program}`);
  const stops: (() => Promise<unknown>)[] = [];
  try {
    for (const { name: namespace } of checkout.clusters) {
      const running = await startOurs(plane, node, [], { namespace });
      stops.push(running.stop);
      await exposeController(plane, { service: SERVICE, namespace, port: running.port });
    }
    const kubeconfig = ["--kubeconfig", await plane.kubeconfig()];
    const verify = [node.path, join(node.programs, "signet.cjs"), "verify", "--live"];
    const seconds: Subject[] = [
      {
        program: ONLINE,
        measure: async () => {
          await sleep(RESTED_MS);
          return resealed(setting, node, kubeconfig);
        },
      },
      {
        program: LIVE,
        measure: async () => {
          await sleep(RESTED_MS);
          const command = [...verify, ...kubeconfig];
          return (await wallMs(command, undefined, { cwd: tree })) / 1000;
        },
      },
    ];
    const rate: Subject = { program: RSA_ONLINE, measure: () => openRate(bench, node, 1) };
    const subjects = [...seconds, rate];
    const samples = await alternate(subjects, rounds);
    return subjects.map((subject, index): Figure => ({
      task: subject.program,
      program,
      unit: subject === rate ? "per s" : "s",
      samples: samples[index] ?? [],
    }));
  } finally {
    for (const stop of stops) await stop();
  }
}

/** Measures shell loops over some files of one cluster, with the original's controller. */
async function withOriginal(
  { bench, checkout, tree }: Setting,
  plane: ControlPlane,
  { program, flags, loops }: (typeof ORIGINALS)[number],
  rounds: number,
): Promise<Figure[]> {
  const cluster = checkout.clusters[0]?.name ?? "";
  const files = [...checkout.secrets.keys()]
    .filter((path) => clusterOf(path) === cluster)
    .slice(0, LOOP_FILES);
  const output = join(bench.scratch, "original");
  for (const file of files) mkdirSync(dirname(join(output, file)), { recursive: true });
  const running = await startOriginal(plane, { namespace: ORIGINAL, flags: [...flags] });
  try {
    await exposeController(plane, { service: SERVICE, namespace: ORIGINAL, port: running.port });
    const kubeconfig = await plane.kubeconfig();
    const figures: Figure[] = [];
    for (const { task, mode, isSlow } of loops) {
      bench.say(`kubeseal ${mode}, ${program}`);
      const args = [mode, partPath("kubeseal"), kubeconfig, output, ...files];
      const measure = async (): Promise<number> => {
        const tookMs = await wallMs(["sh", "-c", LOOP, ...args], undefined, { cwd: tree });
        if (mode === "--re-encrypt") await checkOpens(checkout, output, files);
        return tookMs / files.length;
      };
      const samples = isSlow
        ? [[await measure()]]
        : await alternate([{ program, measure }], rounds);
      figures.push({ task, program, unit: "ms", samples: samples[0] ?? [] });
    }
    return figures;
  } finally {
    await running.stop();
  }
}

function tellOnline({ bench, checkout }: Setting, figures: readonly Figure[]): Check[] {
  const files = checkout.values / ITEMS_PER_SECRET;
  return bench.nodes.flatMap(({ label: program }) => {
    const bound = onlineBound(checkout, figureOf(figures, RSA_ONLINE, program));
    return Object.entries(LOOPS).flatMap(([task, theirs]): Check[] => {
      const ours = figureOf(figures, task, program);
      const times = figures
        .filter((each) => each.task === theirs)
        .map((each) =>
          ratioCheck(
            { task, program, against: `as fast as a loop of ${theirs}, ${each.program}` },
            (median(each.samples) * files) / 1000 / median(ours.samples),
          ),
        );
      return [boundCheck(ours, bound, ONLINE_SHARE_AT_LEAST), ...times];
    });
  });
}
