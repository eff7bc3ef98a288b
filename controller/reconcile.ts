// Owns: what is done about one SealedSecret: gather -> decide (pure) -> act, over any world.
// Does not own: how a world reads and writes (cluster.ts, folders.ts), when it runs (queue.ts).
// SPEC.md, "Reconciling".

import { createHash } from "node:crypto";
import { SignetError, ERROR_CODES } from "../shared/errors.ts";
import type { Keyring } from "../shared/keyring.ts";
import { scopeOf } from "../shared/scope.ts";
import {
  API_VERSION,
  KIND,
  parseSealedSecret,
  type RenderTemplate,
  type SealedSecret,
  unseal,
} from "../shared/sealedsecret.ts";
import type { Json } from "../shared/manifest.ts";
import {
  asObject,
  fromEntries,
  type JsonObject,
  parseSecret,
  type Secret,
} from "../shared/secret.ts";
import type { Stamp } from "../shared/stamp.ts";
import { ApiError } from "./kubernetes.ts";
import type { Log } from "./log.ts";
import type { Outcome } from "./queue.ts";
import { currentVerdict, nextStatus, type Status, verdicts, type Verdict } from "./status.ts";

/** Marks the Secrets that we look after; what a label selector can find without reading content. */
export const SECRET_LABEL = "kube-signet/secret";
export const MANAGED_ANNOTATION = "sealedsecrets.bitnami.com/managed";
export const PATCH_ANNOTATION = "sealedsecrets.bitnami.com/patch";
export const SKIP_OWNER_ANNOTATION = "sealedsecrets.bitnami.com/skip-set-owner-references";

/** Field managers whose labels and annotations are ours to remove: this program and the original. */
export const FIELD_MANAGER = "signet-controller";
const OUR_MANAGERS: readonly string[] = [FIELD_MANAGER, "controller"];

/** Changes when the same SealedSecret would lead to another Secret than in an earlier version. */
const SOURCE_FORMAT = 1;

/** One state of a Secret, without its content. */
export interface SecretMark {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Where SealedSecrets come from and Secrets go: a cluster, or folders. */
export interface World {
  /** The SealedSecret as last seen. */
  sealedSecret(key: string): JsonObject | undefined;
  /** The state of a Secret that we look after, as last seen. */
  secretMark(key: string): SecretMark | undefined;
  /** The Secret as it is now, whoever made it. */
  readSecret(key: string): Promise<JsonObject | null>;
  /** @throws ApiError AlreadyExists where there is one */
  createSecret(key: string, secret: Secret): Promise<SecretMark>;
  /** @throws ApiError Conflict where it is no longer the one in `secret.metadata.rest` */
  replaceSecret(key: string, secret: Secret): Promise<SecretMark>;
  writeStatus(key: string, sealed: JsonObject, status: Status): Promise<void>;
  recordEvent(sealed: JsonObject, verdict: Verdict): Promise<void>;
}

export interface ReconcilerOptions {
  readonly world: World;
  readonly keyring: Keyring;
  readonly render: RenderTemplate;
  readonly acceptLegacy: boolean;
  readonly updateStatus: boolean;
  readonly log: Log;
  readonly now: () => Date;
  /** Called when values are about to be opened. */
  readonly onUnseal?: () => void;
  /** Called once for each verdict reached by work, so not for what was in sync. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
}

/** Reconciles SealedSecrets by name. Safe to kill between any two calls and to run again. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** What each name's last run saw and ended with: equal sights need no second run. */
  readonly #settled = new Map<string, { readonly seen: string; readonly failed: boolean }>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Names whose failure another sealing key could mend; they will be looked at anew. */
  forgetFailures(): string[] {
    const failed = [...this.#settled].filter(([, { failed }]) => failed).map(([key]) => key);
    for (const key of failed) this.#settled.delete(key);
    return failed;
  }

  async reconcile(key: string): Promise<Outcome> {
    const { world } = this.#options;
    const object = world.sealedSecret(key);
    if (object === undefined || metadataOf(object)["deletionTimestamp"] !== undefined) {
      // Its Secret goes with it: by the owner reference in a cluster, by the world in folders.
      this.#settled.delete(key);
      return { kind: "done" };
    }
    const source = sourceOf(object);
    const settled = this.#settled.get(key);
    if (settled?.seen === this.#sight(key, source)) {
      return { kind: settled.failed ? "terminal" : "done" };
    }
    if (inSync(object, source, world.secretMark(key))) {
      this.#settled.set(key, { seen: this.#sight(key, source), failed: false });
      return { kind: "done" };
    }

    const result = await this.#bringInSync(key, object);
    // The same source led to a Secret before, and that is not what was found: someone else's doing.
    const repaired = result.wrote && recordOf(object).source === source;
    const verdict = repaired ? verdicts.repaired() : result.verdict;
    const status = nextStatus(object, verdict, {
      now: this.#options.now(),
      ...(result.mark === undefined
        ? {}
        : { secret: { ...result.mark, source, patched: result.patched === true } }),
      ...(result.stamp === undefined ? {} : { stamp: result.stamp }),
    });
    const before = currentVerdict(object);
    const changed = before?.synced !== verdict.synced || before.message !== verdict.message;
    const news = result.wrote || changed;
    const writes: Promise<void>[] = [];
    if (status !== null && this.#options.updateStatus) {
      writes.push(world.writeStatus(key, object, status));
    }
    if (news) {
      this.#options.onVerdict(key, verdict);
      writes.push(
        world.recordEvent(object, verdict).catch((error: unknown) => {
          // An Event is news, not state: the status says the same and is retried.
          const reason = (error as Error).message;
          this.#options.log.warn("event could not be recorded", { object: key, error: reason });
        }),
      );
    }
    await Promise.all(writes);
    if (verdict.next === "retry") return { kind: "retry" };
    this.#settled.set(key, { seen: this.#sight(key, source), failed: !verdict.synced });
    return { kind: verdict.synced ? "done" : "terminal" };
  }

  /** All that a run's result depends on, but for the keys held. */
  #sight(key: string, source: string): string {
    const mark = this.#options.world.secretMark(key);
    return `${source} ${mark?.uid ?? ""} ${mark?.resourceVersion ?? ""}`;
  }

