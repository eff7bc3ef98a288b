// The verdicts with their words, for condition, Event and log alike; the status that they make.
// SPEC.md, "Status".

import { ERROR_CODES, formatPlace, type SignetError } from "../shared/errors.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import { asObject, type JsonObject, objectsIn } from "../shared/kubernetes/object.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import type { WorldError } from "./world.ts";

/** One state of a Secret, without its content. */
export interface SecretMark {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** A Secret as we left it. */
export interface Left extends SecretMark {
  /** Hash of what it was made from. */
  readonly source: string;
  /** It is someone else's, and we added to it. */
  readonly patched: boolean;
}

/** What others did to a Secret that had been right. Names only, never a value. */
export interface Drift {
  readonly change: "changed" | "deleted";
  /** Such as `data.password`; empty where it is gone. */
  readonly fields: readonly string[];
  /** Field managers, as far as the API server's books tell. */
  readonly by: readonly string[];
}

/** What a reconcile ended with. No text of it ever carries a value. */
export interface Verdict {
  readonly synced: boolean;
  /** Reason of the conditions: a documented constant. */
  readonly reason: Reason;
  /** Message of the conditions. Empty when all is well, as the original's users expect. */
  readonly message: string;
  /** Reason and message of the Event; the original's. */
  readonly event: { readonly reason: EventReason; readonly message: string };
  /** The label of `unseal_errors_total`; null when all is well. */
  readonly metric: "unseal" | "unmanaged" | "update" | null;
  /** Whether time can mend it (`retry`), or only a change of what is watched (`wait`). */
  readonly next: "retry" | "wait";
}

type Reason =
  | "Unsealed"
  | "DriftIgnored"
  | "DriftContested"
  | "DecryptFailed"
  | "TemplateFailed"
  | "Invalid"
  | "NotManaged"
  | "TypeChanged"
  | "Immutable"
  | "WriteFailed";

type EventReason =
  | "Unsealed"
  | "DriftCorrected"
  | "DriftIgnored"
  | "DriftContested"
  | "KeyCompromised"
  | "ErrUnsealFailed"
  | "ErrUpdateFailed";

/** More names than this are not spelt out in a line. */
const MAX_NAMED = 8;

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A drift in words: `changed by kubectl-edit (data.password)`, `deleted`. */
function formatDrift({ change, fields, by }: Drift): string {
  const who = by.length === 0 ? "" : ` by ${listed(by)}`;
  return `${change}${who}${fields.length === 0 ? "" : ` (${listed(fields)})`}`;
}

function updateFailed(
  reason: Reason,
  message: string,
  metric: "unmanaged" | "update",
  next: "retry" | "wait",
): Verdict {
  return {
    synced: false,
    reason,
    message,
    event: { reason: "ErrUpdateFailed", message },
    metric,
    next,
  };
}

/** The message table. */
export const verdicts = {
  unsealed: (): Verdict => ({
    synced: true,
    reason: "Unsealed",
    message: "",
    event: { reason: "Unsealed", message: "SealedSecret unsealed successfully" },
    metric: null,
    next: "wait",
  }),

  repaired: (drift: Drift): Verdict => ({
    ...verdicts.unsealed(),
    event: {
      reason: "DriftCorrected",
      message: `the Secret had been ${formatDrift(drift)} and was put back`,
    },
  }),

  driftIgnored: (change: Drift["change"]): Verdict => {
    const message = `the Secret was ${change} by someone else and is left so, as asked for`;
    return {
      ...verdicts.unsealed(),
      reason: "DriftIgnored",
      message,
      event: { reason: "DriftIgnored", message },
    };
  },

  // The words must not change while it lasts: each change would be a write and an Event.
  contested: (by: readonly string[]): Verdict => {
    const who = by.length === 0 ? "someone" : listed(by);
    const message = `${who} keeps changing the Secret; it is put back ever more slowly`;
    return {
      synced: false,
      reason: "DriftContested",
      message,
      event: { reason: "DriftContested", message },
      metric: null,
      next: "wait",
    };
  },

  unsealFailed: (error: SignetError): Verdict => {
    const place = formatPlace(error.place);
    const message = place === "" ? error.message : `${place}: ${error.message}`;
    const reason =
      error.code === "decrypt-failed"
        ? "DecryptFailed"
        : error.code === "template-failed"
          ? "TemplateFailed"
          : "Invalid";
    return {
      synced: false,
      reason,
      message,
      event: { reason: "ErrUnsealFailed", message: `Failed to unseal: ${message}` },
      metric: "unseal",
      next: ERROR_CODES[error.code].next,
    };
  },

  notManaged: (name: string): Verdict =>
    updateFailed(
      "NotManaged",
      `Resource "${name}" already exists and is not managed by SealedSecret`,
      "unmanaged",
      "wait",
    ),

  typeChanged: (name: string, from: string, to: string): Verdict =>
    updateFailed(
      "TypeChanged",
      `the type of Secret "${name}" is ${from} and cannot become ${to}: delete the Secret, ` +
        "it will be created anew",
      "update",
      "wait",
    ),

  immutable: (key: string): Verdict =>
    updateFailed(
      "Immutable",
      `Error updating ${key}: the target Secret is immutable. Once a Secret is marked as ` +
        "immutable, it is not possible to revert this change nor to mutate the contents of the " +
        "data field. You can only delete and recreate the Secret.",
      "update",
      "wait",
    ),

  writeFailed: (error: WorldError): Verdict =>
    updateFailed(
      "WriteFailed",
      `the Secret cannot be written: ${error.message}`,
      "update",
      "retry",
    ),
};

/** Conditions that we write, in their order: the original's printer columns read the first one. */
const OUR_CONDITIONS = ["Synced", "Ready", "Stalled", "KeyCompromised"] as const;

/** What the status tells now; undefined where it tells nothing. */
export function currentVerdict(
  sealed: JsonObject,
): Pick<Verdict, "synced" | "reason" | "message"> | undefined {
  const synced = conditionsOf(sealed).find((condition) => condition["type"] === "Synced");
  if (synced === undefined) return undefined;
  const { status, reason, message } = synced;
  return {
    synced: status === "True",
    reason: reason as Reason,
    message: typeof message === "string" ? message : "",
  };
}

/** What the status says of values under a compromised key; empty where it says nothing. */
export function compromisedMessage(sealed: JsonObject): string {
  const found = conditionsOf(sealed).find((condition) => condition["type"] === "KeyCompromised");
  return typeof found?.["message"] === "string" ? found["message"] : "";
}

/** The Secret as the status says that we left it; null where it does not say. */
export function leftOf(sealed: JsonObject): Left | null {
  const { secret = null } = asObject(sealed["status"] ?? null) ?? {};
  const { uid, resourceVersion, source, patched } = asObject(secret) ?? {};
  if (typeof uid !== "string" || typeof resourceVersion !== "string") return null;
  return typeof source === "string"
    ? { uid, resourceVersion, source, patched: patched === true }
    : null;
}

export interface StatusFacts {
  readonly now: Date;
  /** The Secret as we left it; undefined where that did not change. */
  readonly left?: Left | undefined;
  /** The key that each value is under; undefined where nobody looked. */
  readonly stamp?: Stamp | undefined;
  /** Fingerprints of keys that must not be trusted any more. */
  readonly compromised: ReadonlySet<string>;
}

/** The status after `verdict`, or null where the one that is there says all of it already. */
export function nextStatus(
  sealed: JsonObject,
  verdict: Verdict,
  { now, left, stamp, compromised }: StatusFacts,
): JsonObject | null {
  const before = asObject(sealed["status"] ?? null) ?? {};
  const { observedGeneration: _observed, sealedUnder: _under, ...others } = before;
  const generation = asObject(sealed["metadata"] ?? null)?.["generation"];
  const sealedUnder = stamp === undefined ? sealedUnderOf(sealed) : itemsByKey(stamp);
  const told: [(typeof OUR_CONDITIONS)[number], boolean, string, string][] = [
    ["Synced", verdict.synced, verdict.reason, verdict.message],
    ["Ready", verdict.synced, verdict.reason, verdict.message],
  ];
  // Tools that wait (Flux's kstatus) take a failure for progress until something says that only a
  // change will mend it.
  const stalled = !verdict.synced && verdict.next === "wait" && verdict.reason !== "DriftContested";
  if (stalled) told.push(["Stalled", true, verdict.reason, verdict.message]);
  const exposed = itemsUnder(sealedUnder, compromised);
  if (exposed.length > 0) {
    told.push(["KeyCompromised", true, "SealedUnderCompromisedKey", formatExposed(exposed)]);
  }
  const time = `${now.toISOString().slice(0, 19)}Z`;
  const ours = told.map(([type, is, reason, message]): JsonObject => {
    const old = conditionsOf(sealed).find((condition) => condition["type"] === type);
    const status = is ? "True" : "False";
    const fresh = {
      type,
      status,
      reason,
      message,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
    if (old !== undefined && Object.entries(fresh).every(([name, value]) => old[name] === value)) {
      return old;
    }
    const since = old?.["status"] === status ? old["lastTransitionTime"] : undefined;
    return { ...fresh, lastUpdateTime: time, lastTransitionTime: since ?? time };
  });
  const theirs = conditionsOf(sealed).filter(
    ({ type }) => !(OUR_CONDITIONS as readonly Json[]).includes(type ?? null),
  );
  const status: JsonObject = {
    ...others,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [...ours, ...theirs],
    ...(left === undefined ? {} : { secret: { ...left } }),
    ...(Object.keys(sealedUnder).length === 0 ? {} : { sealedUnder }),
  };
  return canonical(before) === canonical(status) ? null : status;
}

/** Names of items by the fingerprint of the key that they are sealed under. */
export type SealedUnder = Readonly<Record<string, string[]>>;

/** What the status says of the keys that its values are under. */
export function sealedUnderOf(sealed: JsonObject): SealedUnder {
  const { sealedUnder = null } = asObject(sealed["status"] ?? null) ?? {};
  const found: Record<string, string[]> = {};
  for (const [fingerprint, items] of Object.entries(asObject(sealedUnder) ?? {})) {
    if (Array.isArray(items)) found[fingerprint] = items.filter((item) => typeof item === "string");
  }
  return found;
}

function itemsByKey(stamp: Stamp): SealedUnder {
  const items: Record<string, string[]> = {};
  for (const [item, fingerprint] of [...stamp].sort(([a], [b]) => (a < b ? -1 : 1))) {
    (items[fingerprint] ??= []).push(item);
  }
  return items;
}

/** Items that are sealed under one of `fingerprints`, sorted. */
export function itemsUnder(under: SealedUnder, fingerprints: ReadonlySet<string>): string[] {
  return Object.entries(under)
    .filter(([fingerprint]) => fingerprints.has(fingerprint))
    .flatMap(([, items]) => items)
    .sort();
}

function formatExposed(items: readonly string[]): string {
  return `sealed under a compromised key: ${listed(items)}; change these values and seal them anew`;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function conditionsOf(sealed: JsonObject): JsonObject[] {
  return objectsIn(asObject(sealed["status"] ?? null)?.["conditions"]);
}
