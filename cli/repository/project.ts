// The project of a repository: its signet.yaml, and which cluster a path is for.
// SPEC.md, "Projects".

import { dirname, join, parse, relative } from "node:path";
import { slashed } from "../../host/platform.ts";
import { readTextWithin, samePlace } from "../../host/readfile.ts";
import { MAX_SETTINGS_BYTES, rootOf } from "../../host/rootedfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseProject, type Project, type ProjectCluster } from "./projectfile.ts";
import { findProjectFolder, PROJECT_FILE } from "./projectfolder.ts";

/** What a file's path says about it. */
export interface PathMeaning {
  readonly cluster: ProjectCluster;
  /** Present where the rule's pattern has {namespace} or {name}. */
  readonly namespace?: string;
  readonly name?: string;
}

/**
 * The project of the current folder.
 * @throws SignetError project-invalid, io
 */
export function findProject(): Project | null {
  const root = findProjectFolder();
  return root === null ? null : parseProject(readProjectText(root), root);
}

/** The text of a folder's signet.yaml. @throws SignetError io, manifest-syntax */
export function readProjectText(root: string): string {
  return readTextWithin(rootOf(root), join(root, PROJECT_FILE), MAX_SETTINGS_BYTES);
}

/** @throws SignetError project-invalid where there is none */
export function needProject(): Project {
  const project = findProject();
  if (project !== null) return project;
  throw new SignetError("project-invalid", `no ${PROJECT_FILE} found here or in a parent folder`, {
    hint: "run `signet init` to create one",
  });
}

/** The first rule that fits a file's path; null where none does. */
export function meaningOf(project: Project, path: string): PathMeaning | null {
  return meaningBelow(project, pathBelow(project, path));
}

/** The same for a path below the root. */
export function meaningBelow(project: Project, below: string): PathMeaning | null {
  for (const { match, cluster: name } of project.rules) {
    const captured = match(below);
    const cluster = project.clusters.get(name);
    if (captured === null || cluster === undefined) continue;
    const { namespace, name: object } = captured;
    return {
      cluster,
      ...(namespace === undefined ? {} : { namespace }),
      ...(object === undefined ? {} : { name: object }),
    };
  }
  const [only, ...others] = project.clusters.values();
  // One cluster and no rule leave no choice.
  return project.rules.length === 0 && only !== undefined && others.length === 0
    ? { cluster: only }
    : null;
}

/** A file's path relative to the root, separated by `/`; it may lead out of it. */
export function pathBelow(project: Project, path: string): string {
  const folder = samePlace(dirname(path));
  return slashed(relative(samePlace(project.root), join(folder, parse(path).base)));
}

/** @throws SignetError usage where there is no such cluster */
export function clusterNamed(project: Project, name: string): ProjectCluster {
  const cluster = project.clusters.get(name);
  if (cluster !== undefined) return cluster;
  const names = [...project.clusters.keys()].join(", ");
  throw new SignetError("usage", `${PROJECT_FILE} has no cluster ${JSON.stringify(name)}`, {
    hint: names === "" ? "it has none yet: see `signet init --help`" : `it has ${names}`,
  });
}

/** The path of a new file for a cluster. */
export function newFilePath(
  project: Project,
  cluster: ProjectCluster,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): string {
  const path = project.newFile
    .replaceAll("{cluster}", cluster.name)
    .replaceAll("{namespace}", namespace === "" ? "any" : namespace)
    .replaceAll("{name}", name);
  return relative(process.cwd(), join(project.root, path)) || path;
}
