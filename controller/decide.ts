// What is done about a Secret: whose it is, how it is to be, in what it drifted. Pure.
// SPEC.md, "Reconciling" and "Drift".

import type { Json } from "../shared/manifest/manifest.ts";
import { API_VERSION, KIND } from "../shared/sealing/sealedsecret.ts";
import {
  asObject,
  fromEntries,
  type JsonObject,
  metadataOf,
  objectsIn,
} from "../shared/kubernetes/object.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import type { SecretMark } from "./world.ts";
import type { Left } from "./status.ts";

/** Marks the Secrets that we look after; what a label selector can find without reading content. */
export const SECRET_LABEL = "kube-signet/secret";
/** @internal for its test */
export const MANAGED_ANNOTATION = "sealedsecrets.bitnami.com/managed";
/** @internal for its test */
export const PATCH_ANNOTATION = "sealedsecrets.bitnami.com/patch";
const SKIP_OWNER_ANNOTATION = "sealedsecrets.bitnami.com/skip-set-owner-references";

/** Field managers whose labels and annotations are ours to remove: this program and the original. */
export const FIELD_MANAGER = "signet-controller";
const OUR_MANAGERS: readonly string[] = [FIELD_MANAGER, "controller"];

/** What the API server fills in. */
const DEFAULT_TYPE = "Opaque";

export type Decision =
  | { readonly act: "create" }
  | { readonly act: "replace"; readonly secret: Secret; readonly drift: Drift }
  /** Delete and create anew: what cannot be changed was changed. */
  | { readonly act: "recreate"; readonly secret: Secret; readonly drift: Drift }
  | { readonly act: "keep"; readonly secret: Secret }
  | { readonly act: "refuse"; readonly verdict: Verdict };

/**
 * What to do about the Secret that is there, given the one that is to be. `left`: how we left it.
 * `drifted`: it was right for the same SealedSecret before. Reads and writes nothing.
 */
export function decide(
  desired: Secret,
  existing: Secret | null,
  left: Pick<Left, "uid" | "patched"> | null = null,
  drifted = false,
): Decision {
  if (existing === null) return { act: "create" };
  const { name, namespace } = desired.metadata;
  const hold = holdOn(existing, name, left);

  // Someone else made a Secret of this name: it is theirs until they say otherwise.
  if (hold === "none") return { act: "refuse", verdict: verdicts.notManaged(name) };

  const undoes = drifted && hold === "own";
  // Ours was deleted, and this is another under our marks.
  const remade = undoes && markOf(existing).uid !== left?.uid;
  const merged =
    hold === "patch" ? patched(desired, existing) : replaced(desired, existing, remade);
  const contentDiffers = !sameData(merged.data, existing.data);
  const typeDiffers = merged.type !== existing.type;
  const thawed = existing.immutable === true && merged.immutable !== true;
  const frozen = existing.immutable === true && (contentDiffers || thawed);
  const drift = driftOf(merged, existing);

  // The API server never changes the type of a Secret, nor the content of an immutable one: the way
  // back is a deletion. What is declared anew never takes it: that is for people to decide.
  if ((typeDiffers && remade) || (frozen && undoes)) {
    return { act: "recreate", secret: merged, drift };
  }
  if (typeDiffers) {
    return { act: "refuse", verdict: verdicts.typeChanged(name, existing.type, merged.type) };
  }
  if (frozen) return { act: "refuse", verdict: verdicts.immutable(`${namespace}/${name}`) };

  return drift.fields.length > 0
    ? { act: "replace", secret: merged, drift }
    : { act: "keep", secret: existing };
}

/** In what `existing` differs from `wanted`, and who made it so as far as the API server knows. */
function driftOf(wanted: Secret, existing: Secret): Drift {
  const paths: string[][] = [
    ...differingKeys(wanted.data, existing.data, sameBytes).map((item) => ["data", item]),
    ...(["labels", "annotations"] as const).flatMap((field) =>
      differingKeys(
        new Map(Object.entries(wanted.metadata[field])),
        new Map(Object.entries(existing.metadata[field])),
        (a, b) => a === b,
      ).map((name) => ["metadata", field, name]),
    ),
    ...(sameOwners(wanted.metadata.rest, existing.metadata.rest)
      ? []
      : [["metadata", "ownerReferences"]]),
    ...(wanted.immutable === existing.immutable ? [] : [["immutable"]]),
    ...(wanted.type === existing.type ? [] : [["type"]]),
  ];
  return {
    change: "changed",
    fields: paths.map((path) => path.join(".")),
    by: whoSet(paths, existing),
  };
}

