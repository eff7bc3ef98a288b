// Takes measurements: the settings of a run, alternation between programs, the wall time of a
// process, and the sealing key and Secrets that all parts use.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once, on } from "node:events";
import { createSealingKey, type SealingKeyPair } from "../shared/keys/keypair.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import type { Runner } from "./nodes.ts";
import type { Figure } from "./report.ts";

/** The settings that every part receives. */
export interface Bench {
  /** Whether to use fewer rounds and smaller numbers, to check that the benchmark works. */
  readonly quick: boolean;
  /** How long an attack lasts; undefined for the default. */
  readonly minutes: number | undefined;
  /** How many SealedSecrets `scale` and `algorithms` have, and files `large`; undefined for the default. */
  readonly count: number | undefined;
  /** Whether `scale` and `attack` leave the original out, with which they take long. */
  readonly oursOnly: boolean;
  /** The Nodes to run our programs with, and the programs; each is compared with the Go original. */
  readonly nodes: readonly Runner[];
  /** Temporary folder of this run. */
  readonly scratch: string;
  /** Prints progress, not results. */
  readonly say: (line: string) => void;
}

export const ITEMS_PER_SECRET = 3;
const ITEM_BYTES = 24;
const KEY_BITS = 4096;
const KEY_VALID_MS = 10 * 365 * 24 * 3_600_000;

/**
 * Creates a key for this run, as either controller would have created it `agedMs` ago. `kinds`: of
 * further halves, which only ours creates.
 */
export function benchKey(agedMs = 0, kinds: readonly string[] = []): Promise<SealingKeyPair> {
  // Certificates use whole seconds. Round down, as the original rejects a notBefore in the future.
  const notBefore = new Date(Math.floor((Date.now() - agedMs) / 1000) * 1000);
  return createSealingKey({ bits: KEY_BITS, notBefore, validForMs: KEY_VALID_MS, kinds });
}

/** Creates a Secret with random passwords. */
export function benchSecret(namespace: string, name: string): Secret {
  const items = Array.from({ length: ITEMS_PER_SECRET }, (_, index) => {
    const password = randomBytes(ITEM_BYTES).toString("base64");
    return [`password-${index}`, new TextEncoder().encode(password)] as const;
  });
  return {
    metadata: { name, namespace, labels: {}, annotations: {}, rest: {} },
    type: "Opaque",
    immutable: undefined,
    data: new Map(items),
  };
}

/** One of several programs that perform the same task. */
export interface Subject {
  readonly program: string;
  readonly measure: () => number | Promise<number>;
}

/** Converts the samples from `alternate` into figures. */
export function toFigures(
  task: string,
  unit: Figure["unit"],
  subjects: readonly Subject[],
  samples: readonly number[][],
): Figure[] {
  return subjects.map(({ program }, index) => ({
    task,
    program,
    unit,
    samples: samples[index] ?? [],
  }));
}

/**
 * Measures the subjects alternately, A B A B, so that a machine that slows down affects all of
 * them. First runs each once as a warm-up. Returns the samples in the order of the subjects.
 */
export async function alternate(subjects: readonly Subject[], rounds: number): Promise<number[][]> {
  for (const { measure } of subjects) await measure();
  const samples = subjects.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { measure }] of subjects.entries()) {
      samples[index]?.push(await measure());
    }
  }
  return samples;
}

// A small shell starts the program. Starting a child takes longer the more memory its parent has,
// and from this process it would take longer than all of `kubeseal`. $0: the program's input file.
const LAUNCHER = 'echo ready; read -r go; "$@" < "$0" > /dev/null; echo "$?"';

export interface WallOptions {
  /** The working directory of the program. */
  readonly cwd?: string;
  /** The expected exit status; default: 0. */
  readonly status?: number;
}

/**
 * Returns the milliseconds from the start of a program to its end. The program reads the file
 * `input`, and its output is discarded.
 * @throws Error if the program does not exit with the expected status
 */
export async function wallMs(
  command: readonly string[],
  input = "/dev/null",
  { cwd, status: expected = 0 }: WallOptions = {},
): Promise<number> {
  const launcher = spawn("sh", ["-c", LAUNCHER, input, ...command], {
    env: cleanEnvironment(),
    cwd,
  });
  let stderr = "";
  launcher.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const answers = on(launcher.stdout.setEncoding("utf8"), "data", { close: ["end"] });
  const closed = once(launcher, "close");
  await answers.next();
  const started = performance.now();
  launcher.stdin.end("go\n");
  const answer = (await answers.next()) as IteratorResult<[string], undefined>;
  const took = performance.now() - started;
  await closed;
  const status = answer.value?.[0].trim() ?? "nothing";
  if (status !== String(expected))
    throw new Error(`\`${command.join(" ")}\` ended with ${status}: ${stderr}`);
  return took;
}
