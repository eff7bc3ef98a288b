// Which cluster a command works with, and how it reaches the controller there.
// SPEC.md, "Command line", "Certificate".

import type {
  ConnectionOverrides,
  KubeconfigOptions,
} from "../../host/kubernetes/kubeconfigfiles.ts";

/** Which cluster, and how to reach the controller in it. */
export interface ClusterOptions extends KubeconfigOptions {
  readonly controllerName: string;
  readonly controllerNamespace: string;
  /** `[NAMESPACE/]NAME` of the ConfigMap of the certificates, if not where the controller usually has it. */
  readonly certificatesConfigmap?: string;
  readonly requestTimeoutMs: number;
}

/** The same from the command line, without defaults. */
export interface GivenClusterOptions extends Partial<Omit<ClusterOptions, "overrides">> {
  readonly overrides?: ConnectionOverrides;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;

/** Adds the defaults. */
export function clusterOptions(given: GivenClusterOptions): ClusterOptions {
  return {
    ...given,
    controllerName: given.controllerName ?? "sealed-secrets-controller",
    controllerNamespace: given.controllerNamespace ?? "kube-system",
    requestTimeoutMs: given.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS,
  };
}
