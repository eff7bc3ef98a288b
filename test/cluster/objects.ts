// The objects that the cluster tests declare, and how they look at what became of them.
import { parseCertificate } from "../../shared/keys/certificate.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import type { RunningController } from "./signet.ts";

export const SEALED_SECRETS = "/apis/bitnami.com/v1alpha1";

/** In the place of Argo Rollouts, whose own definition is large: only what is asked of it. */
export const ROLLOUTS: KubeObject = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "rollouts.argoproj.io" },
  spec: {
    group: "argoproj.io",
    scope: "Namespaced",
    names: { plural: "rollouts", singular: "rollout", kind: "Rollout", listKind: "RolloutList" },
    versions: [
      {
        name: "v1alpha1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
      },
    ],
  },
};

export interface Declared {
  readonly namespace: string;
  readonly name: string;
  readonly stringData?: Record<string, string>;
  readonly data?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly type?: string;
  readonly immutable?: boolean;
  readonly scope?: Scope;
}

/** The certificate that a controller serves. */
export async function certificateOf(controller: RunningController): Promise<string> {
  return (await fetch(`${controller.url}/v1/cert.pem`)).text();
}

/** The SealedSecret of a Secret, as `signet seal` makes it. */
export async function sealed(certificate: string, declared: Declared): Promise<KubeObject> {
  const { namespace, name, labels = {}, annotations = {}, scope, ...rest } = declared;
  const secret = parseSecret({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace, name, labels, annotations },
    ...rest,
  });
  const made = await seal(secret, parseCertificate(certificate), scope);
  return formatSealedSecret(made);
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

export interface Seen {
  readonly generation: number;
  readonly observedGeneration: number | undefined;
  readonly synced: Condition | undefined;
  readonly ready: Condition | undefined;
  readonly sealedUnder: Record<string, string[]>;
}

/** The facts in a SealedSecret's status. */
export async function statusOf(
  plane: ControlPlane,
  namespace: string,
  name: string,
): Promise<Seen> {
  const path = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}`;
  const { body } = await plane.request("GET", path);
  const status = (body as { status?: Record<string, unknown> }).status ?? {};
  const conditions = (status["conditions"] ?? []) as Condition[];
  return {
    generation: (body.metadata as { generation?: number } | undefined)?.generation ?? 0,
    observedGeneration: status["observedGeneration"] as number | undefined,
    synced: conditions.find(({ type }) => type === "Synced"),
    ready: conditions.find(({ type }) => type === "Ready"),
    sealedUnder: (status["sealedUnder"] ?? {}) as Record<string, string[]>,
  };
}

/** Waits until the status speaks of the current generation with this verdict. */
export async function untilVerdict(
  plane: ControlPlane,
  namespace: string,
  name: string,
  reason: string,
): Promise<Seen> {
  return plane.waitFor(`${namespace}/${name} to be ${reason}`, async () => {
    const seen = await statusOf(plane, namespace, name);
    const current = seen.observedGeneration === seen.generation;
    return current && seen.synced?.reason === reason ? seen : undefined;
  });
}

/**
 * Waits for a verdict on the current generation, whichever it is: so that a test first looks at what
 * the controller did, and then at what it says.
 */
export async function untilJudged(
  plane: ControlPlane,
  namespace: string,
  name: string,
): Promise<Condition> {
  return plane.waitFor(`a verdict on ${namespace}/${name}`, async () => {
    const { generation, observedGeneration, synced } = await statusOf(plane, namespace, name);
    return observedGeneration === generation ? synced : undefined;
  });
}

export async function readSecret(
  plane: ControlPlane,
  namespace: string,
  name: string,
): Promise<KubeObject | undefined> {
  const { status, body } = await plane.request(
    "GET",
    `/api/v1/namespaces/${namespace}/secrets/${name}`,
  );
  return status === 200 ? body : undefined;
}

/** Waits until a Secret's items are these texts, and no others. */
export async function untilData(
  plane: ControlPlane,
  namespace: string,
  name: string,
  expected: Record<string, string>,
): Promise<KubeObject> {
  return plane.waitFor(`Secret ${namespace}/${name} to hold what was declared`, async () => {
    const secret = await readSecret(plane, namespace, name);
    const data = Object.entries(secret?.data ?? {}).map(([item, value]) => [
      item,
      Buffer.from(value, "base64").toString(),
    ]);
    const same = JSON.stringify(data.sort()) === JSON.stringify(Object.entries(expected).sort());
    return secret !== undefined && same ? secret : undefined;
  });
}

/** `Type Reason Message` of every Event about an object, the oldest first. */
export async function eventsOf(
  plane: ControlPlane,
  namespace: string,
  name: string,
): Promise<string[]> {
  const { body } = await plane.request("GET", `/api/v1/namespaces/${namespace}/events?limit=1000`);
  const items = (body.items ?? []) as unknown as {
    type: string;
    reason: string;
    message: string;
    involvedObject: { name: string };
  }[];
  return items
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ type, reason, message }) => `${type} ${reason} ${message}`);
}

/** The value of one of the controller's own metrics; 0 where it has not been set. */
export async function metricOf(
  controller: RunningController,
  metric: string,
  labels: Record<string, string> = {},
): Promise<number> {
  const text = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
  const line = text.split("\n").find((candidate) => {
    const [name = ""] = candidate.split(/[{ ]/);
    return (
      name === `sealed_secrets_controller_${metric}` &&
      Object.entries(labels).every(([label, value]) => candidate.includes(`${label}="${value}"`))
    );
  });
  return Number(line?.split(" ").at(-1) ?? 0);
}
