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
  /** From its status; undefined if the status does not say. */
  readonly synced: boolean | undefined;
  readonly values: number;
  /** How many of these start like post-quantum values, whether or not they open. */
  readonly hybridValues: number;
  /** The record of the values' keys in its status; null if there is none. */
  readonly record: Claim | null;
}

/** `whole`: the same object, with all of its values even if they are too many to traverse. */
export function summaryOf(sealed: JsonObject, whole = sealed): Summary {
  const { namespace, name, labels } = metadataOf(sealed);
  return {
    namespace: textOf(namespace),
    name: textOf(name),
    instance: textOf(asObject(labels ?? null)?.["app.kubernetes.io/instance"]),
    synced: currentVerdict(sealed)?.synced,
    values: valuesIn(whole),
    hybridValues: hybridValuesIn(whole),
    record: claimOf(sealed),
  };
}

/** How many values the object declares. */
function valuesIn(sealed: JsonObject): number {
  const spec = asObject(sealed["spec"] ?? null) ?? {};
  const named = Object.keys(asObject(spec["encryptedData"] ?? null) ?? {}).length;
  return named + ((spec["data"] ?? null) === null ? 0 : 1);
}

/** The first characters of every post-quantum value in base64. SPEC.md, "Hybrid envelopes". */
const HYBRID_START = "PQ1";

function hybridValuesIn(sealed: JsonObject): number {
  const { encryptedData = null, data = null } = asObject(sealed["spec"] ?? null) ?? {};
  const texts = [...Object.values(asObject(encryptedData) ?? {}), data];
  return texts.filter((text) => typeof text === "string" && text.startsWith(HYBRID_START)).length;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
