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
import { checkAsWritten, checkSurprises } from "./secretcheck.ts";

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

/** What is accepted of inputs that the Go original accepts. */
export interface Leniency {
  /** An object without a kind counts as a Secret. */
  readonly mayLackKind: boolean;
  /** A null, a number or a boolean counts as the text that it looks like; a null as an empty one. */
  readonly mayBeTyped: boolean;
  /** Objects of other kinds beside a Secret stay as they are, as they always do in a folder. */
  readonly keepsOthers: boolean;
}

const STRICT: Leniency = { mayLackKind: false, mayBeTyped: false, keepsOthers: false };
/** For a file that is replaced by its sealed form. */
export const IN_PLACE: Leniency = { ...STRICT, keepsOthers: true };
/** What `kubeseal` accepts, as scripts expect. */
export const LENIENT: Leniency = { mayLackKind: true, mayBeTyped: true, keepsOthers: false };

/**
 * Finds the Secrets of every input. Checks every input before it throws.
 * @throws SignetError, or an AggregateError of them
 */
export function gather(
  inputs: readonly Input[],
  prepare: Prepare,
  leniency: Leniency = STRICT,
): Gathered {
  const files: GatheredFile[] = [];
  const errors: SignetError[] = [];
  let sealedAlready = 0;
  let withoutSecret = 0;
  for (const input of inputs) {
    const documents = attempt(errors, () => documentsOf(input)) ?? [];
    const gatherAll = (keepsOthers: boolean): GatheredDocument[] =>
      documents.flatMap((document) => {
        const place = placeOf(input.name, document, documents.length);
        return (
          attempt(errors, () =>
            gatherDocument(document, input, place, prepare, { ...leniency, keepsOthers }, errors),
          ) ?? []
        );
      });
    const errorsBefore = errors.length;
    const isInFolder = input.inFolder !== undefined;
    let gathered = gatherAll(isInFolder || leniency.keepsOthers);
    // A named file must hold a Secret. The error says what it holds instead.
    if (!isInFolder && errors.length === errorsBefore && !holdsSecret(gathered)) {
      gathered = gatherAll(false);
    }
    if (holdsSecret(gathered)) {
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

function holdsSecret(documents: readonly GatheredDocument[]): boolean {
  return documents.some(({ secrets }) => secrets.length > 0);
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
  input: Input,
  place: ErrorPlace,
  prepare: Prepare,
  { mayLackKind, mayBeTyped, keepsOthers }: Leniency,
  errors: SignetError[],
): GatheredDocument {
  if (keepsOthers && asObject(document.value) === null) return { document, secrets: [] };
  const objects = locate(place, () => objectsOf(document));
  const isSecret = (object: JsonObject): boolean => object["kind"] === "Secret";
  if (keepsOthers && !objects.some(isSecret)) return { document, secrets: [] };
  locate(place, () => {
    checkAsWritten(input.text, document, { mayBeTyped });
    checkSurprises(document);
  });
  const secrets: ReadySecret[] = [];
  for (const found of objects) {
    const object = mayLackKind ? withKind(found, "Secret", "v1") : found;
    const objectPlace = { ...place, ...nameOf(object) };
    const ready = attempt(errors, () =>
      locate(objectPlace, () => {
        if (!isSecret(object)) throw notSecret(object, keepsOthers);
        return prepare(object, objectPlace);
      }),
    );
    if (ready !== undefined) secrets.push(ready);
  }
  return { document, secrets };
}

function notSecret(object: JsonObject, isInList: boolean): SignetError {
  const sealed = object["kind"] === KIND && object["apiVersion"] === API_VERSION;
  const hint = isInList
    ? "a List that mixes Secrets with other objects is not split: put each object in its own document"
    : sealed
      ? "it is already sealed; to add values to it, use --merge-into"
      : 'only Secrets are sealed ("apiVersion: v1", "kind: Secret"): remove the other objects from the file';
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
