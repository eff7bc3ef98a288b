// Finds the SealedSecrets in the manifests below files and folders.
// SPEC.md, "Standalone mode".

import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { MAX_FOUND_BYTES, namesWithin, readWithin, rootOf } from "../host/rootedfiles.ts";
import { formatPlace, SignetError } from "../shared/errors.ts";
import { type Json, type ManifestDocument, parseManifests } from "../shared/manifest/manifest.ts";
import { KIND } from "../shared/sealing/sealedsecret.ts";
import {
  asObject,
  bytesNameKind,
  type JsonObject,
  mayDeclare,
  metadataOf,
  namesKind,
  objectsOf,
  parseMetadata,
} from "../shared/kubernetes/object.ts";
import { reasonOf } from "./folderkeys.ts";
import type { Log } from "./log.ts";

/** Far larger than any manifest, and small enough to parse. */
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

export interface ManifestOptions {
  /** Files and folders with sealed manifests. */
  readonly from: readonly string[];
  /** The namespace of manifests that declare none. */
  readonly namespace: string;
  readonly onProblem: (message: string, where: string) => void;
  readonly log: Log;
}

/** What all manifests together declare. */
export interface Declarations {
  /** SealedSecrets by `NAMESPACE/NAME`. */
  readonly sealed: ReadonlyMap<string, JsonObject>;
  /**
   * The names that are declared more than once, so that it is unclear which declaration is meant.
   */
  readonly ambiguous: ReadonlySet<string>;
  /**
   * False if a file was not usable, because it may declare SealedSecrets that seem to be missing.
   */
  readonly isComplete: boolean;
}

/** The SealedSecrets of one file, and what is wrong with the others in it. */
interface FileContent {
  readonly objects: readonly JsonObject[];
  readonly problems: readonly SignetError[];
}

const NOTHING: FileContent = { objects: [], problems: [] };

/** Reads a file again only if it changed. */
export class FolderManifests {
  readonly #options: ManifestOptions;
  /** Parsed files by path, with their state when they were read. */
  readonly #files = new Map<string, FileContent & { readonly seen: string }>();
  #isComplete = false;

  constructor(options: ManifestOptions) {
    this.#options = options;
  }

