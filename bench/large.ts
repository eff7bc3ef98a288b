// Measures commands on a large repository, and the pre-commit hook in it, as whole processes.
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { git } from "./checkout.ts";
import { makeLargeRepository } from "./manycommits.ts";
import { alternate, type Bench, type Subject, toFigures, wallMs } from "./measure.ts";
import type { Runner } from "./nodes.ts";
import { type Check, type Figure, formatNumber, medianOf, type PartReport } from "./report.ts";

const COUNT = 20_000;
const QUICK_COUNT = 1000;
/** Every second file is sealed: more than in most repositories, and the most work. */
const SEALED_ONE_OF = 2;
const CERTIFICATE = "certificates/dev.pem";
const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {password: a}\n";
const COMMAND_AT_MOST_MS = 3000;
const HOOK_AT_MOST_MS = 100;
/** `signet status` exits with 3 if it finds problems: here, values under older keys. */
const FOUND = 3;

interface Task {
  readonly name: string;
  readonly args: readonly string[];
  readonly status?: number;
  readonly atMostMs?: number;
}

export async function benchLarge(bench: Bench): Promise<PartReport> {
  const count = bench.count ?? (bench.quick ? QUICK_COUNT : COUNT);
  bench.say(`making a repository of ${count} files and ${count} commits`);
  const options = { count, sealedOneOf: SEALED_ONE_OF };
  const { folder, resealed, other } = await makeLargeRepository(bench.scratch, options);
  const command = { atMostMs: COMMAND_AT_MOST_MS };
  const tasks: Task[] = [
    { name: "signet status", args: ["status"], status: FOUND, ...command },
    { name: "signet status --json", args: ["status", "--json"], status: FOUND },
    { name: "signet verify", args: ["verify"], ...command },
    { name: "signet scan", args: ["scan"], ...command },
    { name: "signet log FILE", args: ["log", resealed], ...command },
    { name: "signet log --algorithm rsa", args: ["log", "--algorithm", "rsa"] },
  ];
  // Whoever has sealed something has V8's code cache.
  const secret = join(bench.scratch, "secret.yaml");
  writeFileSync(secret, SECRET);
  for (const { path, programs } of bench.nodes) {
    const line = [path, join(programs, "signet.cjs"), "seal", "--cert", CERTIFICATE];
    await wallMs(line, secret, { cwd: folder });
  }
  const figures: Figure[] = [];
  const checks: Check[] = [];
  const measure = async (task: Task, subjects: readonly Subject[]): Promise<void> => {
    bench.say(task.name);
    const found = toFigures(
      task.name,
      "ms",
      subjects,
      await alternate(subjects, bench.quick ? 3 : 5),
    );
    figures.push(...found);
    if (task.atMostMs !== undefined) checks.push(...checksOf(task.name, task.atMostMs, found));
  };
  for (const { name, args, status = 0, atMostMs } of tasks) {
    const subjects = bench.nodes.map(({ path, programs, label }): Subject => {
      const line = [path, join(programs, "signet.cjs"), ...args];
      return { program: label, measure: () => wallMs(line, undefined, { cwd: folder, status }) };
    });
    await measure({ name, args, ...(atMostMs === undefined ? {} : { atMostMs }) }, subjects);
  }
  appendFileSync(join(folder, other), "# changed\n");
  git(folder, "add", "--", other);
  const hooks = bench.nodes.map((node, index) =>
    hookWith(node, join(bench.scratch, `bin-${index}`), folder),
  );
  await measure({ name: "pre-commit hook", args: [], atMostMs: HOOK_AT_MOST_MS }, hooks);
  return {
    title: `Repository: ${count} files and ${count} commits`,
    figures,
    checks,
    notes: [
      "Wall time of whole processes, the files in the page cache. Every second file is a SealedSecret of 3 values at RSA-4096; the others are Deployments, of which one in ten mentions a Secret. Every tenth commit is a merge.",
      "The hook is that of `signet git install`, with one changed Deployment in the index.",
    ],
  };
}

/** Installs the hook, which finds `signet` in PATH. */
function hookWith({ path, programs, label }: Runner, bin: string, folder: string): Subject {
  mkdirSync(bin);
  const program = `#!/bin/sh\nexec '${path}' '${join(programs, "signet.cjs")}' "$@"\n`;
  writeFileSync(join(bin, "signet"), program, { mode: 0o755 });
  const environment = { ...cleanEnvironment(), PATH: `${bin}:${process.env["PATH"] ?? ""}` };
  execFileSync(join(bin, "signet"), ["git", "install", "--force"], {
    cwd: folder,
    env: environment,
    stdio: "ignore",
  });
  const line = ["env", `PATH=${environment.PATH}`, "sh", join(folder, ".git/hooks/pre-commit")];
  return { program: label, measure: () => wallMs(line, undefined, { cwd: folder }) };
}

function checksOf(task: string, atMostMs: number, figures: readonly Figure[]): Check[] {
  return figures.map(({ program }): Check => {
    const took = medianOf(figures, program);
    const [found, target] = [`${formatNumber(took)} ms`, `at most ${atMostMs} ms`];
    return { task, program, found, target, met: took <= atMostMs };
  });
}
