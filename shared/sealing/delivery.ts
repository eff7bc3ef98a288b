// What a SealedSecret, and a namespace, say about Secrets that are delivered to other namespaces.
// SPEC.md, "Deliveries".

import { type LabelSelector, SelectorFault } from "../kubernetes/labelselector.ts";
import { type Annotations, bindsNamespace, namespaceSelector, scopeOf } from "./scope.ts";

/** On a SealedSecret: the selector of the namespaces that also get its Secret. */
export const DELIVER_TO_ANNOTATION = "kube-signet/deliver-to";

/**
 * Returns the selector of the namespaces that get the Secret, in any spelling; null without the annotation.
 * @throws SelectorFault if it is not a selector, or if it matches a namespace without labels
 */
export function deliverySelector(annotations: Annotations): LabelSelector | null {
  const text: unknown = annotations[DELIVER_TO_ANNOTATION];
  if (text === undefined) return null;
  // An object that nobody checked may have anything there.
  if (typeof text !== "string") throw new SelectorFault("is not text");
  return namespaceSelector(text);
}

/**
 * Returns why the Secret cannot be delivered anywhere; null if it can, or if nothing asks for it. The
 * annotation is not part of the ciphertext, so it must not carry a value out of the scope that the
 * value was sealed for.
 */
export function deliveryFault(annotations: Annotations): string | null {
  try {
    if (deliverySelector(annotations) === null) return null;
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error;
    return `the selector ${error.message}`;
  }
  const scope = scopeOf(annotations);
  if (!bindsNamespace(scope)) return null;
  return (
    `the values are sealed with scope ${scope}, so they open in one namespace only: ` +
    "seal them with scope selector or cluster-wide"
  );
}
