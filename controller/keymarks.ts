// What makes a Secret a sealing key, and so must not come from a SealedSecret.
// SPEC.md, "Confirmed keys".

import { CONFIRMED_ANNOTATION, KEY_LABEL, RENEW_ANNOTATION } from "../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL, WRAPPING_ANNOTATION } from "../shared/keys/wrappedkey.ts";
import type { ObjectMeta } from "../shared/kubernetes/object.ts";

/** Where a controller keeps its keys. */
export interface KeyPlace {
  readonly namespace: string;
  /** What the names of key Secrets begin with. */
  readonly prefix: string;
}

/**
 * Returns why a Secret is, or would be, a sealing key of some controller; null if it would not.
 * `place`: undefined where there is no cluster.
 */
export function keyMarkOf(metadata: ObjectMeta, place: KeyPlace | undefined): string | null {
  const { name, namespace, labels, annotations } = metadata;
  const label = [KEY_LABEL, WRAPPED_KEY_LABEL].find((each) => each in labels);
  if (label !== undefined) return `the label ${label}`;
  const marks = [CONFIRMED_ANNOTATION, RENEW_ANNOTATION, WRAPPING_ANNOTATION];
  const annotation = marks.find((each) => each in annotations);
  if (annotation !== undefined) return `the annotation ${annotation}`;
  // The label can be added later, and the key that predates the label has none.
  if (place !== undefined && namespace === place.namespace && name.startsWith(place.prefix)) {
    return `a name that begins with ${place.prefix}`;
  }
  return null;
}
