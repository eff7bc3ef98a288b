// Which cluster a command works with, and how it reaches the controller there.
// SPEC.md, "Command line", "Certificate".

import type { ConnectionOverrides, KubeconfigOptions } from "../../host/kubernetes/kubeconfigfiles.ts";

/** Which cluster, and how to reach the controller in it. */
export interface ClusterOptions extends KubeconfigOptions {
  readonly controllerName: string;
  readonly controllerNamespace: string;
  readonly requestTimeoutMs: number;
}

/** The same as the command line gives it: what is not said is left out. */
export interface GivenClusterOptions extends Partial<Omit<ClusterOptions, "overrides">> {
  readonly overrides?: ConnectionOverrides;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;

/** What was not said filled in. */
export function clusterOptions(given: GivenClusterOptions): ClusterOptions {
  return {
    ...given,
    controllerName: given.controllerName ?? "sealed-secrets-controller",
    controllerNamespace: given.controllerNamespace ?? "kube-system",
    requestTimeoutMs: given.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS,
  };
}
