// `npm run fuzz -- [--minutes N] [--only NAME] [--jobs N] [--seed N] [--at INDEX]`: hostile inputs for
// every boundary, each in a process of its own, which is ended where an input takes too long or too
// much memory. What breaks a promise is kept in test/fuzz/corpus/found.

import { type ChildProcess, fork } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { foundInputs, keepInput } from "./corpus.ts";
import { inputOf } from "./mutate.ts";
import type { Target } from "./target.ts";
import { TARGETS } from "./targets.ts";
import { faultOf, smaller, tryInput } from "./trial.ts";

/** Time of the processor that one input may take, and how long it may take none. */
const MAX_CPU_MS = 10_000;
const MAX_WAIT_MS = 120_000;
const MAX_MEMORY_BYTES = 1024 ** 3;
const TOO_MUCH_MEMORY = "takes over 1 GiB of memory";
const HEAP_MB = 512;
const POLL_MS = 250;
/** A clock tick of Linux, in which /proc counts. */
const TICK_MS = 10;
const MAX_FINDS = 20;

interface Found {
  readonly index: number;
  readonly fault: string;
  readonly input: readonly number[];
}

interface Tally {
  readonly name: string;
  inputs: number;
  ms: number;
  readonly finds: string[];
}

/** What the child is doing: the index of its input, where the parent reads it though it is stuck. */
class Progress {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(8);

  constructor(path: string, flags: "r" | "w") {
    this.#file = openSync(path, flags);
  }

  write(index: number): void {
    this.#bytes.writeDoubleLE(index);
    writeSync(this.#file, this.#bytes, 0, 8, 0);
  }

  read(): number {
    return readSync(this.#file, this.#bytes, 0, 8, 0) === 8 ? this.#bytes.readDoubleLE() : 0;
  }

  close(): void {
    closeSync(this.#file);
  }
}

function targetNamed(name: string): Target {
  const target = TARGETS.find((each) => each.name === name);
  if (target !== undefined) return target;
  throw new Error(`no target ${name}; there are ${TARGETS.map((each) => each.name).join(", ")}`);
}

/** The child's part: inputs of one target from an index on, until it is ended or its time is over. */
async function runChild(
  name: string,
  seed: number,
  first: number,
  path: string,
  ms: number,
): Promise<void> {
  const target = targetNamed(name);
  const seeds = await target.seeds();
  const progress = new Progress(path, "w");
  const endMs = performance.now() + ms;
  const known = new Set<string>();
  let stray: unknown;
  process.on("uncaughtException", (error) => (stray = error));
  process.on("unhandledRejection", (error) => (stray = error));
  let index = first;
  for (; performance.now() < endMs && known.size < MAX_FINDS; index++) {
    progress.write(index);
    const input = inputOf(target, seeds, seed, index);
    try {
      await tryInput(target, input);
      if (stray !== undefined) throw stray as Error;
    } catch (error) {
      stray = undefined;
      const fault = faultOf(error);
      if (known.has(fault)) continue;
      known.add(fault);
      const least = await smaller(target, input, fault);
      const found: Found = { index, fault, input: [...least] };
      process.send?.(found);
    }
  }
  progress.write(index);
  await target.close?.();
  process.disconnect();
}

/** CPU time and memory of a process; null if unknown. */
function usage(pid: number): { cpuMs: number; memoryBytes: number } | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    const pages = Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]);
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
      memoryBytes: pages * 4096,
    };
  } catch {
    return null;
  }
}

/** Looks at a child until it ends; says why it was ended, if an input did it. */
function watch(child: ChildProcess, progress: Progress): Promise<string | null> {
  const { pid = 0 } = child;
  let last = { index: -1, cpuMs: 0 };
  let lastUsed = { cpuMs: 0, atMs: performance.now() };
  let why: string | null = null;
  const timer = setInterval(() => {
    const index = progress.read();
    const used = usage(pid);
    const cpuMs = used?.cpuMs ?? 0;
    if (index !== last.index) last = { index, cpuMs };
    if (cpuMs - last.cpuMs > MAX_CPU_MS) why = `takes over ${MAX_CPU_MS / 1000} s`;
    // One that computes is only slow, perhaps because the machine is busy.
    if (cpuMs !== lastUsed.cpuMs) lastUsed = { cpuMs, atMs: performance.now() };
    if (performance.now() - lastUsed.atMs > MAX_WAIT_MS) why = "does not end";
    if ((used?.memoryBytes ?? 0) > MAX_MEMORY_BYTES) why = TOO_MUCH_MEMORY;
    if (why !== null) child.kill("SIGKILL");
  }, POLL_MS);
  return new Promise((resolve) => {
    child.once("close", (status, signal) => {
      clearInterval(timer);
      resolve(why ?? (status === 0 ? null : `ends the process (${String(signal ?? status)})`));
    });
  });
}

