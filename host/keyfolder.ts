// Lists the files of a folder of private keys.

import type { Stats } from "node:fs";
import { join } from "node:path";
import { isOpenToOthers } from "./platform.ts";
import { namesIn, statIfThere } from "./readfile.ts";

/** Whether a file's mode lets group or others read it. */
export function isReadableByOthers({ mode }: Stats): boolean {
  return isOpenToOthers(mode, 0o044);
}

/** Whether a file's mode gives group or others any access. */
export function isAccessibleToOthers({ mode }: Stats): boolean {
  return isOpenToOthers(mode, 0o077);
}

/**
 * The files of a folder, sorted, without hidden files. Empty if the folder does not exist.
 * @throws SignetError io
 */
export function filesInKeyFolder(folder: string): string[] {
  if (statIfThere(folder) === undefined) return [];
  return namesIn(folder)
    .filter((name) => !name.startsWith("."))
    .sort()
    .map((name) => join(folder, name))
    .filter((path) => statIfThere(path)?.isFile() === true);
}
