// Every SealedSecret below some paths, with its cluster and the key that sealed each value.
// SPEC.md, "Projects".

import { join, relative, resolve, sep } from "node:path";
import type { Certificate } from "../../shared/keys/keykind.ts";
import type { KeyState } from "../../shared/keys/keystate.ts";
import { type ErrorPlace, locate, SignetError } from "../../shared/errors.ts";
import { editManifests } from "../../shared/manifest/edit.ts";
import { type Json, type ManifestDocument, placeOf } from "../../shared/manifest/manifest.ts";
import { type Scope, scopeOf } from "../../shared/sealing/scope.ts";
import {
  API_VERSION,
  KIND,
  parseSealedSecret,
  type SealedSecret,
  stampOf,
} from "../../shared/sealing/sealedsecret.ts";
import { LEGACY_ITEM } from "../../shared/sealing/unseal.ts";
import {
  asObject,
  type JsonObject,
  bytesNameKind,
  mayDeclare,
  namesKind,
  objectName,
  placedObjectsOf,
  placedObjectsOfKind,
} from "../../shared/kubernetes/object.ts";
import { type ClusterKeys, clusterKeys } from "./clustercertificates.ts";
import { editsBetween } from "../../shared/sealing/manifestedits.ts";
import { MANIFEST_NAME, manifestsBelow } from "../../host/manifestfiles.ts";
import { readNamed, readTextWithin, stat, statIfThere } from "../../host/readfile.ts";
import { MAX_FOUND_BYTES, readWithin, rootOf, rootOfNamed } from "../../host/rootedfiles.ts";
import { gitList, isIgnored, sparseBlobs, workTree } from "../git/gitprocess.ts";
import { isEncrypted } from "../git/loosetext.ts";
import { parsedOnce } from "../git/parsedonce.ts";
import { count } from "../terminal/counts.ts";
import { warn } from "../terminal/messages.ts";
import { type Kustomization, kustomizationsIn } from "./kustomizations.ts";
import { meaningBelow, pathBelow, type PathMeaning } from "./project.ts";
import type { Project } from "./projectfile.ts";

/** A file with a SealedSecret in it. */
export interface SealedFile {
  /** Relative to the current folder, as messages name it. */
  readonly path: string;
  /** Relative to the root of the project; without a project the same as `path`. */
  readonly below: string;
  /** What the file must be below when it is written; undefined if the command line names it. */
  readonly root: string | undefined;
  readonly text: string;
  readonly objects: readonly SealedObject[];
}

export interface SealedObject {
  readonly file: string;
  readonly document: ManifestDocument;
  /** Path to the object within its document; empty outside of a List. */
  readonly path: readonly string[];
  readonly place: ErrorPlace;
  readonly sealed: SealedSecret;
  readonly scope: Scope;
  /** `NAMESPACE/NAME`, or the name alone. */
  readonly name: string;
  readonly meaning: PathMeaning | null;
  readonly cluster: ClusterKeys | null;
  /** In the order of the file. */
  readonly values: readonly SealedValue[];
}

/** The states that certificates in the repository can tell. */
export type RepositoryKeyState = Exclude<KeyState, "compromised" | "retired">;

export interface SealedValue {
  readonly item: string;
  readonly fingerprint: string | undefined;
  /** The state of its key, as far as the repository knows the key. */
  readonly key: RepositoryKeyState;
  /** The certificate of its key, if it is in the repository. */
  readonly certificate: Certificate | undefined;
}

export interface Inventory {
  readonly files: readonly SealedFile[];
  /** Files that mention SealedSecrets and cannot be parsed. */
  readonly unreadable: readonly SignetError[];
  readonly kustomizations: readonly Kustomization[];
  /** How many files hold no SealedSecret. */
  readonly otherFiles: number;
  /** How many files and folders were left out, because they cannot be read and Git ignores them. */
  readonly skipped: number;
  /** Every cluster of signet.yaml, by name. */
  readonly clusters: ReadonlyMap<string, ClusterKeys>;
}

/** Gets each text that is read. */
export type OnText = (path: string, text: string) => void;

/**
 * Reads the SealedSecrets of files and folders; without paths, of the project or the current
 * folder.
 * @throws SignetError io, certificate-invalid
 */
export function readSealedFiles(
  paths: readonly string[],
  project: Project | null,
  onText?: OnText,
): Inventory {
  const wanted = foldersToRead(paths, project);
  const inventory = readSealedTexts(sealedSources(wanted), project, onText);
  const missing = wanted.flatMap(notCheckedOut);
  if (missing.length === 0) return inventory;
  if (missing.some((path) => !skippedBefore.has(path))) {
    warn(`${count(missing.length, "file")} skipped, because this sparse checkout leaves them out`);
  }
  for (const path of missing) skippedBefore.add(path);
  return { ...inventory, skipped: inventory.skipped + missing.length };
}

