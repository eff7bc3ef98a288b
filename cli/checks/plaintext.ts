// Finds Secrets in plain text: in manifests, charts, annotations and Kustomizations.
// SPEC.md, "Whole repositories".

import { isHarmless, unquoted } from "./placeholders.ts";
import { readLines } from "./templatelines.ts";
import { SignetError } from "../../shared/errors.ts";
import {
  type Json,
  lineCounter,
  type ManifestDocument,
  parseManifests,
} from "../../shared/manifest/manifest.ts";
import { MAX_DEPTH, nodeAt } from "../../shared/manifest/tree.ts";
import {
  asObject,
  type JsonObject,
  metadataOf,
  quotesObject,
} from "../../shared/kubernetes/object.ts";

export interface Plaintext {
  readonly rule:
    | "plaintext-secret"
    | "quoted-secret"
    | "last-applied"
    | "kustomize-literal"
    | "kustomize-file"
    | "unreadable";
  readonly severity: "error" | "warning";
  readonly line: number;
  /** `NAMESPACE/NAME`, or what of it is known. */
  readonly object: string | undefined;
  /** Names of items; never a value. */
  readonly items: readonly string[];
  /** Why a part of the text cannot be checked, if it cannot. */
  readonly reason?: string;
}

/** Where a text is from. */
interface Source {
  /** Whether it is a template of a Helm chart, which is mostly no valid YAML. */
  readonly isChartTemplate?: boolean;
}

/** Every Secret in a text that holds a value, and every part of it that may hold one unseen. */
export function findPlaintext(text: string, { isChartTemplate = false }: Source = {}): Plaintext[] {
  return findInText(text, 0, isChartTemplate);
}

/** No manifest that a cluster takes is longer, in characters. */
const MAX_LENGTH = 32 * 1024 * 1024;

/** `depth`: how many objects and texts it is quoted in. */
function findInText(text: string, depth: number, isChartTemplate = false): Plaintext[] {
  if (!mayHold(text)) return [];
  if (text.length > MAX_LENGTH) return [unreadable("it is too large to be parsed", 1)];
  const { documents } = parsed(text);
  if (documents !== null) return findInDocuments(documents, text, depth);
  // Other documents of the file may be valid.
  let before = 0;
  return text.split(/^(?=---)/m).flatMap((chunk) => {
    const inside = parsed(chunk);
    const each =
      inside.documents === null
        ? findInBroken(chunk, inside.error, isChartTemplate)
        : findInDocuments(inside.documents, chunk, depth);
    const offset = before;
    before += newlinesIn(chunk);
    return each.map((one) => ({ ...one, line: one.line + offset }));
  });
}

/** A document that Kubernetes could not read: what its lines show, and whether that is all. */
function findInBroken(chunk: string, error: SignetError, isChartTemplate: boolean): Plaintext[] {
  const { secrets, rest } = readLines(chunk);
  const found = secrets.map((secret): Plaintext => ({
    rule: "plaintext-secret",
    severity: "error",
    ...secret,
  }));
  const isAmbiguous = error.code === "manifest-ambiguous";
  // Elsewhere, a comment with braces in it would be enough to make an error a warning.
  const isTemplate = isChartTemplate && !isAmbiguous && chunk.includes("{{");
  if (found.length > 0 && !isTemplate) return found;
  // Some readers take an ambiguous text without a complaint, so it is as good as a valid one.
  const isDoubtful = isAmbiguous && SECRET_WORD.test(chunk) && chunk.includes("kind");
  if (!isDoubtful && !mayDeclareSecret(isTemplate ? rest : chunk)) return found;
  return [...found, unreadable(error.message, error.place.line ?? 1, isTemplate)];
}

function unreadable(reason: string, line: number, isTemplate = false): Plaintext {
  const severity = isTemplate ? "warning" : "error";
  return { rule: "unreadable", severity, line, object: undefined, items: [], reason };
}

/**
 * A key `kind`, or an alias that may stand for it, and the line on which its value begins. Line ends
 * and comments may come in between.
 */
