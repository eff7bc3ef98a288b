// Decides what to do about a Secret: who owns it, its desired state, its drift. Pure functions.
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
import type { Left, SecretMark } from "./record.ts";
import { actingTypeOf } from "./secrettypes.ts";

/** Marks the Secrets that the controller manages, so that a label selector finds them. */
export const SECRET_LABEL = "kube-signet/secret";
/** The value of that label on a Secret that was made for a SealedSecret of another namespace. */
export const DELIVERED = "delivered";
/** @internal for its test */
export const MANAGED_ANNOTATION = "sealedsecrets.bitnami.com/managed";
/** @internal for its test */
export const PATCH_ANNOTATION = "sealedsecrets.bitnami.com/patch";
/**
 * The uid of the SealedSecret that a Secret was made from. A label alone would also be on copies of
 * the Secret, and on one that was kept when its SealedSecret was deleted.
 */
export const MADE_FROM_ANNOTATION = "kube-signet/sealedsecret-uid";
const SKIP_OWNER_ANNOTATION = "sealedsecrets.bitnami.com/skip-set-owner-references";

/** By these the owner of a Secret hands it over to the SealedSecret of its name. */
export const HANDING_OVER = [MANAGED_ANNOTATION, PATCH_ANNOTATION] as const;

const OWNERSHIP_ANNOTATIONS: ReadonlySet<string> = new Set([...HANDING_OVER, MADE_FROM_ANNOTATION]);

/** Field managers whose labels and annotations we may remove: this program and the original. */
export const FIELD_MANAGER = "signet-controller";
const OUR_MANAGERS: readonly string[] = [FIELD_MANAGER, "controller"];

/** The API server's default. */
const DEFAULT_TYPE = "Opaque";

export type Decision =
  | { readonly act: "create" }
  | { readonly act: "replace"; readonly secret: Secret; readonly drift: Drift }
  /** Delete and create again, because an immutable field differs. */
  | { readonly act: "recreate"; readonly secret: Secret; readonly drift: Drift }
  | { readonly act: "keep"; readonly secret: Secret }
  | { readonly act: "refuse"; readonly verdict: Verdict };

/** What a decision depends on, besides the two Secrets. */
interface Circumstances {
  /** Types that are written although something in the cluster acts on them; see secrettypes.ts. */
  readonly allowedTypes: ReadonlySet<string>;
  /** Our last write of the Secret, from a source that nobody else can write. */
  readonly left?: Pick<Left, "uid" | "patched"> | null;
  /** The Secret was in sync with the same SealedSecret before. */
  readonly drifted?: boolean;
  /** Who owns the existing Secret; by default what its owner reference and annotations say. */
  readonly ownership?: ((existing: Secret) => Ownership) | undefined;
}

/**
 * Who owns an existing Secret. `own`: the controller created it; `managed`: its owner handed it over;
 * `patch`: its owner lets the controller add to it, and may have handed it over with the items that
 * it had; `none`: someone else owns it.
 */
export type Ownership = "own" | "managed" | "patch" | "none";

/** Decides how to get from the existing Secret to the desired one. Reads and writes nothing. */
export function decide(
  desired: Secret,
  existing: Secret | null,
  { allowedTypes, left = null, drifted = false, ownership: judge }: Circumstances,
): Decision {
  const refusedType = refusedTypeOf(desired, allowedTypes);
  if (refusedType !== null) {
    return { act: "refuse", verdict: verdicts.typeNotAllowed(refusedType) };
  }
  if (existing === null) return { act: "create" };
  const { name, namespace } = desired.metadata;
  const ownership = judge?.(existing) ?? ownershipOf(existing, desired, left);

  // Someone else created a Secret with this name: it is theirs until an annotation hands it over.
  if (ownership === "none") return { act: "refuse", verdict: verdicts.notManaged(name) };

  const revertsChange = drifted && ownership === "own";
  // Our Secret was deleted, and someone created another one with our label or owner reference.
  const recreated = revertsChange && markOf(existing).uid !== left?.uid;
  const merged =
    ownership === "patch" ? patched(desired, existing) : replaced(desired, existing, recreated);
  // With no type in the template, or added items and labels, the existing Secret decides.
  const mergedType = refusedTypeOf(merged, allowedTypes);
  if (mergedType !== null) {
    return { act: "refuse", verdict: verdicts.typeNotAllowed(mergedType) };
  }
  const contentDiffers = !sameData(merged.data, existing.data);
  const typeDiffers = merged.type !== existing.type;
  const becomesMutable = existing.immutable === true && merged.immutable !== true;
  const cannotUpdate = existing.immutable === true && (contentDiffers || becomesMutable);
  const drift = driftOf(merged, existing);

  // The API server rejects changes to a Secret's type and to an immutable Secret's content, so drift
  // is reverted by deleting it. A changed SealedSecret never deletes: that is for users to decide.
  if ((typeDiffers && recreated) || (cannotUpdate && revertsChange)) {
    return { act: "recreate", secret: merged, drift };
  }
  if (typeDiffers) {
    return { act: "refuse", verdict: verdicts.typeChanged(name, existing.type, merged.type) };
  }
  if (cannotUpdate) return { act: "refuse", verdict: verdicts.immutable(`${namespace}/${name}`) };

  return drift.fields.length > 0
    ? { act: "replace", secret: merged, drift }
    : { act: "keep", secret: existing };
}

