// Splits manifests into Secrets that are checked, complete and ready to seal.
// SPEC.md, "Command line", "Sealing".

import { type ErrorPlace, locate, SignetError, throwAll } from "../../shared/errors.ts";
import {
  asObject,
  describeObject,
  type JsonObject,
  objectsOf,
  withKind,
} from "../../shared/kubernetes/object.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";
import { type ManifestDocument, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { API_VERSION, KIND } from "../../shared/sealing/sealedsecret.ts";
import type { Input } from "../terminal/inputs.ts";
import { checkSurprises } from "./secretcheck.ts";

export interface ReadySecret {
  readonly secret: Secret;
  readonly scope: Scope;
  readonly place: ErrorPlace;
}

/** A document of a file. */
interface GatheredDocument {
  /** Null where the Secret is in no manifest. */
  readonly document: ManifestDocument | null;
  /** None where the document passes through unchanged. */
  readonly secrets: readonly ReadySecret[];
}

export interface GatheredFile {
  readonly input: Input;
  readonly documents: readonly GatheredDocument[];
}

export interface Gathered {
  /** Those that hold a Secret. */
  readonly files: readonly GatheredFile[];
  /** Whether any input comes from a folder. */
  readonly hasFolder: boolean;
  /** Files in folders with SealedSecrets but no Secret, and with neither. */
  readonly sealedAlready: number;
  readonly withoutSecret: number;
}

/** Checks and completes one Secret object. @throws SignetError */
export type Prepare = (object: JsonObject, place: ErrorPlace) => ReadySecret;

/**
 * Finds the Secrets of every input. With `mayLackKind`, an object without a kind counts as a
 * Secret. Checks every input before it throws.
 * @throws SignetError, or an AggregateError of them
 */
export function gather(
  inputs: readonly Input[],
  prepare: Prepare,
  { mayLackKind = false }: { readonly mayLackKind?: boolean } = {},
): Gathered {
  const files: GatheredFile[] = [];
  const errors: SignetError[] = [];
  let sealedAlready = 0;
  let withoutSecret = 0;
  for (const input of inputs) {
    const documents = attempt(errors, () => documentsOf(input)) ?? [];
    const gathered: GatheredDocument[] = [];
    for (const document of documents) {
      const place = placeOf(input.name, document, documents.length);
      const result = attempt(errors, () =>
        gatherDocument(document, input.inFolder !== undefined, place, prepare, mayLackKind, errors),
      );
      if (result !== undefined) gathered.push(result);
    }
    if (gathered.some(({ secrets }) => secrets.length > 0)) {
      files.push({ input, documents: gathered });
    } else if (documents.some(({ value }) => asObject(value)?.["kind"] === KIND)) {
      sealedAlready++;
    } else {
      withoutSecret++;
    }
  }
  throwAll(errors);
  const hasFolder = inputs.some(({ inFolder }) => inFolder !== undefined);
  return { files, hasFolder, sealedAlready, withoutSecret };
}

/**
 * The same for one object that is in no manifest. `name`: its source, as errors name it.
 * @throws SignetError
 */
export function gatherObject(object: JsonObject, name: string, prepare: Prepare): Gathered {
  const place = { file: name };
  const secrets = [locate(place, () => prepare(object, place))];
  const file = { input: { name, text: "" }, documents: [{ document: null, secrets }] };
  return { files: [file], hasFolder: false, sealedAlready: 0, withoutSecret: 0 };
}

/** All Secrets of the files, in their order. */
export function secretsIn(files: readonly GatheredFile[]): ReadySecret[] {
  return files.flatMap(({ documents }) => documents.flatMap(({ secrets }) => secrets));
}

/** Runs `action`; adds a SignetError that it throws to `errors`. */
function attempt<T>(errors: SignetError[], action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    errors.push(error);
    return undefined;
  }
}

const NOTHING_FOUND = "no secrets found. Ensure the input is valid and UTF-8 encoded";

function documentsOf({ name, inFolder, text }: Input): ManifestDocument[] {
  // A folder holds files of all kinds, also templates that are not valid YAML. One without the
  // word, and without an escape that could spell it, holds no Secret.
  if (inFolder !== undefined && !/Secret|\\/.test(text)) return [];
  const documents = parseManifests(text, { file: name });
  if (documents.length === 0 && inFolder === undefined) {
    throw new SignetError("manifest-syntax", NOTHING_FOUND, {
      place: { file: name },
    });
  }
  return documents;
}

function gatherDocument(
  document: ManifestDocument,
  inFolder: boolean,
  place: ErrorPlace,
  prepare: Prepare,
  mayLackKind: boolean,
  errors: SignetError[],
): GatheredDocument {
  if (inFolder && asObject(document.value) === null) return { document, secrets: [] };
  const objects = locate(place, () => objectsOf(document));
  const isSecret = (object: JsonObject): boolean => object["kind"] === "Secret";
  if (inFolder && !objects.some(isSecret)) return { document, secrets: [] };
  locate(place, () => {
    checkSurprises(document);
  });
  const secrets: ReadySecret[] = [];
  for (const found of objects) {
    const object = mayLackKind ? withKind(found, "Secret", "v1") : found;
    const objectPlace = { ...place, ...nameOf(object) };
    const ready = attempt(errors, () =>
      locate(objectPlace, () => {
        if (!isSecret(object)) throw notSecret(object, inFolder);
        return prepare(object, objectPlace);
      }),
    );
    if (ready !== undefined) secrets.push(ready);
  }
  return { document, secrets };
}

function notSecret(object: JsonObject, inFolder: boolean): SignetError {
  const sealed = object["kind"] === KIND && object["apiVersion"] === API_VERSION;
  const hint = inFolder
    ? "a List that mixes Secrets with other objects is not taken apart: give each a document"
    : sealed
      ? "it is sealed already; to add values to it, use --merge-into"
      : 'only Secrets are sealed ("apiVersion: v1", "kind: Secret"): take the others out of the file';
  return new SignetError("wrong-kind", `expected a Secret (v1), found ${describeObject(object)}`, {
    hint,
  });
}

function nameOf(object: JsonObject): { object?: string } {
  const { name = null, namespace = null } = asObject(object["metadata"] ?? null) ?? {};
  const parts = [namespace, name].filter((part) => typeof part === "string").filter(Boolean);
  return parts.length > 0 && parts.every((part) => /^[-a-z0-9.]{1,253}$/.test(part))
    ? { object: parts.join("/") }
    : {};
}