/**
 * The field managers, other than ours, that the API server's books name for any of `paths`; else
 * the one that wrote last, if that was after us.
 */
function whoSet(paths: readonly (readonly string[])[], { metadata }: Secret): string[] {
  const entries = objectsIn(metadata.rest["managedFields"]).map((entry) => {
    const { manager, time, fieldsV1 } = entry;
    return {
      manager: typeof manager === "string" ? printable(manager) : "",
      ours: OUR_MANAGERS.includes(manager as string),
      time: typeof time === "string" ? time : "",
      fields: asObject(fieldsV1 ?? null) ?? {},
    };
  });
  const others = entries.filter(({ manager, ours }) => !ours && manager !== "");
  const setters = others.filter(({ fields }) => paths.some((path) => hasField(fields, path)));
  if (setters.length > 0) return [...new Set(setters.map(({ manager }) => manager))].sort();
  const ourTime = entries
    .filter(({ ours }) => ours)
    .reduce((max, { time }) => (time > max ? time : max), "");
  const [last] = others.sort((a, b) => (a.time > b.time ? -1 : 1));
  return last !== undefined && last.time >= ourTime ? [last.manager] : [];
}

function hasField(fields: JsonObject, path: readonly string[]): boolean {
  let at: JsonObject | null = fields;
  for (const part of path) {
    at = asObject(at[`f:${part}`] ?? null);
    if (at === null) return false;
  }
  return true;
}

/** A manager's name is whatever its program says: no control characters into our lines. */
function printable(manager: string): string {
  return manager.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 64);
}

/**
 * How far an existing Secret is ours: made by us, handed to us as a whole, to add to, or not at all.
 */
function holdOn(
  existing: Secret,
  name: string,
  left: Pick<Left, "uid" | "patched"> | null,
): "own" | "managed" | "patch" | "none" {
  const { annotations, labels, rest } = existing.metadata;
  const owner = ownersOf(rest).find((reference) => reference["controller"] === true);
  // Also by a SealedSecret of this name that is gone: the cluster's garbage collection may not have
  // come round yet when the SealedSecret is created anew.
  if (owner !== undefined && isSealedSecretRef(owner, name)) return "own";
  const labelled = owner === undefined && labels[SECRET_LABEL] === "owned";
  if (annotations[MANAGED_ANNOTATION] === "true") return labelled ? "own" : "managed";
  if (annotations[PATCH_ANNOTATION] === "true") return "patch";
  if (labelled) return "own";
  // Someone took every mark off that we had put on this very Secret.
  const { uid } = markOf(existing);
  return owner === undefined && uid !== "" && uid === left?.uid && !left.patched ? "own" : "none";
}

/** Ours in full: its data is what was sealed; labels and annotations that others set stay. */
function replaced(desired: Secret, existing: Secret, remade: boolean): Secret {
  const { metadata } = existing;
  const { name } = desired.metadata;
  const others = ownersOf(metadata.rest).filter((reference) => !isSealedSecretRef(reference, name));
  // There can be one controller; a takeover by `managed` leaves it in place.
  const ours = ownersOf(desired.metadata.rest).map((reference) =>
    others.some((other) => other["controller"] === true)
      ? { ...reference, controller: false }
      : reference,
  );
  const owned = fieldsOf(metadata.rest);
  return {
    ...desired,
    // An unstated type is the one that is there: the API server's default, or what was handed to us.
    type: desired.type !== "" ? desired.type : remade ? DEFAULT_TYPE : existing.type,
    metadata: {
      ...metadata,
      labels: { ...dropped(metadata.labels, owned.labels), ...desired.metadata.labels },
      annotations: {
        ...dropped(metadata.annotations, owned.annotations),
        ...desired.metadata.annotations,
      },
      rest: withOwners(metadata.rest, [...others, ...ours]),
    },
  };
}

