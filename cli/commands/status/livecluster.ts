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
  return { report, sealedSecrets };
}

/**
 * Takes the key from the controller where the cluster has the same ciphertext, as a stamp is a hint
 * only.
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

export function liveState(object: SealedObject, { sealedSecrets }: LiveCluster): string {
  const applied = sealedSecrets.get(object.name);
  if (applied === undefined) return "not applied";
  const [declared, inCluster] = [itemsOf(object.sealed), appliedIn(applied)[0]?.items];
  const isSame =
    inCluster?.size === declared.size &&
    [...declared].every(([item, { ciphertext }]) => inCluster.get(item)?.ciphertext === ciphertext);
  if (!isSame) return "another version";
  const conditions = objectsIn(asObject(applied["status"] ?? null)?.["conditions"] ?? []);
  const synced = conditions.find(({ type }) => type === "Synced");
  if (synced?.["status"] === "True") return "synced";
  return typeof synced?.["reason"] === "string" ? synced["reason"] : "not synced";
}
