// Programs from the distribution's packages, unpacked into a folder, with the libraries that the machine
// lacks.
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { additions, fetchAlone, openApt, unpack } from "./apt.ts";

/**
 * Unpacks packages of Debian or Ubuntu below `directory`, and (`withNeeds`) the packages that they
 * depend on and this machine lacks. Returns name and version of each. @throws Error where apt cannot, with its words
 */
export async function unpackPackages(
  packages: string[],
  directory: string,
  { withNeeds = true } = {},
): Promise<string[]> {
  const apt = await openApt(join(directory, "apt"), {});
  const files = await fetchAlone(apt, withNeeds ? await additions(apt, packages) : packages);
  await unpack(files, directory);
  await rm(apt.folder, { recursive: true });
  return files
    .map((file) => decodeURIComponent(basename(file)).split("_").slice(0, 2).join(" "))
    .sort();
}
