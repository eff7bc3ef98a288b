// The possible results of a reconcile, with the texts for conditions, Events and logs.
// SPEC.md, "Status".

import { ERROR_CODES, formatPlace, type SignetError } from "../shared/errors.ts";
import { bounded } from "./bounded.ts";
import type { WorldError } from "./world.ts";

/** How others changed a Secret that was in sync. Contains only names, never a value. */
export interface Drift {
  readonly change: "changed" | "deleted";
  /** Changed fields, such as `data.password`; empty if the Secret was deleted. */
  readonly fields: readonly string[];
  /** The field managers that made the change, as far as managedFields records them. */
  readonly by: readonly string[];
}

/** The result of a reconcile. Its texts never contain a value. */
export interface Verdict {
  readonly synced: boolean;
  /** Reason of the conditions: a documented constant. */
  readonly reason: Reason;
  /** Message of the conditions. Empty on success, as users of the original expect. */
  readonly message: string;
  /** Reason and message of the Event, the same as the original's where it has one. */
  readonly event: { readonly reason: EventReason; readonly message: string };
  /** The label of `unseal_errors_total`; null if there is no error to count. */
  readonly metric: "unseal" | "unmanaged" | "update" | null;
  /** Whether to retry with backoff (`retry`) or wait for a change to a watched object (`wait`). */
  readonly next: "retry" | "wait";
}

export type Reason =
  | "Unsealed"
  | "DriftIgnored"
  | "DriftContested"
  | "DecryptFailed"
  | "NamespaceNotSelected"
  | "NamespaceUnknown"
  | "TemplateFailed"
  | "Invalid"
  | "NotManaged"
  | "TypeChanged"
  | "TypeNotAllowed"
  | "Immutable"
  | "KeySecret"
  | "WriteFailed";

type EventReason =
  | "Unsealed"
  | "DriftCorrected"
  | "DriftIgnored"
  | "DriftContested"
  | "KeyCompromised"
  | "NamespaceNotSelected"
  | "DeliveryRemoved"
  | "ErrUnsealFailed"
  | "ErrUpdateFailed";

/** The maximum number of names to list in a message. */
const MAX_NAMED = 8;

/** The longest name, in characters, which leaves room for the rest of the message. */
const MAX_NAME = 256;

/** Joins names for a message: `a, b and 3 more`. */
export function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  const shown = names.slice(0, MAX_NAMED).map((name) => bounded(name, MAX_NAME));
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/**
 * Formats a drift for a message: `changed by kubectl-edit (data.password)`, `deleted`.
 * @internal for its test
 */
export function formatDrift({ change, fields, by }: Drift): string {
  const who = by.length === 0 ? "" : ` by ${listed(by)}`;
  return `${change}${who}${fields.length === 0 ? "" : ` (${listed(fields)})`}`;
}

function updateFailed(
  reason: Reason,
  text: string,
  metric: "unmanaged" | "update",
  next: "retry" | "wait",
): Verdict {
  const message = bounded(text);
  return {
    synced: false,
    reason,
    message,
    event: { reason: "ErrUpdateFailed", message },
    metric,
    next,
  };
}

/** Creates each possible verdict. */
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
      message: `the Secret was ${formatDrift(drift)} and has been restored`,
    },
  }),

  driftIgnored: (change: Drift["change"]): Verdict => {
    const message = `the Secret was ${change} by someone else and is left that way, as configured`;
    return {
      ...verdicts.unsealed(),
      reason: "DriftIgnored",
      message,
      event: { reason: "DriftIgnored", message },
    };
  },

  // The message must stay the same while the contest lasts, because each change would cost a status
  // write and an Event.
  contested: (by: readonly string[]): Verdict => {
    const who = by.length === 0 ? "someone" : listed(by);
    const message = `${who} keeps changing the Secret; it is reverted with increasing delay`;
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
    const message = bounded(place === "" ? error.message : `${place}: ${error.message}`);
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

  namespaceNotSelected: (
    namespace: string,
    selector: string,
    { hasSecret }: { readonly hasSecret: boolean },
  ): Verdict => {
    const stays = hasSecret ? "; the Secret stays as it is and gets no new values" : "";
    const message =
      `the labels of namespace ${bounded(namespace, MAX_NAME)} do not match ` +
      `"${bounded(selector, MAX_NAME)}", which the values are sealed for${stays}`;
    return {
      synced: false,
      reason: "NamespaceNotSelected",
      message,
      event: { reason: "NamespaceNotSelected", message },
      metric: "unseal",
      next: "wait",
    };
  },

  namespaceUnknown: (namespace: string, reason: string): Verdict => {
    const message = bounded(`the labels of namespace ${namespace} cannot be read: ${reason}`);
    return {
      synced: false,
      reason: "NamespaceUnknown",
      message,
      event: { reason: "ErrUnsealFailed", message: `Failed to unseal: ${message}` },
      metric: "unseal",
      next: "retry",
    };
  },

  notManaged: (name: string): Verdict =>
    updateFailed(
      "NotManaged",
      `Resource "${name}" already exists and is not managed by SealedSecret`,
      "unmanaged",
      "wait",
    ),

  ownerDeleted: (name: string): Verdict =>
    updateFailed(
      "NotManaged",
      `Secret "${name}" belonged to someone else, who deleted it: items are added once it exists again`,
      "unmanaged",
      "retry",
    ),

  keySecret: (mark: string): Verdict =>
    updateFailed(
      "KeySecret",
      `a Secret with ${mark} is a sealing key of the cluster, which no SealedSecret may make or change`,
      "update",
      "wait",
    ),

  typeChanged: (name: string, from: string, to: string): Verdict =>
    updateFailed(
      "TypeChanged",
      `the type of Secret "${name}" is ${bounded(from, MAX_NAME)} and cannot become ` +
        `${bounded(to, MAX_NAME)}: delete the Secret, and the controller re-creates it`,
      "update",
      "wait",
    ),

  typeNotAllowed: (type: string): Verdict =>
    updateFailed(
      "TypeNotAllowed",
      `a SealedSecret must not write a Secret of type ${type}, which gives its author the rights ` +
        `of others: to allow it, start the controller with --allow-secret-types=${type}`,
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

  heldByFinalizer: (name: string): Verdict =>
    updateFailed(
      "WriteFailed",
      `Secret "${name}" was changed and is being deleted, but a finalizer holds it: it is created ` +
        "again once that is removed",
      "update",
      "retry",
    ),

  writeFailed: (error: WorldError): Verdict =>
    updateFailed(
      "WriteFailed",
      `the Secret cannot be written: ${error.message}`,
      "update",
      // Policies, quotas and permissions may change over time, but the Secret's content does not.
      error.failure === "invalid" ? "wait" : "retry",
    ),
};
