// Measures post-quantum sealing beside RSA: how fast a keyring opens values, a folder is sealed and a
// controller opens everything from nothing, and what the larger values cost in bytes.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { RSA } from "../shared/envelopes/rsa.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { readKeyFile } from "../shared/keys/keyfile.ts";
import type { Certificate } from "../shared/keys/keykind.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import { sealingIn, sealToText } from "../shared/keys/kinds.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { formatManifests } from "../shared/manifest/manifest.ts";
import { labelBytes } from "../shared/sealing/scope.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { ControlPlane } from "../test/cluster/controlplane.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { contest, type Outcome, startOurs } from "./contest.ts";
import { openRates, sealUnder } from "./keyring.ts";
import {
  alternate,
  type Bench,
  benchKey,
  benchSecret,
  ITEMS_PER_SECRET,
  type Subject,
  toFigures,
} from "./measure.ts";
import type { NodeProgram } from "./nodes.ts";
import { onBenchPlane } from "./plane.ts";
import {
  type Check,
  type Figure,
  formatNumber,
  median,
  medianOf,
  type PartReport,
  ratioCheck,
  type Table,
} from "./report.ts";
import { FILES, sealingInto, writeSecrets } from "./seal.ts";
import { REPEATED_NOTE } from "./writes.ts";

const ALGORITHMS = [RSA, HYBRID] as const;
type Algorithm = (typeof ALGORITHMS)[number];

/** Required gain of opening, on a Node that has ML-KEM of its own. */
const OPENS_AT_LEAST = 8;
/** Required ratio of the time of the API server's writes alone to the measured time. */
const WRITES_SHARE_AT_LEAST = 0.9;
const FIRST_NODE_WITH_ML_KEM = 24;
const TIMEOUT_MS = 1_800_000;
const VALUES_OPENED = 60;

interface Part {
  readonly figures: readonly Figure[];
  readonly checks: readonly Check[];
  readonly tables?: readonly Table[];
}

export async function benchAlgorithms(bench: Bench): Promise<PartReport> {
  const pair = await benchKey(0, [HYBRID]);
  const opening = await benchOpening(bench, pair);
  const sealing = await benchSealing(bench, pair);
  // Before the longer part, because it fails on a machine with one core.
  const apart = await onBenchPlane(
    bench,
    (plane, certificate) =>
      benchControllers({ bench, plane, certificate, algorithms: [HYBRID], apart: true }),
    { given: pair, apart: true },
  );
  const shared = await onBenchPlane(
    bench,
    async (plane, certificate) => ({
      ...(await benchControllers({ bench, plane, certificate, algorithms: ALGORITHMS })),
      tables: [await benchBytes(bench, plane, certificate)],
    }),
    { given: pair },
  );
  const parts: readonly Part[] = [opening, sealing, shared, apart];
  return {
    title: "RSA beside post-quantum",
    figures: parts.flatMap(({ figures }) => figures),
    checks: parts.flatMap(({ checks }) => checks),
    tables: parts.flatMap(({ tables = [] }) => tables),
    notes: [
      `RSA-4096 and X-Wing, the two halves of one key; SealedSecrets of ${ITEMS_PER_SECRET} values.`,
      "Opening is per second of the processor: RSA runs on threads, the rest on one thread.",
      "Before Node 24.7 ML-KEM comes from a library, for opening offline alone: the controller leaves such values.",
      "The limit of the controller is the time of the same writes alone.",
      REPEATED_NOTE,
      "Apart: API server and etcd have one core for themselves, and controller and client have the rest.",
      "In the API: a SealedSecret as JSON with its managed fields, which is what etcd keeps. In Git: the pack after `git gc`.",
    ],
  };
}

function hasMlKem({ version }: NodeProgram): boolean {
  return Number(version.split(".")[0]) >= FIRST_NODE_WITH_ML_KEM;
}