/** Tries one target for a time, with as many processes in turn as its inputs end. */
async function runTarget(target: Target, seed: number, ms: number): Promise<Tally> {
  const tally: Tally = { name: target.name, inputs: 0, ms: 0, finds: [] };
  const scratch = mkdtempSync(join(tmpdir(), "signet-fuzz-"));
  const path = join(scratch, "progress");
  new Progress(path, "w").close();
  const startedMs = performance.now();
  const find = (fault: string, index: number, input: Uint8Array): void => {
    const kept = keepInput(target.name, input);
    if (tally.finds.some((each) => each.startsWith(kept))) return;
    tally.finds.push(
      `${kept}: ${fault.split("\n").join("\n    ")}\n    seed ${seed}, input ${index}`,
    );
    say(`${target.name}: found: ${tally.finds.at(-1) ?? ""}`);
  };
  let next = 0;
  try {
    while (performance.now() - startedMs < ms && tally.finds.length < MAX_FINDS) {
      const left = ms - (performance.now() - startedMs);
      const args = ["--child", target.name, String(seed), String(next), path, String(left)];
      const child = fork(process.argv[1] ?? "", args, {
        execArgv: [`--max-old-space-size=${HEAP_MB}`],
        env: { ...process.env, TMPDIR: scratch },
        stdio: ["ignore", "ignore", "inherit", "ipc"],
      });
      child.on("message", ({ fault, index, input }: Found) => {
        find(fault, index, Uint8Array.from(input));
      });
      const progress = new Progress(path, "r");
      const why = await watch(child, progress);
      const index = progress.read();
      progress.close();
      // Memory may be of all inputs together: this one is tried once more, by a new process.
      const isShared = why === TOO_MUCH_MEMORY && index > next;
      if (why !== null && !isShared) {
        find(why, index, inputOf(target, await target.seeds(), seed, index));
      }
      next = isShared ? index : index + 1;
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  tally.inputs = next;
  tally.ms = performance.now() - startedMs;
  return tally;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(tallies: readonly Tally[]): void {
  const rows = [["boundary", "inputs", "a second", "finds"]];
  for (const { name, inputs, ms, finds } of tallies) {
    rows.push([name, String(inputs), (inputs / (ms / 1000)).toFixed(0), String(finds.length)]);
  }
  const widths = [0, 1, 2, 3].map((at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  for (const [name = "", ...numbers] of rows) {
    const cells = numbers.map((cell, at) => cell.padStart(widths[at + 1] ?? 0));
    say([name.padEnd(widths[0] ?? 0), ...cells].join("  "));
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      only: { type: "string", multiple: true },
      jobs: { type: "string", default: "2" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      at: { type: "string" },
    },
  });
  const targets = values.only?.map(targetNamed) ?? TARGETS;
  const seed = Number(values.seed);
  if (values.at !== undefined) return runOne(targets, seed, Number(values.at));
  const jobs = Math.max(1, Number(values.jobs));
  const ms = (Number(values.minutes) * 60_000 * Math.min(jobs, targets.length)) / targets.length;
  say(`seed ${seed}: ${targets.length} boundaries, ${Math.round(ms / 1000)} s each`);
  const waiting = [...targets];
  const tallies: Tally[] = [];
  const lane = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      tallies.push(await runTarget(target, seed, ms));
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  report(tallies);
  const finds = tallies.flatMap((tally) => tally.finds);
  for (const each of finds) say(`found: ${each}`);
  say(finds.length === 0 ? "nothing found" : `${finds.length} found`);
  return finds.length === 0 ? 0 : 1;
}

/** One input once more: of the corpus, if `at` is not a number of a run. */
async function runOne(targets: readonly Target[], seed: number, at: number): Promise<number> {
  for (const target of targets) {
    const seeds = await target.seeds();
    const input = inputOf(target, seeds, seed, at);
    say(`${target.name}: ${JSON.stringify(Buffer.from(input).toString())}`);
    await tryInput(target, input);
    for (const [name, found] of foundInputs(target.name)) {
      say(`${target.name}: ${name}`);
      await tryInput(target, found);
    }
    await target.close?.();
  }
  return 0;
}

const [first, name = "", seed, index, path = "", ms] = process.argv.slice(2);
if (first === "--child") await runChild(name, Number(seed), Number(index), path, Number(ms));
else process.exitCode = await main();
