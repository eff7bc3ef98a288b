// The items of a Secret that hold a value: their names, and never the value.

import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { isHarmless, unquoted } from "./placeholders.ts";
import { isPublicValue } from "./publicitems.ts";

/** Items whose value is neither empty nor a placeholder, nor known to be public. */
export function filledItems(
  value: Json | undefined,
  isBase64: boolean,
  known: ReadonlySet<string> = new Set(),
): string[] {
  return Object.entries(asObject(value ?? {}) ?? {})
    .filter(([item, written]) => {
      // What a policy of Kyverno forbids has no value.
      if (/^X\(.*\)$/.test(item)) return false;
      const text = withoutCalls(written);
      if (text === null || (typeof text === "string" && isHarmless(text, isBase64))) return false;
      return !(known.has(item) && isPublicValue(item, text, isBase64));
    })
    .map(([item]) => item);
}

/** What a function of Pulumi is given, or the placeholder of a template that has brackets for braces. */
function withoutCalls(value: Json): Json {
  const [call, ...more] = Object.entries(asObject(value) ?? {});
  if (call?.[0].startsWith("fn::") === true && more.length === 0) return call[1];
  const name: Json = Array.isArray(value) && Array.isArray(value[0]) ? (value[0][0] ?? null) : null;
  return typeof name === "string" && JSON.stringify(value) === JSON.stringify([[name]])
    ? `[[${name}]]`
    : value;
}

/** The name of a literal `NAME=VALUE` that has a value. */
export function literalItem(literal: Json): string[] {
  if (typeof literal !== "string") return [];
  const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(literal) ?? [];
  return name === undefined || isHarmless(unquoted(value), false) ? [] : [name];
}

/** `NAMESPACE/NAME` of an object, or what of it is known. */
export function nameOf(object: JsonObject): string | undefined {
  const { name, namespace } = metadataOf(object);
  const parts = [namespace, name].filter(
    (part): part is string => typeof part === "string" && part !== "",
  );
  return parts.length === 0 ? undefined : parts.join("/");
}
