// The three scopes of a sealed value, with their annotations and labels.
// SPEC.md, "Scopes".

/** All scopes, the narrowest first. */
export const SCOPES = ["strict", "namespace-wide", "cluster-wide"] as const;
export type Scope = (typeof SCOPES)[number];

const NAMESPACE_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/cluster-wide";

export type Annotations = Readonly<Record<string, string>>;

/** Returns the scope that an object's annotations set. Only the exact text `true` counts. */
export function scopeOf(annotations: Annotations): Scope {
  if (annotations[CLUSTER_WIDE_ANNOTATION] === "true") return "cluster-wide";
  if (annotations[NAMESPACE_WIDE_ANNOTATION] === "true") return "namespace-wide";
  return "strict";
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
  }
}

/** Returns `annotations` with any scope annotations replaced by those of `scope`. */
export function withScope(annotations: Annotations, scope: Scope): Record<string, string> {
  const {
    [NAMESPACE_WIDE_ANNOTATION]: _namespaceWide,
    [CLUSTER_WIDE_ANNOTATION]: _clusterWide,
    ...others
  } = annotations;
  return { ...others, ...scopeAnnotations(scope) };
}

/** Returns the OAEP label, which binds a value to the place where it may be opened. */
export function labelBytes(scope: Scope, namespace: string, name: string): Uint8Array {
  const text = {
    strict: `${namespace}/${name}`,
    "namespace-wide": namespace,
    "cluster-wide": "",
  }[scope];
  return new TextEncoder().encode(text);
}
