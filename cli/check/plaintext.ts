// Owns: whether a text holds a Secret in plain: as YAML, JSON, a List, Helm's output or template, quoted
// in an annotation, as literals of a Kustomization. Does not own: which texts are looked at (scan.ts).
// SPEC.md, "Command line", "Scanning".

import { SignetError } from "../../shared/errors.ts";
import { type Json, type ManifestDocument, parseManifests } from "../../shared/manifest.ts";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../../shared/secret.ts";

export interface Plaintext {
  readonly rule: "plaintext-secret" | "last-applied" | "kustomize-literal";
  readonly line: number;
  /** `NAMESPACE/NAME`, as far as it says. */
  readonly object: string | undefined;
  /** Names of items; never a value. */
  readonly items: readonly string[];
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** Every Secret of a text that has a value. */
export function findPlaintext(text: string): Plaintext[] {
  // A quick look spares parsing nearly every file.
  if (!/Secret|secretGenerator|\\u00/.test(text)) return [];
  if (!mayHold(text)) return [];
  let documents: ManifestDocument[];
  try {
    documents = parseManifests(text);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return findInTemplate(text);
  }
  return documents.flatMap((document) => inValue(document.value, document.line, 0));
}

/** Whether something beside SealedSecrets could be in it. */
function mayHold(text: string): boolean {
  return (
    /(^|[^A-Za-z])Secret(List)?([^A-Za-z]|$)/m.test(text) ||
    /secretGenerator|last-applied-configuration|\\u00/.test(text)
  );
}

const MAX_NESTING = 4;

function inValue(value: Json, line: number, depth: number): Plaintext[] {
  const object = asObject(value);
  if (object === null || depth > MAX_NESTING) return [];
  const { kind } = object;
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(object["items"])) {
    const typed = kind === "SecretList" ? { kind: "Secret" } : {};
    return objectsIn(object["items"]).flatMap((item) =>
      inValue({ ...typed, ...item }, line, depth + 1),
    );
  }
  const found: Plaintext[] = [];
  if (kind === "Secret") {
    const items = ["data", "stringData"].flatMap((field) => filledItems(object[field]));
    if (items.length > 0) {
      found.push({ rule: "plaintext-secret", line, object: nameOf(object), items });
    }
  }
  if (Array.isArray(object["secretGenerator"])) {
    for (const generator of objectsIn(object["secretGenerator"])) {
      const literals: Json[] = Array.isArray(generator["literals"]) ? generator["literals"] : [];
      const items = literals.flatMap((literal) => {
        const name = typeof literal === "string" ? /^([^=]+)=./.exec(literal)?.[1] : undefined;
        return name === undefined ? [] : [name];
      });
      const name = typeof generator["name"] === "string" ? generator["name"] : undefined;
      if (items.length > 0) found.push({ rule: "kustomize-literal", line, object: name, items });
    }
  }
  const quoted = asObject(metadataOf(object)["annotations"] ?? null)?.[LAST_APPLIED];
  if (typeof quoted === "string") {
    const inside = parsedJson(quoted);
    for (const each of inValue(inside, line, depth + 1))
      found.push({ ...each, rule: "last-applied" });
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

/** Items with a value that is not empty, and no placeholder of a template. */
function filledItems(value: Json | undefined): string[] {
  return Object.entries(asObject(value ?? {}) ?? {})
    .filter(([, text]) => text !== null && text !== "" && !isTemplate(text))
    .map(([item]) => item);
}

function isTemplate(value: Json): boolean {
  // What Helm, envsubst, Argo CD's Vault plugin and the like fill in later.
  return (
    typeof value === "string" &&
    /^\s*(\{\{[\s\S]*\}\}|\$\{[^}]*\}|<path:[^>]*>|<[A-Za-z0-9_ -]+>)\s*$/.test(value)
  );
}

function nameOf(object: JsonObject): string | undefined {
  const { name, namespace } = metadataOf(object);
  const parts = [namespace, name].filter(
    (part): part is string => typeof part === "string" && part !== "",
  );
  return parts.length === 0 ? undefined : parts.join("/");
}

/** Templates of charts are no YAML: looked at by lines, which must look exactly like a Secret. */
function findInTemplate(text: string): Plaintext[] {
  const found: Plaintext[] = [];
  let start = 1;
  for (const chunk of text.split(/^---.*$/m)) {
    if (/^kind:\s*["']?Secret["']?\s*$/m.test(chunk)) {
      const items: string[] = [];
      let inData = false;
      for (const line of chunk.split("\n")) {
        if (/^(data|stringData):\s*$/.test(line)) inData = true;
        else if (/^[^\s#{]/.test(line)) inData = false;
        const [, item, value] = /^\s+["']?([-._A-Za-z0-9]+)["']?:[ \t]+(\S.*)$/.exec(line) ?? [];
        if (!inData || item === undefined || value === undefined) continue;
        if (!/\{\{/.test(value) && !/^(""|''|#.*|[|>][-+0-9]*)$/.test(value)) items.push(item);
      }
      const name = /^\s+name:\s*["']?([-.a-z0-9]+)["']?\s*$/m.exec(chunk)?.[1];
      const line = start + (chunk.slice(0, chunk.search(/^kind:/m)).match(/\n/g)?.length ?? 0);
      if (items.length > 0) found.push({ rule: "plaintext-secret", line, object: name, items });
    }
    start += chunk.match(/\n/g)?.length ?? 0;
  }
  return found;
}
