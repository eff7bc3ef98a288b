// The certificates that a cluster's file had in Git before the change that is being made.
// SPEC.md, "Projects".

import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseCertificates } from "../../shared/keys/certificate.ts";
import { fileAt, parentsOf, workTree } from "../git/gitprocess.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";

/**
 * Whether the certificate that sealed for a cluster had a post-quantum key in the last commit, or in
 * one that it was made from. A merge request is checked in a commit that already has its change.
 */
export function committedHybrid(project: Project, { certificate }: ProjectCluster): boolean {
  const top = workTree(project.root);
  if (top === null) return false;
  const commits = ["HEAD", ...parentsOf("HEAD", top)];
  // Git takes a path that begins with ./ as below the folder in which it runs.
  const texts = commits.map((commit) => fileAt(commit, `./${certificate}`, project.root));
  return texts.some((text) => text !== null && sealsHybrid(text));
}

function sealsHybrid(text: string): boolean {
  try {
    return parseCertificates(text)[0].kinds.includes(HYBRID);
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}
