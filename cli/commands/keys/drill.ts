// `signet keys drill`: checks that every value of the repository could be recovered with the given keys,
// without touching a cluster.
// SPEC.md, "Recovery".

import { availableParallelism } from "node:os";
import { writeFiles } from "../../../host/writefiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { Keyring } from "../../../shared/keys/keyring.ts";
import type { SealingKey } from "../../../shared/keys/sealingkey.ts";
import { LEGACY_ITEM, opens } from "../../../shared/sealing/unseal.ts";
import { readKeys } from "../../recovery/recoverykeys.ts";
import { withoutAllowed } from "../../repository/allowedfiles.ts";
import type { ClusterKeys } from "../../repository/clustercertificates.ts";
import { recordOutput } from "../../repository/drillrecord.ts";
import { areKeysGiven, type GivenKeys } from "../../repository/openingkeys.ts";
import { clusterNamed, needProject } from "../../repository/project.ts";
import type { Project } from "../../repository/projectfile.ts";
import { type Identities, readIdentities, recoverKeys } from "../../repository/recoveredkeys.ts";
import {
  byCluster,
  type Inventory,
  readSealedFiles,
  type SealedObject,
} from "../../repository/sealedfiles.ts";
import { inRuledNamespace } from "../../repository/sealingplace.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import { say } from "../../terminal/messages.ts";
import { printJson, printLines } from "../../terminal/results.ts";
import { metricsOutput } from "./drillmetrics.ts";
import { openWrappedFiles } from "./wrappedfiles.ts";
import type { WrappedKeyOptions } from "./wrappedkeyoptions.ts";

interface DrillOptions extends GivenKeys, WrappedKeyOptions {
  readonly cluster?: string;
  /** Records the result in the repository. */
  readonly record: boolean;
  /** File for the result in Prometheus' text format. */
  readonly metrics?: string;
  readonly json: boolean;
}

interface LostValue {
  readonly file: string;
  readonly object: string;
  readonly item: string;
  /** The fingerprint of its key, from its stamp; null without a stamp. */
  readonly fingerprint: string | null;
  readonly reason: string;
}

interface TriedKey {
  readonly fingerprint: string;
  /** New values are sealed with it. */
  readonly seals: boolean;
  /** Why it cannot be recovered; null if it can. */
  readonly reason: string | null;
}

/** What could be recovered of a cluster. */
interface ClusterDrill {
  readonly cluster: string;
  readonly sealedSecrets: number;
  readonly opened: number;
  readonly lost: readonly LostValue[];
  readonly keys: readonly TriedKey[];
}

/** @throws SignetError check-found if something would be lost; usage, io, key-invalid */
export async function runKeysDrill(options: DrillOptions): Promise<void> {
  if (!areKeysGiven(options) && options.wrappedKey.length === 0) {
    throw new SignetError("usage", "no keys were given to recover with", {
      hint: "use --recovery-identity FILE, --recovery-key FILE for a backup, or --wrapped-key FILE with --kms-provider",
    });
  }
  const project = needProject();
  if (options.cluster !== undefined) clusterNamed(project, options.cluster);
  const { inventory } = withoutAllowed(readSealedFiles([], project), project);
  const given = await readGiven(options);
  const at = new Date();
  const drills: ClusterDrill[] = [];
  const chosen = [...inventory.clusters.values()].filter(
    ({ cluster }) => options.cluster === undefined || cluster.name === options.cluster,
  );
  for (const keys of chosen) drills.push(await drill(project, keys, inventory, given));
  const unreadable = inventory.unreadable.map(({ place, message }) => ({ ...place, message }));
  // If a file matches no path of signet.yaml, it is unknown which cluster's keys it needs.
  const untried =
    options.cluster === undefined
      ? inventory.files.filter(({ objects }) => objects.some(({ meaning }) => meaning === null))
      : [];
  const isFound =
    unreadable.length + untried.length > 0 || drills.some(({ lost, keys }) => isLoss(lost, keys));
  const records = drills.map((each, index) =>
    recordOutput(project, (chosen[index] as ClusterKeys).cluster, {
      at,
      opened: each.opened,
      lost: each.lost.length,
      keys: each.keys.filter(({ reason }) => reason === null).map((key) => key.fingerprint),
    }),
  );
  const isAllTried = unreadable.length + untried.length === 0;
  const figures = drills.map(({ cluster, opened, lost, keys }) => {
    return { cluster, opened, lost: lost.length, isSafe: isAllTried && !isLoss(lost, keys) };
  });
  await writeFiles([
    ...(options.record ? records : []),
    ...(options.metrics === undefined ? [] : [metricsOutput(options.metrics, at, figures)]),
  ]);
  if (options.json) {
    await printJson({
      at: at.toISOString(),
      safe: !isFound,
      clusters: drills,
      unreadable,
      untried: untried.map(({ path }) => path),
    });
  } else {
    await printLines(drills.flatMap(linesOf));
    for (const { file = "", message } of unreadable) say(`${file}: cannot be read: ${message}`);
    for (const { path } of untried) say(`${path}: not tried: no path in signet.yaml matches it`);
  }
  if (isFound) {
    throw new SignetError("check-found", "not everything can be recovered", {
      hint: "run `signet cert refresh` to fetch recovery files, and `signet reseal` to re-seal values with the newest key",
    });
  }
}

