// The files that `signet scan` looks at: of the working tree, of the index, or of a range of commits.
// SPEC.md, "Whole repositories".

import { basename, dirname, join, relative } from "node:path";
import { isTooDeep, manifestsBelow, TOO_MANY_FOLDERS } from "../../host/manifestfiles.ts";
import { slashed } from "../../host/platform.ts";
import { lstat, readBytes, stat, statIfThere } from "../../host/readfile.ts";
import {
  LEADS_OUT,
  leadsOut,
  MAX_FOUND_BYTES,
  readWithin,
  rootOf,
  rootOfNamed,
} from "../../host/rootedfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { errnoOf } from "../../host/errno.ts";
import {
  type Blob,
  blobsById,
  blobsOf,
  filesWithWord,
  gitFiles,
  gitList,
  indexBlobs,
  needWorkTree,
  sparseBlobs,
  stagedBlobs,
  submodulesIn,
  workTree,
} from "../git/gitprocess.ts";
import { isEncrypted } from "../git/loosetext.ts";
import { historyOf } from "../git/history.ts";
import { readStdin } from "../terminal/stdin.ts";

/** A file to scan. */
export interface ScannedFile {
  /** Relative to the current folder, as messages name it. */
  readonly path: string;
  /** The commit that added it, in a range. */
  readonly commit?: string;
  /** Null if it is too large to be read. */
  readonly bytes: Buffer | null;
}

/** A file that cannot be read. */
export interface UnreadFile {
  readonly path: string;
  readonly severity: "error" | "warning";
  readonly reason: string;
}

export interface ScanSource {
  /** Files with the name of a manifest. */
  readonly manifests: () =>
    AsyncIterable<ScannedFile | UnreadFile> | Iterable<ScannedFile | UnreadFile>;
  /** Manifests that are not scanned, but may name files that are. */
  readonly beside: () => Iterable<ScannedFile>;
  /** Those of some paths that Git has, or would have; with `isNew`, only those that are scanned. */
  readonly others: (paths: readonly string[], isNew: boolean) => Iterable<ScannedFile | UnreadFile>;
  /** Folders that are left out, as they are repositories of their own. */
  readonly submodules: () => readonly string[];
}

/** What tools that fill in templates have behind the name. */
const TEMPLATE = "tmpl|gotmpl|gotpl|tpl|j2|jinja2?|tftpl|erb|envsubst|mustache";
/** What editors and people have behind the name of a copy, and of a file that is to be filled in. */
const COPY = "bak|backup|orig|old|save|in|dist|sample|example|template|dec";
/**
 * Names of files that hold manifests. Before the ending of a template alone, another one tells that it
 * becomes something else, such as a program.
 */
const MANIFEST = new RegExp(
  [
    `\\.(ya?ml|json|tpl|tf|tofu|hcl|tfstate(\\.\\d+)?)(~|\\.(${TEMPLATE}|${COPY}))?$`,
    `(^|\\/)[^/.]+\\.(${TEMPLATE})$`,
    // Butane, Ignition and Salt write YAML and JSON under names of their own.
    "\\.(jsonl|ndjson|bu|ign|sls)$",
    "(^|\\/)kustomization$",
  ].join("|"),
  "i",
);
const TEMPLATE_NAME = new RegExp(`\\.(${TEMPLATE})$`, "i");

/** Whether a file's name says that another tool fills it in. */
export function isNamedTemplate(path: string): boolean {
  return TEMPLATE_NAME.test(path);
}

/** The files that Git does not ignore; outside of a working tree, every file. */
export function treeSource(paths: readonly string[]): ScanSource {
  return {
    manifests: () => treeFiles(paths.length === 0 ? ["."] : paths),
    beside: () => [],
    others: (named) => keptFiles(named),
    submodules: () => submodulesOf(paths.length === 0 ? ["."] : paths),
  };
}

function submodulesOf(paths: readonly string[]): string[] {
  const folders = paths.filter((path) => path !== "-" && statIfThere(path)?.isDirectory() === true);
  const found = folders
    .filter((folder) => workTree(folder) !== null)
    .flatMap((folder) => submodulesIn(folder).map((below) => join(folder, below)));
  return [...new Set(found)];
}

