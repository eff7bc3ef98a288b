// Checks whether a request's bearer token is authorized, using the cluster's RBAC.
// SPEC.md, "HTTP".

import { asObject } from "../shared/kubernetes/object.ts";
import type { KubernetesClient } from "../host/kubernetes/apiclient.ts";

export type Access = "allowed" | "unauthenticated" | "forbidden";

/**
 * Asks the API server whether the bearer of `authorization` may POST to `path`, a URL that a
 * ClusterRole lists under `nonResourceURLs`.
 * @throws ApiError if the API server cannot answer
 */
export async function reviewAccess(
  client: KubernetesClient,
  authorization: string | undefined,
  path: string,
): Promise<Access> {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  if (token === undefined) return "unauthenticated";
  const review = await client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
    body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } },
    urgent: true,
  });
  const { authenticated, user = null } = asObject(review["status"] ?? null) ?? {};
  const { username = "", uid = "", groups = [], extra = {} } = asObject(user) ?? {};
  if (authenticated !== true) return "unauthenticated";
  const access = await client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user: username, uid, groups, extra, nonResourceAttributes: { path, verb: "post" } },
    },
    urgent: true,
  });
  return asObject(access["status"] ?? null)?.["allowed"] === true ? "allowed" : "forbidden";
}
