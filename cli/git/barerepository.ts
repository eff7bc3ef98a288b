// Whether Git would take a folder of the working tree for a bare repository.

import { dirname, join } from "node:path";
import { samePlace, statIfThere } from "../../host/readfile.ts";

/**
 * The first folder, from `start` upwards, that looks like a bare repository, if no working tree is
 * found before it: it may have come with a clone, and its configuration may start programs. Git from
 * 2.38 on refuses it by `safe.bareRepository`; an older one does not know that setting.
 */
export function bareRepositoryAt(start: string): string | null {
  for (let here = samePlace(start); ; here = dirname(here)) {
    if (has(here, ".git")) return null;
    const isBare =
      has(here, "HEAD") && (has(here, "commondir") || (has(here, "objects") && has(here, "refs")));
    if (isBare) return here;
    if (dirname(here) === here) return null;
  }
}

function has(folder: string, name: string): boolean {
  return statIfThere(join(folder, name)) !== undefined;
}