async function benchOpening(bench: Bench, pair: SealingKeyPair): Promise<Part> {
  const certificate = parseCertificate(pair.certificatePem);
  const forMs = bench.quick ? 1000 : 3000;
  const cases = await Promise.all(
    ALGORITHMS.map(async (name) => {
      const sealed = await sealUnder([sealingIn(certificate, name)], VALUES_OPENED);
      return { name, keys: 1, sealed, forMs };
    }),
  );
  const task = (algorithm: string): string => `open a value, ${algorithm}`;
  const figures: Figure[] = [];
  const checks: Check[] = [];
  for (const node of bench.nodes) {
    bench.say(`opening values, ${node.label}`);
    const rounds = bench.quick ? 3 : 7;
    const rates = await openRates(bench, node, { keys: [pair], cases, rounds });
    const samplesOf = (name: string): readonly number[] => rates[name]?.perCpuSecond ?? [];
    for (const name of ALGORITHMS) {
      const samples = samplesOf(name);
      figures.push({ task: task(name), program: node.label, unit: "per s", samples });
    }
    const gain = median(samplesOf(HYBRID)) / median(samplesOf(RSA));
    const facts = { task: task(HYBRID), program: node.label, against: "the rate of RSA" };
    checks.push(ratioCheck(facts, gain, hasMlKem(node) ? { atLeast: OPENS_AT_LEAST } : undefined));
  }
  return { figures, checks };
}

async function benchSealing(bench: Bench, pair: SealingKeyPair): Promise<Part> {
  const keyring = new Keyring(readKeyFile(pair.privateKeyPem, "bench"));
  const place = join(bench.scratch, "algorithms");
  const folder = join(place, "secrets");
  mkdirSync(place);
  const certificate = join(place, "certificate.pem");
  writeFileSync(certificate, pair.certificatePem);
  writeSecrets(folder);
  const task = `seal ${FILES} files`;
  bench.say(`${task}, RSA and hybrid`);
  const subjects: Subject[] = [];
  for (const node of bench.nodes) {
    for (const algorithm of ALGORITHMS) {
      const output = join(place, `${node.version}-${algorithm}`);
      const signet = [node.path, join(node.programs, "signet.cjs"), "seal"];
      const how = ["--algorithm", algorithm, "--cert", certificate];
      const command = [...signet, ...how, folder, "-w", output];
      const { measure, check } = sealingInto(output, command);
      await measure();
      await check(keyring);
      subjects.push({ program: nameOf(node, algorithm), measure });
    }
  }
  const figures = toFigures(task, "ms", subjects, await alternate(subjects, bench.quick ? 2 : 7));
  const checks = bench.nodes.map((node) => {
    const program = nameOf(node, HYBRID);
    const times = medianOf(figures, program) / medianOf(figures, nameOf(node, RSA));
    return ratioCheck({ task, program, against: "the time of RSA" }, times);
  });
  return { figures, checks };
}

const nameOf = ({ label }: NodeProgram, algorithm: Algorithm): string => `${label}, ${algorithm}`;

interface Round {
  readonly bench: Bench;
  readonly plane: ControlPlane;
  readonly certificate: Certificate;
  readonly algorithms: readonly Algorithm[];
  /** Whether the API server has a core of its own. */
  readonly apart?: boolean;
}

async function benchControllers(round: Round): Promise<Part> {
  const { bench, plane, certificate, algorithms, apart = false } = round;
  const count = bench.count ?? (bench.quick ? 500 : 10_000);
  const figures: Figure[] = [];
  const checks: Check[] = [];
  for (const algorithm of algorithms) {
    const sealing = sealingIn(certificate, algorithm);
    for (const node of bench.nodes) {
      if (algorithm === HYBRID && !hasMlKem(node)) continue;
      const contender = {
        program: apart ? `${nameOf(node, algorithm)}, apart` : nameOf(node, algorithm),
        restart: null,
        timeoutMs: TIMEOUT_MS,
        start: () => startOurs(plane, node, []),
      };
      bench.say(`${contender.program}: ${count} SealedSecrets`);
      const outcome = await contest(plane, contender, count, sealing, { repeat: true });
      figures.push(...outcomeFigures(contender.program, count, outcome));
      const limitS = count / (outcome.repeatedPerS ?? Number.NaN);
      const share = limitS / outcome.statusesS;
      checks.push({
        task: `${count}: every status written`,
        program: contender.program,
        found: `${formatNumber(share)} of the limit, which is ${formatNumber(limitS)} s; all Secrets after ${formatNumber(outcome.secretsS)} s`,
        ...(algorithm === HYBRID
          ? { target: `at least ${WRITES_SHARE_AT_LEAST}`, met: share >= WRITES_SHARE_AT_LEAST }
          : {}),
      });
    }
  }
  return { figures, checks };
}

