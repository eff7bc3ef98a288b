// Owns: the verdicts that a reconcile can reach and their words: one table for condition, Event and
// log; and the status that a SealedSecret gets. Does not own: reaching a verdict (reconcile.ts).
// SPEC.md, "Status".

import { formatPlace, type SignetError } from "../shared/errors.ts";
import type { Json } from "../shared/manifest.ts";
import { asObject, type JsonObject } from "../shared/secret.ts";
import type { Stamp } from "../shared/stamp.ts";
import type { ApiError } from "./kubernetes.ts";

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

export type Reason =
  | "Unsealed"
  | "DecryptFailed"
  | "TemplateFailed"
  | "Invalid"
  | "NotManaged"
  | "TypeChanged"
  | "Immutable"
  | "WriteFailed";

export type EventReason = "Unsealed" | "DriftCorrected" | "ErrUnsealFailed" | "ErrUpdateFailed";

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

  repaired: (): Verdict => ({
    ...verdicts.unsealed(),
    event: {
      reason: "DriftCorrected",
      message: "the Secret had been changed or deleted by someone else and was put back",
    },
  }),

  unsealFailed: (error: SignetError, next: "retry" | "wait"): Verdict => {
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
      next,
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

  writeFailed: (error: ApiError): Verdict =>
    updateFailed(
      "WriteFailed",
      `the Secret cannot be written: ${error.message}`,
      "update",
      "retry",
    ),
};

/** The status subresource, as a merge patch. */
export interface Status {
  readonly observedGeneration?: Json;
  readonly conditions: JsonObject[];
  readonly secret?: JsonObject | null;
  readonly sealedUnder?: JsonObject | null;
}

/** What the status tells now; undefined where it tells nothing. */
export function currentVerdict(
  sealed: JsonObject,
): { readonly synced: boolean; readonly message: string } | undefined {
  const synced = conditionsOf(sealed).find((condition) => condition["type"] === "Synced");
  if (synced === undefined) return undefined;
  const { status, message } = synced;
  return { synced: status === "True", message: typeof message === "string" ? message : "" };
}

/** The status after `verdict`, or null where the one that is there says all of it already. */
export function nextStatus(
  sealed: JsonObject,
  verdict: Verdict,
  facts: {
    readonly now: Date;
    /** The Secret as we left it, and the hash of what it was made from. */
    readonly secret?: {
      uid: string;
      resourceVersion: string;
      source: string;
      patched: boolean;
    };
    readonly stamp?: Stamp;
  },
): Status | null {
  const before = asObject(sealed["status"] ?? null) ?? {};
  const generation = asObject(sealed["metadata"] ?? null)?.["generation"];
  const now = `${facts.now.toISOString().slice(0, 19)}Z`;
  const others = conditionsOf(sealed).filter(({ type }) => type !== "Synced" && type !== "Ready");
  const ours = ["Synced", "Ready"].map((type) => {
    const old = conditionsOf(sealed).find((condition) => condition["type"] === type);
    const status = verdict.synced ? "True" : "False";
    return {
      type,
      status,
      reason: verdict.reason,
      message: verdict.message,
      lastUpdateTime: now,
      lastTransitionTime: old?.["status"] === status ? (old["lastTransitionTime"] ?? now) : now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
  const sealedUnder = asObject(before["sealedUnder"] ?? null) ?? {};
  const status: Status = {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [...ours, ...others],
    ...(facts.secret === undefined ? {} : { secret: facts.secret }),
    ...(facts.stamp === undefined ? {} : { sealedUnder: countsOf(facts.stamp, sealedUnder) }),
  };
  return sameStatus(before, status) ? null : status;
}

/** Values under each key; null, which a merge patch takes as removal, for keys no longer in use. */
function countsOf(stamp: Stamp, before: JsonObject): JsonObject {
  const counts: JsonObject = {};
  for (const fingerprint of Object.keys(before)) counts[fingerprint] = null;
  for (const fingerprint of stamp.values()) {
    counts[fingerprint] = ((counts[fingerprint] as number | null | undefined) ?? 0) + 1;
  }
  return counts;
}

function sameStatus(before: JsonObject, after: Status): boolean {
  const told = (status: JsonObject): Json[] => {
    const conditions = Array.isArray(status["conditions"]) ? status["conditions"] : [];
    return conditions.map((value) => {
      const { type, status, reason, message, observedGeneration } = asObject(value) ?? {};
      return JSON.stringify([type, status, reason, message, observedGeneration]);
    });
  };
  const same = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);
  return (
    before["observedGeneration"] === after.observedGeneration &&
    same(told(before), told(after as unknown as JsonObject)) &&
    (after.secret === undefined || same(before["secret"], after.secret)) &&
    (after.sealedUnder === undefined || same(before["sealedUnder"] ?? {}, after.sealedUnder))
  );
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function conditionsOf(sealed: JsonObject): JsonObject[] {
  const conditions = asObject(sealed["status"] ?? null)?.["conditions"];
  if (!Array.isArray(conditions)) return [];
  return conditions.map(asObject).filter((condition) => condition !== null);
}
