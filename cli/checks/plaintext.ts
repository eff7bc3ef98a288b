// Finds Secrets in plain text: in manifests, charts, annotations and Kustomizations.
// SPEC.md, "Whole repositories".

import { SignetError } from "../../shared/errors.ts";
import { asObject, quotesObject } from "../../shared/kubernetes/object.ts";
import { type Json, lineCounter, type ManifestDocument } from "../../shared/manifest/manifest.ts";
import { MAX_DEPTH, nodeAt } from "../../shared/manifest/tree.ts";
import { type Parsed, parsed } from "./documentsoftext.ts";
import { decodedText } from "./encodedtexts.ts";
import { hereDocumentsIn } from "./heredocuments.ts";
import { findInCommands } from "./kubectlcommands.ts";
import { type Plaintext, unreadable } from "./plaintextfindings.ts";
import {
  besideItems,
  inGenerators,
  inSecret,
  inStringData,
  inTemplateOf,
  isWhole,
  type LineAt,
  ofPulumi,
} from "./secretobjects.ts";
import { withParameters } from "./openshifttemplates.ts";
import { inJsonPatch, inPatch } from "./secretpatches.ts";
import { isTerraform, terraformBlocks } from "./terraformblocks.ts";
import { inResources } from "./terraformresources.ts";
import { mayDeclareSecret, mayHold, SECRET_WORD } from "./secretwords.ts";
import { readLines } from "./templatelines.ts";
import {
  branchTexts,
  ofCopier,
  ofYtt,
  type Template,
  templateOf,
  wholeText,
  withActions,
  withVariables,
  withYttTexts,
} from "./templates.ts";

/** Where a text is from. */
interface Source {
  /** Whether it is a template of a Helm chart, or named as one of another tool: mostly no valid YAML. */
  readonly isChartTemplate?: boolean;
}

/** Every Secret in a text that holds a value, and every part of it that may hold one unseen. */
export function findPlaintext(text: string, { isChartTemplate = false }: Source = {}): Plaintext[] {
  // A tag that Kubernetes does not know: the blanks keep each place as it is.
  const known = text.replace(/ !vault(-encrypted)? (?=\|)/g, (tag) => " ".repeat(tag.length));
  const whole = known.replace(/^\uFEFF/, "");
  return [
    ...findInText(withYttTexts(whole), 0, isChartTemplate),
    ...findInBlocks(whole),
    ...findInCommands(whole),
  ];
}

/** No manifest that a cluster takes is longer, in characters. */
const MAX_LENGTH = 32 * 1024 * 1024;

/** `depth`: how many objects and texts it is quoted in. */
function findInText(text: string, depth: number, isChartTemplate = false): Plaintext[] {
  if (!mayHold(text)) return [];
  if (text.length > MAX_LENGTH) return [unreadable("it is too large to be parsed", 1)];
  const whole = parsed(text);
  const { documents } = whole;
  // To YAML, a script may be a long sentence.
  const isSentence = documents?.length === 1 && typeof documents[0]?.value === "string";
  const script = documents === null || isSentence ? hereDocumentsIn(text) : null;
  if (script !== null) return findInScript(script, depth, isChartTemplate);
  // Comments before JSON on one line make all of it a sentence.
  const bare = isSentence ? withoutComments(text) : null;
  if (bare !== null) return findInText(bare, depth, isChartTemplate);
  if (documents !== null) return findInDocuments(documents, text, depth);
  const lines = jsonLines(text);
  if (lines !== null) return lines.flatMap((line, index) => inJsonLine(line, index, depth));
  const found = findInParts(text, depth, isChartTemplate, whole);
  return isTerraform(text) ? found.filter(({ rule }) => rule !== "unreadable") : found;
}

/** Blocks of Terraform, which have the same values as its JSON. */
function findInBlocks(text: string): Plaintext[] {
  return terraformBlocks(text).flatMap(({ object, lineAt }) => inValue(object, [], lineAt, 0));
}

