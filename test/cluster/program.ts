// One running program of the test bed: its environment, output, readiness and end. It dies with the
// process that started it, however that dies. And one that is run to its end.
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { clockOfChildren } from "../clock.ts";

/** The address of the bed's network namespace other than loopback (see test/run.ts). */
export const BED_HOST = "198.51.100.10";
/** Set by test/run.ts for everything that runs inside the namespaces of the bed. */
export const BED_VARIABLE = "KUBE_SIGNET_BED";

export function insideBed(): boolean {
  return process.env[BED_VARIABLE] === "1";
}

/** @throws Error outside the bed: what asks for it would touch the machine, or cannot work there. */
export function requireBed(what: string): string {
  if (!insideBed()) throw new Error(`${what} needs the test bed's namespaces: run \`npm test\``);
  return BED_HOST;
}

/** Where programs of the bed listen so that the API server's service proxy can reach them. */
export function listenHost(): string {
  return insideBed() ? BED_HOST : "127.0.0.1";
}

export interface Program {
  readonly pid: number;
  /** Everything written so far, stdout and stderr in the order of arrival. */
  logs: () => string;
  /** Resolves to the exit status or the signal's name once it has ended. */
  readonly exited: Promise<number | NodeJS.Signals>;
  running: () => boolean;
  /** Sends the signal and returns at once. */
  kill: (signal: NodeJS.Signals) => void;
  /** Stops it until SIGCONT. Resolves when none of its threads runs any more. */
  freeze: () => Promise<void>;
  /** Ends it: the signal, and SIGKILL where that took more than a minute. */
  stop: (signal?: NodeJS.Signals) => Promise<number | NodeJS.Signals>;
}

/**
 * How long a test waits for what must happen. A machine that is busy with other things takes its
 * time, and only a test that fails waits to the end: so this is long, and no test names another.
 */
export const PATIENCE_MS = 180_000;

const STOP_DEADLINE_MS = 60_000;

/** Starts a program that the kernel kills when this process ends. */
export function startProgram(
  command: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Program {
  const child: ChildProcess = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => chunks.push(text));
  }
  let ended = false;
  const exited = new Promise<number | NodeJS.Signals>((done) => {
    child.once("error", (error) => {
      ended = true;
      chunks.push(`cannot start ${command[0] ?? ""}: ${error.message}\n`);
      done(127);
    });
    child.once("close", (status, signal) => {
      ended = true;
      done(status ?? signal ?? 1);
    });
  });
  return {
    pid: child.pid ?? 0,
    logs: () => chunks.join(""),
    exited,
    running: () => !ended,
    kill: (signal) => {
      child.kill(signal);
    },
    freeze: async () => {
      child.kill("SIGSTOP");
      while (!ended && !(await allThreadsStopped(child.pid ?? 0))) await sleep(10);
    },
    stop: async (signal = "SIGTERM") => {
      if (ended) return exited;
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
      const status = await exited;
      clearTimeout(timer);
      return status;
    },
  };
}

async function allThreadsStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = threads.map(async (thread) => {
    const text = await readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => "");
    // proc(5): the state is the field after the name, which is in brackets.
    return text === "" || text.slice(text.lastIndexOf(")") + 2).startsWith("T");
  });
  return (await Promise.all(states)).every(Boolean);
}

/** The environment of a program under test: nothing of the machine's but where programs are. */
export function cleanEnvironment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const name of ["PATH", "HOME", "TMPDIR"]) {
    if (process.env[name] !== undefined) kept[name] = process.env[name];
  }
  return { ...kept, ...clockOfChildren(), ...more };
}

export interface Finished {
  /** Exit status; 128 where a signal ended it. */
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs any program to its end, with nothing of the machine's environment but PATH and HOME. */
export function runToEnd(
  command: string[],
  options: { stdin?: string; env?: Record<string, string>; cwd?: string; timeoutMs?: number } = {},
): Promise<Finished> {
  const [program = "", ...args] = command;
  const { cwd, env, timeoutMs } = options;
  const child = spawn(program, args, { cwd, env: cleanEnvironment(env), timeout: timeoutMs });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // A program that ends without reading its input is no error of the test bed.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.stdin ?? "");
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (status) => {
      done({ status: status ?? 128, stdout, stderr });
    });
  });
}

function lastLines(program: Program, count = 15): string {
  return program.logs().trimEnd().split("\n").slice(-count).join("\n  ");
}

/**
 * Polls until `probe` answers true.
 * @throws Error with the program's last lines where it ended first, or patience did.
 */
export async function untilReady(
  name: string,
  program: Program,
  probe: () => Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const deadlineMs = performance.now() + patienceMs;
  let failure = "";
  for (;;) {
    if (!program.running()) {
      const status = await program.exited;
      throw new Error(`${name} ended with ${status} before it was ready:\n  ${lastLines(program)}`);
    }
    try {
      if (await probe()) return;
      failure = "";
    } catch (error) {
      failure = error instanceof Error ? ` (${error.message})` : "";
    }
    if (performance.now() > deadlineMs) {
      await program.stop("SIGKILL");
      throw new Error(
        `${name} was not ready within ${patienceMs} ms${failure}:\n  ${lastLines(program)}`,
      );
    }
    await sleep(50);
  }
}

// Below the kernel's range for outgoing connections, so that a port stays free for a restart.
const LOWEST_PORT = 12_000;
const HIGHEST_PORT = 32_000;
const handedOut = new Set<number>();

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => {
      done(false);
    });
    server.listen(port, host, () => {
      server.close(() => {
        done(true);
      });
    });
  });
}

/** A port that nothing listens on, and that this process has not handed out before. */
export async function freePort(host = listenHost()): Promise<number> {
  for (;;) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if (handedOut.has(port) || !(await isFree(port, host))) continue;
    handedOut.add(port);
    return port;
  }
}

/**
 * The first answer of `probe` that is not undefined, null or false.
 * @throws Error where patience ends, with what `probe` last threw
 */
export async function waitFor<T>(
  description: string,
  probe: () => T | Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<Exclude<T, undefined | null | false>> {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    let failure = "";
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== null && answer !== false) {
        return answer as Exclude<T, undefined | null | false>;
      }
    } catch (error) {
      failure = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`waited ${patienceMs} ms for ${description}${failure}`);
    }
    await sleep(50);
  }
}
