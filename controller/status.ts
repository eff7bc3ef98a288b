// Reads the status of a SealedSecret, and computes the next status from a verdict.
// SPEC.md, "Status".

import { asObject, type JsonObject, metadataOf, objectsIn } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { itemsUnder, type SealedUnder } from "../shared/sealing/sealedunder.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { bounded } from "./bounded.ts";
import type { DeliveryCondition } from "./deliveryreport.ts";
import { formatKeyRecord, keyRecordOf } from "./keyrecord.ts";
import { listed, type Reason, type Verdict } from "./verdict.ts";

/** The controller's conditions, in order. The original's printer columns read the first one. */
const OUR_CONDITIONS = ["Synced", "Ready", "Stalled", "KeyCompromised", "Delivered"] as const;

/**
 * Limits for the part of a status that others wrote, and for the part that records the keys of
 * values, in characters of JSON. The API server refuses an object that is too large, with each
 * retry.
 */
const MAX_OTHERS = 16_384;
const MAX_SEALED_UNDER = 131_072;

/** Returns the verdict that the status records; undefined if there is none. */
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

/** Whether the status says what it says of a Secret in sync, of this generation and nothing else. */
export function saysUnsealed(sealed: JsonObject): boolean {
  const generation = metadataOf(sealed)["generation"];
  const observed = asObject(sealed["status"] ?? null)?.["observedGeneration"];
  const told = conditionsOf(sealed).filter(({ type }) => isOurType(type));
  return (
    observed === generation &&
    told.length === 2 &&
    told.every(
      ({ type, status, reason, message, observedGeneration }, index) =>
        type === OUR_CONDITIONS[index] &&
        status === "True" &&
        reason === "Unsealed" &&
        message === "" &&
        observedGeneration === generation,
    )
  );
}

/** Returns the message of the KeyCompromised condition; empty if there is none. */
export function compromisedMessage(sealed: JsonObject): string {
  const found = conditionsOf(sealed).find((condition) => condition["type"] === "KeyCompromised");
  return typeof found?.["message"] === "string" ? found["message"] : "";
}

/** Returns the condition `Delivered` that the status has, if it is a result; null otherwise. */
export function deliveryResultIn(sealed: JsonObject): DeliveryCondition | null {
  const found = conditionsOf(sealed).find(({ type }) => type === "Delivered");
  const { status, reason, message } = found ?? {};
  if (reason !== "Delivered" && reason !== "DeliveryFailed") return null;
  return {
    is: status === "True",
    reason,
    message: typeof message === "string" ? bounded(message) : "",
  };
}

/** Whether the status has this condition `Delivered`, or none where it is null. */
export function tellsOfDelivery(sealed: JsonObject, condition: DeliveryCondition | null): boolean {
  const found = conditionsOf(sealed).find(({ type }) => type === "Delivered");
  if (found === undefined || condition === null) return found === undefined && condition === null;
  const { is, reason, message } = condition;
  const status = is ? "True" : "False";
  return found["status"] === status && found["reason"] === reason && found["message"] === message;
}

/** The facts, besides the verdict, that the next status depends on. */
export interface StatusFacts {
  readonly now: Date;
  /** The record of the Secret as last written; undefined to keep what the status records. */
  readonly left?: JsonObject | undefined;
  /** The key that each value is sealed with; undefined to keep what the controller recorded. */
  readonly stamp?: Stamp | undefined;
  readonly keyring: Keyring;
  /** Fingerprints of the compromised keys. */
  readonly compromised: ReadonlySet<string>;
  /** Null or undefined if the SealedSecret asks for no delivery. */
  readonly delivery?: DeliveryCondition | null;
}

/** Returns the status after `verdict`, or null if the status does not need to change. */
export function nextStatus(
  sealed: JsonObject,
  verdict: Verdict,
  { now, left, stamp, keyring, compromised, delivery = null }: StatusFacts,
): JsonObject | null {
  const before = asObject(sealed["status"] ?? null) ?? {};
  const {
    observedGeneration: _observed,
    sealedUnder: _under,
    sealedUnderTag: _tag,
    ...others
  } = before;
  const { generation } = metadataOf(sealed);
  const sealedUnder =
    withinSize(
      stamp === undefined ? (keyRecordOf(sealed, keyring) ?? {}) : itemsByKey(stamp),
      MAX_SEALED_UNDER,
    ) ?? {};
  const told: [(typeof OUR_CONDITIONS)[number], boolean, string, string][] = [
    ["Synced", verdict.synced, verdict.reason, verdict.message],
    ["Ready", verdict.synced, verdict.reason, verdict.message],
  ];
  // Tools that wait, such as Flux (kstatus), treat a failure as progress until a Stalled condition
  // says that only a change can fix it.
  const stalled = !verdict.synced && verdict.next === "wait" && verdict.reason !== "DriftContested";
  if (stalled) told.push(["Stalled", true, verdict.reason, verdict.message]);
  const exposed = itemsUnder(sealedUnder, compromised);
  if (exposed.length > 0) {
    told.push(["KeyCompromised", true, "SealedUnderCompromisedKey", formatExposed(exposed)]);
  }
  if (delivery !== null) {
    told.push(["Delivered", delivery.is, delivery.reason, delivery.message]);
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
    const isSame = Object.entries(fresh).every(([name, value]) => old?.[name] === value);
    const since = old?.["status"] === status ? timeOf(old["lastTransitionTime"]) : undefined;
    return {
      ...fresh,
      lastUpdateTime: (isSame ? timeOf(old?.["lastUpdateTime"]) : undefined) ?? time,
      lastTransitionTime: since ?? time,
    };
  });
  const theirs = conditionsOf(sealed).filter(({ type }) => !isOurType(type));
  const status: JsonObject = {
    ...withinSize(others, MAX_OTHERS),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [...ours, ...(withinSize(theirs, MAX_OTHERS) ?? [])],
    ...(left === undefined ? {} : { secret: left }),
    ...formatKeyRecord(sealed, sealedUnder, keyring),
  };
  return canonical(before) === canonical(status) ? null : status;
}

/** Undefined if it is too large; no legitimate status is. */
function withinSize<T>(part: T, max: number): T | undefined {
  return JSON.stringify(part).length <= max ? part : undefined;
}

/** Reads a time as the controller writes it, from a status that others can write too. */
function timeOf(value: Json | undefined): string | undefined {
  return typeof value === "string" && value.length <= 32 ? value : undefined;
}

function itemsByKey(stamp: Stamp): SealedUnder {
  const items: Record<string, string[]> = {};
  for (const [item, fingerprint] of [...stamp].sort(([a], [b]) => (a < b ? -1 : 1))) {
    (items[fingerprint] ??= []).push(item);
  }
  return items;
}

function formatExposed(items: readonly string[]): string {
  return bounded(
    `sealed with a compromised key: ${listed(items)}; rotate these values and re-seal them`,
  );
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function isOurType(type: Json | undefined): boolean {
  return (OUR_CONDITIONS as readonly Json[]).includes(type ?? null);
}

function conditionsOf(sealed: JsonObject): JsonObject[] {
  return objectsIn(asObject(sealed["status"] ?? null)?.["conditions"]);
}
