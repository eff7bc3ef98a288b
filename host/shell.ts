// The POSIX shell: the only place that starts it.

import { spawn, type SpawnOptions, spawnSync, type SpawnSyncReturns } from "node:child_process";

/** Starts a line of the shell with arguments, `$0` first. Windows may have none: see its `error` event. */
export function spawnShell(
  line: string,
  args: readonly string[],
  options: SpawnOptions,
): ReturnType<typeof spawn> {
  return spawn("sh", ["-c", line, ...args], options);
}

/** Runs a line of the shell to its end. Its `error` is set where there is no shell. */
export function runShell(
  line: string,
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): SpawnSyncReturns<string> {
  return spawnSync("sh", ["-c", line], { ...options, encoding: "utf8" });
}
