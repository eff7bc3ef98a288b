// How a measurement is taken: settings of a run, alternation, wall time of a process, the sealing
// key and the SealedSecrets that all parts measure with.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once, on } from "node:events";
import { createSealingKey, type SealingKeyPair } from "../shared/keys/keypair.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import type { NodeProgram } from "./nodes.ts";
import type { Figure } from "./report.ts";

/** What every part is given. */
export interface Bench {
  /** Fewer rounds and smaller numbers, to see that it works. */
  readonly quick: boolean;
  /** Runs our programs; the Go original runs beside each. */
  readonly nodes: readonly NodeProgram[];
  /** Copy of dist/ as it was at the start: a build in between changes nothing. */
  readonly programs: string;
  /** Temporary folder of this run. */
  readonly scratch: string;
  /** Progress, not results. */
  readonly say: (line: string) => void;
}

export const ITEMS_PER_SECRET = 3;
const ITEM_BYTES = 24;
const KEY_BITS = 4096;
const KEY_VALID_MS = 10 * 365 * 24 * 3_600_000;

/** A key as either controller would have made it some time ago, for this run alone. */
export function benchKey(agedMs = 0): Promise<SealingKeyPair> {
  // Whole seconds, as certificates count; the original refuses what begins in its future.
  const notBefore = new Date(Math.floor((Date.now() - agedMs) / 1000) * 1000);
  return createSealingKey({ bits: KEY_BITS, notBefore, validForMs: KEY_VALID_MS });
}

/** A Secret of some random passwords. */
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

/** One of several programs at one task. */
export interface Subject {
  readonly program: string;
  readonly measure: () => number | Promise<number>;
}

/** The samples of `alternate`, as figures. */
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
 * Measures the subjects in turn, A B A B, so that a machine that grows slower does so for all of
 * them; each once before that without counting. The samples come in the order of the subjects.
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

// A small shell starts the program, not this process: the start of a child takes the longer the more
// memory its parent has, here longer than the whole of `kubeseal`. $0: what the program reads.
const LAUNCHER = 'echo ready; read -r go; "$@" < "$0" > /dev/null; echo "$?"';

export interface WallOptions {
  /** The folder that it runs in. */
  readonly cwd?: string;
  /** How it ends where all is well; 0 where left out. */
  readonly status?: number;
}

/**
 * Milliseconds from starting a program to its end. It reads the file `input`; its output goes
 * nowhere.
 * @throws Error where it fails: what went wrong is no measurement
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
