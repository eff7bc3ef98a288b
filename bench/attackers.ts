// Starts and stops the attackers: separate processes with a low priority, so that they take no CPU
// time from the programs under attack.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnvironment, startProgram } from "../test/cluster/program.ts";
import { type HttpTarget, runHttpAttack } from "./httpattack.ts";
import { type ObjectTarget, runObjectAttack } from "./objectattack.ts";

/** The nice value; an attacker gets about a tenth of a busy core. */
const NICENESS = "10";
const READY_TIMEOUT_MS = 120_000;

export type Attack =
  ({ readonly kind: "http" } & HttpTarget) | ({ readonly kind: "objects" } & ObjectTarget);

/** How often each action was performed, and with which result. */
export type Counts = Record<string, number>;

export interface Attackers {
  /** Stops the attackers. Returns what they did. */
  readonly stop: () => Promise<Counts>;
}

/** Resolves when all attacks are under way. */
export async function startAttackers(
  scratch: string,
  attacks: readonly Attack[],
): Promise<Attackers> {
  const [, script = ""] = process.argv;
  const children = attacks.map((attack) => {
    const file = join(scratch, `attack-${attack.kind}.json`);
    writeFileSync(file, JSON.stringify(attack), { mode: 0o600 });
    return startProgram(["nice", "-n", NICENESS, process.execPath, script, "--attacker", file], {
      env: cleanEnvironment(),
    });
  });
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (const child of children) {
    while (!child.logs().startsWith("ready\n")) {
      if (!child.running() || performance.now() > deadline) {
        throw new Error(`an attacker did not start:\n${child.logs()}`);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  return {
    stop: async () => {
      const counts: Counts = {};
      for (const child of children) {
        const status = await child.stop();
        if (status !== 0) throw new Error(`an attacker ended (${status}):\n${child.logs()}`);
        Object.assign(counts, JSON.parse(child.logs().slice("ready\n".length)));
      }
      return counts;
    },
  };
}

/**
 * The main function of an attacker's process: attacks until it is asked to stop, then prints what
 * it did.
 */
export async function runAttacker(attack: Attack): Promise<void> {
  const counts: Counts = {};
  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  await (attack.kind === "http" ? runHttpAttack(attack, count) : runObjectAttack(attack, count));
  process.once("SIGTERM", () => {
    process.stdout.write(JSON.stringify(counts), () => {
      process.exit(0);
    });
  });
  process.stdout.write("ready\n");
}