/** JSON without the comments that editors allow in it; null for any other text. */
function withoutComments(text: string): string | null {
  if (!/^\s*\/[/*]/.test(text) || !/[}\]]\s*$/.test(text)) return null;
  const bare = text.replace(/^[ \t]*(?:\/\/.*|\/\*[^*\n]*\*\/[ \t\r]*)$/gm, "");
  return bare === text ? null : bare;
}

const KIND_LINE = /^[ \t]*(?:- )?\{? ?["']?kind["']? *:/m;

/** A text with here-documents, each of which may be manifests. */
function findInScript(
  { inside, rest }: NonNullable<ReturnType<typeof hereDocumentsIn>>,
  depth: number,
  isChartTemplate: boolean,
): Plaintext[] {
  if (depth > MAX_NESTING) return [unreadable(TOO_DEEP, 1)];
  const found = inside.flatMap(({ text, before }) => {
    // It may be in any language, and speak of a Secret.
    const isManifest = KIND_LINE.test(text);
    return findInText(text, depth + 1, isChartTemplate)
      .filter(({ rule }) => rule !== "unreadable" || isManifest)
      .map((one) => ({ ...one, line: one.line + before }));
  });
  // What a script is made of besides is no YAML, and need not be.
  const isCode = rest.startsWith("#!") || isTerraform(rest);
  const others = findInParts(rest, depth, isChartTemplate).filter(
    ({ rule }) => rule !== "unreadable" || !isCode,
  );
  return [...found, ...others].sort((a, b) => a.line - b.line);
}

/**
 * The parts of a text that is not valid as a whole: other documents of it may be. `whole`: what parsing
 * it has shown, as most templates are one document, and broken ones take long.
 */
function findInParts(
  text: string,
  depth: number,
  isChartTemplate: boolean,
  whole?: Parsed,
): Plaintext[] {
  let before = 0;
  return withVariables(text)
    .split(/^(?=---)/m)
    .flatMap((chunk) => {
      const inside = chunk === text && whole !== undefined ? whole : parsed(chunk);
      const each =
        inside.documents === null
          ? findInBroken(chunk, inside.error, depth, isChartTemplate)
          : findInDocuments(inside.documents, chunk, depth);
      const offset = before;
      before += newlinesIn(chunk);
      return each.map((one) => ({ ...one, line: one.line + offset }));
    });
}

/** The lines of a text that has an object of JSON on each; null if it is another text. */
function jsonLines(text: string): string[] | null {
  return /^\s*\{\s*"[^\n]*\}[ \t\r]*\n\s*\{\s*"/.test(text) ? text.split("\n") : null;
}

function inJsonLine(line: string, index: number, depth: number): Plaintext[] {
  if (!mayHold(line)) return [];
  const { documents, error } = parsed(line);
  const found =
    documents === null
      ? findInBroken(line, error, depth, false)
      : findInDocuments(documents, line, depth);
  return found.map((one) => ({ ...one, line: one.line + index }));
}

/** A document that Kubernetes could not read: what its lines show, and whether that is all. */
function findInBroken(
  chunk: string,
  error: SignetError,
  depth: number,
  isChartTemplate: boolean,
): Plaintext[] {
  const isAmbiguous = error.code === "manifest-ambiguous";
  // What ytt needs is in comments, so that both branches of a condition may have a key.
  const asActions = isAmbiguous ? ofYtt(chunk) : ofCopier(chunk);
  const template = asActions === null ? null : templateOf(asActions);
  const inTemplate = template === null ? null : findInTemplate(template, depth);
  if (inTemplate !== null) return inTemplate;
  const { secrets, rest } = readLines(chunk);
  const found = secrets.map((secret): Plaintext => ({
    rule: "plaintext-secret",
    severity: "error",
    ...secret,
  }));
  // Elsewhere, a comment with braces in it would be enough to make an error a warning.
  const isTemplate = isChartTemplate && !isAmbiguous && /\{[{%]|<%/.test(chunk);
  if (found.length > 0 && !isTemplate) return found;
  // Some readers take an ambiguous text without a complaint, so it is as good as a valid one.
  const isDoubtful = isAmbiguous && SECRET_WORD.test(chunk) && chunk.includes("kind");
  const isClear =
    isTemplate || (template?.hasActions ?? false) || (!isAmbiguous && OTHER_ACTION.test(chunk));
  if (!isDoubtful && !mayDeclareSecret(isClear ? rest : chunk)) return found;
  return [...found, unreadable(error.message, error.place.line ?? 1, isTemplate)];
}

/** Where ERB, Terraform and others put values in, and variables. */
const OTHER_ACTION = /%\{|<%|\$[({]/;

/** What a template has, also in one branch of a condition only; null where it cannot be read so. */
function findInTemplate(template: Template, depth: number): Plaintext[] | null {
  const inText = (text: string, isBranch: boolean): Plaintext[] | null => {
    const { documents } = parsed(text);
    const whole = documents === null ? null : withActions(documents, template);
    return whole === null ? null : findInDocuments(whole, text, depth, isBranch);
  };
  const inAll = inText(wholeText(template), false);
  if (inAll !== null) return inAll;
  const found = branchTexts(template)?.map((text) => inText(text, true)) ?? [null];
  if (found.includes(null)) return null;
  const merged = new Map<string, Plaintext>();
  for (const one of found.flatMap((each) => each ?? [])) {
    const key = JSON.stringify([one.rule, one.line, one.object, one.reason]);
    const items = new Set([...(merged.get(key)?.items ?? []), ...one.items]);
    merged.set(key, { ...one, items: [...items] });
  }
  return [...merged.values()];
}

function newlinesIn(text: string): number {
  return text.match(/\n/g)?.length ?? 0;
}

function findInDocuments(
  documents: readonly ManifestDocument[],
  text: string,
  depth: number,
  isBranch = false,
): Plaintext[] {
  const lineOf = lineCounter(text);
  return documents.flatMap((document) => {
    // With other branches, an object begins elsewhere, but has its kind in the same place.
    const kindAt = (path: readonly string[]) =>
      isBranch ? nodeAt(document.root, [...path, "kind"]) : null;
    const lineAt: LineAt = (path) => {
      // Most documents need no tree, as they begin with what is found, or nothing is.
      if (path.length === 0 && !isBranch) return document.line;
      const { root } = document;
      return lineOf((kindAt(path) ?? nodeAt(root, path))?.start ?? root.start);
    };
    return [
      ...(Array.isArray(document.value)
        ? document.value.flatMap((each, index) => inValue(each, [String(index)], lineAt, depth))
        : inValue(document.value, [], lineAt, depth)),
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
  // A module of Ansible has the kind beside the patch.
  const isOfSecret = asObject(value)?.["kind"] === "Secret";
  const target = asObject(asObject(value)?.["target"] ?? (isOfSecret ? value : null));
  const ofPatch = patch === undefined ? [] : inPatch(patch, target, lineAt(path));
  const inside = Object.entries(value).flatMap(([key, inner]) => {
    const below = [...path, key];
    return isWhole(inner)
      ? inValue(inner, below, lineAt, depth + 1)
      : within(inner, below, lineAt, depth);
  });
  const resources = inResources(asObject(value) ?? {}, path, lineAt);
  return [...inStringData(asObject(value), lineAt(path)), ...resources, ...ofPatch, ...inside];
}

function inQuote(
  text: string,
  path: readonly string[],
  lineAt: LineAt,
  depth: number,
): Plaintext[] {
  if (!mayHold(text)) return [];
  const decoded = depth > MAX_NESTING ? null : decodedText(text);
  if (decoded !== null) return inQuote(decoded, path, lineAt, depth + 1);
  if (!/kind|secretGenerator|stringData["']?:|\\[xuU]/.test(text)) return [];
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
  const filled = kind === "Template" ? withParameters(object) : null;
  if (filled !== null) return within(filled, path, lineAt, depth);
  const program = kind === undefined ? ofPulumi(object) : null;
  if (program !== null) return inSecret(program, lineAt(path));
  const isSecret = kind === "Secret";
  const isSealed = kind === "SealedSecret";
  return [
    isSecret || isSealed ? inSecret(object, lineAt(path)) : [],
    within(isSecret || isSealed ? besideItems(object) : value, path, lineAt, depth),
    inTemplateOf(object, path, lineAt),
    inGenerators(object, path, lineAt),
  ].flat();
}
