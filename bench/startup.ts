// Measures the start-up cost of `kubeseal`, with --version and when sealing one Secret offline, in
// comparison with the original and with Node alone.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatManifests } from "../shared/manifest/manifest.ts";
import { formatSecret } from "../shared/kubernetes/secret.ts";
import { partPath } from "../test/parts/parts.ts";
import {
  alternate,
  type Bench,
  benchKey,
  benchSecret,
  type Subject,
  toFigures,
  wallMs,
} from "./measure.ts";
import { type Check, type Figure, medianOf, type PartReport, ratioCheck } from "./report.ts";

const ORIGINAL = "kubeseal (original)";

export async function benchStartup(bench: Bench): Promise<PartReport> {
  const { certificatePem } = await benchKey();
  const certificate = join(bench.scratch, "startup.pem");
  const secret = join(bench.scratch, "startup.yaml");
  writeFileSync(certificate, certificatePem);
  writeFileSync(secret, formatManifests([formatSecret(benchSecret("bench", "startup"))], "yaml"));
  const version = await benchTask(bench, "kubeseal --version", ["--version"], secret);
  const seal = await benchTask(bench, "kubeseal, one Secret", ["--cert", certificate], secret);
  return {
    title: "Start of kubeseal",
    figures: [...version.figures, ...seal.figures],
    checks: [...version.checks, ...seal.checks],
    notes: ["Wall time of whole processes. Node alone is the floor: `node -e 0`."],
  };
}

async function benchTask(
  bench: Bench,
  task: string,
  args: readonly string[],
  input: string,
): Promise<{ figures: Figure[]; checks: Check[] }> {
  bench.say(task);
  const subjects: Subject[] = [
    { program: ORIGINAL, measure: () => wallMs([partPath("kubeseal"), ...args], input) },
    ...bench.nodes.flatMap(({ path, programs, label }) => [
      {
        program: `ours, ${label}`,
        measure: () => wallMs([path, join(programs, "kubeseal.cjs"), ...args], input),
      },
      { program: `${label} alone`, measure: () => wallMs([path, "-e", "0"], input) },
    ]),
  ];
  const samples = await alternate(subjects, bench.quick ? 15 : 60);
  const figures = toFigures(task, "ms", subjects, samples);
  const checks = bench.nodes.flatMap(({ label }) => [
    ratioCheck(
      { task, program: `ours, ${label}`, against: "the original's time" },
      medianOf(figures, `ours, ${label}`) / medianOf(figures, ORIGINAL),
    ),
    ratioCheck(
      { task, program: `ours, ${label}`, against: "the time of Node alone" },
      medianOf(figures, `ours, ${label}`) / medianOf(figures, `${label} alone`),
    ),
  ]);
  return { figures, checks };
}
