// Folders as the reconciler's world: sealed manifests on one side, Secret files on the other.
// SPEC.md, "Standalone mode".

import { type Dirent, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { encodeBase64 } from "../shared/base64.ts";
import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { formatSecret, type Secret } from "../shared/kubernetes/secret.ts";
import { writeAtomically } from "../host/atomicwrite.ts";
import { errnoOf } from "../host/errno.ts";
import { reasonOf } from "./folderkeys.ts";
import { type Declarations, FolderManifests, type ManifestOptions } from "./foldermanifests.ts";
import { ensureFolder, removeEmptyFolder, SecretFiles } from "./secretfiles.ts";
import { type Observed, observedOf } from "./observed.ts";
import type { SecretMark } from "./record.ts";
import { type Event, type World, WorldError } from "./world.ts";

export interface FolderOptions extends ManifestOptions {
  /** The output folder: one file per item, at `NAMESPACE/NAME/ITEM`. */
  readonly to: string;
  /** Also write `NAMESPACE/_env/NAME`. */
  readonly envFiles: boolean;
}

/**
 * What we know about one Secret on disk. Stored next to the Secrets, with the same file modes. Only
 * files that a record names are ever replaced or removed.
 */
interface SecretRecord {
  /** Metadata and type, which the item files cannot hold. Its presence makes the folder ours. */
  secret?: JsonObject;
  /** Whether the env file is ours. */
  env?: boolean;
  status?: JsonObject;
}

/** The folder of our records inside the output folder. */
const RECORDS = ".signet";

/** Only one process at a time may use an output folder. */
export class FolderWorld implements World {
  readonly labelsPollMs = undefined;
  readonly #options: FolderOptions;
  readonly #manifests: FolderManifests;
  readonly #files: SecretFiles;
  #declared: Declarations = { sealed: new Map(), ambiguous: new Set(), isComplete: false };

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#manifests = new FolderManifests(options);
    this.#files = new SecretFiles(options.to, options.envFiles);
  }

  /**
   * Reads the sealed manifests again.
   * @throws WorldError refused if the folder of our records is not a folder
   */
  scan(): void {
    ensureFolder(join(this.#options.to, RECORDS));
    this.#declared = this.#manifests.read();
  }

  /** The SealedSecrets to reconcile. */
  get keys(): string[] {
    return [...this.#declared.sealed.keys()];
  }

  /**
   * Removes the Secrets whose SealedSecret was deleted, unless an unusable manifest may declare it.
   * Returns how many. A Secret that cannot be removed does not stop the removal of others.
   */
  prune(): number {
    const { sealed, ambiguous, isComplete } = this.#declared;
    if (!isComplete) return 0;
    let removed = 0;
    for (const key of this.#recordedKeys()) {
      if (sealed.has(key) || ambiguous.has(key)) continue;
      try {
        this.#forget(key);
        removed++;
        this.#options.log.info("Secret removed with its SealedSecret", { object: key });
      } catch (error) {
        this.#options.onProblem(`the Secret cannot be removed: ${reasonOf(error)}`, key);
      }
    }
    return removed;
  }

  sealedSecret(key: string): Promise<Observed | undefined> {
    return attempt(() => {
      const declared = this.#declared.sealed.get(key);
      if (declared === undefined) return undefined;
      const { status } = this.#record(key);
      return observedOf(status === undefined ? declared : { ...declared, status });
    });
  }

  /** Folders are read as a whole at each look, so nothing is kept back. */
  resting(): undefined {
    return undefined;
  }

  /** A hash of the files' content and modes: any difference from our last write is drift. */
  secretMark(key: string): SecretMark | undefined {
    const { secret, env = false } = this.#record(key);
    const content = secret === undefined ? null : this.#files.read(key, env);
    if (content === null) return undefined;
    return { uid: "", resourceVersion: content.hash };
  }

  isAllOurs(): boolean {
    return false;
  }

  namespaceLabels(): Promise<never> {
    const message = "there is no cluster that could tell them";
    return Promise.reject(new WorldError("refused", message));
  }

  readSecret(key: string): Promise<JsonObject | null> {
    return attempt(() => {
      const { secret, env = false } = this.#record(key);
      const content = this.#files.read(key, env);
      if (content === null) return null;
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
      return { ...described, data: { ...data, ...drifted }, metadata };
    });
  }

  createSecret(key: string, secret: Secret): Promise<SecretMark> {
    return attempt(() => {
      const { secret: recorded, env = false } = this.#record(key);
      this.#files.checkEnvFile(key, env);
      if (recorded === undefined) this.#files.claim(key);
      return this.#write(key, secret);
    });
  }

  replaceSecret(key: string, secret: Secret): Promise<SecretMark> {
    return attempt(() => this.#write(key, secret));
  }

  deleteSecret(key: string): Promise<void> {
    return attempt(() => {
      this.#files.remove(key, this.#record(key).env === true);
    });
  }

  writeStatus(key: string, _sealed: JsonObject, status: JsonObject): Promise<void> {
    return attempt(() => {
      this.#updateRecord(key, { status });
    });
  }

  recordEvent(_sealed: JsonObject, _event: Event): Promise<void> {
    // The log line of each verdict contains the same information.
    return Promise.resolve();
  }

  #write(key: string, secret: Secret): SecretMark {
    const { envFiles, log } = this.#options;
    const { env = false } = this.#record(key);
    this.#files.checkEnvFile(key, env);
    // The record is written first: after a crash, the next run knows that the files are ours.
    const { data: _inFiles, ...described } = formatSecret(secret);
    this.#updateRecord(key, { secret: described, env: env || envFiles });
    for (const item of this.#files.write(key, secret.data, env)) {
      log.warn("item cannot be written to an env file, skipped", { object: key, item });
    }
    if (env && !envFiles) this.#updateRecord(key, { env: false });
    return { uid: "", resourceVersion: this.#files.read(key, envFiles)?.hash ?? "" };
  }

  #forget(key: string): void {
    const { secret, env = false } = this.#record(key);
    if (secret !== undefined) this.#files.remove(key, env);
    const path = this.#recordPath(key);
    rmSync(path, { force: true });
    removeEmptyFolder(dirname(path));
  }

  /** Has no suffix, which would make the longest names too long for a file name. */
  #recordPath(key: string): string {
    return join(this.#options.to, RECORDS, key);
  }

  #record(key: string): SecretRecord {
    try {
      return JSON.parse(readFileSync(this.#recordPath(key), "utf8")) as SecretRecord;
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return {};
      throw error;
    }
  }

  #updateRecord(key: string, change: SecretRecord): void {
    const path = this.#recordPath(key);
    ensureFolder(dirname(dirname(path)));
    ensureFolder(dirname(path));
    const record = { ...this.#record(key), ...change };
    writeAtomically(path, new TextEncoder().encode(`${JSON.stringify(record)}\n`));
  }

  #recordedKeys(): string[] {
    const records = join(this.#options.to, RECORDS);
    return listFolder(records)
      .filter((namespace) => namespace.isDirectory())
      .flatMap(({ name: namespace }) =>
        listFolder(join(records, namespace))
          // The others are leftovers of a run that was killed while it wrote a record.
          .filter((file) => file.isFile() && !file.name.startsWith("."))
          .map((file) => `${namespace}/${file.name}`),
      );
  }
}

/** Runs file operations as a call of a world: a failed one is a verdict about its Secret. */
function attempt<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    if (error instanceof Error && errnoOf(error) === undefined) return Promise.reject(error);
    return Promise.reject(new WorldError("refused", reasonOf(error)));
  }
}

function listFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
