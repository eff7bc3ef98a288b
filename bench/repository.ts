// Measures how long each command takes on a repository of sealed files, as a whole process.
import { join } from "node:path";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { addRotated, type Checkout, makeCheckout } from "./checkout.ts";
import { alternate, type Bench, type Subject, toFigures, wallMs } from "./measure.ts";
import { type Check, type Figure, formatNumber, medianOf, type PartReport } from "./report.ts";
import { benchReseal } from "./reseal.ts";

const LOOK_AT_MOST_MS = 2000;
/** `signet status` exits with 3 if it finds problems. */
const FOUND = 3;

interface Look {
  readonly args: readonly string[];
  /** The name in the report; default: the arguments. */
  readonly shown?: string;
  readonly status?: number;
  readonly hasTarget: boolean;
}

export async function benchRepository(bench: Bench): Promise<PartReport> {
  const count = bench.quick ? 150 : 1000;
  bench.say(`making a repository of ${count} sealed files`);
  const checkout = await makeCheckout(bench.scratch, count);
  const figures: Figure[] = [];
  const checks: Check[] = [];
  for (const look of looksAt(checkout)) {
    const found = await benchLook(bench, checkout, look);
    figures.push(...found.figures);
    checks.push(...found.checks);
  }
  const rotated = addRotated(checkout, bench.scratch);
  const resealed = await benchReseal(bench, checkout, rotated);
  return {
    title: `Repository: ${count} sealed files`,
    figures: [...figures, ...resealed.figures],
    checks: [...checks, ...resealed.checks],
    notes: [
      "Wall time of whole processes. Three clusters, 3 values a file at RSA-4096, as many other manifests beside them; a fifth under older keys; a hundred commits.",
      ...resealed.notes,
    ],
  };
}

function looksAt({ first, clusters }: Checkout): Look[] {
  const leaked = parseCertificate(clusters[0]?.older.certificatePem ?? "").fingerprint;
  return [
    { args: ["status"], status: FOUND, hasTarget: true },
    { args: ["status", "--json"], status: FOUND, hasTarget: true },
    { args: ["verify"], hasTarget: true },
    { args: ["scan"], hasTarget: true },
    { args: ["scan", "--range", `${first}..HEAD`], shown: "scan --range", hasTarget: false },
    { args: ["log", "--key", leaked], shown: "log --key", hasTarget: false },
  ];
}

async function benchLook(
  bench: Bench,
  { folder }: Checkout,
  { args, shown = args.join(" "), status = 0, hasTarget }: Look,
): Promise<{ figures: Figure[]; checks: Check[] }> {
  const task = `signet ${shown}`;
  bench.say(task);
  const subjects = bench.nodes.map(({ path, programs, label }): Subject => {
    const command = [path, join(programs, "signet.cjs"), ...args];
    return { program: label, measure: () => wallMs(command, undefined, { cwd: folder, status }) };
  });
  const samples = await alternate(subjects, bench.quick ? 3 : 7);
  const figures = toFigures(task, "ms", subjects, samples);
  const checks = bench.nodes.map(({ label: program }): Check => {
    const took = medianOf(figures, program);
    const found = `${formatNumber(took)} ms`;
    const target = `at most ${LOOK_AT_MOST_MS} ms`;
    return { task, program, found, target, met: took <= LOOK_AT_MOST_MS };
  });
  return { figures, checks: hasTarget ? checks : [] };
}
