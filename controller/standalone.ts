// The mode without a cluster: one pass or a watch, and the summary at the end.
// SPEC.md, "Standalone mode".

import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Keyring } from "../shared/keys/keyring.ts";
import { renderTemplate } from "../shared/template/template.ts";
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
import type { StandaloneFlags } from "./standaloneflags.ts";

/** What one pass did. */
interface Summary {
  sealedSecrets: number;
  written: number;
  repaired: number;
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

/** The function that reads keys and manifests, and brings all Secret files in sync, once a call. */
function createPass(flags: StandaloneFlags, keyring: Keyring, log: Log): () => Promise<Summary> {
  const clock = (): number => performance.now();
  const world = new FolderWorld({
    from: flags.from,
    to: flags.to,
    envFiles: flags.envFiles === true,
    namespace: flags.namespace,
    log,
  });
  const counts = { written: 0, repaired: 0 };
  const reconciler = new Reconciler({
    world,
    keyring,
    render: (source, values, name) => renderTemplate(source, values, { name, clock }),
    acceptLegacy: true,
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log,
    now: () => new Date(),
    clock,
    onVerdict: (key, { synced, event, message }) => {
      if (synced) log.info(event.message, { object: key });
      else log.error(event.reason, { object: key, error: message });
      if (event.reason === "DriftCorrected") counts.repaired++;
      else if (synced) counts.written++;
    },
  });
  let loaded = "";
  return async () => {
    const found = keyFolderState(flags.keys);
    if (found !== loaded) {
      keyring.replace(loadKeyFiles(flags.keys, log));
      loaded = found;
      if (flags.writeCert !== undefined) writeCertificateFile(flags.writeCert, keyring);
      reconciler.forgetFailures();
    }
    const isComplete = world.scan();
    counts.written = counts.repaired = 0;
    let failed = isComplete ? 0 : 1;
    for (const key of world.keys) {
      const outcome = await reconciler.reconcile(key);
      if (outcome.kind !== "done" && outcome.kind !== "later") failed++;
    }
    const removed = world.prune().length;
    return { ...counts, sealedSecrets: world.keys.length, removed, failed };
  };
}

/** One line for standard output. */
function formatSummary({ sealedSecrets, written, repaired, removed, failed }: Summary): string {
  const unchanged = sealedSecrets - written - repaired - failed;
  return (
    `${sealedSecrets} SealedSecret${sealedSecrets === 1 ? "" : "s"}: ${written} written, ` +
    `${repaired} put back, ${unchanged} unchanged, ${removed} removed, ${failed} failed\n`
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
      log.error("pass failed, trying again", { error: reasonOf(error) });
    }
    await sleep(flags.interval, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
}
