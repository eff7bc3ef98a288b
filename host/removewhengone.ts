// Removing plaintext where this process dies without a chance to do it itself, as by `kill -9`.

import { spawn } from "node:child_process";

// It reads to the end of a pipe that nobody writes to: the kernel closes it when we are gone. What
// still writes into a folder meanwhile may make the first attempt fail.
const WAIT_AND_REMOVE =
  'while read -r _; do :; done; rm -rf -- "$@" || { sleep 1; rm -rf -- "$@"; }';

/**
 * From now on a path, which may not be there yet, is removed once this process has ended, however it
 * ends. `path`: absolute; nothing else may come to be there.
 */
export function removeWhenGone(path: string): void {
  // In a session of its own: what is sent to the terminal's programs does not end it.
  const child = spawn("sh", ["-c", WAIT_AND_REMOVE, "sh", path], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Where none can be started, the next run removes what is left.
  child.on("error", () => undefined);
  child.unref();
  const stdin = child.stdin as (typeof child.stdin & { unref?: () => void }) | undefined;
  stdin?.on("error", () => undefined).unref?.();
}
