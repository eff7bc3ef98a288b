// The scopes of a sealed value, with their annotations and labels.
// SPEC.md, "Scopes".

import { SignetError } from "../errors.ts";
import {
  type LabelSelector,
  matchesUnlabelled,
  parseLabelSelector,
  SelectorFault,
} from "../kubernetes/labelselector.ts";

/** The scopes that their name alone says, as the original has them, the narrowest first. */
export const SCOPES = ["strict", "namespace-wide", "cluster-wide"] as const;

/** The names of all scopes, the narrowest first. `selector` needs a selector of namespaces besides. */
export const SCOPE_NAMES = ["strict", "namespace-wide", "selector", "cluster-wide"] as const;

const SELECTOR_PREFIX = "selector ";
/** Namespaces whose labels match a selector: `selector team=a`. */
export type SelectorScope = `selector ${string}`;
export type Scope = (typeof SCOPES)[number] | SelectorScope;

const NAMESPACE_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/cluster-wide";
/** The selector of the namespaces in which the values may be opened. The original ignores it. */
export const SELECTOR_ANNOTATION = "kube-signet/namespace-selector";

/** What the label of a selector begins with. No text in UTF-8 has this byte, so no other label does. */
const SELECTOR_MARK = 0xff;

export type Annotations = Readonly<Record<string, string>>;

/**
 * Returns the scope that an object's annotations set. Only the exact text `true` counts. A selector is
 * returned as it is written; see `scopeFault`.
 */
export function scopeOf(annotations: Annotations): Scope {
  if (annotations[CLUSTER_WIDE_ANNOTATION] === "true") return "cluster-wide";
  const selector = annotations[SELECTOR_ANNOTATION];
  // An object that nobody checked may have anything there.
  if (typeof selector === "string") return `${SELECTOR_PREFIX}${selector}`;
  if (annotations[NAMESPACE_WIDE_ANNOTATION] === "true") return "namespace-wide";
  return "strict";
}

/**
 * Returns the scope of a selector of namespaces, which may have any spelling: `team in (a)`.
 * @throws SignetError secret-invalid if it is not a selector, or if it matches a namespace without labels
 */
export function selectorScope(text: string): SelectorScope {
  try {
    return `${SELECTOR_PREFIX}${namespaceSelector(text).text}`;
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error;
    throw new SignetError("secret-invalid", `the selector ${error.message}`);
  }
}

/** Returns the selector of a scope as text; null for other scopes. */
export function selectorIn(scope: Scope): string | null {
  return scope.startsWith(SELECTOR_PREFIX) ? scope.slice(SELECTOR_PREFIX.length) : null;
}

/** @throws SelectorFault if it is not a selector, or if it matches a namespace without labels */
export function namespaceSelector(text: string): LabelSelector {
  const selector = parseLabelSelector(text);
  if (matchesUnlabelled(selector)) {
    throw new SelectorFault(
      "asks for no label, so it matches every namespace that nobody labelled",
    );
  }
  return selector;
}

/**
 * Returns why annotations say no usable scope; null if they do. `spelling`: whether a selector must
 * have its canonical spelling, as on a SealedSecret, or may have any.
 */
export function scopeFault(
  annotations: Annotations,
  spelling: "canonical" | "any" = "canonical",
): string | null {
  const text = annotations[SELECTOR_ANNOTATION];
  if (text === undefined) return null;
  const other = [NAMESPACE_WIDE_ANNOTATION, CLUSTER_WIDE_ANNOTATION].find(
    (each) => annotations[each] === "true",
  );
  if (other !== undefined) return `is beside ${other}, which says another scope`;
  try {
    const canonical = namespaceSelector(text).text;
    return spelling === "any" || canonical === text ? null : `must be spelled "${canonical}"`;
  } catch (error) {
    if (error instanceof SelectorFault) return error.message;
    throw error;
  }
}

/** Whether a value of this scope opens in one namespace only. */
export function bindsNamespace(scope: Scope): boolean {
  return scope === "strict" || scope === "namespace-wide";
}

/** Returns the annotations that set `scope`; strict needs none. */
export function scopeAnnotations(scope: Scope): Record<string, string> {
  switch (scope) {
    case "strict":
      return {};
    case "namespace-wide":
      return { [NAMESPACE_WIDE_ANNOTATION]: "true" };
    case "cluster-wide":
      return { [CLUSTER_WIDE_ANNOTATION]: "true" };
    default:
      return { [SELECTOR_ANNOTATION]: scope.slice(SELECTOR_PREFIX.length) };
  }
}

/** Returns `annotations` with any scope annotations replaced by those of `scope`. */
export function withScope(annotations: Annotations, scope: Scope): Record<string, string> {
  const {
    [NAMESPACE_WIDE_ANNOTATION]: _namespaceWide,
    [CLUSTER_WIDE_ANNOTATION]: _clusterWide,
    [SELECTOR_ANNOTATION]: _selector,
    ...others
  } = annotations;
  return { ...others, ...scopeAnnotations(scope) };
}

/** Returns the OAEP label, which binds a value to the place where it may be opened. */
export function labelBytes(scope: Scope, namespace: string, name: string): Uint8Array {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  switch (scope) {
    case "strict":
      return encode(`${namespace}/${name}`);
    case "namespace-wide":
      return encode(namespace);
    case "cluster-wide":
      return encode("");
    default:
      return Uint8Array.of(SELECTOR_MARK, ...encode(`kube-signet/${scope}`));
  }
}
