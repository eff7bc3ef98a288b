// Whether there is a signet.yaml here or above: asked by commands that start fast without one.

import { dirname, join, parse, resolve } from "node:path";
import { statIfThere } from "../../host/readfile.ts";

export const PROJECT_FILE = "signet.yaml";

/** The nearest folder, from `folder` upwards, that has a signet.yaml; null where none has. */
export function findProjectFolder(folder = process.cwd()): string | null {
  for (let here = resolve(folder); ; here = dirname(here)) {
    if (statIfThere(join(here, PROJECT_FILE))?.isFile() === true) return here;
    if (here === parse(here).root) return null;
  }
}