/**
 * Those of the paths that Git stores encrypted as a whole, although they are plain text here: files
 * that git-crypt unlocked.
 */
export function storedEncrypted(paths: readonly string[]): Set<string> {
  const top = paths.length === 0 ? null : workTree();
  if (top === null) return new Set();
  const wanted = new Set(paths);
  const shown = (path: string): string => relative(process.cwd(), join(top, path));
  const stored = indexBlobs(top)
    .map((blob) => ({ ...blob, path: shown(blob.path) }))
    .filter(({ path }) => wanted.has(path));
  const encrypted = new Set<string>();
  for (const { path, bytes } of blobFiles(stored, top)) {
    if (bytes !== null && isEncrypted(bytes)) encrypted.add(path);
  }
  return encrypted;
}

async function* treeFiles(paths: readonly string[]): AsyncGenerator<ScannedFile | UnreadFile> {
  for (const path of paths) {
    if (path === "-") {
      yield {
        path: "standard input",
        bytes: await readStdin("reading manifests from standard input, end with Ctrl-D"),
      };
      continue;
    }
    rootOfNamed(path);
    if (!stat(path).isDirectory()) {
      yield { path, bytes: readBytes(path) };
      continue;
    }
    const root = rootOf(path);
    if (workTree(path) === null) {
      const all = manifestsBelow(path, { hidden: true, modules: true, names: MANIFEST });
      for (const below of all) yield* foundFile(join(path, below), root);
      continue;
    }
    const { files, faults } = gitFiles(path);
    for (const reason of faults) yield { path, severity: "error", reason };
    for (const below of files) if (MANIFEST.test(below)) yield* foundFile(join(path, below), root);
    const sparse = sparseBlobs(path).filter(({ path: below }) => MANIFEST.test(below));
    yield* blobFiles(
      sparse.filter(({ path: below }) => statIfThere(join(path, below)) === undefined),
      path,
    );
  }
}

function* foundFile(path: string, root: string): Generator<ScannedFile | UnreadFile> {
  const leading = {
    path,
    severity: "warning",
    reason: "a link in this path leads outside the repository or into .git",
  } as const;
  if (isTooDeep(path)) {
    yield { path, severity: "error", reason: TOO_MANY_FOLDERS };
    return;
  }
  try {
    // Reading compares the place too. Resolving every path as well would take long in deep folders.
    const itself = lstat(path);
    if (itself.isSymbolicLink() && leadsOut(root, path)) {
      yield leading;
    } else if (!(itself.isSymbolicLink() ? stat(path) : itself).isDirectory()) {
      // A folder is a submodule, which is a repository of its own.
      yield { path, bytes: readWithin(root, path, MAX_FOUND_BYTES) };
    }
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    if (error.cause === LEADS_OUT) {
      yield leading;
      return;
    }
    // The index still has a file that was removed or replaced by a folder.
    const code = errnoOf(error.cause);
    if (code === "ENOENT" || code === "ENOTDIR") return;
    yield { path, severity: "error", reason: error.message };
  }
}

/** Of files that a Kustomization names, those that are in Git or would be. */
function* keptFiles(paths: readonly string[]): Generator<ScannedFile | UnreadFile> {
  const folders = new Map<string, Set<string>>();
  const here = rootOf(".");
  for (const path of paths) {
    if (path.includes("\0")) continue;
    if (isTooDeep(path)) {
      yield { path, severity: "error", reason: TOO_MANY_FOLDERS };
      continue;
    }
    if (leadsOut(here, dirname(path))) continue;
    const names = folders.get(dirname(path)) ?? new Set();
    folders.set(dirname(path), names.add(basename(path)));
  }
  for (const [folder, names] of folders) {
    const there = [...names].filter((name) => statIfThere(join(folder, name))?.isFile() === true);
    const kept = new Set(statIfThere(folder) === undefined ? [] : keptIn(folder, there));
    if (there.length === 0) continue;
    const root = rootOf(folder);
    for (const name of there) {
      if (kept.has(name)) yield* foundFile(join(folder, name), root);
    }
  }
}

const NAMES_AT_ONCE = 500;

