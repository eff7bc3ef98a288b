// Finds the manifests below a folder.
// SPEC.md, "Command line", "Files".

import { readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError } from "./errno.ts";
import { isWithin, rootOf } from "./rootedfiles.ts";

/** Matches the names of manifest files. */
export const MANIFEST_NAME = /\.(ya?ml|json)$/i;

/**
 * Paths of the manifests below a folder, sorted. `.git`, `node_modules` unless `modules` is set, and
 * other hidden folders unless `hidden` is set, are skipped. A file or folder that is reachable twice by links counts once. A
 * link to a folder outside of the folder's repository is not followed, as Git does not follow it. A
 * link to a file is listed wherever it leads: who opens it decides.
 * @throws SignetError io
 */
export function manifestsBelow(
  folder: string,
  { hidden = false, modules = false, names = MANIFEST_NAME } = {},
): string[] {
  const root = rootOf(folder);
  // Resolved paths.
  const seen = new Set<string>();
  const isNew = (real: string): boolean => seen.size < seen.add(real).size;
  const found: string[] = [];
  const walk = (below: string): void => {
    const here = join(folder, below);
    try {
      const realHere = realpathSync(here);
      if (below !== "" && !isWithin(root, realHere)) return;
      if (!isNew(realHere)) return;
      for (const entry of readdirSync(here, { withFileTypes: true })) {
        const path = join(below, entry.name);
        const isLink = entry.isSymbolicLink();
        const target = isLink ? targetOfLink(join(folder, path)) : entry;
        if (target?.isDirectory() === true) {
          const isHidden = entry.name.startsWith(".") && (!hidden || entry.name === ".git");
          if (!isHidden && (modules || entry.name !== "node_modules")) walk(path);
        } else if (target !== undefined && names.test(entry.name)) {
          const inFolder = join(realHere, entry.name);
          if (isNew(isLink ? realpathSync(inFolder) : inFolder)) found.push(path);
        }
      }
    } catch (error) {
      throw error instanceof SignetError ? error : ioError("cannot read", error, here);
    }
  };
  walk("");
  return found.sort();
}

/** Undefined for a link that leads nowhere, or to itself. */
function targetOfLink(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw ioError("cannot read", error, path);
  }
}
