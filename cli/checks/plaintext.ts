// Finds Secrets in plain text: in manifests, charts, annotations and Kustomizations.
// SPEC.md, "Whole repositories".

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
  readonly rule: "plaintext-secret" | "last-applied" | "kustomize-literal";
  readonly line: number;
  /** `NAMESPACE/NAME`, or what of it is known. */
  readonly object: string | undefined;
  /** Names of items; never a value. */
  readonly items: readonly string[];
}

/** Every Secret in a text that holds a value. */
export function findPlaintext(text: string): Plaintext[] {
  if (!mayHold(text)) return [];
  const documents = parsed(text);
  if (documents !== null) return findInDocuments(documents, text);
  // A chart's template is not valid YAML; other documents of the file may be.
  const found: Plaintext[] = [];
  let before = 0;
  for (const chunk of text.split(/^---.*$/m)) {
    const inside = parsed(chunk);
    const each = inside === null ? findInTemplate(chunk) : findInDocuments(inside, chunk);
    found.push(...each.map((one) => ({ ...one, line: one.line + before })));
    before += newlinesIn(chunk);
  }
  return found;
}

/**
 * Whether it may hold anything but SealedSecrets; most files need not be parsed. An escape or a tag
 * can write the kind in other letters.
 */
function mayHold(text: string): boolean {
  return (
    /(^|[^A-Za-z])Secret(List)?([^A-Za-z]|$)/m.test(text) ||
    /secretGenerator|last-applied-configuration|\\|!/.test(text) ||
    (text.includes("SealedSecret") && text.includes("template"))
  );
}

