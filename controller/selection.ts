// Whether a SealedSecret may be opened in its namespace, by the namespace's labels.
// SPEC.md, "Scopes".

import { annotationsOf, type JsonObject } from "../shared/kubernetes/object.ts";
import {
  type LabelSelector,
  matchesLabels,
  SelectorFault,
} from "../shared/kubernetes/labelselector.ts";
import { namespaceSelector, SELECTOR_ANNOTATION } from "../shared/sealing/scope.ts";
import { type Verdict, verdicts } from "./verdict.ts";
import { type World, WorldError } from "./world.ts";

/**
 * Returns the selector that a SealedSecret's values are sealed for; null for another scope, and for
 * an annotation that its parser refuses.
 */
export function selectorOf(sealed: JsonObject): LabelSelector | null {
  const text = annotationsOf(sealed)[SELECTOR_ANNOTATION];
  if (typeof text !== "string") return null;
  try {
    return namespaceSelector(text);
  } catch (error) {
    if (error instanceof SelectorFault) return null;
    throw error;
  }
}

/**
 * Returns why the values must not be opened in the SealedSecret's namespace; null if they may.
 * `time`: whether to go by the labels as last seen, or as they are now.
 * @throws WorldError transient
 */
export async function selectionRefusal(
  key: string,
  selector: LabelSelector,
  world: World,
  time: "seen" | "now",
): Promise<Verdict | null> {
  const namespace = key.slice(0, key.indexOf("/"));
  try {
    const labels = await world.namespaceLabels(namespace, time);
    if (matchesLabels(selector, labels)) return null;
  } catch (error) {
    if (!(error instanceof WorldError) || error.failure === "transient") throw error;
    return verdicts.namespaceUnknown(namespace, error.message);
  }
  return verdicts.namespaceNotSelected(namespace, selector.text, {
    hasSecret: world.secretMark(key) !== undefined,
  });
}
