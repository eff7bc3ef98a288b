// Which files have Secrets in plain text, for commands that read manifests anyway. `signet scan` reads
// more files and says what it found in each.

import { join, resolve, sep } from "node:path";
import { stat } from "../../host/readfile.ts";
import { SignetError } from "../../shared/errors.ts";
import { gitFiles, workTree } from "../git/gitprocess.ts";
import { pathBelow } from "../repository/project.ts";
import type { Project } from "../repository/projectfile.ts";
import { isChartTemplate } from "../repository/sealedfiles.ts";
import { findPlaintext } from "./plaintext.ts";
import { isNamedTemplate, storedEncrypted } from "./scannedfiles.ts";

/**
 * Whether a text has a Secret in plain text that scan.allow does not allow; false for text that cannot
 * be read.
 */
export function hasPlaintext(path: string, text: string, project: Project | null): boolean {
  try {
    const found = findPlaintext(text, {
      isChartTemplate: isChartTemplate(path) || isNamedTemplate(path),
    });
    return found.some(({ rule }) => rule !== "unreadable") && !isAllowed(project, path);
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}

function isAllowed(project: Project | null, path: string): boolean {
  if (project === null || project.allow.length === 0) return false;
  const below = pathBelow(project, path);
  return project.allow.some(({ matches }) => matches(below));
}

/**
 * Those of some files that Git does not ignore and does not store encrypted. `read`: the files and
 * folders that were read to find them.
 * @throws SignetError io
 */
export function keptPlain(paths: readonly string[], read: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const kept = new Set<string>();
  const outside: string[] = [];
  for (const path of read) {
    if (!stat(path).isDirectory() || workTree(path) === null) outside.push(resolve(path));
    else for (const below of gitFiles(path).files) kept.add(resolve(path, below));
  }
  const wanted = paths.filter((path) => {
    const whole = resolve(path);
    const isOutside = outside.some((each) => whole === each || whole.startsWith(join(each, sep)));
    return isOutside || kept.has(whole);
  });
  const encrypted = storedEncrypted(wanted);
  return wanted.filter((path) => !encrypted.has(path));
}
