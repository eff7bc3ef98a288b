// Owns: `signet keys restore`: the keys of a backup put into a cluster.
// Does not own: the lock (lock.ts), what the controller does with them. SPEC.md, "Backups".

import { setTimeout as sleep } from "node:timers/promises";
import { locate, SignetError } from "../../shared/errors.ts";
import { HELD_KEY_LABELS, KEY_LABEL, readKeySecret } from "../../shared/keyfile.ts";
import { parseManifests } from "../../shared/manifest.ts";
import { formatSecret, objectsOf, parseSecret, type Secret } from "../../shared/secret.ts";
import { createKeySecret, readSecretIfThere } from "../cluster/objects.ts";
import { readBytes } from "../files.ts";
import type { ClusterOptions } from "../cluster/kubeconfig.ts";
import { count, printJson, say } from "../terminal.ts";
import { fetchKeyReport } from "./list.ts";
import { unlockBackup } from "./lock.ts";

export interface RestoreOptions extends ClusterOptions {
  readonly passphraseFile?: string;
  readonly identity: readonly string[];
  readonly wait: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

interface RestoredKey {
  readonly secret: string;
  readonly fingerprint: string;
  readonly result: "created" | "there already" | "would be created";
}

const WAIT_MS = 60_000;
const POLL_MS = 500;

/** @throws SignetError; run again, it goes on where it ended: a key that is there is left alone */
export async function runKeysRestore(file: string, options: RestoreOptions): Promise<void> {
  const { passphraseFile, identity } = options;
  const text = await unlockBackup(readBytes(file), file, {
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
    ...(identity.length === 0 ? {} : { identity }),
  });
  const keys = readBackup(text, file, options.controllerNamespace);
  const done: RestoredKey[] = [];
  for (const { secret, fingerprint } of keys)
    done.push(await restoreOne(secret, fingerprint, options));
  const held = keys
    .filter(({ secret }) => HELD_KEY_LABELS.includes(secret.metadata.labels[KEY_LABEL] ?? ""))
    .map(({ fingerprint }) => fingerprint);
  const waits = options.wait && !options.dryRun && held.length > 0;
  if (waits) await untilHeld(held, options);
  if (options.json) {
    await printJson({ file, dryRun: options.dryRun, keys: done });
    return;
  }
  for (const { secret, fingerprint, result } of done) say(`${secret}: ${result} (${fingerprint})`);
  const told = waits ? `; the controller holds ${held.length} of them` : "";
  say(`${count(done.length, "key")} of ${file}${told}`);
}

interface BackupKey {
  readonly secret: Secret;
  readonly fingerprint: string;
}

/** Everything is checked before the first is created. */
function readBackup(text: string, file: string, namespace: string): BackupKey[] {
  const keys = locate({ file }, () =>
    parseManifests(text)
      .flatMap(objectsOf)
      .map((object) => {
        const secret = parseSecret(object);
        const key = readKeySecret(secret);
        // The cluster's controller may be in another namespace than the one that is lost.
        const metadata = { ...secret.metadata, namespace };
        return { secret: { ...secret, metadata }, fingerprint: key.privateKey.fingerprint };
      }),
  );
  if (keys.length > 0) return keys;
  throw new SignetError("key-invalid", "there is no sealing key in it", { place: { file } });
}

async function restoreOne(
  secret: Secret,
  fingerprint: string,
  options: RestoreOptions,
): Promise<RestoredKey> {
  const { name, namespace } = secret.metadata;
  const there = await readSecretIfThere(options, secret.metadata);
  if (there !== null) return alreadyThere(there, name, fingerprint);
  if (options.dryRun) return { secret: name, fingerprint, result: "would be created" };
  if (await createKeySecret(options, formatSecret(secret))) {
    return { secret: name, fingerprint, result: "created" };
  }
  const found = await readSecretIfThere(options, secret.metadata);
  if (found !== null) return alreadyThere(found, name, fingerprint);
  throw new SignetError("network", `the key Secret ${namespace}/${name} came and went`);
}

function alreadyThere(there: Secret, name: string, fingerprint: string): RestoredKey {
  if (readKeySecret(there).privateKey.fingerprint === fingerprint) {
    return { secret: name, fingerprint, result: "there already" };
  }
  throw new SignetError("key-invalid", "the cluster has another key under this name", {
    hint: "nothing of it was changed; rename one of the two Secrets",
    place: { object: name },
  });
}

async function untilHeld(wanted: readonly string[], options: RestoreOptions): Promise<void> {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    try {
      const { keys } = await fetchKeyReport(options);
      const isHeld = (wantedOne: string): boolean =>
        keys.some(({ fingerprint }) => fingerprint === wantedOne);
      if (wanted.every(isHeld)) return;
    } catch (error) {
      if (!(error instanceof SignetError) || Date.now() > end) {
        throw new SignetError(
          "network",
          "the keys are in the cluster, but its controller does not answer",
          { cause: error, hint: "it reads them when it starts; --no-wait does not ask it" },
        );
      }
    }
    if (Date.now() > end) {
      throw new SignetError(
        "network",
        "the keys are in the cluster, but its controller holds them not",
        {
          hint: "see its log, and `signet keys`",
        },
      );
    }
    await sleep(POLL_MS);
  }
}