  async #bringInSync(key: string, object: JsonObject): Promise<Result> {
    const { world, keyring, render, acceptLegacy } = this.#options;
    let sealed: SealedSecret;
    let desired: Secret;
    let stamp: Stamp;
    this.#options.onUnseal?.();
    try {
      sealed = parseSealedSecret(object);
      const unsealed = await unseal(sealed, keyring, { render, acceptLegacy });
      desired = withOwner(unsealed.secret, object);
      stamp = unsealed.stamp;
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      return { verdict: verdicts.unsealFailed(error, ERROR_CODES[error.code].next), wrote: false };
    }
    try {
      if (world.secretMark(key) === undefined) {
        try {
          const mark = await world.createSecret(key, desired);
          return { verdict: verdicts.unsealed(), mark, stamp, wrote: true };
        } catch (error) {
          if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
        }
      }
      const found = await world.readSecret(key);
      const existing = found === null ? null : parseSecret(found);
      const decision = decide(desired, existing, recordOf(object));
      switch (decision.act) {
        case "create":
          return {
            verdict: verdicts.unsealed(),
            mark: await world.createSecret(key, desired),
            stamp,
            wrote: true,
          };
        case "replace":
          return {
            verdict: verdicts.unsealed(),
            mark: await world.replaceSecret(key, decision.secret),
            patched: isPatched(decision.secret),
            stamp,
            wrote: true,
          };
        case "keep":
          return {
            verdict: verdicts.unsealed(),
            mark: markOf(decision.secret),
            patched: isPatched(decision.secret),
            stamp,
            wrote: false,
          };
        case "refuse": {
          // Nobody tells when a Secret that we do not watch goes away: look again by and by.
          const unwatched = world.secretMark(key) === undefined;
          const verdict = unwatched
            ? { ...decision.verdict, next: "retry" as const }
            : decision.verdict;
          return { verdict, stamp, wrote: false };
        }
      }
    } catch (error) {
      // The world moved between our look and our write, or is out of reach: nothing to tell yet.
      if (!(error instanceof ApiError) || error.status === 409 || error.status === 0) throw error;
      return { verdict: verdicts.writeFailed(error), stamp, wrote: false };
    }
  }
}

interface Result {
  readonly verdict: Verdict;
  readonly mark?: SecretMark;
  /** We added to a Secret of someone else's. */
  readonly patched?: boolean;
  readonly stamp?: Stamp;
  readonly wrote: boolean;
}

export type Decision =
  | { readonly act: "create" }
  | { readonly act: "replace"; readonly secret: Secret }
  | { readonly act: "keep"; readonly secret: Secret }
  | { readonly act: "refuse"; readonly verdict: Verdict };

