// The Secrets on which a component of the cluster acts with its own permissions. Someone who may
// create SealedSecrets, but not Secrets, must not gain these permissions through the controller.
// SPEC.md, "Reconciling".

import type { Secret } from "../shared/kubernetes/secret.ts";

/** The token controller puts a token of any service account of the namespace into it. */
const SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token";
/** The API server accepts it as a credential, with the groups that it names. */
const BOOTSTRAP_TOKEN = "bootstrap.kubernetes.io/token";
/** Helm and its controllers apply and delete the objects that it contains, in any namespace. */
const HELM_RELEASE = "helm.sh/release.v1";

/** All of them. */
export const ACTING_TYPES: readonly string[] = [
  SERVICE_ACCOUNT_TOKEN,
  BOOTSTRAP_TOKEN,
  HELM_RELEASE,
];

/** Returns the type by which a component of the cluster acts on a Secret, or null if none does. */
export function actingTypeOf({ type, metadata, data }: Secret): string | null {
  if (ACTING_TYPES.includes(type)) return type;
  // Helm finds a release by its name, or by this label, and does not look at the type.
  const isRelease =
    metadata.name.startsWith("sh.helm.release.v1.") ||
    (metadata.labels["owner"] === "helm" && data.has("release"));
  return isRelease ? HELM_RELEASE : null;
}
