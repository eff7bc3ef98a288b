// An apt-get with its own lists and packages, which changes nothing on the machine and needs no
// privileges.
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./fetch.ts";

export interface Apt {
  /** The folder of its lists and packages; the code that opened it must remove it. */
  readonly folder: string;
  readonly options: readonly string[];
}

/**
 * `settings`: apt settings in addition to those that isolate it. @throws Error if apt fails, with
 * its message
 */
export async function openApt(
  folder: string,
  settings: Readonly<Record<string, string>>,
): Promise<Apt> {
  for (const each of ["lists/partial", "archives/partial"]) {
    await mkdir(join(folder, each), { recursive: true });
  }
  const all = {
    // Another user could not write to our folder.
    "APT::Sandbox::User": "root",
    "APT::Install-Recommends": "false",
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "Debug::NoLocking": "true",
    "Dir::Cache": folder,
    "Dir::State::lists": join(folder, "lists"),
    ...settings,
  };
  const options = Object.entries(all).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await run("apt-get", [...options, "--quiet", "update"]);
  return { folder, options };
}

/** What an installation would add: the packages, and those that they need and are not there; by name. */
export async function additions({ options }: Apt, packages: readonly string[]): Promise<string[]> {
  const told = await run("apt-get", [...options, "--simulate", "install", ...packages]);
  const changed = [...told.matchAll(/^Inst (\S+) (\[)?/gm)];
  // An existing package in an older version is not needed.
  const added = changed.filter(([, , isThere]) => isThere === undefined);
  return [...new Set([...packages, ...added.map(([, name = ""]) => name)])];
}

/** Fetches the packages with all that they need and installs nothing. Returns their files. */
export async function fetchWithNeeds(
  { folder, options }: Apt,
  packages: readonly string[],
): Promise<string[]> {
  await run("apt-get", [...options, "--quiet", "--yes", "--download-only", "install", ...packages]);
  const archives = join(folder, "archives");
  return (await readdir(archives))
    .filter((file) => file.endsWith(".deb"))
    .map((file) => join(archives, file));
}

/** Fetches these packages alone. Returns their files. */
export async function fetchAlone(
  { folder, options }: Apt,
  packages: readonly string[],
): Promise<string[]> {
  const target = join(folder, "alone");
  await mkdir(target);
  await run("apt-get", [...options, "--quiet", "download", ...packages], { cwd: target });
  return (await readdir(target)).map((file) => join(target, file));
}

export async function unpack(files: readonly string[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const file of files) await run("dpkg-deb", ["--extract", file, root]);
}
