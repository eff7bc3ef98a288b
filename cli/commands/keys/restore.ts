// `signet keys restore`: creates the keys of a backup in a cluster.
// SPEC.md, "Backups".

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { locate, SignetError } from "../../../shared/errors.ts";
import { HELD_KEY_LABELS, KEY_LABEL, readKeySecret } from "../../../shared/keys/keyfile.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";
import { formatSecret, parseSecret, type Secret } from "../../../shared/kubernetes/secret.ts";
import { objectsOf, serverFieldsRemoved } from "../../../shared/kubernetes/object.ts";
import { createKeySecret, listKeySecrets } from "../../cluster/apiobjects.ts";
import { readBytes } from "../../../host/readfile.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { count } from "../../terminal/counts.ts";
import { printJson } from "../../terminal/results.ts";
import { say, warn } from "../../terminal/messages.ts";
import { fetchKeyReport } from "../../cluster/reportedkeys.ts";
import { unlockBackup } from "../../recovery/lock.ts";

interface RestoreOptions extends ClusterOptions {
  readonly passphraseFile?: string;
  readonly identity: readonly string[];
  readonly wait: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

interface RestoredKey {
  readonly secret: string;
  readonly fingerprint: string;
  /** From its label. */
  readonly state: string;
  readonly result: "created" | "there already" | "would be created";
}

const WAIT_MS = 60_000;
const POLL_MS = 500;

/** Skips existing keys, so that it can be run again after a failure. @throws SignetError */
export async function runKeysRestore(file: string, options: RestoreOptions): Promise<void> {
  const { passphraseFile, identity } = options;
  const text = await unlockBackup(readBytes(file), file, {
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
    ...(identity.length === 0 ? {} : { identity }),
  });
  const keys = readBackup(text, file, options.controllerNamespace);
  const done: RestoredKey[] = [];
  const there = await keysThere(options);
  for (const key of keys) done.push(await restoreOne(key, there, options));
  for (const { secret, state, result } of done) {
    if (result !== "there already" || HELD_KEY_LABELS.includes(state)) continue;
    warn(
      `${secret}: the controller opens nothing with it, as its label in the cluster is "${state}"; ` +
        `to change that: kubectl label secret -n ${options.controllerNamespace} ${secret} ` +
        `${KEY_LABEL}=active --overwrite`,
    );
  }
  const held = done
    .filter(({ state }) => HELD_KEY_LABELS.includes(state))
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

/** Checks every key before the first is created. */
function readBackup(text: string, file: string, namespace: string): BackupKey[] {
  const keys = locate({ file }, () =>
    parseManifests(text)
      .flatMap(objectsOf)
      .map((object) => {
        const secret = parseSecret(object);
        const key = readKeySecret(secret);
        // The new controller may run in another namespace, and finds a key without a label by one
        // name only.
        const labels = { [KEY_LABEL]: "active", ...secret.metadata.labels };
        const rest = serverFieldsRemoved(secret.metadata.rest);
        const metadata = { ...secret.metadata, namespace, labels, rest };
        return { secret: { ...secret, metadata }, fingerprint: key.fingerprint };
      }),
  );
  if (keys.length > 0) return keys;
  throw new SignetError("key-invalid", "there is no sealing key in it", { place: { file } });
}

/**
 * Creates a key Secret; under another name where the cluster already has another key of that name,
 * as a new cluster does.
 */
async function restoreOne(
  { secret, fingerprint }: BackupKey,
  there: ReadonlyMap<string, KeyThere>,
  options: RestoreOptions,
): Promise<RestoredKey> {
  const existing = there.get(fingerprint);
  if (existing !== undefined) return { ...existing, fingerprint, result: "there already" };
  const { metadata } = secret;
  const state = metadata.labels[KEY_LABEL] ?? "";
  const suffix = createHash("sha256").update(fingerprint).digest("hex").slice(0, 8);
  const isTaken = [...there.values()].some((each) => each.secret === metadata.name);
  const named = isTaken ? `${metadata.name}-${suffix}` : metadata.name;
  if (options.dryRun) return { secret: named, fingerprint, state, result: "would be created" };
  const object = formatSecret({ ...secret, metadata: { ...metadata, name: named } });
  if (await createKeySecret(options, object)) {
    return { secret: named, fingerprint, state, result: "created" };
  }
  throw new SignetError("io", "there is a Secret of this name already, which is no sealing key", {
    hint: "it was left as it is; rename it, and run this again",
    place: { object: `${options.controllerNamespace}/${named}` },
  });
}

type KeyThere = Pick<RestoredKey, "secret" | "state">;

/** The key Secrets of the cluster, by fingerprint. */
async function keysThere(options: ClusterOptions): Promise<Map<string, KeyThere>> {
  const there = new Map<string, KeyThere>();
  for (const object of await listKeySecrets(options)) {
    const secret = parseSecret(object);
    const { name, labels } = secret.metadata;
    let fingerprint = `unreadable ${name}`;
    try {
      fingerprint = readKeySecret(secret).fingerprint;
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
    }
    // The controller holds the one without a label too.
    there.set(fingerprint, { secret: name, state: labels[KEY_LABEL] ?? "active" });
  }
  return there;
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
