// Whether every key that values are under can be recovered from the repository, and whether somebody tried.
// SPEC.md, "Recovery", "Whole repositories".

import { locate, SignetError } from "../../shared/errors.ts";
import { KEY_FILE, repositoryName } from "../../shared/keys/recoverynames.ts";
import type { ClusterKeys } from "../repository/clustercertificates.ts";
import { readDrillRecord, recordPath } from "../repository/drillrecord.ts";
import type { Project } from "../repository/projectfile.ts";
import { readRecoveryFile, recoveryPath, usesRecovery } from "../repository/recoveryfolder.ts";
import type { Inventory } from "../repository/sealedfiles.ts";
import { count } from "../terminal/counts.ts";
import type { Finding } from "./findings.ts";

const DAY_MS = 86_400_000;

/** What keeps the keys of the repository from being recovered. @throws SignetError io */
export function checkRecovery(inventory: Inventory, project: Project | null, now: Date): Finding[] {
  if (project === null) return [];
  const used = usedKeys(inventory);
  return [...inventory.clusters.values()].flatMap((keys) => {
    if (!usesRecovery(project, keys.cluster)) return [];
    return [...checkKeyFiles(keys, used, project), ...checkDrill(keys, project, now)];
  });
}

/** Values by the fingerprint of their key. */
function usedKeys({ files }: Inventory): ReadonlyMap<string, number> {
  const used = new Map<string, number>();
  for (const { objects } of files) {
    for (const { fingerprint } of objects.flatMap(({ values }) => values)) {
      if (fingerprint !== undefined) used.set(fingerprint, (used.get(fingerprint) ?? 0) + 1);
    }
  }
  return used;
}

/** The next value comes under the key that seals, so that one needs its file as well. */
function checkKeyFiles(
  { cluster, current, known }: ClusterKeys,
  used: ReadonlyMap<string, number>,
  project: Project,
): Finding[] {
  const needed = [...known.keys()].filter(
    (fingerprint) => used.has(fingerprint) || fingerprint === current?.fingerprint,
  );
  return needed.flatMap((fingerprint): Finding[] => {
    const name = repositoryName(fingerprint, KEY_FILE);
    const file = recoveryPath(project, cluster, name);
    if (locate({ file }, () => readRecoveryFile(project, cluster, name)) !== null) return [];
    const values = used.get(fingerprint) ?? 0;
    const under =
      values === 0 ? "new values are sealed with it" : `${count(values, "value")} sealed with it`;
    return [
      {
        rule: "no-recovery-file",
        severity: cluster.recovery === undefined ? "warning" : "error",
        file,
        message: `the key ${fingerprint} of ${cluster.name} has no recovery file (${under}); run "signet cert refresh ${cluster.name}"`,
      },
    ];
  });
}

function checkDrill({ cluster, current }: ClusterKeys, project: Project, now: Date): Finding[] {
  const { maxDrillAgeDays } = project;
  if (maxDrillAgeDays === undefined) return [];
  const file = recordPath(project, cluster);
  const found = (message: string): Finding[] => [
    {
      rule: "drill",
      severity: "warning",
      file,
      message: `${message}; run "signet keys drill --cluster ${cluster.name} --record"`,
    },
  ];
  try {
    const record = readDrillRecord(project, cluster);
    if (record === null) return found(`recovery has not been tested yet for ${cluster.name}`);
    if (record.lost > 0)
      return found(`the last drill would have lost ${count(record.lost, "value")}`);
    const days = Math.floor((now.getTime() - record.at.getTime()) / DAY_MS);
    if (days > maxDrillAgeDays || days < -1) {
      return found(
        `the last drill was ${days} days ago, but signet.yaml allows ${maxDrillAgeDays}`,
      );
    }
    if (current !== null && !record.keys.includes(current.fingerprint)) {
      return found(
        `the last drill did not recover the current sealing key, ${current.fingerprint}`,
      );
    }
    return [];
  } catch (error) {
    if (error instanceof SignetError) return found(`cannot be read: ${error.message}`);
    throw error;
  }
}
