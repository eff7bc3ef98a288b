// Keeps a controller running as a node does: restarts it when it exits or uses too much memory.
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "./contest.ts";
import { cpuSeconds, mostMemoryMb } from "./procfs.ts";

/** Above this the controller is killed, so that the machine and the others survive. */
export const MEMORY_CEILING_MB = 4_000;
const LOOK_EVERY_MS = 1_000;

export interface Usage {
  /** The peak of resident memory, in 10^6 bytes. */
  readonly memoryMb: number;
  /** Cores that it kept busy since `begin`. */
  readonly cores: number;
  readonly restarts: number;
}

export interface Supervised {
  /** Starts to count CPU time. */
  readonly begin: () => void;
  readonly usage: () => Usage;
  readonly logs: () => string;
  readonly stop: () => Promise<void>;
}

/** `start` runs it on the same ports each time. */
export async function supervise(start: () => Promise<Running>): Promise<Supervised> {
  let running = await start();
  let stopped = false;
  let memoryMb = 0;
  let restarts = 0;
  // Of processes that have ended, and of the running one.
  let endedS = 0;
  let currentS = 0;
  let begun = { s: 0, ms: performance.now() };

  /** Returns false if the process has ended or is to end. */
  const look = async (): Promise<boolean> => {
    try {
      const usedMb = await mostMemoryMb(running.pid);
      memoryMb = Math.max(memoryMb, usedMb);
      currentS = await cpuSeconds(running.pid);
      return usedMb <= MEMORY_CEILING_MB;
    } catch {
      return false;
    }
  };
  const replace = async (): Promise<void> => {
    if (stopped) return;
    running.kill("SIGKILL");
    await running.stop();
    [endedS, currentS] = [endedS + currentS, 0];
    restarts++;
    // One that is not ready in time is started again at the next look.
    await start().then(
      (next) => (running = next),
      () => undefined,
    );
  };
  const watch = async (): Promise<void> => {
    while (!stopped) {
      await sleep(LOOK_EVERY_MS);
      if (!(await look())) await replace();
    }
  };
  const watching = watch();

  return {
    begin: () => {
      begun = { s: endedS + currentS, ms: performance.now() };
    },
    usage: () => {
      const seconds = (performance.now() - begun.ms) / 1000;
      return { memoryMb, cores: (endedS + currentS - begun.s) / seconds, restarts };
    },
    logs: () => running.logs(),
    stop: async () => {
      stopped = true;
      await watching;
      await running.stop();
    },
  };
}
