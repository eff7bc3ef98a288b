// Finds Secrets in plain text: in manifests, charts, annotations and Kustomizations.
// SPEC.md, "Whole repositories".

import { hasLiteral } from "./literals.ts";
import { decodeBase64 } from "../../shared/base64.ts";
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

/** Every Secret in a text that holds a value, and every part of it that may hold one unseen. */
export function findPlaintext(text: string): Plaintext[] {
  return findInText(text, 0);
}

/** No manifest that a cluster takes is longer, in characters. */
const MAX_LENGTH = 32 * 1024 * 1024;

/** `depth`: how many objects and texts it is quoted in. */
function findInText(text: string, depth: number): Plaintext[] {
  if (!mayHold(text)) return [];
  if (text.length > MAX_LENGTH) return [unreadable("it is too large to be parsed", 1)];
  const { documents } = parsed(text);
  if (documents !== null) return findInDocuments(documents, text, depth);
  // A chart's template is not valid YAML; other documents of the file may be.
  let before = 0;
  return text.split(/^(?=---)/m).flatMap((chunk) => {
    const inside = parsed(chunk);
    const each =
      inside.documents === null
        ? findInBroken(chunk, inside.error)
        : findInDocuments(inside.documents, chunk, depth);
    const offset = before;
    before += newlinesIn(chunk);
    return each.map((one) => ({ ...one, line: one.line + offset }));
  });
}

/** A document that Kubernetes could not read: what its lines show, and whether that is all. */
function findInBroken(chunk: string, error: SignetError): Plaintext[] {
  const found = findInTemplate(chunk);
  const isTemplate = chunk.includes("{{");
  const unseen = isTemplate
    ? chunk
        .split("\n")
        .filter((line) => !SECRET_LINE.test(line.replace(/\r$/, "")))
        .join("\n")
    : chunk;
  if (!mayDeclareSecret(unseen) || (found.length > 0 && !isTemplate)) return found;
  return [...found, unreadable(error.message, error.place.line ?? 1, isTemplate)];
}

function unreadable(reason: string, line: number, isTemplate = false): Plaintext {
  const severity = isTemplate ? "warning" : "error";
  return { rule: "unreadable", severity, line, object: undefined, items: [], reason };
}

