// The SealedSecrets that a change is for: one in a file, and its counterparts for other clusters.
// SPEC.md, "Changing values".

import { formatPlace, SignetError } from "../../shared/errors.ts";
import { warn } from "../terminal/messages.ts";
import type { Project } from "./projectfile.ts";
import { readSealedFiles, type SealedFile, type SealedObject } from "./sealedfiles.ts";

/** A SealedSecret that is to be changed. */
export interface Target {
  readonly file: SealedFile;
  readonly object: SealedObject;
  /** Its name in signet.yaml; undefined where no rule fits the file. */
  readonly cluster: string | undefined;
}

/** @throws SignetError usage where one certificate is named for the files of several clusters */
export function checkAllClusters({
  allClusters,
  cert,
  cluster,
}: {
  readonly allClusters: boolean;
  readonly cert?: string;
  readonly cluster?: string;
}): void {
  if (!allClusters || (cert ?? cluster) === undefined) return;
  const other = cert === undefined ? "--cluster" : "--cert";
  throw new SignetError("usage", `--all-clusters and ${other} are mutually exclusive`, {
    hint: "each file is sealed for its own cluster, as signet.yaml assigns it",
  });
}

/** Warns once, however often the files are read. */
const warned = new Set<string>();

/** Every sealed file of the project. @throws SignetError project-invalid, io */
export function filesOf(project: Project | null): readonly SealedFile[] {
  if (project === null) return [];
  const { files, unreadable } = readSealedFiles([], project);
  for (const { place, message } of unreadable) {
    const words = `${formatPlace(place)}: ${message}; its contents are left unchanged`;
    if (!warned.has(words)) warn(words);
    warned.add(words);
  }
  return files;
}

/** `files`: those of the project. @throws SignetError usage where there is none */
export function siblingsOf(
  { file, object, cluster }: Target,
  project: Project | null,
  files: readonly SealedFile[],
): Target[] {
  if (project === null) {
    throw new SignetError("usage", "--all-clusters requires a signet.yaml", {
      hint: "run `signet init` to create one",
    });
  }
  if (cluster === undefined) {
    throw new SignetError(
      "usage",
      "--all-clusters requires a path rule in signet.yaml that matches the file",
      {
        hint: "add one under paths, such as `prod/**: prod`",
        place: { file: file.path },
      },
    );
  }
  const siblings = files.flatMap((each) =>
    each.objects.flatMap((other) => {
      const otherCluster = other.meaning?.cluster.name;
      const isSibling =
        other.name === object.name && otherCluster !== undefined && otherCluster !== cluster;
      return isSibling ? [{ file: each, object: other, cluster: otherCluster }] : [];
    }),
  );
  if (siblings.length === 0) {
    throw new SignetError("usage", `no other cluster has ${object.name}`, {
      hint: "omit --all-clusters, or create it there with `signet new`",
      place: { file: file.path },
    });
  }
  return siblings;
}
