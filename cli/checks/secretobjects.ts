// Objects that hold the values of a Secret: a Secret, and what makes one.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { filledItems, literalItem, nameOf } from "./filleditems.ts";
import { isCredential } from "./placeholders.ts";
import type { Plaintext } from "./plaintextfindings.ts";
import { publicItemsOf } from "./publicitems.ts";

/** The line of the value at a path. */
export type LineAt = (path: readonly string[]) => number;

/** Values that something else makes a Secret of, such as a chart; a schema has a type there. */
export function inStringData(object: JsonObject | null, line: number): Plaintext[] {
  const values = asObject(object?.["stringData"] ?? null);
  if (object === null || values === null || values["type"] === "object") return [];
  const items = filledItems(values, false);
  if (items.length === 0) return [];
  return [{ rule: "plaintext-secret", severity: "error", line, object: nameOf(object), items }];
}

/** Whether an object inside another one is more than a reference or a rule, which has a kind too. */
export function isWhole(value: Json): boolean {
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
    case "ExternalSecret":
      return has("spec");
    default:
      return ofPulumi(object) !== null;
  }
}

/**
 * What Kyverno and Ansible make a Secret of: beside its kind and name, everything else is below a
 * field of its own. With a kind of its own, what Ansible has there is a Secret anyway.
 */
function generatedBody(object: JsonObject): JsonObject | null {
  const { name, metadata, data, definition, resource_definition: older } = object;
  if (typeof name !== "string" || metadata !== undefined) return null;
  const bodies = [data, ...[definition, older].filter((each) => !hasKind(each))];
  const isBody = (body: JsonObject | null): body is JsonObject =>
    ["data", "stringData"].some((field) => asObject(body?.[field] ?? null) !== null);
  return bodies.map((each) => asObject(each ?? null)).find(isBody) ?? null;
}

const hasKind = (value: Json | undefined): boolean =>
  asObject(value ?? null)?.["kind"] !== undefined;

/** A Secret as a program of Pulumi declares it. */
export function ofPulumi({ type, properties }: JsonObject): JsonObject | null {
  return type === "kubernetes:core/v1:Secret" ? asObject(properties ?? null) : null;
}

/** A Secret without the fields that `inSecret` looks at. */
export function besideItems(object: JsonObject): JsonObject {
  const body = generatedBody(object);
  const isOther = ([key, value]: [string, Json]): boolean =>
    key !== "data" && key !== "stringData" && (body === null || value !== body);
  return Object.fromEntries(Object.entries(object).filter(isOther));
}

/** Also of a SealedSecret that kept its items beside what is sealed. */
export function inSecret(object: JsonObject, line: number): Plaintext[] {
  const body = generatedBody(object);
  const { data, stringData } = body ?? object;
  const known = publicItemsOf(object);
  const items = [...filledItems(data, true, known), ...filledItems(stringData, false, known)];
  if (items.length === 0) return [];
  const name = nameOf(body === null ? object : { metadata: object });
  return [{ rule: "plaintext-secret", severity: "error", line, object: name, items }];
}

/** Where a Secret's template is in what makes the Secret. */
const TEMPLATES: ReadonlyMap<unknown, readonly string[]> = new Map([
  ["SealedSecret", ["spec", "template", "data"]],
  ["ExternalSecret", ["spec", "target", "template", "data"]],
  ["ClusterExternalSecret", ["spec", "externalSecretSpec", "target", "template", "data"]],
]);

/**
 * Literals in the template of a SealedSecret, and passwords in that of an ExternalSecret: there,
 * addresses and names are often kept beside what is fetched.
 */
export function inTemplateOf(
  object: JsonObject,
  path: readonly string[],
  lineAt: LineAt,
): Plaintext[] {
  const { kind } = object;
  const below = TEMPLATES.get(kind);
  if (below === undefined) return [];
  const data = below.reduce<Json>((value, field) => asObject(value)?.[field] ?? null, object);
  const items = filledItems(data, false).filter((item) => {
    const text = asObject(data)?.[item];
    return kind === "SealedSecret" || (typeof text === "string" && isCredential(item, text));
  });
  if (items.length === 0) return [];
  const line = lineAt([...path, ...below]);
  return [{ rule: "plaintext-secret", severity: "error", line, object: nameOf(object), items }];
}

export function inGenerators(
  object: JsonObject,
  path: readonly string[],
  lineAt: LineAt,
): Plaintext[] {
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