function keptIn(folder: string, names: readonly string[]): readonly string[] {
  if (names.length === 0 || workTree(folder) === null) return names;
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"];
  const kept: string[] = [];
  for (let at = 0; at < names.length; at += NAMES_AT_ONCE) {
    const some = names.slice(at, at + NAMES_AT_ONCE);
    for (const name of gitList([...args, ...some], { cwd: folder })) kept.push(name);
  }
  return kept;
}

interface CommittedBlob extends Blob {
  readonly commit?: string;
}

/** What is about to be committed. @throws SignetError io */
export function stagedSource(paths: readonly string[]): ScanSource {
  const top = needWorkTree();
  const staged = stagedBlobs(paths);
  return blobSource(staged, top, {
    all: () => indexBlobs(top),
    naming: () => filesWithWord(NAMING_WORDS, top, { among: mayName(staged), ignoresCase: true }),
  });
}

/** Words of what names files with values: generators, and patches of a Secret. */
const NAMING_WORDS = ["secretgenerator", "patches:", "patchesjson6902"];
/** For files in more folders, every file of the index is searched. */
const MAX_FOLDERS = 100;

/**
 * Git's patterns of what may name changed files, so that a commit does not wait until a large index is read:
 * what Kustomize builds from names files in its own folder or below, unless its files are called so.
 */
function mayName(changed: readonly Blob[]): string[] {
  const folders = new Set([""]);
  for (const { path } of changed) {
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      folders.add(path.slice(0, end + 1));
    }
    if (folders.size > MAX_FOLDERS) return [];
  }
  const inside = [...folders].map((folder) => `:(glob)${folder.replace(/[\\*?[]/g, "\\$&")}*`);
  return [...inside, ":(icase)*kustomization*"];
}

/** What a range of commits brought. @throws SignetError io, usage */
export function rangeSource(range: string, paths: readonly string[]): ScanSource {
  const top = needWorkTree();
  const args = range.includes("..") ? [range] : ["-1", range];
  const commits = historyOf([...args, "--no-renames", "--", ...paths], process.cwd());
  const blobs = commits.flatMap(({ id: commit, changes }) =>
    changes.flatMap(({ path, after }) => (after === null ? [] : [{ id: after, path, commit }])),
  );
  const [newest] = commits;
  return blobSource(blobs, top, {
    all: () => (newest === undefined ? [] : blobsOf(newest.id, top)),
    naming: () =>
      newest === undefined
        ? []
        : filesWithWord(NAMING_WORDS, top, { commit: newest.id, ignoresCase: true }),
  });
}

/** `all`: what there is beside what changed. `naming`: the paths of those that may name others. */
function blobSource(
  changed: readonly CommittedBlob[],
  top: string,
  {
    all,
    naming,
  }: { readonly all: () => readonly Blob[]; readonly naming: () => readonly string[] },
): ScanSource {
  const shown = (blob: CommittedBlob): CommittedBlob => ({
    ...blob,
    path: relative(process.cwd(), join(top, blob.path)),
  });
  const here = changed.map(shown);
  return {
    submodules: () => [],
    *manifests() {
      yield* blobFiles(
        here.filter(({ path }) => MANIFEST.test(slashed(path))),
        top,
      );
    },
    *beside() {
      const names = new Set(changed.length === 0 ? [] : naming());
      if (names.size === 0) return;
      yield* blobFiles(
        all()
          .filter(({ path }) => names.has(path))
          .map(shown),
        top,
      );
    },
    *others(paths, isNew) {
      if (paths.length === 0) return;
      const wanted = new Set(paths);
      const from = isNew ? here : all().map(shown);
      yield* blobFiles(
        from.filter(({ path }) => wanted.has(path)),
        top,
      );
    },
  };
}

function* blobFiles(blobs: readonly CommittedBlob[], folder: string): Generator<ScannedFile> {
  const byId = new Map<string, CommittedBlob[]>();
  for (const blob of blobs) {
    const same = byId.get(blob.id) ?? [];
    byId.set(blob.id, same);
    same.push(blob);
  }
  for (const [id, bytes] of blobsById(byId.keys(), folder)) {
    for (const { path, commit } of byId.get(id) ?? []) {
      yield { path, bytes, ...(commit === undefined ? {} : { commit }) };
    }
  }
}