  read(): Declarations {
    const sealed = new Map<string, JsonObject>();
    const files = new Map<string, string>();
    const ambiguous = new Set<string>();
    this.#isComplete = true;
    for (const [file, root] of this.#manifests()) {
      for (const object of this.#objectsIn(file, root)) {
        const { namespace, name } = metadataOf(object);
        const key = `${namespace as string}/${name as string}`;
        const first = files.get(key);
        if (first !== undefined) {
          ambiguous.add(key);
          const message = `${key} is declared more than once, also in ${first}: its Secret is left unchanged`;
          this.#options.onProblem(message, file);
        }
        files.set(key, file);
        sealed.set(key, object);
      }
    }
    for (const key of ambiguous) sealed.delete(key);
    return { sealed, ambiguous, isComplete: this.#isComplete };
  }

  /** Paths of the manifests, each with the `--from` that it was found below. */
  #manifests(): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const root of this.#options.from) {
      for (const file of this.#manifestsUnder(root)) found.set(file, root);
    }
    for (const file of this.#files.keys()) if (!found.has(file)) this.#files.delete(file);
    return found;
  }

  #manifestsUnder(root: string): string[] {
    let stat: Stats;
    let entries: Dirent[];
    try {
      stat = statSync(root);
      if (!stat.isDirectory()) return [root];
      entries = readdirSync(root, { withFileTypes: true });
    } catch (error) {
      this.#reportUnusable(`cannot be read: ${reasonOf(error)}`, root);
      return [];
    }
    return entries
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        if (entry.name.startsWith(".") || entry.name === "node_modules") return [];
        const path = join(root, entry.name);
        if (entry.isDirectory()) return this.#manifestsUnder(path);
        return /\.(ya?ml|json)$/.test(entry.name) ? [path] : [];
      });
  }

  #objectsIn(file: string, root: string): readonly JsonObject[] {
    const { objects, problems } = this.#contentOf(file, root);
    for (const { message, place } of problems) {
      this.#reportUnusable(message, formatPlace({ file, ...place }));
    }
    return objects;
  }

  #contentOf(file: string, root: string): FileContent {
    try {
      const { ino, size, mtimeMs, ctimeMs } = statSync(file);
      const seen = [ino, size, mtimeMs, ctimeMs].join(" ");
      const known = this.#files.get(file);
      if (known?.seen === seen) return known;
      // A file that is named on the command line may be a link.
      const within = rootOf(file === root ? dirname(realpathSync(file)) : root);
      const path = file === root ? realpathSync(file) : file;
      const content =
        size > MAX_MANIFEST_BYTES && file !== root && this.#isOtherLarge(within, file, size)
          ? NOTHING
          : this.#parse(readWithin(within, path, MAX_MANIFEST_BYTES), file);
      this.#files.set(file, { seen, ...content });
      return content;
    } catch (error) {
      if (error instanceof SignetError) {
        this.#reportUnusable(error.message, formatPlace({ file, ...error.place }));
      } else {
        this.#reportUnusable(`cannot be read: ${reasonOf(error)}`, file);
      }
      // The last valid content still counts: a syntax error must not remove a Secret.
      return { objects: this.#files.get(file)?.objects ?? [], problems: [] };
    }
  }

  #parse(bytes: Uint8Array, file: string): FileContent {
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      if (!bytesNameKind(KIND, bytes) && !this.#hadObjects(file)) return NOTHING;
      throw new SignetError("manifest-syntax", "is not UTF-8 text", { place: { file } });
    }
    const objects: JsonObject[] = [];
    const problems: SignetError[] = [];
    const found = this.#documentsOf(text, file)
      .filter(({ value }) => asObject(value) !== null)
      .flatMap(objectsOf)
      .filter(({ kind }) => kind === KIND);
    for (const object of found) {
      try {
        objects.push(this.#declared(object));
      } catch (error) {
        if (!(error instanceof SignetError)) throw error;
        problems.push(error);
      }
    }
    return { objects, problems };
  }

  /** A checkout has files that are not manifests, such as templates and settings with comments. */
  #documentsOf(text: string, file: string): ManifestDocument[] {
    if (!mayDeclare(KIND, text)) return [];
    try {
      return parseManifests(text, { file });
    } catch (error) {
      // A file without the word is of another kind, unless it had SealedSecrets before.
      const isOther = !namesKind(KIND, text) && !this.#hadObjects(file);
      if (error instanceof SignetError && isOther) return [];
      throw error;
    }
  }

  /** Whether a file that is too large for a manifest is something else, such as a data set. Says so. */
  #isOtherLarge(within: string, file: string, size: number): boolean {
    if (this.#hadObjects(file)) return false;
    const isSearched = size <= MAX_FOUND_BYTES;
    if (isSearched && namesWithin(within, file, KIND, MAX_FOUND_BYTES)) return false;
    this.#options.log.warn("file skipped, too large for a manifest", {
      object: file,
      mebibytes: Math.ceil(size / 1024 / 1024),
      searched: isSearched ? `no ${KIND} in it` : "no",
    });
    return true;
  }

  #hadObjects(file: string): boolean {
    return (this.#files.get(file)?.objects.length ?? 0) > 0;
  }

  /**
   * The object with its namespace, and without what only a cluster knows. The reconciler judges the
   * rest of it.
   */
  #declared(object: JsonObject): JsonObject {
    const { name = null, namespace: declaredNamespace = null } = metadataOf(object);
    const identity = parseMetadata({ name, namespace: declaredNamespace }, "sealedsecret-invalid");
    if (identity.name === "") {
      throw new SignetError("sealedsecret-invalid", "metadata.name is missing");
    }
    const namespace: Json =
      identity.namespace === "" ? this.#options.namespace : identity.namespace;
    const { uid: _uid, deletionTimestamp: _deletion, ...own } = metadataOf(object);
    const { status: _status, ...declared } = object;
    return { ...declared, metadata: { ...own, namespace } };
  }

  #reportUnusable(message: string, where: string): void {
    this.#isComplete = false;
    this.#options.onProblem(message, where);
  }
}