function isLoss(lost: readonly LostValue[], keys: readonly TriedKey[]): boolean {
  return lost.length > 0 || keys.some(({ seals, reason }) => seals && reason !== null);
}

async function drill(
  project: Project,
  { cluster, current, known }: ClusterKeys,
  inventory: Inventory,
  given: Given,
): Promise<ClusterDrill> {
  const { held, reasons } = await keysAtHand(project, cluster.name, inventory, given);
  const keyring = new Keyring(held);
  const objects =
    byCluster(inventory.files.flatMap((file) => file.objects)).get(cluster.name) ?? [];
  const lost: LostValue[] = [];
  let opened = 0;
  const waiting = objects.values();
  const worker = async (): Promise<void> => {
    for (const object of waiting) {
      for (const value of object.values) {
        if (await opensItem(object, value.item, keyring)) opened++;
        else lost.push(lostValue(object, value, keyring, reasons));
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() * 2 }, worker));
  lost.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  const isHeld = new Set(held.map(({ fingerprint }) => fingerprint));
  const keys = [...known.keys()].map((fingerprint) => ({
    fingerprint,
    seals: fingerprint === current?.fingerprint,
    reason: isHeld.has(fingerprint) ? null : (reasons.get(fingerprint) ?? NOT_HELD),
  }));
  return { cluster: cluster.name, sealedSecrets: objects.length, opened, lost, keys };
}

const NOT_HELD = "its key is not in the given files";
const placeOf = ({ file, object, item }: LostValue): string => [file, object, item].join("\n");

/** The keys that were given to recover with, read once for all clusters. */
interface Given {
  readonly held: readonly SealingKey[];
  /** Why the key service cannot open a key, by fingerprint. */
  readonly reasons: ReadonlyMap<string, string>;
  /** Null if none were named. */
  readonly identities: Identities | null;
}

async function readGiven(options: DrillOptions): Promise<Given> {
  const { recoveryKey, recoveryIdentity } = options;
  const { held, reasons } = await openWrappedFiles(options);
  held.push(...(await readKeys(recoveryKey)));
  const identities = recoveryIdentity.length === 0 ? null : await readIdentities(recoveryIdentity);
  return { held, reasons, identities };
}

/** The keys that can be recovered without a cluster, and why the others cannot, by fingerprint. */
async function keysAtHand(
  project: Project,
  name: string,
  { clusters }: Inventory,
  given: Given,
): Promise<{ held: SealingKey[]; reasons: ReadonlyMap<string, string> }> {
  const held = [...given.held];
  const reasons = new Map(given.reasons);
  const keys = clusters.get(name);
  if (given.identities === null || keys === undefined) return { held, reasons };
  for (const { fingerprint, key, error } of await recoverKeys(project, [keys], given.identities)) {
    if (key !== null) held.push(key);
    if (error !== null) reasons.set(fingerprint, error.message);
  }
  return { held, reasons };
}

function opensItem(object: SealedObject, item: string, keyring: Keyring): Promise<boolean> {
  const sealed = inRuledNamespace(object);
  if (item === LEGACY_ITEM && sealed.legacyData !== undefined) return opens(sealed, keyring);
  const text = sealed.encryptedData.get(item) ?? "";
  return opens({ ...sealed, encryptedData: new Map([[item, text]]) }, keyring);
}

function lostValue(
  { file, name }: SealedObject,
  { item, fingerprint }: SealedObject["values"][number],
  keyring: Keyring,
  reasons: ReadonlyMap<string, string>,
): LostValue {
  const isHeld = keyring.keys.some((key) => key.fingerprint === fingerprint);
  const reason =
    fingerprint === undefined
      ? "none of the given keys opens it, and it does not name its key"
      : isHeld
        ? "it is damaged, or was sealed for another name or namespace"
        : (reasons.get(fingerprint) ?? NOT_HELD);
  return { file, object: name, item, fingerprint: fingerprint ?? null, reason };
}

function linesOf({ cluster, sealedSecrets, opened, lost, keys }: ClusterDrill): string[] {
  const held = keys.filter(({ reason }) => reason === null).length;
  const all = opened + lost.length;
  return [
    `${cluster}: ${opened} of ${count(all, "value")} in ${count(sealedSecrets, "SealedSecret")} can be recovered, with ${held} of ${count(keys.length, "key")}`,
    ...keys.flatMap(({ fingerprint, seals, reason }) =>
      reason === null
        ? []
        : [`  key ${shortFingerprint(fingerprint)}${seals ? ", the current one" : ""}: ${reason}`],
    ),
    ...lost.map(({ file, object, item, fingerprint, reason }) => {
      const key = fingerprint === null ? "" : ` (${shortFingerprint(fingerprint)})`;
      return `  lost: ${file}: ${object}: ${item}${key}: ${reason}`;
    }),
  ];
}
