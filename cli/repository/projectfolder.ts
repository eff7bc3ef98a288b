// The folder of signet.yaml. A file of its own, as commands start faster where there is none.

import { dirname, join, parse, relative, resolve } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { statIfThere } from "../../host/readfile.ts";

export const PROJECT_FILE = "signet.yaml";

/**
 * The nearest folder, from `folder` upwards, with a signet.yaml; null if no folder has one.
 * @throws SignetError project-invalid if a folder above it in the same repository has one too
 */
export function findProjectFolder(folder = process.cwd()): string | null {
  const here = nearest(resolve(folder), () => false);
  if (here !== null) checkNotNested(here);
  return here;
}

/** `isLast`: where to look no further up. */
function nearest(folder: string, isLast: (folder: string) => boolean): string | null {
  for (let here = folder; ; here = dirname(here)) {
    if (statIfThere(join(here, PROJECT_FILE))?.isFile() === true) return here;
    if (isLast(here) || here === parse(here).root) return null;
  }
}

/**
 * A repository has one signet.yaml. A second one further down, which few reviewers look for, would
 * name other clusters and certificates for everything below it. Outside of a repository there is no
 * limit to look up to, and what lies in a folder above may be a stranger's.
 */
function checkNotNested(folder: string): void {
  const isRepository = (each: string): boolean => statIfThere(join(each, ".git")) !== undefined;
  let root = folder;
  while (!isRepository(root)) {
    if (root === parse(root).root) return;
    root = dirname(root);
  }
  if (root === folder) return;
  const above = nearest(dirname(folder), (each) => each === root);
  if (above === null) return;
  const named = (each: string): string =>
    relative(process.cwd(), join(each, PROJECT_FILE)) || PROJECT_FILE;
  throw new SignetError(
    "project-invalid",
    `there is another ${PROJECT_FILE} above this one: ${named(above)}`,
    {
      hint: `a repository may have only one; move its content to ${named(above)}, and remove it`,
      place: { file: named(folder) },
    },
  );
}
