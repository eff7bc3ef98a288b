// The record of the last drill, in the repository. It is worth what the commit is worth that it came with.
// SPEC.md, "Recovery".

import { join } from "node:path";
import { readTextWithin, statIfThere } from "../../host/readfile.ts";
import { MAX_SETTINGS_BYTES, rootOf } from "../../host/rootedfiles.ts";
import type { Output } from "../../host/writefiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { jsonObjectIn } from "../../shared/kubernetes/object.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";
import { recoveryFolder, recoveryPath } from "./recoveryfolder.ts";

/** What a drill found for a cluster. */
interface DrillRecord {
  readonly at: Date;
  /** How many values opened. */
  readonly opened: number;
  /** How many did not. */
  readonly lost: number;
  /** Fingerprints of the keys that were recovered. */
  readonly keys: readonly string[];
}

const RECORD_FILE = "last-drill.json";

/** The path of the record, as messages name it. */
export function recordPath(project: Project, cluster: ProjectCluster): string {
  return recoveryPath(project, cluster, RECORD_FILE);
}

/** Returns null if no drill was recorded. @throws SignetError io, project-invalid */
export function readDrillRecord(project: Project, cluster: ProjectCluster): DrillRecord | null {
  const path = recordPath(project, cluster);
  if (statIfThere(path) === undefined) return null;
  const text = readTextWithin(rootOf(project.root), path, MAX_SETTINGS_BYTES);
  const { at, opened, lost, keys } = jsonObjectIn(text) ?? {};
  const moment = new Date(typeof at === "string" ? at : Number.NaN);
  if (
    Number.isNaN(moment.getTime()) ||
    typeof opened !== "number" ||
    typeof lost !== "number" ||
    !Array.isArray(keys)
  ) {
    throw new SignetError("project-invalid", "not a drill record");
  }
  return { at: moment, opened, lost, keys: keys.filter((key) => typeof key === "string") };
}

/** The record as a file of the repository. */
export function recordOutput(
  project: Project,
  cluster: ProjectCluster,
  { at, opened, lost, keys }: DrillRecord,
): Output {
  const facts = { cluster: cluster.name, at: at.toISOString(), opened, lost, keys };
  return {
    path: join(project.root, recoveryFolder(cluster), RECORD_FILE),
    root: rootOf(project.root),
    text: `${JSON.stringify(facts, null, 2)}\n`,
  };
}
