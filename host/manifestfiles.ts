// Finds the manifests below a folder.
// SPEC.md, "Command line", "Files".

import { readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { ioError } from "./errno.ts";
import { statIfThere } from "./readfile.ts";

/** Matches the names of manifest files. */
export const MANIFEST_NAME = /\.(ya?ml|json)$/i;

/**
 * Paths of the manifests below a folder, sorted. `.git`, `node_modules` and, unless `hidden` is set,
 * other hidden folders are skipped. A file or folder that is reachable twice by links counts once.
 * @throws SignetError io
 */
export function manifestsBelow(folder: string, { hidden = false } = {}): string[] {
  // Resolved paths.
  const seen = new Set<string>();
  const isNew = (real: string): boolean => seen.size < seen.add(real).size;
  const found: string[] = [];
  const walk = (below: string): void => {
    const here = join(folder, below);
    try {
      const realHere = realpathSync(here);
      if (!isNew(realHere)) return;
      for (const entry of readdirSync(here, { withFileTypes: true })) {
        const path = join(below, entry.name);
        const isLink = entry.isSymbolicLink();
        const target = isLink ? statIfThere(join(folder, path)) : entry;
        if (target?.isDirectory() === true) {
          const isHidden = entry.name.startsWith(".") && (!hidden || entry.name === ".git");
          if (!isHidden && entry.name !== "node_modules") walk(path);
        } else if (target?.isFile() === true && MANIFEST_NAME.test(entry.name)) {
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
