// Pods of a real cluster: those of a Deployment, what is run in them, what they log, and a pod of one's
// own where only restricted ones are let in.
import type { KubeObject } from "../cluster/controlplane.ts";
import type { RealCluster } from "./cluster.ts";

export const NAMESPACE = "kube-system";
/** Where the API server's proxy shows the controller's certificate. */
export const CERTIFICATE = `/api/v1/namespaces/${NAMESPACE}/services/http:sealed-secrets-controller:http/proxy/v1/cert.pem`;
const SELECTOR = "app.kubernetes.io/name=signet,app.kubernetes.io/component=controller";

interface ContainerStatus {
  readonly ready: boolean;
  readonly restartCount: number;
  readonly lastState: { readonly terminated?: { readonly reason: string } };
}

export interface Pod extends KubeObject {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: {
    readonly nodeName: string;
    readonly containers: readonly { readonly image: string }[];
  };
  readonly status: {
    readonly podIP?: string;
    readonly phase: string;
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

/** Pods that are not being deleted. */
export async function podsOf(
  { plane }: RealCluster,
  selector = SELECTOR,
  namespace = NAMESPACE,
): Promise<Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const { body } = await plane.request("GET", path);
  const pods = (body.items ?? []) as Pod[];
  return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export const isReady = ({ status }: Pod): boolean =>
  status.containerStatuses?.every(({ ready }) => ready) ?? false;

/** Waits until there are so many pods of the controller, all of them ready. */
export async function untilReadyPods(cluster: RealCluster, count: number): Promise<Pod[]> {
  return cluster.plane.waitFor(`${count} ready pods`, async () => {
    const pods = await podsOf(cluster);
    return pods.length === count && pods.every(isReady) && pods;
  });
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/** Whether all of its pods are there and ready, and none of an older one is left. */
function isSettled({ metadata, spec, status }: Deployment): boolean {
  const { observedGeneration, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const isSeen = observedGeneration === metadata?.generation;
  return isSeen && [replicas, updatedReplicas, availableReplicas].every((n) => n === spec.replicas);
}

/** Waits until the controller's namespace runs what its Deployments say, and no other pod. */
export async function untilSettled({ plane }: RealCluster): Promise<void> {
  const deployments = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
  const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
  await plane.waitFor("the Deployments' pods", async () => {
    const wanted = ((await plane.request("GET", deployments)).body.items ?? []) as Deployment[];
    if (!wanted.every(isSettled)) return false;
    const count = wanted.reduce((sum, { spec }) => sum + spec.replicas, 0);
    return (await plane.request("GET", pods)).body.items?.length === count;
  });
}

/** Runs JavaScript in a pod of the controller, and returns what it prints. */
export function evaluate(cluster: RealCluster, pod: string, script: string): Promise<string> {
  return cluster.kubectl(["exec", "--namespace", NAMESPACE, pod, "--", "node", "--eval", script]);
}

/** A pod that runs JavaScript in the controller's image, under the "restricted" profile. */
export function scriptPod({
  image,
  script,
  spec = {},
  container = {},
  ...metadata
}: {
  name: string;
  namespace: string;
  image: string;
  script: string;
  spec?: object;
  container?: object;
}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      ...spec,
      containers: [
        {
          name: "script",
          image,
          command: ["node", "--eval", script],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
          ...container,
        },
      ],
    },
  };
}
