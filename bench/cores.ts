// Chooses the cores on which this process, and what it starts from then on, may run.
import { spawnSync } from "node:child_process";

/** Returns the numbers of the cores on which this process may run. @throws Error without taskset */
function allowedCores(): number[] {
  const list =
    taskset(["-cp", String(process.pid)])
      .split(":")
      .pop()
      ?.trim() ?? "";
  return list.split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/**
 * Runs `start` on one core and everything after it on the others, and returns what undoes it.
 * @throws Error if this process has one core only
 */
export async function onCoreOfItsOwn<T>(
  start: () => Promise<T>,
): Promise<{ started: T; release: () => void }> {
  const all = allowedCores();
  const [first = 0, ...others] = all;
  if (others.length === 0) throw new Error("there is one core only");
  const release = (): void => {
    stayOn(all);
  };
  stayOn([first]);
  try {
    const started = await start();
    stayOn(others);
    return { started, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** What runs already, apart from this process with its threads, stays where it is. */
function stayOn(cores: readonly number[]): void {
  taskset(["-acp", cores.join(","), String(process.pid)]);
}

function taskset(options: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync("taskset", options, { encoding: "utf8" });
  if (status !== 0) throw new Error(`taskset: ${error?.message ?? stderr}`);
  return stdout;
}
