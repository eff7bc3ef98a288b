// The three scopes of a sealed value, their annotations and their label bytes.
// SPEC.md, "Scopes".

export const SCOPES = ["strict", "namespace-wide", "cluster-wide"] as const;
export type Scope = (typeof SCOPES)[number];

const NAMESPACE_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE_ANNOTATION = "sealedsecrets.bitnami.com/cluster-wide";

export type Annotations = Readonly<Record<string, string>>;

/** The scope that an object's annotations ask for; only the exact text `true` counts. */
export function scopeOf(annotations: Annotations): Scope {
  if (annotations[CLUSTER_WIDE_ANNOTATION] === "true") return "cluster-wide";
  if (annotations[NAMESPACE_WIDE_ANNOTATION] === "true") return "namespace-wide";
  return "strict";
}

/** The annotations that ask for `scope`: none for strict. */
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

/** `annotations` with those that ask for another scope than `scope` taken out, and its own put in. */
export function withScope(annotations: Annotations, scope: Scope): Record<string, string> {
  const {
    [NAMESPACE_WIDE_ANNOTATION]: _namespaceWide,
    [CLUSTER_WIDE_ANNOTATION]: _clusterWide,
    ...others
  } = annotations;
  return { ...others, ...scopeAnnotations(scope) };
}

/** The bytes that bind a value to where it may be opened: the OAEP label. */
export function labelBytes(scope: Scope, namespace: string, name: string): Uint8Array {
  const text = {
    strict: `${namespace}/${name}`,
    "namespace-wide": namespace,
    "cluster-wide": "",
  }[scope];
  return new TextEncoder().encode(text);
}
