// The files of Secrets: a folder for each Secret and a file for each item, and env files.
// SPEC.md, "Standalone mode".

import { createHash } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { writeAtomically } from "../host/atomicwrite.ts";
import { errnoOf } from "../host/errno.ts";
import { isItemName } from "../shared/kubernetes/secret.ts";
import { formatEnvFile } from "./envfile.ts";
import { WorldError } from "./world.ts";

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** The folder of a namespace's env files. No Secret can have this name. */
const ENV_FOLDER = "_env";
/** Larger than any item; such a file is someone else's change, and is not read. */
const MAX_ITEM_BYTES = 2 * 1024 * 1024;

/** The files of one Secret. */
interface SecretContent {
  readonly items: ReadonlyMap<string, Uint8Array>;
  /** Of content and modes: any difference from our last write changes it. */
  readonly hash: string;
  /** Whether there are only regular files that nobody else can read, as we write them. */
  readonly tidy: boolean;
}

/** Keys are `NAMESPACE/NAME`. A link below the output folder is never followed. */
export class SecretFiles {
  readonly #to: string;
  readonly #envFiles: boolean;

  constructor(to: string, envFiles: boolean) {
    this.#to = to;
    this.#envFiles = envFiles;
  }

  /**
   * Null if there is no folder, file or link at the Secret's place. `hasEnvFile`: an env file of
   * ours is recorded.
   */
  read(key: string, hasEnvFile: boolean): SecretContent | null {
    const folder = this.#folder(key);
    const stat = lstat(folder);
    if (stat === null) return null;
    const items = new Map<string, Uint8Array>();
    const hash = createHash("sha256");
    let tidy = stat.isDirectory() && (stat.mode & 0o777) === FOLDER_MODE;
    for (const item of stat.isDirectory() ? readdirSync(folder).sort() : []) {
      const { bytes, isPlain } = readPlainFile(join(folder, item));
      hash.update(JSON.stringify([item, isPlain, bytes.length])).update(bytes);
      tidy &&= isPlain && isItemName(item);
      if (isItemName(item)) items.set(item, bytes);
    }
    if (this.#envFiles) {
      const { bytes, isPlain } = readPlainFile(this.#envFile(key));
      hash.update(JSON.stringify([isPlain, bytes.length])).update(bytes);
      tidy &&= isPlain && Buffer.from(bytes).toString() === formatEnvFile(items).text;
    }
    // Env files were enabled before but no longer are: the values would become stale.
    if (hasEnvFile && !this.#envFiles) tidy = false;
    hash.update(JSON.stringify(tidy));
    return { items, hash: hash.digest("base64url").slice(0, 22), tidy };
  }

  /**
   * Creates the folder of a Secret that is not recorded as ours. An empty folder is taken, too: a
   * run that was killed leaves one.
   * @throws WorldError exists if there is anything else
   */
  claim(key: string): void {
    const folder = this.#folder(key);
    ensureFolder(dirname(folder));
    try {
      mkdirSync(folder, { mode: FOLDER_MODE });
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      if (lstat(folder)?.isDirectory() !== true || readdirSync(folder).length > 0) {
        throw new WorldError("exists", `${folder} exists`);
      }
    }
  }

  /** @throws WorldError refused if there is an env file and none of ours is recorded */
  checkEnvFile(key: string, hasEnvFile: boolean): void {
    if (!this.#envFiles || hasEnvFile) return;
    const file = this.#envFile(key);
    ensureFolder(dirname(dirname(file)));
    ensureFolder(dirname(file));
    if (lstat(file) !== null) {
      throw new WorldError("refused", `${file} exists and was not written by this program`);
    }
  }

  /** Writes the files of a Secret of ours. Returns the items that an env file cannot contain. */
  write(
    key: string,
    items: ReadonlyMap<string, Uint8Array>,
    hasEnvFile: boolean,
  ): readonly string[] {
    const folder = this.#folder(key);
    ensureFolder(dirname(folder));
    if (lstat(folder)?.isDirectory() === false) unlinkSync(folder);
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    chmodSync(folder, FOLDER_MODE);
    for (const entry of readdirSync(folder)) {
      if (!items.has(entry)) rmSync(join(folder, entry), { recursive: true });
    }
    for (const [item, bytes] of items) replaceFile(join(folder, item), bytes);
    const file = this.#envFile(key);
    if (!this.#envFiles) {
      if (hasEnvFile) rmSync(file, { recursive: true, force: true });
      return [];
    }
    const { text, left } = formatEnvFile(items);
    ensureFolder(dirname(file));
    replaceFile(file, new TextEncoder().encode(text));
    return left;
  }

  /** Removes the files of a Secret of ours, and its namespace's folders if they are empty. */
  remove(key: string, hasEnvFile: boolean): void {
    const folder = this.#folder(key);
    const file = this.#envFile(key);
    for (const parent of [dirname(folder), dirname(file)]) {
      if (lstat(parent)?.isSymbolicLink() === true) throw notAFolder(parent);
    }
    rmSync(folder, { recursive: true, force: true });
    if (hasEnvFile) rmSync(file, { recursive: true, force: true });
    removeEmptyFolder(dirname(file));
    removeEmptyFolder(dirname(folder));
  }

  #folder(key: string): string {
    return join(this.#to, key);
  }

  #envFile(key: string): string {
    const [namespace = "", name = ""] = key.split("/");
    return join(this.#to, namespace, ENV_FOLDER, name);
  }
}

/** Creates a folder that only its owner can read. @throws WorldError refused if it is a link or file */
export function ensureFolder(path: string): void {
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    if (lstat(path)?.isDirectory() !== true) throw notAFolder(path);
  }
}

/** Removes a folder if it is empty. A link to a folder stays. */
export function removeEmptyFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is not empty, not ours to remove, or gone: either way it contains nothing of a Secret.
  }
}

function notAFolder(path: string): WorldError {
  return new WorldError("refused", `${path} is a link or a file, not a folder`);
}

function replaceFile(path: string, bytes: Uint8Array): void {
  if (lstat(path)?.isDirectory() === true) rmSync(path, { recursive: true });
  writeAtomically(path, bytes);
}

/** Empty and not plain if it is missing, not a regular file, too large or open to others. */
function readPlainFile(path: string): { bytes: Uint8Array; isPlain: boolean } {
  const stat = lstat(path);
  if (stat?.isFile() !== true || stat.size > MAX_ITEM_BYTES) {
    return { bytes: new Uint8Array(), isPlain: false };
  }
  return { bytes: readFileSync(path), isPlain: (stat.mode & 0o777) === FILE_MODE };
}

function lstat(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}
