// Templates of OpenShift: what the values of their own parameters make of their objects.

import { asObject, type JsonObject, objectsIn } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { MAX_DEPTH } from "../../shared/manifest/tree.ts";
import { isHarmless } from "./placeholders.ts";

/** A longer value is distinguished from placeholders by its beginning. */
const MAX_VALUE = 64;
const PARAMETER = /\$\{\{?(\w+)\}?\}/g;

/** The template with its parameters' values in its objects; null if none has a value. */
export function withParameters({
  parameters = [],
  objects = [],
  ...rest
}: JsonObject): JsonObject | null {
  const values = new Map<string, string>();
  for (const { name, value } of objectsIn(parameters)) {
    if (typeof name !== "string" || typeof value !== "string" || isHarmless(value, false)) continue;
    values.set(name, value.slice(0, MAX_VALUE));
  }
  if (values.size === 0) return null;
  // What is nested more deeply is refused later.
  const filled = (json: Json, depth: number): Json => {
    if (depth > MAX_DEPTH) return json;
    if (typeof json === "string") {
      return json.replace(PARAMETER, (hole, name: string) => values.get(name) ?? hole);
    }
    if (Array.isArray(json)) return json.map((each) => filled(each, depth + 1));
    const object = asObject(json);
    if (object === null) return json;
    return Object.fromEntries(
      Object.entries(object).map(([key, inner]) => [key, filled(inner, depth + 1)]),
    );
  };
  return { ...rest, objects: filled(objects, 0) };
}
