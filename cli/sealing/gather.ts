// What the user named -> Secrets that are checked, complete and ready to be sealed.
// SPEC.md, "Command line", "Sealing".

import { type ErrorPlace, locate, SignetError, throwAll } from "../../shared/errors.ts";
import { type ManifestDocument, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import { type Scope, scopeOf } from "../../shared/sealing/scope.ts";
import { API_VERSION, KIND } from "../../shared/sealing/sealedsecret.ts";
import {
  asObject,
  describeObject,
  type JsonObject,
  objectsOf,
  withKind,
} from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import type { Input } from "../terminal/inputs.ts";
import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { checkFields, checkNotEmpty, checkSurprises, checkType } from "./secretcheck.ts";
import { say } from "../terminal/terminal.ts";

/** What the command line says of every Secret. */
export interface SecretOptions {
  readonly scope?: Scope;
  /** Where neither `scope` nor the Secret says one; strict by default. */
  readonly defaultScope?: Scope | undefined;
  readonly namespace?: string;
  readonly name?: string;
  readonly allowEmpty: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
}

export interface ReadySecret {
  readonly secret: Secret;
  readonly scope: Scope;
  readonly place: ErrorPlace;
}

/** A document of a file: the Secrets in it, or none where it passes through as it is. */
interface GatheredDocument {
  readonly document: ManifestDocument;
  readonly secrets: readonly ReadySecret[];
}

export interface GatheredFile {
  readonly input: Input;
  readonly documents: readonly GatheredDocument[];
}

export interface Gathered {
  /** Those that hold a Secret. */
  readonly files: readonly GatheredFile[];
  /** Files below folders that hold SealedSecrets but no Secret, and that hold neither. */
  readonly sealedAlready: number;
  readonly withoutSecret: number;
}

/** What is done to one Secret object before it counts as ready. */
export type Prepare = (object: JsonObject, place: ErrorPlace) => ReadySecret;

/**
 * Takes every document of every input apart. With `mayLackKind`, an object that does not say what it
 * is counts as a Secret. All that is wrong is found before it throws.
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
  return { files, sealedAlready, withoutSecret };
}

/** All Secrets of the files, in their order. */
export function secretsIn(files: readonly GatheredFile[]): ReadySecret[] {
  return files.flatMap(({ documents }) => documents.flatMap(({ secrets }) => secrets));
}

/** Runs `action`; a SignetError that it throws is kept in `errors`. */
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
  // Below a folder lie files of all kinds, also some that are YAML only to a template engine. One
  // that does not have the word, nor an escape that could spell it, holds no Secret.
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

/** The checks and completions of a Secret that is sealed as a whole. */
export function preparing(options: SecretOptions): Prepare {
  const place = completing(options);
  return (object, where) => {
    checkFields(object);
    const secret = place(parseSecret(object));
    if (!options.allowEmpty) checkNotEmpty(secret);
    checkType(secret);
    return { secret, scope: scopeFor(secret, options), place: where };
  };
}

function scopeFor({ metadata }: Secret, { scope, defaultScope }: SecretOptions): Scope {
  const declared = scopeOf(metadata.annotations);
  return scope ?? (declared === "strict" ? (defaultScope ?? declared) : declared);
}

/** Puts the name and namespace in that a Secret lacks. */
function completing(options: SecretOptions): (secret: Secret) => Secret {
  let context: ReturnType<typeof currentContext> | undefined;
  const fromContext = (name: string): string => {
    context ??= currentContext(options);
    if (context === null || context.namespace === "") return "";
    say(
      `note: ${name} declares no namespace: sealed for "${context.namespace}", that of the ` +
        `kubeconfig's context "${context.name}"`,
    );
    return context.namespace;
  };
  return (secret) => {
    const { metadata } = secret;
    const { name, namespace } = complete(metadata, options);
    const scope = scopeFor(secret, options);
    if (name === "") {
      throw new SignetError("secret-invalid", "missing metadata.name in input Secret", {
        hint: "say it in the manifest, or with --name",
      });
    }
    if (namespace !== "" || scope === "cluster-wide") {
      return { ...secret, metadata: { ...metadata, name, namespace } };
    }
    const found = fromContext(name);
    if (found === "") {
      throw new SignetError("secret-invalid", "secret must declare a namespace", {
        hint: "say metadata.namespace in the manifest, or --namespace on the command line",
      });
    }
    return { ...secret, metadata: { ...metadata, name, namespace: found } };
  };
}

/**
 * The name and namespace of `declared` and, where it says none, of `given`.
 * @throws SignetError secret-invalid where both say one, and not the same
 */
export function complete(
  declared: { readonly name: string; readonly namespace: string },
  given: { readonly name?: string; readonly namespace?: string },
): { readonly name: string; readonly namespace: string } {
  for (const field of ["namespace", "name"] as const) {
    const [is, asked] = [declared[field], given[field]];
    if (asked === undefined || is === "" || is === asked) continue;
    throw new SignetError(
      "secret-invalid",
      field === "namespace"
        ? `namespace mismatch: input secret is in namespace "${is}" but "${asked}" was specified`
        : `name mismatch: input secret is named "${is}" but "${asked}" was specified`,
      { hint: `change metadata.${field} in the manifest, or leave --${field} out` },
    );
  }
  return {
    name: declared.name === "" ? (given.name ?? "") : declared.name,
    namespace: declared.namespace === "" ? (given.namespace ?? "") : declared.namespace,
  };
}