/** Manifests of a folder that a sparse checkout leaves out. */
function notCheckedOut(folder: string): string[] {
  if (!stat(folder).isDirectory() || workTree(folder) === null) return [];
  return sparseBlobs(folder)
    .map(({ path }) => join(folder, path))
    .filter((path) => MANIFEST_NAME.test(path) && statIfThere(path) === undefined);
}

/** The named paths; without any, the project or the current folder. */
export function foldersToRead(
  paths: readonly string[],
  project: Project | null,
): readonly string[] {
  return paths.length > 0 ? paths : [relative(process.cwd(), project?.root ?? ".") || "."];
}

/** The files that may hold SealedSecrets. @throws SignetError io */
export function sealedSources(paths: readonly string[]): TextSource[] {
  const skipped: string[] = [];
  const files = filesBelow(paths, (folder) => skipped.push(folder));
  return [
    ...files.map((file) => ({ ...file, read: () => readUnlessIgnored(file) })),
    ...skipped.map((path) => ({ path, read: () => skip(path) })),
  ];
}

/**
 * The text of a file; null if it is encrypted, or cannot be read and Git ignores it; empty if it is in
 * another encoding and does not mention SealedSecrets.
 * @throws SignetError io, manifest-syntax
 */
export function readUnlessIgnored(file: FoundFile): string | null {
  try {
    const text = readFoundText(file);
    return /^(?:-----BEGIN |\$ANSIBLE_VAULT;)/.test(text) && isEncrypted(Buffer.from(text))
      ? skipLocked(file.path)
      : text;
  } catch (error) {
    const isNoText = error instanceof SignetError && error.code === "manifest-syntax";
    if (isNoText && file.root !== undefined) {
      const bytes = readWithin(file.root, file.path, MAX_FOUND_BYTES);
      if (isEncrypted(bytes)) return skipLocked(file.path);
      if (!bytesNameKind(KIND, bytes)) return "";
    }
    const isFault = error instanceof SignetError && error.code === "io";
    if (isFault && file.root !== undefined && isIgnored(file.path)) return skip(file.path);
    throw error;
  }
}

function skipLocked(path: string): null {
  locked.add(path);
  return null;
}

/** The files may be read more than once. */
const skippedBefore = new Set<string>();
/** Files that are encrypted as a whole, for example by git-crypt. */
const locked = new Set<string>();

/** Tells a person that a file or folder is left out. */
export function skip(path: string): null {
  if (!skippedBefore.has(path))
    warn(`${path}: skipped, because it cannot be read and Git ignores it`);
  skippedBefore.add(path);
  return null;
}

/** How many files were read, and how many were not, such as `12 read, 1 skipped`. */
export function readingOf({ files, otherFiles, unreadable, skipped }: Inventory): string {
  const read = `${files.length + otherFiles + unreadable.length} read`;
  return skipped === 0 ? read : `${read}, ${skipped} skipped`;
}

/** A file whose text may come from another place, such as the index of Git. */
export interface TextSource {
  readonly path: string;
  /** What the file must be below when it is written. */
  readonly root?: string | undefined;
  /** Null for what is left out. @throws SignetError io, manifest-syntax */
  readonly read: () => string | null;
}

/** The same for texts. @throws SignetError io, certificate-invalid */
export function readSealedTexts(
  sources: Iterable<TextSource>,
  project: Project | null,
  onText?: OnText,
): Inventory {
  const clusters = keysOfClusters(project);
  const files: SealedFile[] = [];
  const unreadable: SignetError[] = [];
  const kustomizations: Kustomization[] = [];
  let sourceCount = 0;
  let skipped = 0;
  const lockedBefore = locked.size;
  for (const { path, root, read } of sources) {
    let isSealed = true;
    let text: string | null = null;
    sourceCount++;
    try {
      text = read();
      if (text === null) {
        skipped++;
        continue;
      }
      onText?.(path, text);
      kustomizations.push(...kustomizationsIn(path, text));
      if (!mayDeclare(KIND, text)) continue;
      // Without the word, what cannot be parsed is a file of another kind.
      isSealed = namesKind(KIND, text);
      const file = parseSealedFile({ path, root }, text, project, clusters);
      if (file.objects.length > 0) files.push(file);
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      if (isSealed) unreadable.push(ofTemplate(error, path, text ?? "").at({ file: path }));
    }
  }
  if (locked.size > lockedBefore) {
    warn(`${count(locked.size - lockedBefore, "encrypted file")} skipped`);
  }
  const otherFiles = sourceCount - files.length - unreadable.length - skipped;
  return { files, unreadable, kustomizations, otherFiles, skipped, clusters };
}