const KIND_KEY =
  /(?:\bkind["']?|(?<=^|[\s,{[])\*[^\s,[\]{}]+)\s*(?:(?<comment>#)|:\s*(?<line>[^\n]*))/gm;

/** Keys in another form, or what declares Secrets without a kind. */
const OTHER_FORM =
  /^[ \t-]*\?\s|!!binary|!<|^%TAG|secretGenerator|last-applied-configuration|\/stringData/m;

/** Whether a key in quotes has an escape in it, and so may be any key. */
function hasEscapedKey(text: string): boolean {
  const parts = text.split('"');
  return parts.some(
    (part, index) =>
      /\\(?:[xuU][0-9A-Fa-f]{2}|\r?\n)/.test(part) && /^\s*[:#]/.test(parts[index + 1] ?? ""),
  );
}

/** Whether a text that cannot be parsed may be meant to declare a Secret, in whatever spelling. */
function mayDeclareSecret(text: string): boolean {
  if (!mayHold(text)) return false;
  if (OTHER_FORM.test(text) || hasEscapedKey(text)) return true;
  const hasTemplate = /\btemplate\b/.test(text) && /\bdata\b/.test(text);
  return Array.from(text.matchAll(KIND_KEY)).some(({ groups = {} }) => {
    const { comment, line = "" } = groups;
    return (
      comment !== undefined || mayMeanSecret(line) || (hasTemplate && /\bSealedSecret\b/.test(line))
    );
  });
}

/**
 * `line`: from the value of a `kind` on, other keys included. The value may be an escape, an alias, a
 * tag, a block, or below.
 */
function mayMeanSecret(line: string): boolean {
  return /\bSecret(List|Generator)?\b|(^|:\s*)[*&!|>#]|:\s*$|\\/.test(line);
}

const SECRET_WORD = /(^|[^A-Za-z])Secret(List|Generator)?([^A-Za-z]|$)/m;

/**
 * Whether it may hold anything but SealedSecrets; most files need not be parsed. An escape or a tag
 * can write the kind in other letters.
 */
function mayHold(text: string): boolean {
  return (
    SECRET_WORD.test(text) ||
    /secretGenerator|last-applied-configuration|\/stringData|\\|!/.test(text) ||
    (text.includes("SealedSecret") && text.includes("template"))
  );
}

type Parsed =
  | { readonly documents: ManifestDocument[]; readonly error?: undefined }
  | { readonly documents: null; readonly error: SignetError };

/** The documents of a text that can be read. */
export function documentsIn(text: string): readonly ManifestDocument[] {
  return (
    parsed(text).documents ??
    text.split(/^(?=---)/m).flatMap((chunk) => parsed(chunk).documents ?? [])
  );
}

/** No documents where Kubernetes could not read it. */
function parsed(text: string): Parsed {
  try {
    return { documents: parseManifests(text) };
  } catch (error) {
    if (error instanceof SignetError) return { documents: null, error };
    throw error;
  }
}

function newlinesIn(text: string): number {
  return text.match(/\n/g)?.length ?? 0;
}

/** The line of the value at a path. */
type LineAt = (path: readonly string[]) => number;

function findInDocuments(
  documents: readonly ManifestDocument[],
  text: string,
  depth: number,
): Plaintext[] {
  const lineOf = lineCounter(text);
  return documents.flatMap((document) => {
    const lineAt: LineAt = (path) =>
      lineOf(nodeAt(document.root, path)?.start ?? document.root.start);
    return [
      ...inValue(document.value, [], lineAt, depth),
      ...inJsonPatch(document.value, false, lineAt([])),
    ];
  });
}

/** Lists in Lists, texts in texts. */
const MAX_NESTING = 4;
const TOO_DEEP = `nested deeper than ${MAX_NESTING} objects and texts`;

/**
 * Whole Secrets inside another object, such as the values of a chart that creates objects from
 * them, a template of OpenShift, an object that Crossplane or Kyverno create, a patch, or a text in
 * a ConfigMap.
 */
function within(value: Json, path: readonly string[], lineAt: LineAt, depth: number): Plaintext[] {
  if (typeof value === "string") return inQuote(value, path, lineAt, depth);
  if (typeof value !== "object" || value === null) return [];
  if (path.length > MAX_DEPTH) {
    throw new SignetError("manifest-syntax", `nested deeper than ${MAX_DEPTH} levels`);
  }
  const patch = asObject(value)?.["patch"];
  const target = asObject(asObject(value)?.["target"] ?? null);
  const ofPatch = patch === undefined ? [] : inPatch(patch, target, lineAt(path));
  const inside = Object.entries(value).flatMap(([key, inner]) => {
    const below = [...path, key];
    return isWhole(inner)
      ? inValue(inner, below, lineAt, depth + 1)
      : within(inner, below, lineAt, depth);
  });
  return [...ofPatch, ...inside];
}

/** Whether an object inside another one is more than a reference or a rule, which has a kind too. */
function isWhole(value: Json): boolean {
  const object = asObject(value) ?? {};
  const has = (field: string): boolean => asObject(object[field] ?? null) !== null;
  switch (object["kind"]) {
    case "Secret": {
      // A reference has a name beside its kind, and may say which items it takes.
      const isReference = typeof object["name"] === "string" && object["apiVersion"] === undefined;
      return (
        ["metadata", "stringData"].some(has) ||
        (has("data") && !isReference) ||
        generatedBody(object) !== null
      );
    }
    case "SecretList":
      return Array.isArray(object["items"]);
    case "SealedSecret":
      return has("spec");
    default:
      return false;
  }
}

/** What Kyverno makes a Secret of: beside its kind and name, everything else is below `data`. */
function generatedBody({ name, metadata, data }: JsonObject): JsonObject | null {
  if (typeof name !== "string" || metadata !== undefined) return null;
  const body = asObject(data ?? null) ?? {};
  const isBody = ["data", "stringData"].some((field) => asObject(body[field] ?? null) !== null);
  return isBody ? body : null;
}

/** A text that quotes manifests, such as an annotation that holds a copy of the object. */
function inQuote(
  text: string,
  path: readonly string[],
  lineAt: LineAt,
  depth: number,
): Plaintext[] {
  if (!mayHold(text) || !/kind|secretGenerator|\\[xuU]/.test(text)) return [];
  const isCopy = quotesObject(path.at(-1) ?? "");
  const line = lineAt(path);
  if (depth > MAX_NESTING) return [unreadable(TOO_DEEP, line)];
  const { documents, error } = parsed(text);
  // A sentence that has the words in it.
  if (documents?.length === 1 && documents[0]?.value === text.trim()) return [];
  if (isCopy && error !== undefined) return [unreadable(`a copy: ${error.message}`, line)];
  const rule = isCopy ? "last-applied" : "quoted-secret";
  return findInText(text, depth + 1).flatMap((one): Plaintext[] => {
    if (one.rule !== "unreadable") return [{ ...one, rule, line }];
    // Other texts only look like manifests.
    return error === undefined ? [{ ...one, line }] : [];
  });
}

/** A patch of a Kustomization, as a list of operations. */
function inPatch(patch: Json, target: JsonObject | null, line: number): Plaintext[] {
  const isOfSecret = target?.["kind"] === "Secret";
  const documents =
    typeof patch === "string" ? (parsed(patch).documents ?? []) : [{ value: patch }];
  return documents
    .flatMap(({ value }) => inJsonPatch(value, isOfSecret, line))
    .map((one) => ({ ...one, object: nameOf({ metadata: target }) }));
}

/** Values that operations put into a Secret. Without its kind, `/stringData` shows that it is one. */
function inJsonPatch(value: Json, isOfSecret: boolean, line: number): Plaintext[] {
  const items = (Array.isArray(value) ? value : []).flatMap((each) => {
    const { path, value: added = null } = asObject(each) ?? {};
    const [, field, item] =
      (typeof path === "string" ? /^\/(data|stringData)(?:\/([^/]+))?$/.exec(path) : null) ?? [];
    if (field === undefined || (field === "data" && !isOfSecret)) return [];
    return filledItems(item === undefined ? added : { [item]: added }, field === "data");
  });
  if (items.length === 0) return [];
  return [{ rule: "quoted-secret", severity: "error", line, object: undefined, items }];
}

function inValue(value: Json, path: readonly string[], lineAt: LineAt, depth: number): Plaintext[] {
  const object = asObject(value);
  if (object === null) return within(value, path, lineAt, depth);
  if (depth > MAX_NESTING) {
    return [unreadable(TOO_DEEP, lineAt(path))];
  }
  const { kind, items: listed, ...others } = object;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(listed)) {
    const typed = kind === "SecretList" ? { kind: "Secret" } : {};
    const inItems = listed.flatMap((each, index) => {
      const item = asObject(each);
      const below = [...path, "items", String(index)];
      return item === null
        ? within(each, below, lineAt, depth)
        : inValue({ ...typed, ...item }, below, lineAt, depth + 1);
    });
    return [...inItems, ...within(others, path, lineAt, depth)];
  }
  const isSecret = kind === "Secret";
  const isSealed = kind === "SealedSecret";
  const { data: _data, stringData: _stringData, ...besideItems } = object;
  return [
    isSecret ? inSecret(object, lineAt(path)) : [],
    within(isSecret ? besideItems : value, path, lineAt, depth),
    isSealed ? inTemplateOf(object, lineAt([...path, "spec", "template", "data"])) : [],
    inGenerators(object, path, lineAt),
  ].flat();
}

function inSecret(object: JsonObject, line: number): Plaintext[] {
  const body = generatedBody(object);
  const { data, stringData } = body ?? object;
  const items = [...filledItems(data, true), ...filledItems(stringData, false)];
  if (items.length === 0) return [];
  const name = nameOf(body === null ? object : { metadata: object });
  return [{ rule: "plaintext-secret", severity: "error", line, object: name, items }];
}

/** Literals in the template of a SealedSecret. */
function inTemplateOf(object: JsonObject, line: number): Plaintext[] {
  const template = asObject(asObject(object["spec"] ?? null)?.["template"] ?? null);
  const items = filledItems(template?.["data"], false);
  if (items.length === 0) return [];
  return [{ rule: "plaintext-secret", severity: "error", line, object: nameOf(object), items }];
}

function inGenerators(object: JsonObject, path: readonly string[], lineAt: LineAt): Plaintext[] {
  return generatorsOf(object).flatMap(({ generator, path: below }): Plaintext[] => {
    const literals: Json[] = Array.isArray(generator["literals"]) ? generator["literals"] : [];
    const items = literals.flatMap(literalItem);
    if (items.length === 0) return [];
    const line = lineAt([...path, ...below]);
    const name = nameOf({ metadata: generator }) ?? nameOf(generator);
    return [{ rule: "kustomize-literal", severity: "error", line, object: name, items }];
  });
}

/** The generators of Secrets in an object of Kustomize, and where they are in it. */
export function generatorsOf(
  object: JsonObject,
): { readonly generator: JsonObject; readonly path: readonly string[] }[] {
  if (object["kind"] === "SecretGenerator") return [{ generator: object, path: [] }];
  const listed = object["secretGenerator"];
  return (Array.isArray(listed) ? listed : []).map((each, index) => ({
    generator: asObject(each) ?? {},
    path: ["secretGenerator", String(index)],
  }));
}

/** Items whose value is neither empty nor a placeholder. */
function filledItems(value: Json | undefined, isBase64: boolean): string[] {
  return Object.entries(asObject(value ?? {}) ?? {})
    .filter(
      ([, text]) => text !== null && !(typeof text === "string" && isHarmless(text, isBase64)),
    )
    .map(([item]) => item);
}

/** The name of a literal `NAME=VALUE` that has a value. */
export function literalItem(literal: Json): string[] {
  if (typeof literal !== "string") return [];
  const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(literal) ?? [];
  return name === undefined || isHarmless(unquoted(value), false) ? [] : [name];
}

function nameOf(object: JsonObject): string | undefined {
  const { name, namespace } = metadataOf(object);
  const parts = [namespace, name].filter(
    (part): part is string => typeof part === "string" && part !== "",
  );
  return parts.length === 0 ? undefined : parts.join("/");
}
