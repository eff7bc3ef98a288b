// Files that a Kustomization makes values of a Secret of: its secretGenerator reads them, or they are patches of one.

import type { Json } from "../../shared/manifest/manifest.ts";
import {
  asObject,
  type JsonObject,
  metadataOf,
  objectsIn,
} from "../../shared/kubernetes/object.ts";
import { isEncrypted, looseText } from "../git/loosetext.ts";
import { isHarmless, unquoted } from "./placeholders.ts";
import { documentsIn } from "./documentsoftext.ts";
import { literalItem } from "./filleditems.ts";
import type { Plaintext } from "./plaintextfindings.ts";
import { generatorsOf } from "./secretobjects.ts";
import { findInSecretPatch } from "./secretpatches.ts";
import { plainKeys, sopsEntries } from "./sopsfiles.ts";

export interface GeneratorFile {
  /** As it is written: relative to the folder of the Kustomization. */
  readonly path: string;
  /** Whether its lines are values, or it is one. */
  readonly isEnv: boolean;
  /** Whether it holds operations on a Secret instead. */
  readonly isPatch?: boolean;
  /** The name of the Secret, if it is known. */
  readonly object: string | undefined;
}

/** The files that generators of Secrets in a text read, and patches of Secrets. */
export function generatorFilesIn(text: string): GeneratorFile[] {
  if (!/secretGenerator|patches|\\[xuU]/i.test(text)) return [];
  return documentsIn(text).flatMap(({ value }) => [
    ...patchFiles(asObject(value) ?? {}),
    ...generatorsOf(asObject(value) ?? {}).flatMap(({ generator }) => {
      const name = generator["name"] ?? metadataOf(generator)["name"];
      const object = typeof name === "string" ? name : undefined;
      const named = (field: string): string[] => textsOf(generator[field]);
      return [
        ...named("files").map((path) => ({
          path: path.slice(path.indexOf("=") + 1),
          isEnv: false,
          object,
        })),
        ...[...named("envs"), ...named("env")].map((path) => ({ path, isEnv: true, object })),
      ];
    }),
  ]);
}

/** Files with patches whose target is a Secret. Other patches of one say themselves that they are. */
function patchFiles({ patches, patchesJson6902 }: JsonObject): GeneratorFile[] {
  return [...objectsIn(patches), ...objectsIn(patchesJson6902)].flatMap(({ path, target }) => {
    const { kind, name } = asObject(target ?? null) ?? {};
    if (kind !== "Secret" || typeof path !== "string") return [];
    const object = typeof name === "string" ? name : undefined;
    return [{ path, isEnv: false, isPatch: true, object }];
  });
}

function textsOf(value: Json | undefined): string[] {
  const listed = Array.isArray(value) ? value : [value];
  return listed.filter((each): each is string => typeof each === "string");
}

/** What is in plain text in a file that a generator reads. */
export function findInGeneratorFile(
  bytes: Buffer,
  { isEnv, isPatch = false, object, path }: GeneratorFile,
): Plaintext[] {
  const found = (items: readonly string[], line: number): Plaintext[] =>
    items.length === 0 ? [] : [{ rule: "kustomize-file", severity: "error", line, object, items }];
  if (isEncrypted(bytes)) return [];
  const item = path.split("/").at(-1) ?? path;
  const text = looseText(bytes);
  if (isPatch) return findInSecretPatch(text ?? "", object);
  if (text === null) return found([item], 1);
  const entries = sopsEntries(text);
  const isPlaceholder = (value: string): boolean => isHarmless(unquoted(value), false);
  if (entries !== null) {
    const plain = plainKeys(entries, isPlaceholder);
    return found(isEnv || plain.length === 0 ? plain : [item], 1);
  }
  if (!isEnv) return isHarmless(text, false) ? [] : found([item], 1);
  const lines = text.split("\n").map((line) => line.trimStart());
  const items = lines.map((line) => (line.startsWith("#") ? [] : literalItem(line.trimEnd())));
  return found(items.flat(), items.findIndex((each) => each.length > 0) + 1);
}
