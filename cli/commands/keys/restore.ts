// `signet keys restore`: creates the keys of a backup in a cluster. They can open values, but not seal,
// unless a person adopts them.
// SPEC.md, "Backups".

import { createHash } from "node:crypto";
import { locate, SignetError } from "../../../shared/errors.ts";
import {
  HELD_KEY_LABELS,
  isLockedBackup,
  KEY_LABEL,
  RESTORED_ANNOTATION,
} from "../../../shared/keys/keyfile.ts";
import {
  isWrapped,
  WRAPPED_ITEM,
  WRAPPED_KEY_LABEL,
  WRAPPED_TYPE,
} from "../../../shared/keys/wrappedkey.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";
import { formatSecret, parseSecret } from "../../../shared/kubernetes/secret.ts";
import { objectsOf } from "../../../shared/kubernetes/object.ts";
import { createKeySecret } from "../../cluster/apiobjects.ts";
import { readBytes } from "../../../host/readfile.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { count } from "../../terminal/counts.ts";
import { printJson } from "../../terminal/results.ts";
import { say, warn } from "../../terminal/messages.ts";
import type { Line } from "../../terminal/line.ts";
import { table } from "../../terminal/table.ts";
import type { KeyReport } from "../../cluster/reportedkeys.ts";
import { unlockBackup } from "../../recovery/lock.ts";
import { findProject } from "../../repository/project.ts";
import { recoveryPath } from "../../repository/recoveryfolder.ts";
import {
  type ClusterKey,
  type FoundKeys,
  labelOf,
  readAnyKey,
  readClusterKeys,
  sealingAfter,
  sealingNow,
  sealingWords,
  withConfirmation,
} from "./keysecrets.ts";
import { confirm, confirmPlace, type KeyPlace } from "./keyplace.ts";
import { untilReported } from "./untilreported.ts";

