// What a cluster reports about its keys and about the repository's SealedSecrets.
// SPEC.md, "Whole repositories".

import { isStatusCurrent, sealedUnderOf } from "../../../shared/sealing/sealedunder.ts";
import { locateAsync } from "../../../shared/errors.ts";
import { asObject, type JsonObject, objectsIn } from "../../../shared/kubernetes/object.ts";
import { fetchKeyReport, type KeyReport } from "../../cluster/reportedkeys.ts";
import { appliedIn, itemsOf } from "../../git/sealedtext.ts";
import { projectClusterOptions } from "../../repository/clustercertificates.ts";
import type { ProjectCluster } from "../../repository/projectfile.ts";
import type { Inventory, SealedObject, SealedValue } from "../../repository/sealedfiles.ts";
import type { GivenClusterOptions } from "../../cluster/clusteroptions.ts";

/** What a cluster reports. */
export interface LiveCluster {
  readonly report: KeyReport;
  /** By `NAMESPACE/NAME`. */
  readonly sealedSecrets: ReadonlyMap<string, JsonObject>;
  /** Why the controller could not sync a SealedSecret as it is now, by `NAMESPACE/NAME`. */
  readonly failures: ReadonlyMap<string, string>;
}

export async function askCluster(
  cluster: ProjectCluster,
  options: GivenClusterOptions,
): Promise<LiveCluster> {
  const { listSealedSecrets } = await import("../../cluster/apiobjects.ts");
  const connection = projectClusterOptions(cluster, options);
  const [report, sealedSecrets] = await locateAsync({ object: cluster.name }, () =>
    Promise.all([fetchKeyReport(connection), listSealedSecrets(connection)]),
  );
  return { report, sealedSecrets, failures: failuresAmong(sealedSecrets) };
}

/**
 * Takes the key from the controller if the cluster has the same ciphertext, as a stamp is only a hint.
 */
export function withLiveKeys(
  inventory: Inventory,
  live: ReadonlyMap<string, LiveCluster>,
): Inventory {
  const files = inventory.files.map((file) => ({
    ...file,
    objects: file.objects.map((object) => {
      const applied = live.get(object.meaning?.cluster.name ?? "")?.sealedSecrets.get(object.name);
      return applied === undefined ? object : { ...object, values: liveValues(object, applied) };
    }),
  }));
  return { ...inventory, files };
}

function liveValues(object: SealedObject, applied: JsonObject): readonly SealedValue[] {
  if (!isStatusCurrent(applied)) return object.values;
  const under = new Map(
    Object.entries(sealedUnderOf(applied)).flatMap(([fingerprint, items]) =>
      items.map((item) => [item, fingerprint] as const),
    ),
  );
  const [declared, live] = [itemsOf(object.sealed), appliedIn(applied)[0]?.items];
  return object.values.map((value) => {
    const fingerprint = under.get(value.item);
    const isSame = live?.get(value.item)?.ciphertext === declared.get(value.item)?.ciphertext;
    if (!isSame || fingerprint === undefined || fingerprint === value.fingerprint) return value;
    const certificate = object.cluster?.known.get(fingerprint);
    const isCurrent = fingerprint === object.cluster?.current?.fingerprint;
    // The controller opened it, so the key belongs to the cluster even if the repository does not
    // know it.
    return { ...value, fingerprint, certificate, key: isCurrent ? "sealing" : "former" };
  });
}

/** `failure`: why the cluster could not sync the file's SealedSecret. */
export function liveState(
  object: SealedObject,
  { sealedSecrets, failures }: LiveCluster,
): { readonly state: string; readonly failure?: string | undefined } {
  const applied = sealedSecrets.get(object.name);
  if (applied === undefined) return { state: "not applied" };
  const [declared, inCluster] = [itemsOf(object.sealed), appliedIn(applied)[0]?.items];
  const isSame =
    inCluster?.size === declared.size &&
    [...declared].every(([item, { ciphertext }]) => inCluster.get(item)?.ciphertext === ciphertext);
  if (!isSame) return { state: "another version" };
  const synced = conditionOf(applied);
  if (synced?.["status"] === "True") return { state: "synced" };
  const state = typeof synced?.["reason"] === "string" ? synced["reason"] : "not synced";
  return { state, failure: failures.get(object.name) };
}

function failuresAmong(sealedSecrets: ReadonlyMap<string, JsonObject>): Map<string, string> {
  const failures = new Map<string, string>();
  for (const [name, applied] of sealedSecrets) {
    const synced = conditionOf(applied);
    if (synced?.["status"] !== "False" || !isStatusCurrent(applied)) continue;
    const words = [synced["reason"], synced["message"]]
      .filter((word) => typeof word === "string")
      .filter((word) => word !== "");
    failures.set(name, words.length === 0 ? "no reason given" : words.join(": "));
  }
  return failures;
}

function conditionOf(applied: JsonObject): JsonObject | undefined {
  const conditions = objectsIn(asObject(applied["status"] ?? null)?.["conditions"] ?? []);
  return conditions.find(({ type }) => type === "Synced");
}