function outcomeFigures(program: string, count: number, outcome: Outcome): Figure[] {
  const { secretsS, statusesS, memoryMb, repeatedPerS } = outcome;
  return [
    { task: `${count}: all Secrets present`, program, unit: "s", samples: [secretsS] },
    { task: `${count}: and every status written`, program, unit: "s", samples: [statusesS] },
    {
      task: `${count}: the same writes alone`,
      program,
      unit: "per s",
      samples: [repeatedPerS ?? Number.NaN],
    },
    { task: `${count}: most memory`, program, unit: "MB", samples: [memoryMb] },
  ];
}

async function benchBytes(
  bench: Bench,
  plane: ControlPlane,
  certificate: Certificate,
): Promise<Table> {
  bench.say("bytes");
  const columns = await Promise.all(
    ALGORITHMS.map(async (algorithm) => {
      const sealing = sealingIn(certificate, algorithm);
      const inApi = await bytesInApi(plane, sealing);
      return [
        await charactersOf(sealing, 32),
        await charactersOf(sealing, 1024),
        ...(await bytesInGit(join(bench.scratch, `bytes-${algorithm}`), sealing)),
        inApi,
        Math.round((inApi * 10_000) / 1e6),
      ];
    }),
  );
  const rows = [
    "a value of 32 bytes, in characters",
    "a value of 1,024 bytes, in characters",
    "a sealed file, in bytes",
    "the same in Git, in bytes",
    "a SealedSecret in the API, in bytes",
    "10,000 of them, in MB",
  ].map((what, row) => {
    const [rsa = 0, hybrid = 0] = columns.map((column) => column[row] ?? 0);
    return [what, String(rsa), String(hybrid), formatNumber(hybrid / rsa)];
  });
  return { head: ["what", "RSA-4096", "hybrid", "times"], rows };
}

async function charactersOf(certificate: Certificate, bytes: number): Promise<number> {
  const label = labelBytes("strict", "bench", "bytes");
  return (await sealToText(certificate, new Uint8Array(bytes), label)).length;
}

/** Bytes of one object as the API server answers it. */
async function bytesInApi(plane: ControlPlane, certificate: Certificate): Promise<number> {
  const namespace = "bytes";
  await ensureNamespace(plane, namespace);
  const path = `/apis/bitnami.com/v1alpha1/namespaces/${namespace}/sealedsecrets`;
  const name = `of-${certificate.kinds[0] ?? ""}`;
  const object = formatSealedSecret(await seal(benchSecret(namespace, name), certificate));
  const created = await plane.request("POST", path, object);
  if (created.status !== 201) throw new Error(`creating a SealedSecret: ${created.text}`);
  return Buffer.byteLength((await plane.request("GET", `${path}/${name}`)).text);
}

/** Bytes of a file in the working tree, and in the pack of a repository with one commit of all. */
async function bytesInGit(folder: string, certificate: Certificate): Promise<[number, number]> {
  mkdirSync(folder);
  let bytes = 0;
  for (let index = 0; index < FILES; index++) {
    const sealed = await seal(benchSecret("bench", `secret-${index}`), certificate);
    const text = formatManifests([formatSealedSecret(sealed)], "yaml");
    bytes += Buffer.byteLength(text);
    writeFileSync(join(folder, `secret-${index}.yaml`), text);
  }
  const commit =
    "git init -q . && git add . && git -c user.name=b -c user.email=b@example.org commit -qm b && git gc -q";
  const { status, stderr } = spawnSync("sh", ["-c", commit], {
    cwd: folder,
    env: cleanEnvironment(),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`git: ${stderr}`);
  const packs = join(folder, ".git/objects/pack");
  const pack = readdirSync(packs).find((name) => name.endsWith(".pack")) ?? "";
  const packed = statSync(join(packs, pack)).size;
  return [Math.round(bytes / FILES), Math.round(packed / FILES)];
}