interface RestoreOptions extends KeyPlace {
  readonly passphraseFile?: string;
  readonly identity: readonly string[];
  /** Identities for the repository's recovery files, instead of a backup. */
  readonly recoveryIdentity: readonly string[];
  /** Full fingerprints of keys that may seal. */
  readonly adopt: readonly string[];
  readonly wait: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** A key of the backup, and what happens to it. */
interface PlannedKey {
  readonly key: ClusterKey;
  /** The label of the Secret that already holds this key in the cluster; undefined if none does. */
  readonly there: string | undefined;
}

/**
 * `named`: a backup; undefined for the recovery files of the repository. Skips existing keys, so that it
 * can be run again after a failure. @throws SignetError
 */
export async function runKeysRestore(
  named: string | undefined,
  options: RestoreOptions,
): Promise<void> {
  const { dryRun, adopt } = options;
  const { file, text, isLocked } = await source(named, options);
  const backup = chosenConfirmed(readBackup(text, file, options.controllerNamespace), adopt);
  if (!isLocked && !backup.every(({ secret }) => isWrapped(secret))) {
    warn(
      `${file}: contains private keys in plain text: encrypt them with \`signet keys backup\`, and delete this file`,
    );
  }
  await confirmPlace(options);
  const cluster = await readClusterKeys(options);
  const plan = planned(backup, cluster);
  const created = plan.filter(({ there }) => there === undefined).map(({ key }) => key);
  const before = await sealingNow(options, cluster.keys);
  const after = adopt.length === 0 ? before : sealingAfter(cluster.keys, before, created);
  for (const line of planLines(plan, adopt, before, after)) say(line);
  if (created.length > 0 && !dryRun) {
    if (!options.yes) await confirmRestore(created.length, file);
    for (const key of created) await create(key, options);
  }
  warnOfIdle(plan, options);
  const report = await waited(plan, options);
  if (report !== null) checkSealing(report, created, adopt);
  if (options.json) {
    await printJson({
      file,
      dryRun,
      keys: plan.map((each) => factsOf(each, dryRun)),
      before,
      after,
    });
    return;
  }
  for (const each of plan) {
    const { secret, fingerprint, result } = factsOf(each, dryRun);
    say(`${secret}: ${result} (${fingerprint})`);
  }
  const held = report === null ? "" : `; the controller has loaded ${heldOf(plan).length} of them`;
  say(`${count(plan.length, "key")} from ${file}${held}`);
}

interface Source {
  readonly file: string;
  /** The key Secrets. */
  readonly text: string;
  /** Whether the file is encrypted. */
  readonly isLocked: boolean;
}

/** What to restore, and where it is. @throws SignetError */
async function source(named: string | undefined, options: RestoreOptions): Promise<Source> {
  const { passphraseFile, identity, recoveryIdentity, projectCluster } = options;
  if (recoveryIdentity.length === 0) {
    if (named !== undefined) return readNamedBackup(named, { passphraseFile, identity });
    throw new SignetError("usage", "no backup was named", {
      hint: "name a backup file, or use --cluster and --recovery-identity for the repository's recovery files",
    });
  }
  const project = findProject();
  if (named !== undefined || projectCluster === null || project === null) {
    throw new SignetError("usage", "--recovery-identity requires --cluster, and excludes FILE", {
      hint: "it opens the repository's recovery files; to decrypt FILE, use --identity",
    });
  }
  const { keysByIdentity } = await import("../../repository/recoveredkeys.ts");
  const recovered = await keysByIdentity(project, recoveryIdentity, projectCluster);
  const text = recovered.map((each) => each.text ?? "").join("\n---\n");
  return { file: recoveryPath(project, projectCluster, ""), text, isLocked: true };
}

async function readNamedBackup(
  file: string,
  { passphraseFile, identity }: { passphraseFile: string | undefined; identity: readonly string[] },
): Promise<Source> {
  const bytes = readBytes(file);
  const text =
    plainList(bytes) ??
    (await unlockBackup(bytes, file, {
      ...(passphraseFile === undefined ? {} : { passphraseFile }),
      ...(identity.length === 0 ? {} : { identity }),
    }));
  return { file, text, isLocked: isLockedBackup(bytes) };
}

function factsOf({ key: { secret, key }, there }: PlannedKey, dryRun: boolean) {
  return {
    secret: secret.metadata.name,
    fingerprint: key.fingerprint,
    /** From its label. */
    state: there ?? labelOf(secret),
    result: there !== undefined ? "already exists" : dryRun ? "would be created" : "created",
  };
}

/** Key Secrets as printed by `kubectl get --output yaml`; undefined for any other file. */
function plainList(bytes: Uint8Array): string | undefined {
  if (isLockedBackup(bytes)) return undefined;
  const text = new TextDecoder().decode(bytes);
  return text.includes("tls.key") ? text : undefined;
}

/**
 * Checks every key before the first is created. Keeps only the fields that a sealing key needs: the
 * backup may be forged, as its recipient is public, and annotations, owners and finalizers can make
 * other programs act on a Secret.
 */
function readBackup(text: string, file: string, namespace: string): ClusterKey[] {
  const keys = locate({ file }, () =>
    parseManifests(text)
      .flatMap(objectsOf)
      .map((object) => {
        const { metadata, data, type } = parseSecret(object);
        const { name } = metadata;
        // The new controller may run in another namespace, and finds a key without a label by one
        // name only.
        const isClosed = data.has(WRAPPED_ITEM);
        const label = isClosed ? WRAPPED_KEY_LABEL : KEY_LABEL;
        const labels = { [label]: metadata.labels[label] ?? "active" };
        const kept = new Map([...data].filter(([item]) => KEY_ITEMS.includes(item)));
        if (!KEY_TYPES.includes(type)) {
          throw new SignetError("key-invalid", `is a Secret of type ${type}, not a sealing key`, {
            place: { object: name },
          });
        }
        if (isClosed && metadata.namespace !== namespace) {
          throw new SignetError(
            "key-invalid",
            `is wrapped for namespace ${metadata.namespace || "(none)"}, and cannot be opened in another`,
            {
              hint: "run the controller in that namespace, or restore a backup without wrapped keys",
              place: { object: name },
            },
          );
        }
        const secret = {
          metadata: { name, namespace, labels, annotations: {}, rest: {} },
          type,
          immutable: undefined,
          data: kept,
        };
        const key = locate({ object: name }, () => readAnyKey(secret));
        const annotations = { [RESTORED_ANNOTATION]: key.fingerprint };
        return { secret: { ...secret, metadata: { ...secret.metadata, annotations } }, key };
      }),
  );
  // The output of two kubectl commands may contain the same key.
  const fingerprints = new Set<string>();
  const isNew = ({ key }: ClusterKey): boolean =>
    fingerprints.size < fingerprints.add(key.fingerprint).size;
  if (keys.length > 0) return keys.filter(isNew);
  throw new SignetError("key-invalid", "contains no sealing key", { place: { file } });
}

const KEY_ITEMS = ["tls.key", "tls.crt", WRAPPED_ITEM];
const KEY_TYPES = ["", "Opaque", "kubernetes.io/tls", WRAPPED_TYPE];

/** @throws SignetError usage if a key to adopt is not in the backup, or not named in full */
function chosenConfirmed(keys: readonly ClusterKey[], adopt: readonly string[]): ClusterKey[] {
  for (const wanted of adopt) {
    if (keys.some(({ key }) => key.fingerprint === wanted)) continue;
    throw new SignetError("usage", `no key of the backup has the fingerprint ${wanted}`, {
      hint: "--adopt requires a full fingerprint, as `signet cert show` prints it",
    });
  }
  return keys.map((each) => (adopt.includes(each.key.fingerprint) ? withConfirmation(each) : each));
}

/**
 * Renames a key if the cluster already has another Secret with that name, as a new cluster does.
 */
function planned(backup: readonly ClusterKey[], { keys, broken }: FoundKeys): PlannedKey[] {
  const taken = new Set([...keys.map(({ secret }) => secret.metadata.name), ...broken.keys()]);
  return backup.map((each) => {
    const { fingerprint } = each.key;
    const existing = keys.find(({ key }) => key.fingerprint === fingerprint);
    if (existing !== undefined) return { key: existing, there: labelOf(existing.secret) };
    const { metadata } = each.secret;
    if (isWrapped(each.secret) && taken.has(metadata.name)) {
      throw new SignetError(
        "key-invalid",
        "another Secret has the name that this key is wrapped for",
        {
          hint: "rename or delete that Secret, and run this again",
          place: { object: metadata.name },
        },
      );
    }
    const suffix = createHash("sha256").update(fingerprint).digest("hex").slice(0, 8);
    const name = taken.has(metadata.name) ? `${metadata.name}-${suffix}` : metadata.name;
    taken.add(name);
    const rest = { creationTimestamp: new Date().toISOString() };
    const secret = { ...each.secret, metadata: { ...metadata, name, rest } };
    return { key: { secret, key: readAnyKey(secret) }, there: undefined };
  });
}

function planLines(
  plan: readonly PlannedKey[],
  adopt: readonly string[],
  before: string | null,
  after: string | null,
): Line[] {
  const day = (date: Date | undefined): string => date?.toISOString().slice(0, 10) ?? "-";
  const rows = plan.map(({ key: { secret, key }, there }) => [
    secret.metadata.name,
    there === undefined ? labelOf(secret) : "already exists",
    there === undefined && adopt.includes(key.fingerprint) ? "can seal" : "can only open",
    day(key.certificate?.notBefore),
    day(key.certificate?.notAfter),
    key.fingerprint,
  ]);
  return [
    ...table([["SECRET", "STATE", "USE", "SINCE", "UNTIL", "FINGERPRINT"], ...rows]),
    ...sealingWords(before, after),
  ];
}

async function confirmRestore(keys: number, file: string): Promise<void> {
  await confirm(`Restore ${count(keys, "key")} from ${file} to this cluster?`, {
    message: "standard input is not a terminal, so these keys must be confirmed with --yes",
    hint: "run with --dry-run to see what would be done, then with --yes",
  });
}

/** @throws SignetError network; io if another Secret has the name */
async function create({ secret }: ClusterKey, options: ClusterOptions): Promise<void> {
  const object = formatSecret({ ...secret, metadata: { ...secret.metadata, rest: {} } });
  if (await createKeySecret(options, object)) return;
  throw new SignetError("io", "a Secret with this name already exists, and is not a sealing key", {
    hint: "it was not changed; rename it, and run this again",
    place: { object: `${options.controllerNamespace}/${secret.metadata.name}` },
  });
}

function warnOfIdle(plan: readonly PlannedKey[], options: RestoreOptions): void {
  for (const { key, there } of plan) {
    const { name } = key.secret.metadata;
    if (there === undefined) continue;
    if (!HELD_KEY_LABELS.includes(there)) {
      warn(
        `${name}: the controller does not use it, as its label in the cluster is "${there}"; ` +
          `to change that: kubectl label secret -n ${options.controllerNamespace} ${name} ` +
          `${KEY_LABEL}=active --overwrite`,
      );
    } else if (options.adopt.includes(key.key.fingerprint)) {
      warn(
        `${name}: already exists, so it was not adopted; to adopt it, run \`signet keys adopt\``,
      );
    }
  }
}

/** Fingerprints of the keys that the controller loads. */
function heldOf(plan: readonly PlannedKey[]): string[] {
  return plan
    .filter(({ key, there }) => HELD_KEY_LABELS.includes(there ?? labelOf(key.secret)))
    .map(({ key }) => key.key.fingerprint);
}

async function waited(
  plan: readonly PlannedKey[],
  options: RestoreOptions,
): Promise<KeyReport | null> {
  const held = heldOf(plan);
  if (!options.wait || options.dryRun || held.length === 0) return null;
  return untilReported(options, "the keys are in the cluster", ({ keys }) =>
    held.every((wanted) => keys.some(({ fingerprint }) => fingerprint === wanted)),
  );
}

/**
 * A controller without support for confirmation seals with the newest key, whoever created it.
 * @throws SignetError check-found
 */
function checkSealing(
  { keys }: KeyReport,
  created: readonly ClusterKey[],
  adopt: readonly string[],
): void {
  const sealing = keys.find(({ state }) => state === "sealing");
  const wrong = created.find(({ key }) => key.fingerprint === sealing?.fingerprint);
  if (wrong === undefined || adopt.includes(wrong.key.fingerprint)) return;
  throw new SignetError(
    "check-found",
    "this key from the backup now seals, although it was not adopted",
    {
      hint: "the controller is too old to require confirmation: upgrade it, then run `signet keys rotate`",
      place: { object: wrong.secret.metadata.name },
    },
  );
}