/** Whether a text that cannot be parsed may be meant to declare a Secret, in whatever spelling. */
function mayDeclareSecret(text: string): boolean {
  return text.split("\n").some((line) => {
    const kind = line.search(/\bkind["']?\s*:/);
    if (kind >= 0 && mayMeanSecret(line.slice(kind))) return true;
    const hasEscapedKey = /\\[xuU][0-9A-Fa-f]{2}/.test(line) && /"\s*:/.test(line);
    return hasEscapedKey || /^\s*\?\s|secretGenerator|last-applied-configuration/.test(line);
  });
}

/** `line`: from its first `kind` on. The value may be an escape, an alias, a tag, a block, or below. */
function mayMeanSecret(line: string): boolean {
  return /\bSecret(List|Generator)?\b|:\s*[*&!|>]|:\s*$|\\/.test(line);
}

/**
 * Whether it may hold anything but SealedSecrets; most files need not be parsed. An escape or a tag
 * can write the kind in other letters.
 */
function mayHold(text: string): boolean {
  return (
    /(^|[^A-Za-z])Secret(List|Generator)?([^A-Za-z]|$)/m.test(text) ||
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

/** A reference to a Secret has a kind and a name only. */
function isWhole(value: Json): boolean {
  const { kind, metadata, stringData, spec } = asObject(value) ?? {};
  const has = (field: Json | undefined): boolean => asObject(field ?? null) !== null;
  return kind === "Secret"
    ? has(metadata) || has(stringData)
    : kind === "SealedSecret" && has(spec);
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
  const { kind, items: listed, metadata = null } = object;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(listed)) {
    const typed = kind === "SecretList" ? { kind: "Secret" } : {};
    return listed.flatMap((each, index) => {
      const item = asObject(each);
      const below = [...path, "items", String(index)];
      return item === null ? [] : inValue({ ...typed, ...item }, below, lineAt, depth + 1);
    });
  }
  const isSecret = kind === "Secret";
  const isSealed = kind === "SealedSecret";
  return [
    isSecret ? inSecret(object, lineAt(path)) : within(value, path, lineAt, depth),
    isSealed ? inTemplateOf(object, lineAt([...path, "spec", "template", "data"])) : [],
    isSecret ? within(metadata, [...path, "metadata"], lineAt, depth) : [],
    inGenerators(object, path, lineAt),
  ].flat();
}

function inSecret(object: JsonObject, line: number): Plaintext[] {
  const items = [...filledItems(object["data"], true), ...filledItems(object["stringData"], false)];
  if (items.length === 0) return [];
  return [{ rule: "plaintext-secret", severity: "error", line, object: nameOf(object), items }];
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

/** Whether a value is empty or a placeholder. */
export function isHarmless(text: string, isBase64: boolean): boolean {
  if (text.trim() === "" || isPlaceholder(text)) return true;
  const bytes = isBase64 ? decodeBase64(text) : null;
  return bytes !== null && isPlaceholder(new TextDecoder().decode(bytes));
}

/** What Helm, envsubst, Argo CD's Vault plugin and similar tools replace later. */
const HOLES = [
  ["{{", "}}"],
  ["${", "}"],
  ["<path:", ">"],
] as const;
const VARIABLE = /\$\([A-Za-z0-9_]+\)/y;
/**
 * Placeholders that people write, references as vals, Bank-Vaults and 1Password read them, and values
 * encrypted by SOPS.
 */
const STAND_IN =
  /^(<[A-Za-z0-9_ .-]+>|x{3,}|\*{3,}|\.{3}|(change|replace|fill)[-_ ]?me|placeholder|redacted|todo|(secret)?ref\+(?!echo:)[a-z0-9]+:\/\/\S+|(>>)?vault:[^\s#/]+\/[^\s#]*#\S+|op:\/\/[^\s/]+(\/[^\s/]+){2,3}|ENC\[AES256_GCM,[^\]]*\])$/i;
/** A template with a constant result, such as `{{ "text" | b64enc }}`. */
const CONSTANT = /\{\{-?\s*(["'`])[^"'`]+\1\s*/g;
/** What stands before the host of an address. */
const USER = /:\/\/([^/@\s]*)@/g;
/** An entry of a configuration file whose name suggests a password. */
const CREDENTIAL = /(passw(or)?d|passphrase|secret|token|api_?key)["']?\s*[:=]\s*["']?[^\s"'\0]/i;

function isPlaceholder(text: string): boolean {
  if (STAND_IN.test(text.trim())) return true;
  if (hasConstant(text)) return false;
  const rest = withoutHoles(text);
  return rest !== text && !CREDENTIAL.test(rest) && !hasPassword(rest) && !hasLiteral(rest);
}

/**
 * `indexOf` for calls with ascending offsets: each looks only where none looked before, so that all
 * together take one pass.
 */
function ascendingIndexOf(text: string, wanted: string): (from: number) => number {
  let found = text.indexOf(wanted);
  return (from) => {
    if (found !== -1 && found < from) found = text.indexOf(wanted, from);
    return found;
  };
}

/** The text with NUL in place of each hole. */
function withoutHoles(text: string): string {
  const kinds = HOLES.map(([open, close]) => ({
    open,
    close,
    closeFrom: ascendingIndexOf(text, close),
  }));
  const keyFrom = ascendingIndexOf(text, "#");
  let rest = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    let end = -1;
    for (const { open, close, closeFrom } of kinds) {
      if (end !== -1 || !text.startsWith(open, at)) continue;
      const closed = closeFrom(at + open.length);
      // A path of the plugin for Vault names a key.
      const isHole = open !== "<path:" || (keyFrom(at) !== -1 && keyFrom(at) < closed);
      if (closed !== -1 && isHole) end = closed + close.length;
    }
    VARIABLE.lastIndex = at;
    if (end === -1 && VARIABLE.test(text)) end = VARIABLE.lastIndex;
    if (end === -1) continue;
    rest += `${text.slice(copied, at)}\0`;
    copied = end;
    at = end - 1;
  }
  return rest + text.slice(copied);
}

function hasConstant(text: string): boolean {
  const braceFrom = ascendingIndexOf(text, "}");
  CONSTANT.lastIndex = 0;
  for (let head = CONSTANT.exec(text); head !== null; head = CONSTANT.exec(text)) {
    const after = CONSTANT.lastIndex;
    const end = text[after] === "|" ? braceFrom(after) : after + Number(text[after] === "-");
    if (end !== -1 && text.startsWith("}}", end)) return true;
    // Another may begin within this one.
    CONSTANT.lastIndex = head.index + 2;
  }
  return false;
}

/** Whether an address has a password that is no hole. */
function hasPassword(text: string): boolean {
  return [...text.matchAll(USER)].some(([, user = ""]) => {
    const colon = user.indexOf(":", user.lastIndexOf("\0") + 1);
    return colon !== -1 && colon < user.length - 1;
  });
}

function nameOf(object: JsonObject): string | undefined {
  const { name, namespace } = metadataOf(object);
  const parts = [namespace, name].filter(
    (part): part is string => typeof part === "string" && part !== "",
  );
  return parts.length === 0 ? undefined : parts.join("/");
}

/** The kind of a Secret on a line of its own, also as the result of a template. */
const SECRET_LINE =
  /^( *(?:- +)?)["']?kind["']?: *(?:["']?Secret["']?|\{\{(?=[^\n]*\bSecret\b)[^\n]*\}\}) *(?:#.*)?$/;

/** A line of a chart's template. */
interface TemplateLine {
  readonly text: string;
  readonly number: number;
  /** The text with a blank in place of a first dash. */
  readonly flat: string;
  readonly indent: number;
}

/**
 * A chart's template is not valid YAML: its lines must look exactly like a Secret.
 *
 * A line is part of one object for each of its leading blanks at most, so that the time grows with
 * the text. Lines that are part of any object would break that, and say nothing: they are left out.
 */
function findInTemplate(text: string): Plaintext[] {
  const lines = text.split(/\r?\n/).flatMap((line, index): TemplateLine[] => {
    if (isFiller(line)) return [];
    const flat = line.replace(/^( *)-(?= )/, "$1 ");
    return [{ text: line, number: index + 1, flat, indent: indentOf(flat) }];
  });
  // Where the last object of each indentation ends: a second kind in it is the same object.
  const ends = new Map<number, number>();
  return lines.flatMap((line, index): Plaintext[] => {
    const lead = SECRET_LINE.exec(line.text)?.[1];
    if (lead === undefined || index < (ends.get(lead.length) ?? 0)) return [];
    const { own, end } = linesOfObject(lines, index, lead.length);
    ends.set(lead.length, end);
    const items = ["data", "stringData"].flatMap((field) => itemsInLines(own, lead.length, field));
    const name = own.flatMap(
      (each) => /^ +name: *["']?([-.a-z0-9]+)["']? *$/.exec(each)?.[1] ?? [],
    );
    const found = { rule: "plaintext-secret", severity: "error" } as const;
    return items.length === 0 ? [] : [{ ...found, line: line.number, object: name[0], items }];
  });
}

/**
 * Whether a line may stand anywhere in an object: blank, a comment, or an action of the template.
 */
function isFiller(line: string): boolean {
  return /^\s*($|#|\{\{(?!.*\}\}["']?:(\s|$)))/.test(line);
}

const indentOf = (line: string): number => /^ */.exec(line)?.[0].length ?? 0;

/** The lines of the object with a key on line `index`, without the dashes of a list. */
function linesOfObject(
  lines: readonly TemplateLine[],
  index: number,
  indent: number,
): { own: string[]; end: number } {
  const isInside = (line: TemplateLine | undefined): boolean =>
    line !== undefined && line.indent >= indent;
  const begins = (line: TemplateLine | undefined): boolean =>
    line?.indent === indent && line.text !== line.flat;
  let from = index;
  while (!begins(lines[from]) && isInside(lines[from - 1])) from--;
  let to = index + 1;
  while (isInside(lines[to]) && !begins(lines[to])) to++;
  return { own: lines.slice(from, to).map(({ flat }) => flat), end: to };
}

/** Names of a field's items that have a value, in block form or as `{name: value}`. */
function itemsInLines(lines: readonly string[], indent: number, field: string): string[] {
  const head = new RegExp(`^ {${indent}}${field}: *(?:#.*)?$`);
  const flow = new RegExp(`^ {${indent}}${field}: *\\{(?!\\{)(.*)\\}`);
  const isBase64 = field === "data";
  const values: [string, string][] = [];
  let inner: number | undefined;
  for (const [at, line] of lines.entries()) {
    const inBraces = flow.exec(line)?.[1];
    for (const [, item = "", value = ""] of inBraces?.matchAll(
      /(?<![-._\w])([-._\w]+)["']?: *([^,]+)/g,
    ) ?? []) {
      values.push([item, value]);
    }
    if (head.test(line)) {
      let below = at + 1;
      while (below < lines.length && isFiller(lines[below] ?? "")) below++;
      const next = lines[below];
      inner = next !== undefined && indentOf(next) > indent ? indentOf(next) : undefined;
      continue;
    }
    if (isFiller(line) || inner === undefined) continue;
    const here = indentOf(line);
    if (here < inner) {
      inner = undefined;
    } else if (here === inner) {
      const entry = /^ *["']?([-._\w]+|\{\{.*?\}\})["']?:(?: +(.*))?$/.exec(line);
      if (entry !== null) values.push([entry[1] ?? "", entry[2] ?? ""]);
    } else {
      // The value continues: a block of text, or a value on its own line.
      const last = values.at(-1);
      if (last !== undefined) last[1] += `\n${line.trim()}`;
    }
  }
  return values.flatMap(([item, written]) => {
    const value = unquoted(written.trim().replace(/^[|>][-+0-9]*(?= *#|\n|$)|(^| )#[^\n]*/g, ""));
    return /^(null|~)?$/.test(value) || isHarmless(value, isBase64) ? [] : [item];
  });
}

function unquoted(text: string): string {
  return /^(["'])([^]*)\1$/.exec(text.trim())?.[2] ?? text.trim();
}
