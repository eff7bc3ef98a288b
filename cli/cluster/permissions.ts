// What the user of a kubeconfig may do, as the cluster itself answers. Loaded only where needed.

import { SignetError } from "../../shared/errors.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import { connectApiServer, objectIn, wordsOf } from "./apiserver.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

export interface Permission {
  readonly verb: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly group?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** @throws SignetError network */
export async function isAllowed(options: ClusterOptions, wanted: Permission): Promise<boolean> {
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: wanted },
  };
  const answer = await connectApiServer(options).request("POST", path, JSON.stringify(review));
  const status = asObject(objectIn(answer)?.["status"] ?? null);
  if (answer.status === 201 && status !== null) return status["allowed"] === true;
  throw new SignetError("network", `cannot ask for permissions: ${wordsOf(answer)}`);
}
