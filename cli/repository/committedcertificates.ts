// The certificates that a cluster's file had in Git before the change that is being made.
// SPEC.md, "Projects".

import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseCertificates } from "../../shared/keys/certificate.ts";
import { filesAt, parentsOf, workTree } from "../git/gitprocess.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";

/**
 * Tells whether the certificate that sealed for a cluster had a post-quantum key in the last commit, or in
 * one that it was made from. A merge request is checked in a commit that already has its change. The first
 * question reads the files of all clusters.
 */
export function committedHybrid(project: Project): (cluster: ProjectCluster) => boolean {
  let names: ReadonlySet<string> | undefined;
  return ({ name }) => (names ??= clustersWithHybrid(project)).has(name);
}

function clustersWithHybrid({ root, clusters }: Project): Set<string> {
  const top = workTree(root);
  if (top === null) return new Set();
  const commits = ["HEAD", ...parentsOf("HEAD", top)];
  // Git takes a path that begins with ./ as below the folder in which it runs.
  const files = [...clusters.values()].flatMap(({ name, certificate }) =>
    commits.map((commit) => ({ name, commit, path: `./${certificate}` })),
  );
  const texts = filesAt(files, root);
  const hybrid = files.filter((_, index) => {
    const text = texts[index] ?? null;
    return text !== null && sealsHybrid(text);
  });
  return new Set(hybrid.map(({ name }) => name));
}

function sealsHybrid(text: string): boolean {
  try {
    return parseCertificates(text)[0].kinds.includes(HYBRID);
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}
