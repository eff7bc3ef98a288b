// The mode without a cluster: one pass or a watch, and the summary at the end.
// SPEC.md, "Standalone mode".

import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Keyring } from "../shared/keys/keyring.ts";
import {
  createKeyFile,
  keyFolderState,
  loadKeyFiles,
  reasonOf,
  writeCertificateFile,
} from "./folderkeys.ts";
import { FolderWorld } from "./folderworld.ts";
import { createLog, type Log } from "./log.ts";
import { Reconciler } from "./reconcile.ts";
import { Sandbox } from "./sandbox.ts";
import { ShortKeys } from "./shortkeys.ts";
import { ACTING_TYPES } from "./secrettypes.ts";
import type { StandaloneFlags } from "./standaloneflags.ts";

/** What one pass did. */
interface Summary {
  sealedSecrets: number;
  written: number;
  repaired: number;
  unchanged: number;
  removed: number;
  failed: number;
}

/** Runs once, or until a signal ends the watch. Returns the exit status: 0 if nothing failed. */
export async function standalone(flags: StandaloneFlags): Promise<number> {
  const log = createLog(flags.logLevel, flags.logFormat, (line) => {
    process.stderr.write(`${line}\n`);
  });
  const keyring = new Keyring();
  const pass = createPass(flags, keyring, log);

  mkdirSync(flags.to, { recursive: true, mode: 0o700 });
  keyring.replace(loadKeyFiles(flags.keys, log));
  if (flags.newKey === true || keyring.newest === null) {
    await createKeyFile(flags, keyring, new Date(), log);
  }

  if (flags.watch === true) {
    await watch(pass, flags, log);
    return 0;
  }
  const summary = await pass();
  process.stdout.write(formatSummary(summary));
  return summary.failed === 0 ? 0 : 1;
}

/** Logs each problem once, not again in each pass. */
class Problems {
  readonly #log: Log;
  #before = new Set<string>();
  #now = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** The number of different problems since `startPass`. */
  get count(): number {
    return this.#now.size;
  }

  startPass(): void {
    this.#before = this.#now;
    this.#now = new Set();
  }

  /** `where`: the file or the SealedSecret. */
  report(message: string, where: string): void {
    const problem = `${where}: ${message}`;
    if (!this.#before.has(problem) && !this.#now.has(problem)) {
      this.#log.error(message, { object: where });
    }
    this.#now.add(problem);
  }
}

/** Returns a function that reads keys and manifests, and syncs all Secret files, once per call. */
function createPass(flags: StandaloneFlags, keyring: Keyring, log: Log): () => Promise<Summary> {
  const clock = (): number => performance.now();
  const problems = new Problems(log);
  const onProblem = (message: string, where: string): void => {
    problems.report(message, where);
  };
  const { from, to, namespace, envFiles = false } = flags;
  const world = new FolderWorld({ from, to, envFiles, namespace, onProblem, log });
  const renderers = new Sandbox();
  /** What was done for each Secret in this pass. */
  const changes = new Map<string, "written" | "repaired">();
  const reconciler = new Reconciler({
    world,
    keyring,
    render: (templates, values, namespace) => renderers.render(namespace, templates, values),
    acceptLegacy: true,
    // No component of a cluster acts on files.
    allowedTypes: new Set(ACTING_TYPES),
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log,
    now: () => new Date(),
    clock,
    onVerdict: (key, { synced, event, message }) => {
      if (synced) log.info(event.message, { object: key });
      else log.error(event.reason, { object: key, error: message });
      if (event.reason === "DriftCorrected") changes.set(key, "repaired");
      else if (synced) changes.set(key, "written");
    },
  });
  /** Whether the Secret is in sync. An error in one Secret does not stop the others. */
  const bringInSync = async (key: string): Promise<boolean> => {
    try {
      const { kind } = await reconciler.reconcile(key);
      return kind === "done" || kind === "later";
    } catch (error) {
      onProblem(`the Secret cannot be synced: ${reasonOf(error)}`, key);
      return false;
    }
  };
  let loaded = "";
  const shortKeys = new ShortKeys(log);
  return async () => {
    problems.startPass();
    changes.clear();
    const found = keyFolderState(flags.keys);
    if (found !== loaded) {
      keyring.replace(loadKeyFiles(flags.keys, log));
      shortKeys.tell(keyring.keys);
      loaded = found;
      reconciler.forgetFailures();
      if (flags.writeCert !== undefined) {
        try {
          writeCertificateFile(flags.writeCert, keyring);
        } catch (error) {
          onProblem(`the certificate cannot be written: ${reasonOf(error)}`, flags.writeCert);
          loaded = "";
        }
      }
    }
    world.scan();
    const counts = { written: 0, repaired: 0, unchanged: 0 };
    let failed = 0;
    for (const key of world.keys) {
      const before = problems.count;
      if (await bringInSync(key)) counts[changes.get(key) ?? "unchanged"]++;
      else if (problems.count === before) failed++;
    }
    const removed = world.prune();
    failed += problems.count;
    return { ...counts, sealedSecrets: world.keys.length, removed, failed };
  };
}

/** One line for standard output. */
function formatSummary({
  sealedSecrets,
  written,
  repaired,
  unchanged,
  removed,
  failed,
}: Summary): string {
  return (
    `${sealedSecrets} SealedSecret${sealedSecrets === 1 ? "" : "s"}: ${written} written, ` +
    `${repaired} restored, ${unchanged} unchanged, ${removed} removed, ${failed} failed\n`
  );
}

async function watch(
  pass: () => Promise<Summary>,
  flags: StandaloneFlags,
  log: Log,
): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      stopping.abort();
    });
  }
  log.info("watching", { from: flags.from.join(" "), to: flags.to, sealingKeys: flags.keys });
  while (!stopping.signal.aborted) {
    try {
      await pass();
    } catch (error) {
      // A full disk or an unreachable folder may be temporary: the next pass tries again.
      log.error("pass failed, retrying", { error: reasonOf(error) });
    }
    await sleep(flags.interval, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
}
