// A SealedSecret as the reconciler sees it, without parts that are too deep or too large to
// traverse.
// SPEC.md, "Limits".

import { SignetError } from "../shared/errors.ts";
import { checkExtent } from "../shared/kubernetes/extent.ts";
import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";

export interface Observed {
  /** With an excess, it has no spec, and of its metadata only what identifies it and its version. */
  readonly object: JsonObject;
  /** Why it cannot be processed; null if its depth and size are within bounds. */
  readonly excess: SignetError | null;
}

/** Omits a status that is out of bounds; it is replaced without being read. */
export function observedOf({ status, ...object }: JsonObject): Observed {
  const excess = excessOf(object);
  const bounded = excess === null ? object : shellOf(object);
  const hasStatus = status !== undefined && excessOf(status) === null;
  return { object: hasStatus ? { ...bounded, status } : bounded, excess };
}

function shellOf(object: JsonObject): JsonObject {
  const { name, namespace, uid, resourceVersion, generation, deletionTimestamp } =
    metadataOf(object);
  const known = { name, namespace, uid, resourceVersion, generation, deletionTimestamp };
  const metadata = Object.entries(known).filter(([, value]) => value !== undefined);
  return {
    apiVersion: object["apiVersion"] ?? null,
    kind: object["kind"] ?? null,
    metadata: Object.fromEntries(metadata) as JsonObject,
  };
}

function excessOf(value: Json): SignetError | null {
  try {
    checkExtent(value);
    return null;
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
}
