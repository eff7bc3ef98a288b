// Decides whether a workload must be restarted: what it asks for, what its pods have seen, and what
// changed since. Pure functions.
// docs/decisions/2026-11-restarts.md

import { createHash } from "node:crypto";
import type { Keyring } from "../shared/keys/keyring.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../shared/kubernetes/object.ts";

/** On a workload: the Secrets to restart it for, as `db,api`, or `*` for all that it references. */
export const RESTART_ON = "kube-signet/restart-on";
/** On a workload: tags of the data that its pods have seen. */
export const SEEN = "kube-signet/restart-seen";
/** On a workload: when it was last restarted, and for which Secrets. */
export const RESTARTED = "kube-signet/restarted";
/** On the pod template: changing it replaces the pods. */
const RESTARTED_AT = "kube-signet/restarted-at";

/** Every kind of workload that is restarted. */
export type WorkloadKind = "Deployment" | "StatefulSet" | "DaemonSet" | "Rollout";

/** The most Secrets for which one workload is restarted. */
const MAX_SECRETS = 64;
/** The longest value of `kube-signet/restart-on`, in characters. */
export const MAX_RESTART_ON = 4096;
/** The longest record that is read, in characters; ours is shorter. */
const MAX_SEEN = 32_768;
const MAX_NAME = 253;
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** Reads the value of `kube-signet/restart-on`; null if it is invalid. */
export function parseRestartOn(text: string): "*" | readonly string[] | null {
  if (text.length > MAX_RESTART_ON) return null;
  if (text.trim() === "*") return "*";
  const names = new Set(text.split(",").map((name) => name.trim()));
  const areValid = [...names].every((name) => name.length <= MAX_NAME && NAME.test(name));
  return areValid && names.size <= MAX_SECRETS ? [...names].sort() : null;
}

/**
 * The names of the Secrets that the pods of a workload read: environment variables and volumes. The
 * first 64 by name.
 */
export function referencedSecrets(workload: JsonObject): string[] {
  const spec = asObject(workload["spec"] ?? null) ?? {};
  const pod = asObject(asObject(spec["template"] ?? null)?.["spec"] ?? null) ?? {};
  const containers = [...objectsIn(pod["containers"]), ...objectsIn(pod["initContainers"])];
  const volumes = objectsIn(pod["volumes"]);
  const names = [
    ...containers.flatMap((container) => [
      ...objectsIn(container["env"]).map((each) => at(each, "valueFrom", "secretKeyRef", "name")),
      ...objectsIn(container["envFrom"]).map((each) => at(each, "secretRef", "name")),
    ]),
    ...volumes.map((volume) => at(volume, "secret", "secretName")),
    ...volumes
      .flatMap((volume) => objectsIn(asObject(volume["projected"] ?? null)?.["sources"]))
      .map((source) => at(source, "secret", "name")),
  ];
  const found = new Set(names.filter((name) => typeof name === "string" && NAME.test(name)));
  return ([...found] as string[]).sort().slice(0, MAX_SECRETS);
}

function at(object: JsonObject, ...fields: string[]): unknown {
  let value: JsonObject[string] | undefined = object;
  for (const field of fields) value = asObject(value ?? null)?.[field];
  return value;
}

/** A tag of the data that the pods of a workload have seen, by the name of the Secret. */
export type Seen = ReadonlyMap<string, string>;

/** Reads a record of `kube-signet/restart-seen`. Anyone may have written it. */
export function parseSeen(text: unknown): Seen {
  if (typeof text !== "string" || text.length > MAX_SEEN) return new Map();
  const entries = text.split(",").map((entry): [string, string] => {
    const split = entry.indexOf("=");
    return [entry.slice(0, Math.max(split, 0)), entry.slice(split + 1)];
  });
  return new Map(entries.filter(([name]) => NAME.test(name)));
}

/** Formats a record, the same for the same content. */
export function formatSeen(seen: Seen): string {
  const entries = [...seen].sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, tag]) => `${name}=${tag}`).join(",");
}

/**
 * A hash of the data of a Secret. It stays in memory: values could be guessed from it, unlike from a
 * tag.
 */
export function digestOf(secret: JsonObject): string {
  const data = Object.entries(asObject(secret["data"] ?? null) ?? {});
  const sorted = data.sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("base64url");
}

/** Enough of a fingerprint to tell the keys of a cluster apart. */
const KEY_CHARACTERS = 12;

function keyIdOf({ fingerprint }: Pick<SealingKey, "fingerprint">): string {
  return fingerprint.slice("SHA256:".length).slice(0, KEY_CHARACTERS);
}

/**
 * `KEY.TAG`: bound to the Secret's name and namespace, so that equal values of two Secrets have
 * different tags. Undefined if the key makes no tags.
 */
function tagWith(key: SealingKey, secret: string, digest: string): string | undefined {
  const message = JSON.stringify(["restart-seen", secret, digest]);
  const tag = key.halves.find((half) => half.tag !== undefined)?.tag?.(message);
  return tag === undefined ? undefined : `${keyIdOf(key)}.${tag}`;
}

interface Comparison {
  /** The Secrets whose data differs from what the pods have seen. */
  readonly changed: readonly string[];
  /** The record to write without a restart: it keeps what was recorded of changed Secrets. */
  readonly recorded: Seen;
  /** The record to write with a restart. */
  readonly afterRestart: Seen;
}

