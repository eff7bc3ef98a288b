// The facts about one SealedSecret that metrics and the report of the keys count.
// SPEC.md, "Metrics" and "Retirement of keys".

import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { type Claim, claimOf } from "./keyrecord.ts";
import { currentVerdict } from "./status.ts";

export interface Summary {
  readonly namespace: string;
  readonly name: string;
  /** Its label `app.kubernetes.io/instance`; empty if there is none. */
  readonly instance: string;
  /** What its status says; undefined if it says nothing. */
  readonly synced: boolean | undefined;
  readonly values: number;
  /** How many of these begin as post-quantum values do; whether they open is another matter. */
  readonly hybridValues: number;
  /** What its status says of the keys of the values; null if it says nothing. */
  readonly record: Claim | null;
}

export function summaryOf(sealed: JsonObject): Summary {
  const { namespace, name, labels } = metadataOf(sealed);
  return {
    namespace: textOf(namespace),
    name: textOf(name),
    instance: textOf(asObject(labels ?? null)?.["app.kubernetes.io/instance"]),
    synced: currentVerdict(sealed)?.synced,
    values: valuesIn(sealed),
    hybridValues: hybridValuesIn(sealed),
    record: claimOf(sealed),
  };
}

/** How many values the object declares, even where nobody should walk through them. */
export function valuesIn(sealed: JsonObject): number {
  const spec = asObject(sealed["spec"] ?? null) ?? {};
  const named = Object.keys(asObject(spec["encryptedData"] ?? null) ?? {}).length;
  return named + ((spec["data"] ?? null) === null ? 0 : 1);
}

/** How every post-quantum value begins, in base64. SPEC.md, "Hybrid envelopes". */
const HYBRID_START = "PQ1";

export function hybridValuesIn(sealed: JsonObject): number {
  const { encryptedData = null, data = null } = asObject(sealed["spec"] ?? null) ?? {};
  const texts = [...Object.values(asObject(encryptedData) ?? {}), data];
  return texts.filter((text) => typeof text === "string" && text.startsWith(HYBRID_START)).length;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