/** What to do about the Secret that is there, given the one that is to be. Reads and writes nothing. */
export function decide(
  desired: Secret,
  existing: Secret | null,
  record: SecretRecord = {},
): Decision {
  if (existing === null) return { act: "create" };
  const { name } = desired.metadata;
  const hold = holdOn(existing, name, record);

  // Someone else made a Secret of this name: it is theirs until they say otherwise.
  if (hold === "none") return { act: "refuse", verdict: verdicts.notManaged(name) };

  const merged = hold === "patch" ? patched(desired, existing) : replaced(desired, existing);

  // The API server never changes the type of a Secret.
  if (merged.type !== existing.type) {
    return { act: "refuse", verdict: verdicts.typeChanged(name, existing.type, merged.type) };
  }

  // Nor anything but labels and annotations of an immutable one.
  const contentDiffers = !sameData(merged.data, existing.data);
  const thawed = existing.immutable === true && merged.immutable !== true;
  if (existing.immutable === true && (contentDiffers || thawed)) {
    return { act: "refuse", verdict: verdicts.immutable(`${existing.metadata.namespace}/${name}`) };
  }

  const differs =
    contentDiffers ||
    merged.immutable !== existing.immutable ||
    !sameTexts(merged.metadata.labels, existing.metadata.labels) ||
    !sameTexts(merged.metadata.annotations, existing.metadata.annotations) ||
    !sameOwners(merged.metadata.rest, existing.metadata.rest);
  return differs ? { act: "replace", secret: merged } : { act: "keep", secret: existing };
}

/** How far an existing Secret is ours: wholly, to add to, or not at all. */
function holdOn(existing: Secret, name: string, record: SecretRecord): "own" | "patch" | "none" {
  const { annotations, labels, rest } = existing.metadata;
  const owner = ownersOf(rest).find((reference) => reference["controller"] === true);
  // Also by a SealedSecret of this name that is gone: the cluster's garbage collection may not have
  // come round yet when the SealedSecret is created anew.
  if (owner !== undefined && isSealedSecretRef(owner, name)) return "own";
  if (annotations[MANAGED_ANNOTATION] === "true") return "own";
  if (annotations[PATCH_ANNOTATION] === "true") return "patch";
  if (owner === undefined && labels[SECRET_LABEL] === "owned") return "own";
  // Someone took every mark off that we had put on this very Secret.
  const { uid } = markOf(existing);
  if (owner === undefined && uid !== "" && uid === record.uid && record.patched !== true) {
    return "own";
  }
  return "none";
}

/** Ours in full: its data is what was sealed; labels and annotations that others set stay. */
function replaced(desired: Secret, existing: Secret): Secret {
  const { metadata } = existing;
  const { name } = desired.metadata;
  const others = ownersOf(metadata.rest).filter((reference) => !isSealedSecretRef(reference, name));
  // There can be one controller; a takeover by `managed` leaves it in place.
  const ours = ownersOf(desired.metadata.rest).map((reference) =>
    others.some((other) => other["controller"] === true)
      ? { ...reference, controller: false }
      : reference,
  );
  const owned = fieldsOf(metadata.rest);
  return {
    ...desired,
    // An unstated type is the one that the API server filled in.
    type: desired.type === "" ? existing.type : desired.type,
    metadata: {
      ...metadata,
      labels: { ...dropped(metadata.labels, owned.labels), ...desired.metadata.labels },
      annotations: {
        ...dropped(metadata.annotations, owned.annotations),
        ...desired.metadata.annotations,
      },
      rest: withOwners(metadata.rest, [...others, ...ours]),
    },
  };
}

/** Someone else's, who lets us add to it: nothing of theirs is removed, and it stays theirs. */
function patched(desired: Secret, existing: Secret): Secret {
  const { metadata } = existing;
  return {
    type: desired.type === "" ? existing.type : desired.type,
    immutable: desired.immutable ?? existing.immutable,
    data: new Map([...existing.data, ...desired.data]),
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels, [SECRET_LABEL]: "patched" },
      // Whether it becomes ours is for its owner to say, not for the SealedSecret.
      annotations: {
        ...metadata.annotations,
        ...dropped(desired.metadata.annotations, new Set([MANAGED_ANNOTATION, PATCH_ANNOTATION])),
      },
    },
  };
}

/** The unsealed Secret with our label, and the SealedSecret as its owner unless told not to. */
export function withOwner(secret: Secret, sealed: JsonObject): Secret {
  const { metadata } = secret;
  const { name, uid } = metadataOf(sealed);
  const skip = metadata.annotations[SKIP_OWNER_ANNOTATION] === "true" || uid === undefined;
  const reference = {
    apiVersion: API_VERSION,
    kind: KIND,
    name: name ?? "",
    uid: uid ?? "",
    controller: true,
  };
  const { finalizers } = metadata.rest;
  return {
    ...secret,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, [SECRET_LABEL]: "owned" },
      rest: withOwners(finalizers === undefined ? {} : { finalizers }, skip ? [] : [reference]),
    },
  };
}

