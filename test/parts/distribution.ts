// Programs from the distribution's packages, unpacked into a folder: nothing of the machine changes,
// and no rights are needed. With them come the libraries that the machine lacks.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

type Run = (command: string, args: string[], options?: { cwd?: string }) => Promise<string>;

/** What an installation of the packages would add to this machine; their names. */
async function additions(run: Run, settings: string[], packages: string[]): Promise<string[]> {
  const install = ["--simulate", "--no-install-recommends", "install", ...packages];
  const told = await run("apt-get", [...settings, ...install]);
  const changed = [...told.matchAll(/^Inst (\S+) (\[)?/gm)];
  // One that is there already, in an older version, is not needed.
  const added = changed.filter(([, , isThere]) => isThere === undefined);
  return [...new Set([...packages, ...added.map(([, name = ""]) => name)])];
}

/**
 * Unpacks packages of Debian or Ubuntu, and what they need beyond this machine's, below `directory`.
 * Returns name and version of each. @throws Error where apt cannot, with its words
 */
export async function unpackPackages(
  run: Run,
  packages: string[],
  directory: string,
): Promise<string[]> {
  const apt = join(directory, "apt");
  for (const name of ["lists/partial", "archives/partial"]) {
    await mkdir(join(apt, name), { recursive: true });
  }
  // Lists of its own: the machine's may be old, or none, and are root's.
  const settings = [
    ...["-qq", "-o", `Dir::State::lists=${apt}/lists`, "-o", `Dir::Cache=${apt}`],
    ...["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="],
  ];
  await run("apt-get", [...settings, "update"]);
  const wanted = await additions(run, settings, packages);
  await run("apt-get", [...settings, "download", ...wanted], { cwd: apt });
  const files = (await readdir(apt)).filter((name) => name.endsWith(".deb"));
  for (const file of files) await run("dpkg", ["--extract", join(apt, file), directory]);
  await rm(apt, { recursive: true });
  return files.map((file) => decodeURIComponent(file).split("_").slice(0, 2).join(" ")).sort();
}