function refusedTypeOf(secret: Secret, allowedTypes: ReadonlySet<string>): string | null {
  const type = actingTypeOf(secret);
  return type === null || allowedTypes.has(type) ? null : type;
}

/** The fields in which `existing` differs from `wanted`, and the field managers that set them. */
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
    by: managersOf(paths, existing),
  };
}

/**
 * The field managers, other than ours, that own any of `paths` in the managed fields. If none does,
 * the manager that wrote last, if it wrote after us.
 */
function managersOf(paths: readonly (readonly string[])[], { metadata }: Secret): string[] {
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

/** Any program can choose its manager name, so control characters are kept out of our log lines. */
function printable(manager: string): string {
  return manager.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 64);
}

/**
 * Whether every field of a Secret is this controller's, by its managed fields. Anyone can choose our
 * manager's name, so that counts only for a version that the controller wrote itself. Finalizers stay
 * with whoever they are for.
 */
export function isAllOurs(secret: JsonObject): boolean {
  const { managedFields, finalizers, deletionTimestamp } = metadataOf(secret);
  const entries = objectsIn(managedFields);
  return (
    entries.length > 0 &&
    entries.every(({ manager }) => manager === FIELD_MANAGER) &&
    finalizers === undefined &&
    deletionTimestamp === undefined
  );
}

/** Nothing that the writers of SealedSecrets or of their status say can tell who owns a Secret. */
function ownershipOf(
  existing: Secret,
  { metadata: { name, annotations: declared } }: Secret,
  left: Pick<Left, "uid" | "patched"> | null,
): Ownership {
  const { annotations, labels, rest } = existing.metadata;
  const owner = ownersOf(rest).find((reference) => reference["controller"] === true);
  const says = (annotation: string): boolean => annotations[annotation] === "true";
  // The reference may be to a deleted SealedSecret with this name: when a user re-creates it, the
  // cluster's garbage collector may not have run yet.
  if (owner !== undefined && isSealedSecretRef(owner, name)) {
    // Its former owner handed it over together with the items that it had.
    const keepsItems = says(MANAGED_ANNOTATION) && says(PATCH_ANNOTATION);
    return keepsItems && labels[SECRET_LABEL] !== "owned" ? "patch" : "own";
  }
  const labelled =
    owner === undefined &&
    labels[SECRET_LABEL] === "owned" &&
    annotations[MADE_FROM_ANNOTATION] === declared[MADE_FROM_ANNOTATION];
  if (labelled) return "own";
  // A delivered Secret is not handed over: the delivery would revert that each time.
  const isDelivered = labels[SECRET_LABEL] === DELIVERED;
  if (!isDelivered && says(PATCH_ANNOTATION)) return "patch";
  if (!isDelivered && says(MANAGED_ANNOTATION)) return "managed";
  // Someone removed our marks from the Secret that we wrote.
  const { uid } = markOf(existing);
  return owner === undefined && uid !== "" && uid === left?.uid && !left.patched ? "own" : "none";
}

