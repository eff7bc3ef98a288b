// What Kustomizations, of Kustomize and of Flux, say of the objects in other files: their names and namespaces, and patches.
// SPEC.md, "Whole repositories".

import { basename, dirname, join, resolve } from "node:path";
import { rootOf } from "../../host/rootedfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject, objectsIn } from "../../shared/kubernetes/object.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";

/** How objects are changed. */
export interface Naming {
  /** The namespace that all of them get, if any. */
  readonly namespace: string | undefined;
  readonly prefix: string;
  readonly suffix: string;
}

export interface Kustomization {
  /** The file that it is in, as messages name it. */
  readonly file: string;
  /** The resolved folder that it is for. */
  readonly folder: string;
  /** Whether it is one of Flux, which applies a folder. */
  readonly isOfFlux: boolean;
  readonly naming: Naming;
  /** Resolved paths of files and folders. */
  readonly resources: readonly string[];
  readonly components: readonly string[];
  /** Resolved paths of the files that it applies as patches: they change objects and declare none. */
  readonly patches: readonly string[];
  /** Whether a patch that is no file of SealedSecrets may change SealedSecrets. */
  readonly hasOtherPatches: boolean;
}

const KUSTOMIZATION = /^kustomization(\.ya?ml)?$/i;
/** It is in each file with Kustomizations of Flux, whatever the file's name. */
export const FLUX = "kustomize.toolkit.fluxcd.io/";

/** Whether a file is one by its name, as Kustomize has it. */
export function isKustomization(path: string): boolean {
  return KUSTOMIZATION.test(basename(path));
}

/** Whether a file may have any; most need not be parsed. */
function mayHoldKustomizations(path: string, text: string): boolean {
  return isKustomization(path) || text.includes(FLUX);
}

/** Those in a file; none if it cannot be parsed. */
export function kustomizationsIn(path: string, text: string): Kustomization[] {
  if (!mayHoldKustomizations(path, text)) return [];
  const isOfKustomize = isKustomization(path);
  try {
    return parseManifests(text).flatMap(({ value }) => {
      const object = asObject(value) ?? {};
      const ofFlux = fluxIn(path, object);
      if (ofFlux !== null) return [ofFlux];
      return isOfKustomize ? [kustomizeIn(path, object)] : [];
    });
  } catch (error) {
    if (error instanceof SignetError) return [];
    throw error;
  }
}

function kustomizeIn(path: string, object: JsonObject): Kustomization {
  const folder = resolve(dirname(path));
  const within = (...fields: readonly string[]): string[] =>
    fields.flatMap((field) => textsOf(object[field])).map((each) => resolve(folder, each));
  return {
    file: path,
    folder,
    isOfFlux: false,
    naming: namingOf(object, "namespace"),
    resources: within("resources", "bases"),
    components: within("components"),
    patches: namedPatches(object).map((patch) => resolve(folder, patch)),
    hasOtherPatches: patchesSealedSecrets(object),
  };
}

function fluxIn(path: string, { apiVersion, kind, spec }: JsonObject): Kustomization | null {
  const { path: applied = "./", ...fields } = asObject(spec ?? null) ?? {};
  const isOfFlux = typeof apiVersion === "string" && apiVersion.startsWith(FLUX);
  if (!isOfFlux || kind !== "Kustomization" || typeof applied !== "string") return null;
  // What is in a bucket or a registry is not in this repository.
  if (asObject(fields["sourceRef"] ?? null)?.["kind"] !== "GitRepository") return null;
  return {
    file: path,
    folder: join(rootOf("."), applied).replace(/(.)\/$/, "$1"),
    isOfFlux: true,
    naming: namingOf(fields, "targetNamespace"),
    resources: [],
    components: [],
    patches: [],
    hasOtherPatches: patchesSealedSecrets(fields),
  };
}

function namingOf(object: JsonObject, namespaceField: string): Naming {
  const text = (field: string): string => {
    const value = object[field];
    return typeof value === "string" ? value : "";
  };
  return {
    namespace: text(namespaceField) || undefined,
    prefix: text("namePrefix"),
    suffix: text("nameSuffix"),
  };
}

function textsOf(value: Json | undefined): string[] {
  const listed = Array.isArray(value) ? value : [];
  return listed.filter((each): each is string => typeof each === "string");
}

/** An inline patch is text of several lines. */
const isPath = (text: Json | undefined): text is string =>
  typeof text === "string" && !text.includes("\n");

function namedPatches({ patches, patchesStrategicMerge }: JsonObject): string[] {
  return [
    ...textsOf(patches),
    ...textsOf(patchesStrategicMerge),
    ...objectsIn(patches).map(({ path }) => path),
  ].filter(isPath);
}

function patchesSealedSecrets(object: JsonObject): boolean {
  const { patches, patchesJson6902, patchesStrategicMerge, replacements, transformers } = object;
  return [patches, patchesJson6902, patchesStrategicMerge, replacements, transformers].some(
    (each) => each !== undefined && JSON.stringify(each).includes("SealedSecret"),
  );
}
