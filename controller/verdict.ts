// The verdicts with their words, for condition, Event and log alike.
// SPEC.md, "Status".

import { ERROR_CODES, formatPlace, type SignetError } from "../shared/errors.ts";
import type { WorldError } from "./world.ts";

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

export type Reason =
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

export type EventReason =
  | "Unsealed"
  | "DriftCorrected"
  | "DriftIgnored"
  | "DriftContested"
  | "KeyCompromised"
  | "ErrUnsealFailed"
  | "ErrUpdateFailed";

/** More names than this are not spelt out in a line. */
const MAX_NAMED = 8;

export function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A drift in words: `changed by kubectl-edit (data.password)`, `deleted`. */
export function formatDrift({ change, fields, by }: Drift): string {
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
