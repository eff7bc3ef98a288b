// How slow the machine is at this moment, for tests that something is done soon.
import { runToEnd } from "./program.ts";

const STARTS = 5;
/** What a start of Node takes where nothing else runs. */
const USUAL_START_MS = 50;

/** How often the time of an idle machine a piece of work takes now: at least 1. */
export async function slowness(): Promise<number> {
  const startedMs = performance.now();
  for (let start = 0; start < STARTS; start++) await runToEnd([process.execPath, "-e", ""]);
  return Math.max(1, (performance.now() - startedMs) / STARTS / USUAL_START_MS);
}
