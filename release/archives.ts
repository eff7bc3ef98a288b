// Finds the archives of the programs without Node that `npm run binaries` created in a folder, and
// checks each against its checksum and its name.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readFromTgz, readFromZip } from "./unpack.ts";

export const CHECKSUMS = "checksums.txt";

/** Operating systems as the archives are named, and as Go names them, for Homebrew and krew. */
const SYSTEMS = { linux: "linux", darwin: "darwin", macos: "darwin", windows: "windows" } as const;
const PROCESSORS = { x64: "amd64", amd64: "amd64", arm64: "arm64" } as const;

export type System = (typeof SYSTEMS)[keyof typeof SYSTEMS];
export type Processor = (typeof PROCESSORS)[keyof typeof PROCESSORS];

export interface Archive {
  readonly path: string;
  /** The last part of the path. */
  readonly file: string;
  readonly system: System;
  readonly processor: Processor;
  /** Of the archive, in hexadecimal digits. */
  readonly sha256: string;
}

export const sha256Of = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

/**
 * The archives that the folder's checksums list, in that order.
 * @throws Error if one is damaged, is of another version, or lacks a program
 */
export function readArchives(folder: string, version: string): Archive[] {
  const lines = readFileSync(join(folder, CHECKSUMS), "utf8").trimEnd().split("\n");
  return lines.map((line) => {
    const [, sha256 = "", file = ""] = /^([0-9a-f]{64}) [ *]([\w.+-]+)$/.exec(line) ?? [];
    if (file === "") throw new Error(`${join(folder, CHECKSUMS)}: not a checksum: ${line}`);
    const path = join(folder, file);
    if (sha256Of(path) !== sha256) throw new Error(`${path} does not match ${CHECKSUMS}`);
    const { system, processor } = platformOf(file, version);
    checkPrograms(path, system);
    return { path, file, system, processor, sha256 };
  });
}

function platformOf(file: string, version: string): Pick<Archive, "system" | "processor"> {
  const start = `kube-signet-${version}-`;
  const [, os = "", cpu = ""] =
    /^([a-z]+)-([a-z0-9]+)\.(?:tar\.gz|zip)$/.exec(
      file.startsWith(start) ? file.slice(start.length) : "",
    ) ?? [];
  const system = Object.entries(SYSTEMS).find(([name]) => name === os)?.[1];
  const processor = Object.entries(PROCESSORS).find(([name]) => name === cpu)?.[1];
  if (system === undefined || processor === undefined) {
    throw new Error(`${file} is not named ${start}OS-PROCESSOR.tar.gz or .zip`);
  }
  return { system, processor };
}

/**
 * The files that an archive must have at its root. Not `kubeseal`, because unpacking into a folder
 * of PATH would overwrite an existing one.
 */
const PROGRAMS = ["signet", "signet-kubeseal"];

function checkPrograms(path: string, system: System): void {
  const archive = readFileSync(path);
  const read = path.endsWith(".zip") ? readFromZip : readFromTgz;
  for (const name of [...PROGRAMS.map((each) => programName(each, system)), "LICENSE"]) {
    try {
      read(archive, name);
    } catch (error) {
      throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

export const programName = (name: string, system: System): string =>
  system === "windows" ? `${name}.exe` : name;
