// Programs from the distribution's packages, unpacked into a folder, with the libraries that the machine
// lacks.
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { additions, fetchAlone, openApt, unpack } from "./apt.ts";

/**
 * Unpacks packages of Debian or Ubuntu, and what they need beyond this machine's, below `directory`.
 * Returns name and version of each. @throws Error where apt cannot, with its words
 */
export async function unpackPackages(packages: string[], directory: string): Promise<string[]> {
  const apt = await openApt(join(directory, "apt"), {});
  const files = await fetchAlone(apt, await additions(apt, packages));
  await unpack(files, directory);
  await rm(apt.folder, { recursive: true });
  return files
    .map((file) => decodeURIComponent(basename(file)).split("_").slice(0, 2).join(" "))
    .sort();
}
