// Measures sealing as a developer experiences it, one file and a folder of 400, as whole processes
// and in comparison with the original's `kubeseal`.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readKeyFile } from "../shared/keys/keyfile.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import { formatManifests, parseManifests } from "../shared/manifest/manifest.ts";
import { parseSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { openValues } from "../shared/sealing/unseal.ts";
import { formatSecret } from "../shared/kubernetes/secret.ts";
import { objectsOf } from "../shared/kubernetes/object.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { partPath } from "../test/parts/parts.ts";
import {
  alternate,
  type Bench,
  benchKey,
  benchSecret,
  ITEMS_PER_SECRET,
  type Subject,
  toFigures,
  wallMs,
} from "./measure.ts";
import { type Check, type Figure, medianOf, type PartReport, ratioCheck } from "./report.ts";

export const FILES = 400;
const ONE_FILE_AT_MOST = 3.5;
const FOLDER_AT_LEAST = 20;
const KUBESEAL = "kubeseal";

// $0 certificate, $1 kubeseal, $2 input folder, $3 output folder
const KUBESEAL_LOOP =
  'for file in "$2"/*.yaml; do "$1" --cert "$0" < "$file" > "$3/${file##*/}" || exit 1; done';

export async function benchSeal(bench: Bench): Promise<PartReport> {
  const { privateKeyPem, certificatePem } = await benchKey();
  const keyring = new Keyring(readKeyFile(privateKeyPem, "bench"));
  const certificate = join(bench.scratch, "certificate.pem");
  const folder = join(bench.scratch, "secrets");
  writeFileSync(certificate, certificatePem);
  writeSecrets(folder);
  const one = await benchOne(bench, certificate, join(folder, "secret-0.yaml"), keyring);
  const many = await benchFolder(bench, certificate, folder, keyring);
  return {
    title: "Sealing",
    figures: [...one.figures, ...many.figures],
    checks: [...one.checks, ...many.checks],
    notes: [`Wall time of whole processes; each Secret has ${ITEMS_PER_SECRET} items.`],
  };
}

interface Part {
  readonly figures: Figure[];
  readonly checks: Check[];
}

/** Writes the plain Secrets that are sealed, a file each. */
export function writeSecrets(folder: string): void {
  mkdirSync(folder);
  for (let index = 0; index < FILES; index++) {
    const secret = formatSecret(benchSecret("bench", `secret-${index}`));
    writeFileSync(join(folder, `secret-${index}.yaml`), formatManifests([secret], "yaml"));
  }
}

async function benchOne(
  bench: Bench,
  certificate: string,
  file: string,
  keyring: Keyring,
): Promise<Part> {
  const task = "seal one file";
  bench.say(task);
  const kubeseal = [partPath("kubeseal"), "--cert", certificate];
  await checkSealed(captured(kubeseal, readFileSync(file, "utf8")), keyring);
  const subjects: Subject[] = [{ program: KUBESEAL, measure: () => wallMs(kubeseal, file) }];
  for (const { path, programs, label } of bench.nodes) {
    const command = [path, join(programs, "signet.cjs"), "seal", "--cert", certificate, file];
    await checkSealed(captured(command), keyring);
    subjects.push({ program: `signet, ${label}`, measure: () => wallMs(command) });
    subjects.push({ program: `${label} alone`, measure: () => wallMs([path, "-e", "0"]) });
  }
  const samples = await alternate(subjects, bench.quick ? 15 : 50);
  const figures = toFigures(task, "ms", subjects, samples);
  const original = medianOf(figures, KUBESEAL);
  const checks = bench.nodes.flatMap(({ label }) =>
    [`signet, ${label}`, `${label} alone`].map((program, index) =>
      ratioCheck(
        { task, program, against: "kubeseal's time" },
        medianOf(figures, program) / original,
        index === 0 ? { atMost: ONE_FILE_AT_MOST } : undefined,
      ),
    ),
  );
  return { figures, checks };
}

async function benchFolder(
  bench: Bench,
  certificate: string,
  folder: string,
  keyring: Keyring,
): Promise<Part> {
  const task = `seal ${FILES} files`;
  bench.say(task);
  const output = join(bench.scratch, "sealed");
  const loop = `${FILES} runs of kubeseal`;
  const args = [certificate, partPath("kubeseal"), folder, output];
  const subjects: Subject[] = [
    {
      program: loop,
      measure: sealingInto(output, ["sh", "-c", KUBESEAL_LOOP, ...args]).measure,
    },
  ];
  for (const { path, programs, label } of bench.nodes) {
    const signet = join(programs, "signet.cjs");
    const command = [path, signet, "seal", "--cert", certificate, folder, "-w", output];
    const { measure, check } = sealingInto(output, command);
    await measure();
    await check(keyring);
    subjects.push({ program: `signet, ${label}`, measure });
  }
  const samples = await alternate(subjects, bench.quick ? 2 : 5);
  const figures = toFigures(task, "ms", subjects, samples);
  const checks = bench.nodes.map(({ label }) => {
    const program = `signet, ${label}`;
    const gain = medianOf(figures, loop) / medianOf(figures, program);
    const against = "as fast as the runs of kubeseal";
    return ratioCheck({ task, program, against }, gain, { atLeast: FOLDER_AT_LEAST });
  });
  return { figures, checks };
}

/** A command that seals the folder into `output`: how long it takes, and whether all is right. */
export function sealingInto(
  output: string,
  command: readonly string[],
): { readonly measure: () => Promise<number>; readonly check: (keys: Keyring) => Promise<void> } {
  return {
    measure: async () => {
      rmSync(output, { recursive: true, force: true });
      mkdirSync(output);
      const took = await wallMs(command);
      const written = readdirSync(output).length;
      if (written !== FILES) throw new Error(`${command.join(" ")}: ${written} files written`);
      return took;
    },
    check: async (keys) => {
      for (const name of readdirSync(output)) {
        await checkSealed(readFileSync(join(output, name), "utf8"), keys);
      }
    },
  };
}

function captured(command: readonly string[], input?: string): string {
  const [program = "", ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: cleanEnvironment(),
    encoding: "utf8",
    ...(input === undefined ? {} : { input }),
  });
  if (status !== 0) throw new Error(`\`${command.join(" ")}\` failed: ${stderr}`);
  return stdout;
}

/** Fast but wrong results do not count. @throws Error if the output does not open correctly */
async function checkSealed(text: string, keyring: Keyring): Promise<void> {
  const objects = parseManifests(text).flatMap(objectsOf);
  if (objects.length !== 1)
    throw new Error(`sealing produced ${objects.length} objects, expected one`);
  for (const object of objects) {
    const { values } = await openValues(parseSealedSecret(object), keyring);
    if (values.size !== ITEMS_PER_SECRET) throw new Error(`sealing kept ${values.size} items`);
  }
}
