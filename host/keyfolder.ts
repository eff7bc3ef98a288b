// Lists the files of a folder of private keys.

import { join } from "node:path";
import { namesIn, statIfThere } from "./readfile.ts";

/** The mode bits that let group and others read a file. */
export const READABLE_BY_OTHERS = 0o044;

/** Bits of a mode that let others do anything with a file. */
export const ACCESSIBLE_TO_OTHERS = 0o077;

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
