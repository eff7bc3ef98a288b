// What determines the Secret of a SealedSecret, as one hash; and whether drift is to be left alone.
// SPEC.md, "Reconciling" and "Drift".

import { hash } from "node:crypto";
import { annotationsOf, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { scopeOf, SELECTOR_ANNOTATION } from "../shared/sealing/scope.ts";

/**
 * With the value `ignore` on a SealedSecret, others' changes to its Secret are not reverted.
 * @internal for its test
 */
export const DRIFT_ANNOTATION = "kube-signet/drift";

/** Increase it when the same SealedSecret produces a different Secret than in earlier versions. */
const SOURCE_FORMAT = 1;

/**
 * A hash of everything in a SealedSecret that determines its Secret. It covers only ciphertext, so
 * it is safe to publish.
 */
export function sourceOf(sealed: JsonObject): string {
  const { name, namespace, uid } = metadataOf(sealed);
  const annotations = annotationsOf(sealed);
  const scope = scopeOf(annotations as Record<string, string>);
  const selector = annotations[SELECTOR_ANNOTATION];
  // Beside another scope, a selector makes the object invalid.
  const scopes = selector === undefined ? scope : [scope, selector];
  const recorded = [SOURCE_FORMAT, namespace, name, uid, scopes, sealed["spec"]];
  return hash("sha256", JSON.stringify(recorded), "base64url").slice(0, 22);
}

/** Whether changes that others make to the Secret stay. */
export function ignoresDrift(sealed: JsonObject): boolean {
  return annotationsOf(sealed)[DRIFT_ANNOTATION] === "ignore";
}

/** Whether someone deleted the object, which some finalizer still holds. */
export function isBeingDeleted(object: JsonObject): boolean {
  return metadataOf(object)["deletionTimestamp"] !== undefined;
}
