// Removes plaintext even if this process is killed, for example by `kill -9`.

import { spawnShell } from "./shell.ts";

// Waits for the end of a pipe that the kernel closes when this process ends. The first attempt may
// fail if another process is still writing to the folder.
const WAIT_AND_REMOVE =
  'while read -r _; do :; done; rm -rf -- "$@" || { sleep 1; rm -rf -- "$@"; }';

/**
 * Removes `path` after this process has ended, however it ends. `path` must be absolute. It need not
 * exist yet, and nothing else may use it.
 */
export function removeWhenGone(path: string): void {
  // In its own session, so that a signal to the terminal's processes does not end it.
  const child = spawnShell(WAIT_AND_REMOVE, ["sh", path], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // If the shell cannot be started, the next run removes the path.
  child.on("error", () => undefined);
  child.unref();
  const stdin = child.stdin as (typeof child.stdin & { unref?: () => void }) | undefined;
  stdin?.on("error", () => undefined).unref?.();
}
