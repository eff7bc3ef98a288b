// Finds the manifests below a folder.
// SPEC.md, "Command line", "Files".

import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { join, sep } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError } from "./errno.ts";
import { isWithin, rootOf } from "./rootedfiles.ts";

/** Matches the names of manifest files. */
export const MANIFEST_NAME = /\.(ya?ml|json)$/i;

const NEVER = (_folder: string): boolean => false;

/**
 * How deeply folders may be nested. Every system call on a path costs a step for each folder in it.
 */
const MAX_FOLDERS = 256;

/** Why a path is refused that leads through too many folders. */
export const TOO_MANY_FOLDERS = `cannot read: folders are nested more than ${MAX_FOLDERS} deep`;

/** Whether a path leads through too many folders. */
export function isTooDeep(path: string): boolean {
  return path.split(sep).length > MAX_FOLDERS + 1;
}

/**
 * Paths of the manifests below a folder, sorted. `.git`, `node_modules` unless `modules` is set, and
 * other hidden folders unless `hidden` is set, are skipped. A file or folder that is reachable
 * twice through links counts once. A link to a folder outside the repository is not followed, as in
 * Git. A link to a file is listed wherever it leads: the code that opens it decides. `isSkipped`
 * decides whether a folder that cannot be read is skipped.
 * @throws SignetError io, also if folders are nested too deeply
 */
export function manifestsBelow(
  folder: string,
  { hidden = false, modules = false, names = MANIFEST_NAME, isSkipped = NEVER } = {},
): string[] {
  const root = rootOf(folder);
  // Resolved paths.
  const seen = new Set<string>();
  const isNew = (real: string): boolean => seen.size < seen.add(real).size;
  const found: string[] = [];
  const entriesOf = (below: string, here: string, real: string): Dirent[] => {
    try {
      return readdirSync(real, { withFileTypes: true });
    } catch (error) {
      if (below !== "" && isSkipped(here)) return [];
      throw ioError("cannot read", error, here);
    }
  };
  // `real`: the resolved path of `below`. Resolving it again would take a step for each folder in it.
  const walk = (below: string, real: string, depth: number): void => {
    if (!isNew(real)) return;
    const here = join(folder, below);
    if (depth > MAX_FOLDERS) throw tooDeep(here);
    for (const entry of entriesOf(below, here, real)) {
      const path = join(below, entry.name);
      const written = join(real, entry.name);
      const shown = join(here, entry.name);
      const target = entry.isSymbolicLink() ? targetOfLink(written, shown) : entry;
      if (target === undefined) continue;
      const place = target === entry ? written : onDisk(shown, () => realpathSync.native(written));
      if (target.isDirectory()) {
        const isHidden = entry.name.startsWith(".") && (!hidden || entry.name === ".git");
        const isLeftOut = isHidden || (!modules && entry.name === "node_modules");
        if (!isLeftOut && isWithin(root, place)) walk(path, place, depth + 1);
      } else if (names.test(entry.name) && isNew(place)) {
        found.push(path);
      }
    }
  };
  walk(
    "",
    onDisk(folder, () => realpathSync.native(folder)),
    0,
  );
  return found.sort();
}

function tooDeep(path: string): SignetError {
  return new SignetError("io", TOO_MANY_FOLDERS, {
    hint: "use a folder further down",
    place: { file: path },
  });
}

function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** Returns undefined for a dangling link, or one to itself. `shown`: the path that errors name. */
function targetOfLink(link: string, shown: string): Stats | undefined {
  try {
    return statSync(link);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw ioError("cannot read", error, shown);
  }
}
