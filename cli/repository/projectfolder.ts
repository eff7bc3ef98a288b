// The folder of signet.yaml. A file of its own, as commands start faster where there is none.

import { dirname, join, parse, resolve } from "node:path";
import { statIfThere } from "../../host/readfile.ts";

export const PROJECT_FILE = "signet.yaml";

/** The nearest folder, from `folder` upwards, with a signet.yaml; null where there is none. */
export function findProjectFolder(folder = process.cwd()): string | null {
  for (let here = resolve(folder); ; here = dirname(here)) {
    if (statIfThere(join(here, PROJECT_FILE))?.isFile() === true) return here;
    if (here === parse(here).root) return null;
  }
}