/** What a comparison depends on. */
export interface Sight {
  readonly namespace: string;
  /** The Secrets that the workload asks for. */
  readonly names: readonly string[];
  readonly seen: Seen;
  /** Of each of these Secrets whose present data counts, by name. */
  readonly digests: ReadonlyMap<string, string>;
  readonly keyring: Pick<Keyring, "keys" | "newest">;
}

/**
 * Compares what pods have seen with what there is. Without a record, or if the key of a record is
 * gone, nobody can tell whether the data changed: it is recorded, and counts as seen.
 */
export function compareSeen({ namespace, names, seen, digests, keyring }: Sight): Comparison {
  const [changed, recorded, afterRestart] = [
    [] as string[],
    new Map<string, string>(),
    new Map<string, string>(),
  ];
  for (const name of names) {
    const before = seen.get(name);
    const digest = digests.get(name);
    if (before !== undefined) recorded.set(name, before);
    if (before !== undefined) afterRestart.set(name, before);
    if (digest === undefined || keyring.newest === null) continue;
    const secret = `${namespace}/${name}`;
    const tag = tagWith(keyring.newest, secret, digest);
    if (tag === undefined) continue;
    afterRestart.set(name, tag);
    if (isChanged(before, secret, digest, keyring)) changed.push(name);
    else recorded.set(name, tag);
  }
  return { changed, recorded, afterRestart };
}

function isChanged(
  before: string | undefined,
  secret: string,
  digest: string,
  { keys }: Pick<Keyring, "keys">,
): boolean {
  if (before === undefined) return false;
  const id = before.slice(0, before.indexOf("."));
  const key = keys.find((each) => keyIdOf(each) === id);
  return key !== undefined && tagWith(key, secret, digest) !== before;
}

/**
 * When the workload was last restarted, by what it records. Null if it was not, or if the record is
 * of the future, which no controller wrote.
 */
export function restartedAtOf(text: unknown, now: Date): Date | null {
  const time = typeof text === "string" ? Date.parse(text.slice(0, 20)) : Number.NaN;
  return Number.isNaN(time) || time > now.getTime() ? null : new Date(time);
}

/** The merge patch that writes a record and restarts nothing. */
export function recordPatch(workload: JsonObject, seen: Seen): JsonObject {
  return { metadata: { uid: uidOf(workload), annotations: { [SEEN]: formatSeen(seen) } } };
}

/** The merge patch that restarts a workload, with its record. */
export function restartPatch(
  kind: WorkloadKind,
  workload: JsonObject,
  { seen, names, now }: { seen: Seen; names: readonly string[]; now: Date },
): JsonObject {
  const time = `${now.toISOString().slice(0, 19)}Z`;
  const annotations = { [SEEN]: formatSeen(seen), [RESTARTED]: `${time} ${names.join(",")}` };
  return {
    metadata: { uid: uidOf(workload), annotations },
    spec:
      kind === "Rollout"
        ? { restartAt: time }
        : { template: { metadata: { annotations: { [RESTARTED_AT]: time } } } },
  };
}

function uidOf(workload: JsonObject): string {
  const { uid } = metadataOf(workload);
  return typeof uid === "string" ? uid : "";
}

/** Whether the workload is paused, so that a restart would do nothing until somebody resumes it. */
export function isPaused(kind: WorkloadKind, workload: JsonObject): boolean {
  return kind === "Deployment" && asObject(workload["spec"] ?? null)?.["paused"] === true;
}

/** How far a workload is with replacing its pods, as `kubectl rollout status` decides it. */
export function rolloutState(
  kind: WorkloadKind,
  workload: JsonObject,
): "complete" | "progressing" | "failed" {
  const spec = asObject(workload["spec"] ?? null) ?? {};
  const status = asObject(workload["status"] ?? null) ?? {};
  const count = (name: string): number => Number(status[name] ?? 0);
  if (kind === "Rollout") {
    return (spec["restartAt"] ?? null) === (status["restartedAt"] ?? null)
      ? "complete"
      : "progressing";
  }
  if (count("observedGeneration") < Number(metadataOf(workload)["generation"] ?? 0)) {
    return "progressing";
  }
  const isDone =
    kind === "Deployment"
      ? isDeploymentDone(spec, count)
      : // Otherwise somebody deletes the pods, whenever they like.
        at(spec, "updateStrategy", "type") === "OnDelete" ||
        (kind === "StatefulSet" ? isStatefulSetDone(spec, count) : isDaemonSetDone(count));
  if (isDone) return "complete";
  const hasFailed = objectsIn(status["conditions"]).some(
    ({ type, reason }) => type === "Progressing" && reason === "ProgressDeadlineExceeded",
  );
  return hasFailed ? "failed" : "progressing";
}

type Count = (name: string) => number;

function isDeploymentDone(spec: JsonObject, count: Count): boolean {
  const updated = count("updatedReplicas");
  return (
    updated >= Number(spec["replicas"] ?? 1) &&
    count("replicas") <= updated &&
    count("availableReplicas") >= updated
  );
}

function isStatefulSetDone(spec: JsonObject, count: Count): boolean {
  const replicas = Number(spec["replicas"] ?? 1);
  // Pods below the partition keep their revision.
  const partition = Number(at(spec, "updateStrategy", "rollingUpdate", "partition") ?? 0);
  const isUpdated = count("updatedReplicas") >= Math.max(0, replicas - partition);
  return isUpdated && count("readyReplicas") >= replicas;
}

function isDaemonSetDone(count: Count): boolean {
  const desired = count("desiredNumberScheduled");
  return count("updatedNumberScheduled") >= desired && count("numberAvailable") >= desired;
}
