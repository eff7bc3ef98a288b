// Reads from /proc what a process has used: time, memory, and when it started.
import { readFile } from "node:fs/promises";

const TICKS_PER_SECOND = 100;

/** Fields of proc(5)'s `stat`, counted from the one after the program's name. */
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;
const START_TICKS = 19;

async function statOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  // The program's name may contain spaces, and ends with the last parenthesis.
  return text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
}

export async function sinceBoot(): Promise<number> {
  return Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]);
}

/** Returns the time when a process started, in seconds since the machine booted. */
export async function startOf(pid: number): Promise<number> {
  return ((await statOf(pid))[START_TICKS] ?? Number.NaN) / TICKS_PER_SECOND;
}

/** Returns the seconds that a process has computed, on all cores together. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await statOf(pid);
  return ((stat[USER_TICKS] ?? 0) + (stat[SYSTEM_TICKS] ?? 0)) / TICKS_PER_SECOND;
}

/** Returns the peak resident memory of a process, in 10^6 bytes. */
export async function mostMemoryMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`no VmHWM of process ${pid}`);
  return (Number(kibibytes) * 1024) / 1e6;
}
