// The recovery files of a cluster's keys in the repository. They are strangers' text: which keys there are,
// certificates tell, and a file that holds another key than its name says is not used.
// SPEC.md, "Recovery".

import { join, relative } from "node:path";
import { readTextWithin, statIfThere } from "../../host/readfile.ts";
import { MAX_SETTINGS_BYTES, rootOf } from "../../host/rootedfiles.ts";
import type { Output } from "../../host/writefiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { isLockedBackup } from "../../shared/keys/keyfile.ts";
import {
  KEY_FILE,
  MAX_RECIPIENTS,
  repositoryName,
  shareFile,
} from "../../shared/keys/recoverynames.ts";
import type { GivenClusterOptions } from "../cluster/clusteroptions.ts";
import type { PublishedKey } from "../cluster/recoveryreport.ts";
import { detail } from "../terminal/messages.ts";
import { type ClusterKeys, projectClusterOptions } from "./clustercertificates.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";

/** The folder below the root: beside the certificate, where signet.yaml does not say. */
export function recoveryFolder({ recovery, certificate }: ProjectCluster): string {
  return recovery ?? `${certificate.replace(/\.(pem|crt|cert)$/, "")}/recovery`;
}

/** The path of a file in it, as messages name it. */
export function recoveryPath(project: Project, cluster: ProjectCluster, name: string): string {
  const path = join(project.root, recoveryFolder(cluster), name);
  return relative(process.cwd(), path) || path;
}

/** Whether signet.yaml says that this cluster's keys have recovery files, or there are some. */
export function usesRecovery(project: Project, cluster: ProjectCluster): boolean {
  const folder = recoveryPath(project, cluster, "");
  return cluster.recovery !== undefined || statIfThere(folder) !== undefined;
}

/**
 * Returns the text of a file in the folder; null if it does not exist or is not an age file.
 * @throws SignetError io
 */
export function readRecoveryFile(
  project: Project,
  cluster: ProjectCluster,
  name: string,
): string | null {
  const path = recoveryPath(project, cluster, name);
  if (statIfThere(path) === undefined) return null;
  const text = readTextWithin(rootOf(project.root), path, MAX_SETTINGS_BYTES);
  return isLockedBackup(new TextEncoder().encode(text)) ? text : null;
}

/** The shares of a key, in their order; empty where any one recipient opens its file. */
export function readShareFiles(
  project: Project,
  cluster: ProjectCluster,
  fingerprint: string,
): string[] {
  const texts: string[] = [];
  for (let number = 1; number <= MAX_RECIPIENTS; number++) {
    const name = repositoryName(fingerprint, shareFile(number));
    const text = readRecoveryFile(project, cluster, name);
    if (text === null) return texts;
    texts.push(text);
  }
  return texts;
}

/** What the controller publishes, as files of the repository; those that are the same are left out. */
export function recoveryOutputs(
  project: Project,
  { cluster, known }: Pick<ClusterKeys, "cluster" | "known">,
  published: readonly PublishedKey[],
): Output[] {
  const root = rootOf(project.root);
  return published.flatMap(({ fingerprint, files }) => {
    // Of a key that no certificate is of, the repository has no use.
    if (!known.has(fingerprint)) return [];
    return [...files].flatMap(([file, text]): Output[] => {
      const name = repositoryName(fingerprint, file);
      const path = join(project.root, recoveryFolder(cluster), name);
      return readRecoveryFile(project, cluster, name) === text ? [] : [{ path, root, text }];
    });
  });
}

/**
 * What the cluster's controller publishes; null where it has no recovery recipients, or signet.yaml does
 * not say how to reach it.
 * @throws SignetError network, usage, only where signet.yaml says that the cluster's keys have files
 */
export async function fetchPublished(
  cluster: ProjectCluster,
  given: GivenClusterOptions,
): Promise<PublishedKey[] | null> {
  try {
    const options = projectClusterOptions(cluster, given);
    const { fetchRecovery } = await import("../cluster/recoveryreport.ts");
    return await fetchRecovery(options);
  } catch (error) {
    if (!(error instanceof SignetError) || cluster.recovery !== undefined) throw error;
    detail(`${cluster.name}: no recovery files: ${error.message}`);
    return null;
  }
}

/** @throws SignetError key-invalid for a key without a file */
export function needKeyFile(
  project: Project,
  cluster: ProjectCluster,
  fingerprint: string,
): string {
  const name = repositoryName(fingerprint, KEY_FILE);
  const text = readRecoveryFile(project, cluster, name);
  if (text !== null) return text;
  throw new SignetError("key-invalid", "no recovery file found for this key", {
    hint: `\`signet cert refresh ${cluster.name}\` fetches it, if the cluster has recovery recipients`,
    place: { file: recoveryPath(project, cluster, name) },
  });
}
