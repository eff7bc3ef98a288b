// Owns: the way from a kubeconfig, or from inside a pod, to a client.
// Does not own: the calls (kubernetes.ts).

import { KubeConfig } from "@kubernetes/client-node";
import { KubernetesClient } from "./apiclient.ts";

/** @throws Error where there is no usable configuration */
export function connect(
  kubeconfig: string | undefined,
  limits: { qps: number; burst: number },
  identity: string,
): KubernetesClient {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
  else if (process.env["KUBERNETES_SERVICE_HOST"]) config.loadFromCluster();
  else {
    throw new Error(
      "not in a cluster: give --kubeconfig FILE, or use `signet-controller standalone` for folders",
    );
  }
  return new KubernetesClient(config, limits, identity);
}
