// Inputs that broke a promise once: each is a file, and `npm test` tries all of them.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "test/fuzz/corpus/found";

/** The inputs that were found for a target, by the names of their files. */
export function foundInputs(target: string): Map<string, Uint8Array> {
  const folder = join(FOLDER, target);
  if (!existsSync(folder)) return new Map();
  const names = readdirSync(folder).sort();
  return new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
}

/** Keeps an input; returns its path. */
export function keepInput(target: string, input: Uint8Array): string {
  const name = createHash("sha256").update(input).digest("hex").slice(0, 16);
  mkdirSync(join(FOLDER, target), { recursive: true });
  const path = join(FOLDER, target, name);
  writeFileSync(path, input);
  return path;
}
