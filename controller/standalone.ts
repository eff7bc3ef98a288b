// The mode without a cluster: keys in a folder, one pass or a watch, the closing summary.
// SPEC.md, "Standalone mode".

import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSealingKey } from "../shared/keys/keypair.ts";
import { SignetError } from "../shared/errors.ts";
import { formatKeySecret, readKeyFile } from "../shared/keys/keyfile.ts";
import { Keyring, nextNotBefore } from "../shared/keys/keyring.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import { formatManifests } from "../shared/manifest/manifest.ts";
import { renderTemplate } from "../shared/template/template.ts";
import type { StandaloneFlags } from "./standaloneflags.ts";
import { FolderWorld } from "./folderworld.ts";
import { filesInKeyFolder, READABLE_BY_OTHERS } from "../host/keyfolder.ts";
import { writeAtomically } from "../host/atomicwrite.ts";
import { createLog, type Log } from "./log.ts";
import { Reconciler } from "./reconcile.ts";

/** Runs once, or until told to stop. Exit status: 0 where all Secrets are as declared. */
export async function standalone(flags: StandaloneFlags): Promise<number> {
  const log = createLog(flags.logLevel, flags.logFormat, (line) => {
    process.stderr.write(`${line}\n`);
  });
  const now = (): Date => new Date();
  const clock = (): number => performance.now();
  const keyring = new Keyring();
  const world = new FolderWorld({
    from: flags.from,
    to: flags.to,
    envFiles: flags.envFiles === true,
    namespace: flags.namespace,
    log,
  });
  const counts = { written: 0, repaired: 0, removed: 0, failed: 0 };
  const reconciler = new Reconciler({
    world,
    keyring,
    render: (source, values, name) => renderTemplate(source, values, { name, clock }),
    acceptLegacy: true,
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log,
    now,
    clock,
    onVerdict: (key, { synced, event, message }) => {
      if (synced) log.info(event.message, { object: key });
      else log.error(event.reason, { object: key, error: message });
      if (event.reason === "DriftCorrected") counts.repaired++;
      else if (synced) counts.written++;
    },
  });

  mkdirSync(flags.to, { recursive: true, mode: 0o700 });
  let loaded = "";
  const pass = async (): Promise<void> => {
    const found = keyFiles(flags.keys);
    if (found !== loaded) {
      keyring.replace(loadKeys(flags.keys, log));
      loaded = found;
      if (flags.writeCert !== undefined) writeCertificate(flags.writeCert, keyring);
      reconciler.forgetFailures();
    }
    const complete = world.scan();
    counts.written = counts.repaired = 0;
    counts.failed = complete ? 0 : 1;
    for (const key of world.keys) {
      const outcome = await reconciler.reconcile(key);
      if (outcome.kind !== "done" && outcome.kind !== "later") counts.failed++;
    }
    counts.removed = world.prune().length;
  };

  keyring.replace(loadKeys(flags.keys, log));
  if (flags.newKey === true || keyring.newest === null) await createKey(flags, keyring, now(), log);

  if (flags.watch !== true) {
    await pass();
    const total = world.keys.length;
    process.stdout.write(
      `${total} SealedSecret${total === 1 ? "" : "s"}: ${counts.written} written, ` +
        `${counts.repaired} put back, ` +
        `${total - counts.written - counts.repaired - counts.failed} unchanged, ${counts.removed} removed, ` +
        `${counts.failed} failed\n`,
    );
    return counts.failed === 0 ? 0 : 1;
  }

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
      // A full disk or a folder out of reach may pass: the next look tries again.
      log.error("pass failed, trying again", { error: describe(error) });
    }
    await sleep(flags.interval, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  return 0;
}

async function createKey(
  flags: StandaloneFlags,
  keyring: Keyring,
  now: Date,
  log: Log,
): Promise<void> {
  const notBefore = nextNotBefore(keyring.newest, now);
  const pair = await createSealingKey({
    bits: flags.keySize,
    notBefore,
    validForMs: flags.keyTtl,
    commonName: flags.myCn,
  });
  const stamp = notBefore.toISOString().slice(0, 19).replaceAll(/[-:T]/g, "");
  const name = `${flags.keyPrefix}-${stamp}`;
  const manifest = formatKeySecret(pair, {
    name,
    creationTimestamp: `${now.toISOString().slice(0, 19)}Z`,
  });
  mkdirSync(flags.keys, { recursive: true, mode: 0o700 });
  const file = join(flags.keys, `${name}.yaml`);
  writeAtomically(file, new TextEncoder().encode(formatManifests([manifest], "yaml")));
  log.info("sealing key created", { file });
}

/** What a look at the folder shows without reading keys; equal looks, equal keys. */
function keyFiles(folder: string): string {
  return listKeyFiles(folder)
    .map((file) => {
      const { ino, size, mtimeMs } = statSync(file);
      return [file, ino, size, mtimeMs].join(" ");
    })
    .join("\n");
}

function listKeyFiles(folder: string): string[] {
  return filesInKeyFolder(folder).filter((file) => /\.(ya?ml|json|pem|key)$/.test(file));
}

function loadKeys(folder: string, log: Log): SealingKey[] {
  return listKeyFiles(folder).flatMap((file) => {
    try {
      if ((statSync(file).mode & READABLE_BY_OTHERS) !== 0) {
        log.warn("sealing key can be read by others: chmod 600 it", { file });
      }
      return readKeyFile(readFileSync(file, "utf8"), file);
    } catch (error) {
      log.error("sealing key file cannot be used, skipped", { file, error: describe(error) });
      return [];
    }
  });
}

/** The certificate is public, and often committed: readable by all, untouched where it is the same. */
function writeCertificate(file: string, keyring: Keyring): void {
  const pem = keyring.newest?.certificate.pem;
  if (pem === undefined) return;
  try {
    if (readFileSync(file, "utf8") === pem) return;
  } catch {
    // Not there yet, or not readable: the write will tell.
  }
  writeAtomically(file, new TextEncoder().encode(pem), 0o644);
}

function describe(error: unknown): string {
  if (error instanceof SignetError) return error.message;
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}
