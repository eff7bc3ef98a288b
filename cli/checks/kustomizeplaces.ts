// The names and namespaces that Kustomizations give the objects of files.
// SPEC.md, "Whole repositories".

import { dirname, resolve } from "node:path";
import type { SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { Kustomization, Naming } from "../repository/kustomizations.ts";
import type { SealedFile } from "../repository/sealedfiles.ts";

/** What one Kustomization, with those that it includes, makes of the objects of a file. */
interface Placement extends Naming {
  /** The outermost Kustomization's file. */
  readonly by: string;
  /** Resolved paths of files with patches. */
  readonly patches: ReadonlySet<string>;
  /** False where a patch may change SealedSecrets in a way that nothing here can tell. */
  readonly isKnown: boolean;
}

/** So that a repository whose Kustomizations include each other in very many ways ends nothing. */
const MAX_STEPS = 100_000;
/** How deeply they may include each other. */
const MAX_DEPTH = 64;
/** Of one file. */
const MAX_PLACEMENTS = 1000;

const UNCHANGED: Naming = { namespace: undefined, prefix: "", suffix: "" };

/** What the Kustomizations of a repository make of its SealedSecrets. */
export class Kustomized {
  readonly #patches: ReadonlySet<string>;
  readonly #placements: ReadonlyMap<string, readonly Placement[]>;
  readonly #byPath: ReadonlyMap<string, SealedFile>;
  readonly #names = new Map<ReadonlySet<string>, ReadonlySet<string>>();
  /** The outermost Kustomizations that include more than could be followed. */
  readonly unfollowed: ReadonlySet<string>;

  constructor(files: readonly SealedFile[], kustomizations: readonly Kustomization[]) {
    this.#patches = new Set(kustomizations.flatMap(({ patches }) => patches));
    this.#byPath = new Map(files.map((file) => [resolve(file.path), file]));
    const walk = walked([...this.#byPath.keys()], kustomizations);
    this.#placements = walk.found;
    this.unfollowed = walk.unfollowed;
  }

  /** Whether a file is applied as a patch, and declares nothing. */
  isPatch(path: string): boolean {
    return this.#patches.has(resolve(path));
  }

  /** Where a SealedSecret of a file comes to stand; none if no Kustomization takes it. */
  placementsOf(path: string, { metadata }: SealedSecret): readonly Placement[] {
    const placements = this.#placements.get(resolve(path)) ?? [];
    if (this.isPatch(path)) return placements;
    // Values of a patch are judged where the patch is.
    return placements.map((each) =>
      this.#namesIn(each.patches).has(metadata.name) ? { ...each, ...UNCHANGED } : each,
    );
  }

  /** The names of SealedSecrets that patches bring values for. */
  #namesIn(patches: ReadonlySet<string>): ReadonlySet<string> {
    const known = this.#names.get(patches);
    if (known !== undefined) return known;
    const objects = [...patches].flatMap((patch) => this.#byPath.get(patch)?.objects ?? []);
    const names = new Set(
      objects.flatMap(({ sealed }) =>
        sealed.encryptedData.size > 0 ? [sealed.metadata.name] : [],
      ),
    );
    this.#names.set(patches, names);
    return names;
  }
}

/** A SealedSecret as it comes to stand. */
export function placed(sealed: SealedSecret, placement: Naming): SealedSecret {
  const { namespace, prefix, suffix } = placement;
  const { metadata } = sealed;
  return {
    ...sealed,
    metadata: {
      ...metadata,
      name: `${prefix}${metadata.name}${suffix}`,
      namespace: namespace ?? metadata.namespace,
    },
  };
}

/**
 * What Kustomizations that no other one includes make of some files. `files`: resolved paths. A file
 * that none of them includes is not in what is found.
 */
function walked(files: readonly string[], kustomizations: readonly Kustomization[]): Walk {
  const byFolder = new Map<string, Kustomization>();
  for (const each of kustomizations) if (!each.isOfFlux) byFolder.set(each.folder, each);
  const included = new Set(
    [...byFolder.values()].flatMap(({ folder, resources, components }) =>
      [...resources, ...components].filter((each) => each !== folder),
    ),
  );
  const inFolder = appliedByFolder(files, kustomizations, byFolder);
  const walk = new Walk(new Set(files), byFolder);
  for (const each of kustomizations) {
    if (each.isOfFlux) walk.begin(each, inFolder.get(each.folder) ?? [each.folder]);
    else if (!included.has(each.folder)) walk.begin(each, [each.folder]);
  }
  return walk;
}

/** What Flux applies of folders without a Kustomization of their own: everything below. */
function appliedByFolder(
  files: readonly string[],
  kustomizations: readonly Kustomization[],
  byFolder: ReadonlyMap<string, Kustomization>,
): Map<string, string[]> {
  const applied = new Map<string, string[]>();
  for (const { folder, isOfFlux } of kustomizations) {
    if (isOfFlux && !byFolder.has(folder)) applied.set(folder, []);
  }
  if (applied.size === 0) return applied;
  for (const path of [...files, ...byFolder.keys()]) {
    for (let here = dirname(path); !byFolder.has(here); here = dirname(here)) {
      applied.get(here)?.push(path);
      if (here === dirname(here)) break;
    }
  }
  return applied;
}

/** Follows what Kustomizations include. */
class Walk {
  readonly found = new Map<string, Placement[]>();
  readonly unfollowed = new Set<string>();
  readonly #files: ReadonlySet<string>;
  readonly #byFolder: ReadonlyMap<string, Kustomization>;
  #steps = 0;
  /** The folders on the way here, as one may include itself. */
  readonly #within = new Set<string>();

  constructor(files: ReadonlySet<string>, byFolder: ReadonlyMap<string, Kustomization>) {
    this.#files = files;
    this.#byFolder = byFolder;
  }

  /** `paths`: the files and folders that the outermost one applies. */
  begin(outermost: Kustomization, paths: readonly string[]): void {
    const { file: by, isOfFlux, naming, hasOtherPatches } = outermost;
    const own = isOfFlux ? naming : UNCHANGED;
    const patches = new Set<string>();
    for (const path of paths) this.#visit(path, { ...own, by, patches, isKnown: !hasOtherPatches });
  }

  #visit(path: string, outer: Placement): void {
    if (++this.#steps > MAX_STEPS) {
      this.unfollowed.add(outer.by);
      return;
    }
    if (this.#files.has(path)) {
      const others = this.found.get(path) ?? [];
      this.found.set(path, others);
      if (others.length < MAX_PLACEMENTS) {
        others.push(outer.isKnown ? outer : { ...outer, ...UNCHANGED });
      } else this.unfollowed.add(outer.by);
    }
    const kustomization = this.#byFolder.get(path);
    if (kustomization === undefined || this.#within.has(path)) return;
    if (this.#within.size >= MAX_DEPTH) {
      this.unfollowed.add(outer.by);
      return;
    }
    this.#within.add(path);
    // What components do, they do to everything beside them as well.
    const components = kustomization.components.flatMap((each) => this.#byFolder.get(each) ?? []);
    const all = [kustomization, ...components].reduce(inner, outer);
    for (const { resources, patches } of [kustomization, ...components]) {
      for (const each of [...resources, ...patches]) this.#visit(each, all);
    }
    this.#within.delete(path);
  }
}

/** Of two Kustomizations, the inner one comes first, and the outer one's namespace counts. */
function inner(outer: Placement, { naming, patches, hasOtherPatches }: Kustomization): Placement {
  return {
    by: outer.by,
    namespace: outer.namespace ?? naming.namespace,
    prefix: outer.prefix + naming.prefix,
    suffix: naming.suffix + outer.suffix,
    patches: patches.length === 0 ? outer.patches : new Set([...outer.patches, ...patches]),
    isKnown: outer.isKnown && !hasOtherPatches,
  };
}