/** Someone else's, who lets us add to it: nothing of theirs is removed, and it stays theirs. */
function patched(desired: Secret, existing: Secret): Secret {
  const { metadata } = existing;
  return {
    type: desired.type === "" ? existing.type : desired.type,
    immutable: desired.immutable ?? existing.immutable,
    data: new Map([...existing.data, ...desired.data]),
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels, [SECRET_LABEL]: "patched" },
      // Whether it becomes ours is for its owner to say, not for the SealedSecret.
      annotations: {
        ...metadata.annotations,
        ...dropped(desired.metadata.annotations, new Set([MANAGED_ANNOTATION, PATCH_ANNOTATION])),
      },
    },
  };
}

/** The unsealed Secret with our label, and the SealedSecret as its owner unless told not to. */
export function withOwner(secret: Secret, sealed: JsonObject): Secret {
  const { metadata } = secret;
  const { name, uid } = metadataOf(sealed);
  const skip = metadata.annotations[SKIP_OWNER_ANNOTATION] === "true" || uid === undefined;
  const reference = {
    apiVersion: API_VERSION,
    kind: KIND,
    name: name ?? "",
    uid: uid ?? "",
    controller: true,
  };
  const { finalizers } = metadata.rest;
  return {
    ...secret,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, [SECRET_LABEL]: "owned" },
      rest: withOwners(finalizers === undefined ? {} : { finalizers }, skip ? [] : [reference]),
    },
  };
}

export function isPatched({ metadata }: Secret): boolean {
  return metadata.labels[SECRET_LABEL] === "patched";
}

/** The state of a live Secret. */
export function markOf({ metadata }: Pick<Secret, "metadata">): SecretMark {
  const { uid, resourceVersion } = metadata.rest;
  return {
    uid: typeof uid === "string" ? uid : "",
    resourceVersion: typeof resourceVersion === "string" ? resourceVersion : "",
  };
}

function ownersOf(rest: JsonObject): JsonObject[] {
  return objectsIn(rest["ownerReferences"]);
}

function withOwners(rest: JsonObject, references: JsonObject[]): JsonObject {
  const { ownerReferences: _replaced, ...others } = rest;
  return references.length === 0 ? others : { ...others, ownerReferences: references };
}

function isSealedSecretRef(reference: JsonObject, name: string): boolean {
  const { apiVersion, kind } = reference;
  const group = typeof apiVersion === "string" ? apiVersion.split("/")[0] : "";
  return group === API_VERSION.split("/")[0] && kind === KIND && reference["name"] === name;
}

/** The labels and annotations that our field managers set, by the API server's own books. */
function fieldsOf(rest: JsonObject): { labels: Set<string>; annotations: Set<string> } {
  const labels = new Set<string>();
  const annotations = new Set<string>();
  for (const entry of objectsIn(rest["managedFields"])) {
    if (!OUR_MANAGERS.includes(entry["manager"] as string)) continue;
    const fields = asObject(asObject(entry["fieldsV1"] ?? null)?.["f:metadata"] ?? null) ?? {};
    for (const [field, names] of [
      ["f:labels", labels],
      ["f:annotations", annotations],
    ] as const) {
      for (const name of Object.keys(asObject(fields[field] ?? null) ?? {})) {
        if (name.startsWith("f:")) names.add(name.slice(2));
      }
    }
  }
  return { labels, annotations };
}

function dropped(
  texts: Readonly<Record<string, string>>,
  names: ReadonlySet<string>,
): Record<string, string> {
  return fromEntries(Object.entries(texts).filter(([name]) => !names.has(name)));
}

function differingKeys<T>(
  a: ReadonlyMap<string, T>,
  b: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
): string[] {
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => {
    const left = a.get(key);
    const right = b.get(key);
    return left === undefined || right === undefined || !same(left, right);
  });
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function sameData(a: Secret["data"], b: Secret["data"]): boolean {
  return differingKeys(a, b, sameBytes).length === 0;
}

function sameOwners(a: JsonObject, b: JsonObject): boolean {
  const written = (rest: JsonObject): Json =>
    ownersOf(rest).map(({ apiVersion, kind, name, uid, controller }) =>
      JSON.stringify([apiVersion, kind, name, uid, controller === true]),
    );
  return JSON.stringify(written(a)) === JSON.stringify(written(b));
}
