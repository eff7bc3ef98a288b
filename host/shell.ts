// Runs the POSIX shell; no other file starts it.

import { spawn, type SpawnOptions, spawnSync, type SpawnSyncReturns } from "node:child_process";

/**
 * Starts a shell command with arguments, `$0` first. If there is no shell, as on Windows, the
 * process emits `error`.
 */
export function spawnShell(
  line: string,
  args: readonly string[],
  options: SpawnOptions,
): ReturnType<typeof spawn> {
  return spawn("sh", ["-c", line, ...args], options);
}

/** Runs a shell command and waits for it. The result has `error` if there is no shell. */
export function runShell(
  line: string,
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): SpawnSyncReturns<string> {
  return spawnSync("sh", ["-c", line], { ...options, encoding: "utf8" });
}
