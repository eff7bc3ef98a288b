// Finds the Node binaries to run our programs with: the current one, a path, or a download.
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { obtainParts, PartsUnavailable } from "../test/parts/build.ts";
import type { PartName } from "../test/parts/parts.ts";

export interface NodeProgram {
  readonly path: string;
  /** Such as `20.20.2`. */
  readonly version: string;
  /** Such as `Node 20.20.2`. */
  readonly label: string;
}

/** A Node, and one build of our programs to run with it. */
export interface Runner extends NodeProgram {
  /** A copy of dist/ of a commit. */
  readonly programs: string;
}

/** The Node versions that the targets apply to. */
export const DEFAULT_NODES = ["20", "24"];

const PARTS: ReadonlyMap<string, PartName> = new Map([
  ["20", "node20"],
  ["22", "node22"],
  ["24", "node24"],
  ["26", "node26"],
] as const);

const run = promisify(execFile);

/**
 * Returns the Node binary at a path or of a major version. For a major version it uses the current
 * binary if that matches, or else a download from npm.
 * @throws PartsUnavailable with the reason and the remedy
 */
export async function obtainNode(
  wanted: string,
  say: (line: string) => void,
): Promise<NodeProgram> {
  if (!/^\d+$/.test(wanted)) return describe(resolve(wanted));
  if (process.versions.node.split(".")[0] === wanted) return describe(process.execPath);
  const part = PARTS.get(wanted);
  const path = part === undefined ? undefined : (await obtainParts(say, [part]))[part];
  if (path === undefined) {
    throw new PartsUnavailable(
      `there is no Node ${wanted} to measure with: no package is known to have it`,
      "name the binaries to measure with: `--node PATH`, once for each",
    );
  }
  return describe(path);
}

async function describe(path: string): Promise<NodeProgram> {
  const { stdout } = await run(path, ["-p", "process.versions.node"]);
  const version = stdout.trim();
  return { path, version, label: `Node ${version}` };
}