/** Says how to leave out a file that looks like a template of another tool. */
function ofTemplate(error: SignetError, path: string, text: string): SignetError {
  if (!/\{[{%]|<%/.test(text) || isChartTemplate(path)) return error;
  const advice = "if it is a template, list it under verify.allow in signet.yaml";
  return new SignetError(error.code, `${error.message}; ${advice}`, {
    cause: error.cause,
    place: error.place,
  });
}

/** The same for one file. @throws SignetError also where it cannot be parsed */
export function readSealedFile(path: string, project: Project | null): SealedFile {
  return parseSealedFile(
    { path, root: undefined },
    readNamed(path),
    project,
    keysOfClusters(project),
  );
}

function keysOfClusters(project: Project | null): Map<string, ClusterKeys> {
  const clusters = new Map<string, ClusterKeys>();
  if (project === null) return clusters;
  for (const [name, cluster] of project.clusters) clusters.set(name, clusterKeys(project, cluster));
  return clusters;
}

/** SealedSecrets by their cluster's name; "" without a cluster. */
export function byCluster(objects: Iterable<SealedObject>): Map<string, SealedObject[]> {
  const found = new Map<string, SealedObject[]>();
  for (const object of objects) {
    const name = object.meaning?.cluster.name ?? "";
    const others = found.get(name) ?? [];
    found.set(name, others);
    others.push(object);
  }
  return found;
}

/**
 * The SealedSecrets to ask a controller about. With clusters in signet.yaml, files that match none
 * are skipped; without, all are for the cluster of the kubeconfig.
 */
export function objectsToAsk(
  { files, clusters }: Inventory,
  only: string | undefined,
): SealedObject[] {
  return files
    .flatMap(({ objects }) => objects)
    .filter(({ meaning }) =>
      meaning === null
        ? only === undefined && clusters.size === 0
        : only === undefined || only === meaning.cluster.name,
    );
}

/** Whether a file is a template of a Helm chart, which is not valid YAML. */
export function isChartTemplate(path: string): boolean {
  // The folders above the current one count too.
  const parts = resolve(path).split(sep);
  return parts.some(
    (part, index) =>
      part === "templates" &&
      index < parts.length - 1 &&
      statIfThere([...parts.slice(0, index), "Chart.yaml"].join(sep)) !== undefined,
  );
}

const TYPE = { kind: KIND, apiVersion: API_VERSION };

interface FoundFile {
  readonly path: string;
  /** What the file must be below; undefined if the command line names it. */
  readonly root: string | undefined;
}

/**
 * The named files, and the manifests in named folders; each once. `onSkipped` learns of each folder
 * that cannot be read and that Git ignores, such as the data of a database.
 */
export function filesBelow(
  paths: readonly string[],
  onSkipped: (folder: string) => void,
): FoundFile[] {
  const isSkipped = (folder: string): boolean => {
    const isLeftOut = isIgnored(folder);
    if (isLeftOut) onSkipped(folder);
    return isLeftOut;
  };
  const found = new Map<string, string | undefined>();
  for (const path of paths) {
    rootOfNamed(path);
    if (!stat(path).isDirectory()) {
      found.set(path, undefined);
      continue;
    }
    const root = rootOf(path);
    // Including hidden folders: their values need their keys too.
    const tracked = trackedModules(path).map((each) => join(path, each));
    for (const file of [
      ...manifestsBelow(path, { hidden: true, isSkipped }).map((below) => join(path, below)),
      ...tracked.filter((each) => statIfThere(each)?.isFile() === true),
    ]) {
      if (!found.has(file)) found.set(file, root);
    }
  }
  return [...found].map(([path, root]) => ({ path, root }));
}

/** Manifests in folders `node_modules` that Git tracks all the same. */
function trackedModules(folder: string): string[] {
  if (workTree(folder) === null) return [];
  return gitList(["ls-files", "-z", "--cached"], { cwd: folder }).filter(
    (path) => path.split("/").includes("node_modules") && MANIFEST_NAME.test(path),
  );
}

/** @throws SignetError io, manifest-syntax */
export function readFoundText({ path, root }: FoundFile): string {
  return root === undefined ? readNamed(path) : readTextWithin(root, path);
}

function parseSealedFile(
  { path, root }: FoundFile,
  text: string,
  project: Project | null,
  clusters: ReadonlyMap<string, ClusterKeys>,
): SealedFile {
  const documents = locate({ file: path }, () => parsedOnce(text));
  const below = project === null ? path : pathBelow(project, path);
  const meaning = project === null ? null : meaningBelow(project, below);
  const cluster = meaning === null ? null : (clusters.get(meaning.cluster.name) ?? null);
  const objects = documents.flatMap((document) => {
    const place = placeOf(path, document, documents.length);
    return locate(place, () => {
      checkVersions(document);
      return placedObjectsOfKind(document, TYPE).map(({ object, path: within }) => {
        const sealed = parseSealedSecret(object);
        const stamp = stampOf(sealed);
        const items =
          sealed.legacyData === undefined ? [...sealed.encryptedData.keys()] : [LEGACY_ITEM];
        return {
          file: path,
          document,
          path: within,
          place,
          sealed,
          scope: scopeOf(sealed.metadata.annotations),
          name: objectName(sealed.metadata),
          meaning,
          cluster,
          values: items.map((item) => judgeValue(item, stamp.get(item), cluster, clusters)),
        };
      });
    });
  });
  return { path, below, root, text, objects };
}

/** @throws SignetError wrong-kind for sealed values in an object of a version that no cluster has */
function checkVersions(document: ManifestDocument): void {
  if (asObject(document.value) === null) return;
  for (const { object } of placedObjectsOf(document)) {
    const { kind, apiVersion, spec = null } = object;
    const isOther = kind === KIND && apiVersion !== API_VERSION;
    if (isOther && asObject(asObject(spec)?.["encryptedData"] ?? null) !== null) {
      parseSealedSecret(object);
    }
  }
}

function judgeValue(
  item: string,
  fingerprint: string | undefined,
  cluster: ClusterKeys | null,
  clusters: ReadonlyMap<string, ClusterKeys>,
): SealedValue {
  if (fingerprint === undefined) {
    return { item, fingerprint, key: "unknown", certificate: undefined };
  }
  const own = cluster?.known.get(fingerprint);
  if (own !== undefined) {
    const key = cluster?.current?.fingerprint === fingerprint ? "sealing" : "former";
    return { item, fingerprint, key, certificate: own };
  }
  for (const other of clusters.values()) {
    const certificate = other.known.get(fingerprint);
    if (certificate !== undefined) return { item, fingerprint, key: "foreign", certificate };
  }
  return { item, fingerprint, key: "unknown", certificate: undefined };
}

/** A SealedSecret as it is written. */
export function writtenObject({ document, path }: SealedObject): JsonObject {
  const value = path.reduce<Json | undefined>(
    (outer, step) => (Array.isArray(outer) ? outer[Number(step)] : asObject(outer ?? null)?.[step]),
    document.value,
  );
  return asObject(value ?? null) ?? {};
}

/** The text of a file with some of its objects changed; everything else stays as it is. */
export function editedText(
  file: SealedFile,
  after: ReadonlyMap<SealedObject, SealedSecret>,
): string {
  const edits = new Map<ManifestDocument, ReturnType<typeof editsBetween>>();
  for (const [object, sealed] of after) {
    const before = edits.get(object.document) ?? [];
    edits.set(object.document, [...before, ...editsBetween(object.sealed, sealed, object.path)]);
  }
  return locate({ file: file.path }, () => editManifests(file.text, edits));
}

/**
 * The SealedSecret of a file with this name, or its only one.
 * @throws SignetError usage where several match; wrong-kind where none does
 */
export function chooseObject(file: SealedFile, named: string | undefined): SealedObject {
  const fitting = file.objects.filter(
    ({ name, sealed }) => named === undefined || named === name || named === sealed.metadata.name,
  );
  const [object] = fitting;
  if (object !== undefined && fitting.length === 1) return object;
  const names = file.objects.map(({ name }) => name).join(", ");
  if (object !== undefined) {
    throw new SignetError("usage", "holds several SealedSecrets", {
      hint: `choose one with --name: ${names}`,
      place: { file: file.path },
    });
  }
  throw new SignetError(
    "wrong-kind",
    names === "" ? "holds no SealedSecret" : `holds no SealedSecret named ${named ?? ""}`,
    {
      hint:
        names === ""
          ? "`signet new` creates one; `signet seal --in-place` seals an existing Secret"
          : `it holds ${names}`,
      place: { file: file.path },
    },
  );
}