/** A Secret that is ours: data is exactly what was sealed; others' labels and annotations stay. */
function replaced(desired: Secret, existing: Secret, recreated: boolean): Secret {
  const { metadata } = existing;
  const owned = ownManagedFields(metadata.rest);
  return {
    ...desired,
    // Without a type in the template, the existing type stays: the default, or the former owner's.
    type: desired.type !== "" ? desired.type : recreated ? DEFAULT_TYPE : existing.type,
    metadata: {
      ...metadata,
      labels: { ...without(metadata.labels, owned.labels), ...desired.metadata.labels },
      annotations: {
        ...without(metadata.annotations, owned.annotations),
        ...desired.metadata.annotations,
      },
      rest: withOwners(metadata.rest, ownersTogether(desired, existing)),
    },
  };
}

/** The owners of an existing Secret, and the SealedSecret in the place of an earlier one. */
function ownersTogether({ metadata: { name, rest } }: Secret, existing: Secret): JsonObject[] {
  const others = ownersOf(existing.metadata.rest).filter((each) => !isSealedSecretRef(each, name));
  // Only one owner may be the controller; a Secret handed over by `managed` keeps the one it has.
  const isTaken = others.some((other) => other["controller"] === true);
  const ours = ownersOf(rest).map((each) => (isTaken ? { ...each, controller: false } : each));
  return [...others, ...ours];
}

/**
 * A Secret whose owner lets us add to it: we remove nothing. It still belongs to its owner, unless
 * an annotation also hands it over.
 */
function patched(desired: Secret, existing: Secret): Secret {
  const { metadata } = existing;
  const isHandedOver = metadata.annotations[MANAGED_ANNOTATION] === "true";
  return {
    type: desired.type === "" ? existing.type : desired.type,
    immutable: desired.immutable ?? existing.immutable,
    data: new Map([...existing.data, ...desired.data]),
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels, [SECRET_LABEL]: "patched" },
      // Only its owner can hand it over to us; the SealedSecret cannot.
      annotations: {
        ...metadata.annotations,
        ...without(desired.metadata.annotations, OWNERSHIP_ANNOTATIONS),
      },
      rest: isHandedOver
        ? withOwners(metadata.rest, ownersTogether(desired, existing))
        : metadata.rest,
    },
  };
}

/**
 * Who owns a Secret that exists where one is to be delivered. `isOurs`: whether it has our marks for
 * the same SealedSecret; `isOthers`: whether it is delivered from another one. A Secret is never
 * taken from an owner that controls it, such as a SealedSecret of its namespace.
 */
export function deliveryOwnership(
  existing: Secret,
  { isOurs, isOthers }: { readonly isOurs: boolean; readonly isOthers: boolean },
  left: Pick<Left, "uid"> | null,
): Ownership {
  const { annotations, labels, rest } = existing.metadata;
  if (ownersOf(rest).some((reference) => reference["controller"] === true)) return "none";
  if (isOurs) return "own";
  if (isOthers) return "none";
  const { uid } = markOf(existing);
  // Someone removed our marks from the Secret that we wrote.
  if (uid !== "" && uid === left?.uid) return "own";
  const isUnmarked = labels[SECRET_LABEL] === undefined;
  return isUnmarked && annotations[MANAGED_ANNOTATION] === "true" ? "managed" : "none";
}

/** Adds our marks, and the SealedSecret as the owner unless an annotation forbids it. */
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
      annotations: {
        ...without(metadata.annotations, new Set([MADE_FROM_ANNOTATION])),
        ...(typeof uid === "string" ? { [MADE_FROM_ANNOTATION]: uid } : {}),
      },
      rest: withOwners(finalizers === undefined ? {} : { finalizers }, skip ? [] : [reference]),
    },
  };
}

/** Whether the Secret belongs to someone else, who lets us add to it. */
export function isPatched({ metadata: { labels, rest } }: Secret): boolean {
  return labels[SECRET_LABEL] === "patched" && !ownersOf(rest).some(refersToSealedSecret);
}

/** The UID and resource version of a Secret in the cluster. */
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
  return refersToSealedSecret(reference) && reference["name"] === name;
}

/** Whether an owner reference is to a SealedSecret, of whatever name and version. */
export function refersToSealedSecret({ apiVersion, kind }: JsonObject): boolean {
  const group = typeof apiVersion === "string" ? apiVersion.split("/")[0] : "";
  return group === API_VERSION.split("/")[0] && kind === KIND;
}

/** The labels and annotations that our field managers own, according to the managed fields. */
function ownManagedFields(rest: JsonObject): { labels: Set<string>; annotations: Set<string> } {
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

function without(
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