/** A hash of all that a SealedSecret says about its Secret: ciphertext in, so safe to publish. */
export function sourceOf(sealed: JsonObject): string {
  const { name, namespace, uid, annotations } = metadataOf(sealed);
  const scope = scopeOf((asObject(annotations ?? {}) ?? {}) as Record<string, string>);
  const said = [SOURCE_FORMAT, namespace, name, uid, scope, sealed["spec"]];
  return createHash("sha256").update(JSON.stringify(said)).digest("base64url").slice(0, 22);
}

/** Whether the status says that the Secret was made from this very source, and it is as we left it. */
function inSync(sealed: JsonObject, source: string, mark: SecretMark | undefined): boolean {
  const status = asObject(sealed["status"] ?? null);
  const record = recordOf(sealed);
  return (
    mark !== undefined &&
    record.source === source &&
    record.uid === mark.uid &&
    record.resourceVersion === mark.resourceVersion &&
    status?.["observedGeneration"] === metadataOf(sealed)["generation"] &&
    currentVerdict(sealed)?.synced === true
  );
}

/** What the status says of the Secret that we last left. */
export interface SecretRecord {
  readonly uid?: Json;
  readonly resourceVersion?: Json;
  /** Hash of what it was made from. */
  readonly source?: Json;
  /** It is someone else's, and we added to it. */
  readonly patched?: Json;
}

function recordOf(sealed: JsonObject): SecretRecord {
  const status = asObject(sealed["status"] ?? null);
  return asObject(status?.["secret"] ?? null) ?? {};
}

function isPatched({ metadata }: Secret): boolean {
  return metadata.labels[SECRET_LABEL] === "patched";
}

export function metadataOf(object: JsonObject): JsonObject {
  return asObject(object["metadata"] ?? null) ?? {};
}

/** The state of a live Secret. */
export function markOf({ metadata }: Pick<Secret, "metadata">): SecretMark {
  const { uid, resourceVersion } = metadata.rest;
  return {
    uid: typeof uid === "string" ? uid : "",
    resourceVersion: typeof resourceVersion === "string" ? resourceVersion : "",
  };
}

function ownersOf(rest: JsonObject): JsonObject[] {
  const references = rest["ownerReferences"];
  if (!Array.isArray(references)) return [];
  return references.map(asObject).filter((reference) => reference !== null);
}

function withOwners(rest: JsonObject, references: JsonObject[]): JsonObject {
  const { ownerReferences: _replaced, ...others } = rest;
  return references.length === 0 ? others : { ...others, ownerReferences: references };
}

function isSealedSecretRef(reference: JsonObject, name: string): boolean {
  const { apiVersion, kind } = reference;
  const group = typeof apiVersion === "string" ? apiVersion.split("/")[0] : "";
  return group === API_VERSION.split("/")[0] && kind === KIND && reference["name"] === name;
}

/** The labels and annotations that our field managers set, by the API server's own books. */
function fieldsOf(rest: JsonObject): { labels: Set<string>; annotations: Set<string> } {
  const labels = new Set<string>();
  const annotations = new Set<string>();
  const entries = Array.isArray(rest["managedFields"]) ? rest["managedFields"] : [];
  for (const entry of entries.map(asObject)) {
    if (entry === null || !OUR_MANAGERS.includes(entry["manager"] as string)) continue;
    const fields = asObject(asObject(entry["fieldsV1"] ?? null)?.["f:metadata"] ?? null) ?? {};
    for (const [field, names] of [
      ["f:labels", labels],
      ["f:annotations", annotations],
    ] as const) {
      for (const name of Object.keys(asObject(fields[field] ?? null) ?? {})) {
        if (name.startsWith("f:")) names.add(name.slice(2));
      }
    }
  }
  return { labels, annotations };
}

function dropped(
  texts: Readonly<Record<string, string>>,
  names: ReadonlySet<string>,
): Record<string, string> {
  return fromEntries(Object.entries(texts).filter(([name]) => !names.has(name)));
}

function sameData(a: Secret["data"], b: Secret["data"]): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}

function sameTexts(a: Record<string, string>, b: Record<string, string>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function sameOwners(a: JsonObject, b: JsonObject): boolean {
  const written = (rest: JsonObject): Json =>
    ownersOf(rest).map(({ apiVersion, kind, name, uid, controller }) =>
      JSON.stringify([apiVersion, kind, name, uid, controller === true]),
    );
  return JSON.stringify(written(a)) === JSON.stringify(written(b));
}