/** Null where Kubernetes could not read it. */
function parsed(text: string): ManifestDocument[] | null {
  try {
    return parseManifests(text);
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

function newlinesIn(text: string): number {
  return text.match(/\n/g)?.length ?? 0;
}

/** The line of the value at a path. */
type LineAt = (path: readonly string[]) => number;

function findInDocuments(documents: readonly ManifestDocument[], text: string): Plaintext[] {
  const lineOf = lineCounter(text);
  return documents.flatMap((document) => {
    const lineAt: LineAt = (path) =>
      lineOf(nodeAt(document.root, path)?.start ?? document.root.start);
    return inValue(document.value, [], lineAt, 0);
  });
}

/** Lists in Lists, annotations in annotations. */
const MAX_NESTING = 4;

/**
 * Whole Secrets inside another object, such as the values of a chart that creates objects from
 * them, a template of OpenShift, or an object that Crossplane or Kyverno create.
 */
function within(value: Json, path: readonly string[], lineAt: LineAt, depth: number): Plaintext[] {
  if (typeof value !== "object" || value === null) return [];
  if (path.length > MAX_DEPTH) {
    throw new SignetError("manifest-syntax", `nested deeper than ${MAX_DEPTH} levels`);
  }
  return Object.entries(value).flatMap(([key, inner]) => {
    const below = [...path, key];
    const object = asObject(inner);
    // A reference to a Secret has a kind and a name only.
    const isWhole = object?.["kind"] === "Secret" && asObject(object["metadata"] ?? null) !== null;
    return isWhole ? inValue(inner, below, lineAt, depth + 1) : within(inner, below, lineAt, depth);
  });
}

function inValue(value: Json, path: readonly string[], lineAt: LineAt, depth: number): Plaintext[] {
  const object = asObject(value);
  if (object === null || depth > MAX_NESTING) return [];
  const { kind, items: listed } = object;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(listed)) {
    const typed = kind === "SecretList" ? { kind: "Secret" } : {};
    return listed.flatMap((each, index) => {
      const item = asObject(each);
      const below = [...path, "items", String(index)];
      return item === null ? [] : inValue({ ...typed, ...item }, below, lineAt, depth + 1);
    });
  }
  const found: Plaintext[] = [];
  if (kind === "Secret") {
    const items = [
      ...filledItems(object["data"], true),
      ...filledItems(object["stringData"], false),
    ];
    if (items.length > 0) {
      const rule = "plaintext-secret";
      found.push({ rule, line: lineAt(path), object: nameOf(object), items });
    }
  } else {
    found.push(...within(object, path, lineAt, depth));
  }
  if (kind === "SealedSecret") {
    const template = asObject(asObject(object["spec"] ?? null)?.["template"] ?? null);
    const items = filledItems(template?.["data"], false);
    if (items.length > 0) {
      const line = lineAt([...path, "spec", "template", "data"]);
      found.push({ rule: "plaintext-secret", line, object: nameOf(object), items });
    }
  }
  const generators = object["secretGenerator"];
  for (const [index, each] of (Array.isArray(generators) ? generators : []).entries()) {
    const generator = asObject(each) ?? {};
    const literals: Json[] = Array.isArray(generator["literals"]) ? generator["literals"] : [];
    const items = literals.flatMap(literalItem);
    if (items.length === 0) continue;
    const line = lineAt([...path, "secretGenerator", String(index)]);
    found.push({ rule: "kustomize-literal", line, object: nameOf({ metadata: generator }), items });
  }
  // Also in a SealedSecret's template, which keeps the annotations of its Secret.
  for (const above of [[], ["spec", "template"]]) {
    const inAnnotations = [...path, ...above, "metadata", "annotations"];
    const owner = above.reduce<JsonObject>(
      (outer, key) => asObject(outer[key] ?? null) ?? {},
      object,
    );
    const annotations = asObject(metadataOf(owner)["annotations"] ?? null) ?? {};
    for (const [name, quoted] of Object.entries(annotations)) {
      if (!quotesObject(name) || typeof quoted !== "string") continue;
      const line = lineAt([...inAnnotations, name]);
      const inside = inValue(parsedJson(quoted), [], () => line, depth + 1);
      found.push(...inside.map((one): Plaintext => ({ ...one, rule: "last-applied" })));
    }
  }
  return found;
}

function parsedJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
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
function literalItem(literal: Json): string[] {
  if (typeof literal !== "string") return [];
  const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(literal) ?? [];
  return name === undefined || isHarmless(unquoted(value), false) ? [] : [name];
}

function isHarmless(text: string, isBase64: boolean): boolean {
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
/** Placeholders that people write, references to secret stores, and values encrypted by SOPS. */
const STAND_IN =
  /^(<[A-Za-z0-9_ .-]+>|x{3,}|\*{3,}|\.{3}|(change|replace|fill)[-_ ]?me|placeholder|redacted|todo|(ref\+|vault:|op:\/\/)\S+|ENC\[AES256_GCM,[^\]]*\])$/i;
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
  return rest !== text && !CREDENTIAL.test(rest) && !hasPassword(rest);
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
  let rest = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    let end = -1;
    for (const { open, close, closeFrom } of kinds) {
      if (end !== -1 || !text.startsWith(open, at)) continue;
      const closed = closeFrom(at + open.length);
      if (closed !== -1) end = closed + close.length;
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

/** A chart's template is not valid YAML: its lines must look exactly like a Secret. */
function findInTemplate(text: string): Plaintext[] {
  const lines = text.split(/\r?\n/);
  const flat = lines.map((line) => line.replace(/^( *)-(?= )/, "$1 "));
  // Where the last object of each indentation ends: a second kind in it is the same object.
  const ends = new Map<number, number>();
  return lines.flatMap((line, index): Plaintext[] => {
    const lead = /^( *(?:- +)?)kind: *["']?Secret["']? *(?:#.*)?$/.exec(line)?.[1];
    if (lead === undefined || index < (ends.get(lead.length) ?? 0)) return [];
    const { own, end } = linesOfObject(lines, flat, index, lead.length);
    ends.set(lead.length, end);
    const items = ["data", "stringData"].flatMap((field) => itemsInLines(own, lead.length, field));
    const name = own.flatMap(
      (each) => /^ +name: *["']?([-.a-z0-9]+)["']? *$/.exec(each)?.[1] ?? [],
    );
    const rule = "plaintext-secret";
    return items.length === 0 ? [] : [{ rule, line: index + 1, object: name[0], items }];
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
  lines: readonly string[],
  flat: readonly string[],
  index: number,
  indent: number,
): { own: string[]; end: number } {
  const isInside = (at: number): boolean =>
    isFiller(flat[at] ?? "") || indentOf(flat[at] ?? "") >= indent;
  const begins = (at: number): boolean =>
    lines[at] !== flat[at] && indentOf(flat[at] ?? "") === indent;
  let from = index;
  while (!begins(from) && from > 0 && isInside(from - 1)) from--;
  let to = index + 1;
  while (to < lines.length && isInside(to) && !begins(to)) to++;
  return { own: flat.slice(from, to), end: to };
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
