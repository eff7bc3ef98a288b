// Folders as the reconciler's world: reads sealed manifests, writes Secret files.
// SPEC.md, "Standalone mode".

import { createHash } from "node:crypto";
import {
  chmodSync,
  type Dirent,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  type Stats,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { encodeBase64 } from "../shared/base64.ts";
import { formatPlace, SignetError } from "../shared/errors.ts";
import { type Json, parseManifests } from "../shared/manifest/manifest.ts";
import { KIND, parseSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { asObject, type JsonObject, metadataOf, objectsOf } from "../shared/kubernetes/object.ts";
import { formatSecret, isItemName, type Secret } from "../shared/kubernetes/secret.ts";
import { formatEnvFile } from "./envfile.ts";
import { writeAtomically } from "../host/atomicwrite.ts";
import type { Log } from "./log.ts";
import { type Event, type SecretMark, type World, WorldError } from "./world.ts";

export interface FolderOptions {
  /** Files and folders with sealed manifests. */
  readonly from: readonly string[];
  /** The output folder: one file per item, at `NAMESPACE/NAME/ITEM`. */
  readonly to: string;
  /** Also write `NAMESPACE/NAME.env`. */
  readonly envFiles: boolean;
  /** The namespace of manifests that declare none. */
  readonly namespace: string;
  readonly log: Log;
}

/** What we know about one Secret on disk. Stored beside the Secrets, with the same file modes. */
interface SecretRecord {
  /** Metadata and type, which the item files cannot hold. */
  secret?: JsonObject;
  status?: JsonObject;
}

/** The folder of our records inside the output folder. */
const RECORDS = ".signet";
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** Only one process at a time may use an output folder. */
export class FolderWorld implements World {
  readonly #options: FolderOptions;
  /** Parsed files by path, with their state when they were read. */
  readonly #files = new Map<string, { readonly seen: string; readonly objects: JsonObject[] }>();
  #sealed = new Map<string, JsonObject>();
  #isComplete = false;

  constructor(options: FolderOptions) {
    this.#options = options;
  }

  /**
   * Reads the sealed manifests again. Returns false if a file was not usable: then `prune` removes
   * nothing, because the file may declare the missing SealedSecrets.
   */
  scan(): boolean {
    const sealed = new Map<string, JsonObject>();
    const seenFiles = new Set<string>();
    this.#isComplete = true;
    for (const file of this.#options.from.flatMap((root) => this.#manifestsUnder(root))) {
      seenFiles.add(file);
      for (const object of this.#objectsIn(file)) {
        const key = this.#keyOf(object);
        if (sealed.has(key)) {
          this.#reportProblem(`${key} is declared more than once`, file);
          continue;
        }
        sealed.set(key, object);
      }
    }
    for (const file of this.#files.keys()) if (!seenFiles.has(file)) this.#files.delete(file);
    this.#sealed = sealed;
    return this.#isComplete;
  }

  get keys(): string[] {
    return [...this.#sealed.keys()];
  }

  /** Removes the Secrets whose SealedSecret was deleted. Returns their keys. */
  prune(): string[] {
    if (!this.#isComplete) return [];
    const gone = this.#recordedKeys().filter((key) => !this.#sealed.has(key));
    for (const key of gone) {
      if (this.#record(key).secret !== undefined) {
        this.#remove(key);
      }
      rmSync(this.#recordPath(key), { force: true });
      for (const folder of [dirname(this.#folder(key)), dirname(this.#recordPath(key))]) {
        if (listFolder(folder).length === 0) rmSync(folder, { recursive: true, force: true });
      }
      this.#options.log.info("Secret removed with its SealedSecret", { object: key });
    }
    return gone;
  }

  sealedSecret(key: string): JsonObject | undefined {
    const object = this.#sealed.get(key);
    if (object === undefined) return undefined;
    const { status: _declared, ...declared } = object;
    const { status } = this.#record(key);
    return status === undefined ? declared : { ...declared, status };
  }

  /** A hash of the files' content and modes: any difference from our last write is drift. */
  secretMark(key: string): SecretMark | undefined {
    const { secret } = this.#record(key);
    const content = secret === undefined ? null : this.#readContent(key);
    if (content === null) return undefined;
    return { uid: "", resourceVersion: content.hash };
  }

  readSecret(key: string): Promise<JsonObject | null> {
    const content = this.#readContent(key);
    if (content === null) return Promise.resolve(null);
    const { secret } = this.#record(key);
    const [namespace = "", name = ""] = key.split("/");
    const described = secret ?? {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace },
    };
    const data = Object.fromEntries(
      [...content.items].map(([item, bytes]) => [item, encodeBase64(bytes)]),
    );
    const metadata = { ...metadataOf(described), resourceVersion: content.hash };
    // A file that others can read, or one that is not a regular file, counts as changed content.
    const drifted: JsonObject = content.tidy ? {} : { ".untidy": "" };
    return Promise.resolve({ ...described, data: { ...data, ...drifted }, metadata });
  }

  createSecret(key: string, secret: Secret): Promise<SecretMark> {
    if (lstat(this.#folder(key)) !== null && this.#record(key).secret === undefined) {
      throw new WorldError("exists", `${this.#folder(key)} exists`);
    }
    return this.replaceSecret(key, secret);
  }

  replaceSecret(key: string, secret: Secret): Promise<SecretMark> {
    // The record is written first: after a crash, the next run knows that the files are ours.
    const { data: _inFiles, ...described } = formatSecret(secret);
    this.#updateRecord(key, { secret: described });
    const folder = this.#folder(key);
    if (lstat(folder)?.isDirectory() === false) unlinkSync(folder);
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    chmodSync(dirname(folder), FOLDER_MODE);
    chmodSync(folder, FOLDER_MODE);
    for (const entry of readdirSync(folder)) {
      if (!secret.data.has(entry)) rmSync(join(folder, entry), { recursive: true });
    }
    for (const [item, bytes] of secret.data) {
      const path = join(folder, item);
      if (lstat(path)?.isDirectory() === true) rmSync(path, { recursive: true });
      writeAtomically(path, bytes);
    }
    if (this.#options.envFiles) {
      const { text, left } = formatEnvFile(secret.data);
      writeAtomically(`${folder}.env`, new TextEncoder().encode(text));
      for (const item of left) {
        this.#options.log.warn("item cannot stand in an env file, left out", { object: key, item });
      }
    }
    const content = this.#readContent(key);
    return Promise.resolve({ uid: "", resourceVersion: content?.hash ?? "" });
  }

  deleteSecret(key: string): Promise<void> {
    this.#remove(key);
    return Promise.resolve();
  }

  #remove(key: string): void {
    rmSync(this.#folder(key), { recursive: true, force: true });
    rmSync(`${this.#folder(key)}.env`, { force: true });
  }

  writeStatus(key: string, _sealed: JsonObject, status: JsonObject): Promise<void> {
    this.#updateRecord(key, { status });
    return Promise.resolve();
  }

  recordEvent(_sealed: JsonObject, _event: Event): Promise<void> {
    // The log line of each verdict says the same.
    return Promise.resolve();
  }

  #keyOf(object: JsonObject): string {
    const { namespace, name } = metadataOf(object);
    return `${namespace as string}/${name as string}`;
  }

  #folder(key: string): string {
    return join(this.#options.to, key);
  }

  #readContent(
    key: string,
  ): { items: Map<string, Uint8Array>; hash: string; tidy: boolean } | null {
    const folder = this.#folder(key);
    const stat = lstat(folder);
    if (stat === null) return null;
    const items = new Map<string, Uint8Array>();
    const hash = createHash("sha256");
    let tidy = stat.isDirectory() && (stat.mode & 0o777) === FOLDER_MODE;
    const files = stat.isDirectory() ? readdirSync(folder).sort() : [];
    const paths = files.map((item) => [item, join(folder, item)] as const);
    if (this.#options.envFiles) paths.push(["", `${folder}.env`]);
    for (const [item, path] of paths) {
      const file = lstat(path);
      const isPlain = file?.isFile() === true && (file.mode & 0o777) === FILE_MODE;
      tidy &&= isPlain;
      const bytes = file?.isFile() === true ? readFileSync(path) : new Uint8Array();
      hash.update(JSON.stringify([item, isPlain, bytes.length])).update(bytes);
      if (isItemName(item)) items.set(item, bytes);
      else tidy &&= item === "";
    }
    hash.update(JSON.stringify(tidy));
    const expected = this.#options.envFiles ? formatEnvFile(items).text : null;
    if (expected !== null) {
      const env = lstat(`${folder}.env`);
      tidy &&= env?.isFile() === true && readFileSync(`${folder}.env`, "utf8") === expected;
    }
    return { items, hash: hash.digest("base64url").slice(0, 22), tidy };
  }

  #recordPath(key: string): string {
    return join(this.#options.to, RECORDS, `${key}.json`);
  }

  #record(key: string): SecretRecord {
    try {
      return JSON.parse(readFileSync(this.#recordPath(key), "utf8")) as SecretRecord;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) {
        return {};
      }
      throw error;
    }
  }

  #updateRecord(key: string, change: SecretRecord): void {
    const path = this.#recordPath(key);
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    const record = { ...this.#record(key), ...change };
    writeAtomically(path, new TextEncoder().encode(`${JSON.stringify(record)}\n`));
  }

  #recordedKeys(): string[] {
    const records = join(this.#options.to, RECORDS);
    return listFolder(records).flatMap((namespace) =>
      listFolder(join(records, namespace.name))
        .filter((file) => file.name.endsWith(".json"))
        .map((file) => `${namespace.name}/${file.name.slice(0, -".json".length)}`),
    );
  }

  #manifestsUnder(root: string): string[] {
    let stat: Stats;
    try {
      stat = statSync(root);
    } catch (error) {
      this.#reportProblem(`cannot be read: ${codeOf(error)}`, root);
      return [];
    }
    if (stat.isFile()) return [root];
    return listFolder(root)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        if (entry.name.startsWith(".") || entry.name === "node_modules") return [];
        const path = join(root, entry.name);
        if (entry.isDirectory()) return this.#manifestsUnder(path);
        return /\.(ya?ml|json)$/.test(entry.name) ? [path] : [];
      });
  }

  #objectsIn(file: string): JsonObject[] {
    try {
      const { ino, size, mtimeMs, ctimeMs } = statSync(file);
      const seen = [ino, size, mtimeMs, ctimeMs].join(" ");
      const known = this.#files.get(file);
      if (known?.seen === seen) return known.objects;
      const objects = this.#parse(readFileSync(file), file);
      this.#files.set(file, { seen, objects });
      return objects;
    } catch (error) {
      if (error instanceof SignetError) {
        this.#reportProblem(error.message, formatPlace({ file, ...error.place }));
      } else {
        this.#reportProblem(`cannot be read: ${codeOf(error)}`, file);
      }
      // The last valid content still counts: a syntax error must not remove a Secret.
      return this.#files.get(file)?.objects ?? [];
    }
  }

  #parse(bytes: Uint8Array, file: string): JsonObject[] {
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new SignetError("manifest-syntax", "is not UTF-8 text", { place: { file } });
    }
    return parseManifests(text, { file })
      .filter(({ value }) => asObject(value) !== null)
      .flatMap(objectsOf)
      .filter(({ kind }) => kind === KIND)
      .map((object) => {
        const { metadata } = parseSealedSecret(object);
        if (metadata.name === "") {
          throw new SignetError("sealedsecret-invalid", "there is no metadata.name");
        }
        const namespace: Json =
          metadata.namespace === "" ? this.#options.namespace : metadata.namespace;
        return { ...object, metadata: { ...metadataOf(object), namespace } };
      });
  }

  #reportProblem(message: string, where: string): void {
    this.#isComplete = false;
    this.#options.log.error(message, { file: where });
  }
}

function listFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function lstat(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).name;
}
