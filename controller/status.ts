// The status of a SealedSecret: what it says, and what it is to say after a verdict.
// SPEC.md, "Status".

import { asObject, type JsonObject, objectsIn } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import { itemsUnder, type SealedUnder, sealedUnderOf } from "../shared/sealing/sealedunder.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { listed, type Reason, type Verdict } from "./verdict.ts";
import type { SecretMark } from "./world.ts";

/** A Secret as we left it. */
export interface Left extends SecretMark {
  /** Hash of what it was made from. */
  readonly source: string;
  /** It is someone else's, and we added to it. */
  readonly patched: boolean;
}

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

function itemsByKey(stamp: Stamp): SealedUnder {
  const items: Record<string, string[]> = {};
  for (const [item, fingerprint] of [...stamp].sort(([a], [b]) => (a < b ? -1 : 1))) {
    (items[fingerprint] ??= []).push(item);
  }
  return items;
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
