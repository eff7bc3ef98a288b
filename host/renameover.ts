// Renames a file over an existing one.

import { renameSync } from "node:fs";
import { errnoOf } from "./errno.ts";
import { ON_WINDOWS } from "./platform.ts";

/**
 * The errors by which Windows says that another program, such as a virus scanner, has the file
 * open.
 */
const BUSY = ["EPERM", "EACCES", "EBUSY"];
const PAUSES_MS = [10, 20, 50, 100, 200, 400];

/**
 * Renames `from` to `to`, replacing an existing file. Windows refuses that while another program
 * has the file open, so retries for most of a second.
 * @throws the system's error
 */
export function renameOver(
  from: string,
  to: string,
  { onWindows = ON_WINDOWS, rename = renameSync, pause = pauseFor } = {},
): void {
  for (const pauseMs of onWindows ? PAUSES_MS : []) {
    try {
      rename(from, to);
      return;
    } catch (error) {
      if (!BUSY.includes(errnoOf(error) ?? "")) throw error;
    }
    pause(pauseMs);
  }
  rename(from, to);
}

function pauseFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
