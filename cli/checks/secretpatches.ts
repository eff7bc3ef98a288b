// Patches that put values into a Secret.

import { asObject, type JsonObject, objectsIn } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { documentsIn, parsed } from "./documentsoftext.ts";
import { filledItems, nameOf } from "./filleditems.ts";
import type { Plaintext } from "./plaintextfindings.ts";

/** A patch of a Kustomization, as a list of operations. */
export function inPatch(patch: Json, target: JsonObject | null, line: number): Plaintext[] {
  const isOfSecret = target?.["kind"] === "Secret";
  const documents =
    typeof patch === "string" ? (parsed(patch).documents ?? []) : [{ value: patch }];
  return documents
    .flatMap(({ value }) => [
      ...inJsonPatch(value, isOfSecret, line),
      ...(isOfSecret ? inStrategicPatch(value, line) : []),
    ])
    .map((one) => ({ ...one, object: nameOf({ metadata: target }) }));
}

/** A patch whose target alone says that it is of a Secret. */
function inStrategicPatch(value: Json, line: number): Plaintext[] {
  const { kind, data, stringData } = asObject(value) ?? {};
  if (kind === "Secret") return [];
  const items = [...filledItems(data, true), ...filledItems(stringData, false)];
  if (items.length === 0) return [];
  return [{ rule: "quoted-secret", severity: "error", line, object: undefined, items }];
}

/**
 * Values that the operations of a file put into the `data` of a Secret. Those of `stringData` show
 * without the Kustomization.
 */
export function findInSecretPatch(text: string, object: string | undefined): Plaintext[] {
  return documentsIn(text).flatMap(({ value }) => {
    const operations = objectsIn(value).filter(
      ({ path }) => typeof path === "string" && path.startsWith("/data"),
    );
    return inJsonPatch(operations, true, 1).map((one) => ({ ...one, object }));
  });
}

/** Values that operations put into a Secret. Without its kind, `/stringData` shows that it is one. */
export function inJsonPatch(value: Json, isOfSecret: boolean, line: number): Plaintext[] {
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
