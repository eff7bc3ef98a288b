// Secrets that Terraform or OpenTofu creates, as JSON has them: its configuration, a plan, or a state.

import { asObject, type JsonObject, objectsIn } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { filledItems, nameOf } from "./filleditems.ts";
import type { Plaintext } from "./plaintextfindings.ts";
import type { LineAt } from "./secretobjects.ts";

/** Their resources whose items are in the text. */
const SECRET_TYPES = ["kubernetes_secret", "kubernetes_secret_v1", "kubernetes_secret_v1_data"];

/** The values of such resources in an object, which is anything between the root and one of them. */
export function inResources(
  object: JsonObject,
  path: readonly string[],
  lineAt: LineAt,
): Plaintext[] {
  return [...declared(object), ...recorded(object)].flatMap(({ resource, below }): Plaintext[] => {
    const items = itemsOf(resource);
    if (items.length === 0) return [];
    const line = lineAt([...path, ...below]);
    return [{ rule: "plaintext-secret", severity: "error", line, object: nameIn(resource), items }];
  });
}

interface Resource {
  readonly resource: JsonObject;
  /** Where it is in the object. */
  readonly below: readonly string[];
}

/** `kubernetes_secret: {NAME: {data: ...}}`; each block may also be a list of them. */
function declared(object: JsonObject): Resource[] {
  return SECRET_TYPES.flatMap((type) =>
    blocksAt(object[type], [type]).flatMap(({ resource, below }) =>
      Object.entries(resource).flatMap(([name, block]) => blocksAt(block, [...below, name])),
    ),
  );
}

/** A resource with its type beside its values: in a plan, or in a state. */
function recorded(object: JsonObject): Resource[] {
  if (!SECRET_TYPES.some((type) => type === object["type"])) return [];
  const change = asObject(object["change"] ?? null);
  return [
    ...blocksAt(object["values"], ["values"]),
    ...blocksAt(change?.["after"], ["change", "after"]),
    ...blocksAt(object["instances"], ["instances"]).flatMap(({ resource, below }) =>
      blocksAt(resource["attributes"], [...below, "attributes"]),
    ),
  ];
}

function blocksAt(value: Json | undefined, below: readonly string[]): Resource[] {
  if (Array.isArray(value)) {
    return value.flatMap((each, index) => blocksAt(asObject(each), [...below, String(index)]));
  }
  const resource = asObject(value ?? null);
  return resource === null ? [] : [{ resource, below }];
}

/** Its `data` is plain text; only `binary_data` is base64. */
function itemsOf(resource: JsonObject): string[] {
  return [
    ...["data", "data_wo"].map((field) => filledItems(resource[field], false)),
    ...["binary_data", "binary_data_wo"].map((field) => filledItems(resource[field], true)),
  ].flat();
}

/** Its metadata is a block, which may be in a list. */
function nameIn({ metadata = null }: JsonObject): string | undefined {
  const [block] = Array.isArray(metadata) ? objectsIn(metadata) : [asObject(metadata)];
  return nameOf({ metadata: block ?? null });
}
