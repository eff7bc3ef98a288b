// What a cluster with nodes does for Deployments: a process for each, with the command, arguments,
// environment, account and image that stand in the cluster; the endpoints of Services; the status.
import { randomBytes } from "node:crypto";
import { mkdir, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { withAccount } from "./original.ts";
import { type Program, requireBed, startProgram, untilReady } from "./program.ts";
import { exposeController } from "./signet.ts";

/** How long a pod works on when the one after it is ready. */
const OVERLAP_MS = 5_000;

/** Of a Service that selects no pod. */
const NOWHERE = { apiVersion: "v1", kind: "Endpoints", subsets: [] };

/** The programs of an image by their names in it; which image that is, its name tells. */
const IMAGES: Readonly<Record<string, () => Record<string, string>>> = {
  "bitnami/sealed-secrets-controller": () => ({
    controller: partPath("sealed-secrets-controller"),
  }),
  "signet-controller": () => ({
    "signet-controller": resolve("dist/signet-controller.mjs"),
    controller: resolve("dist/signet-controller.mjs"),
  }),
};

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
}

interface Container {
  readonly image: string;
  readonly command: string[];
  readonly args: string[];
  readonly env?: Variable[];
  readonly ports: { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe: { readonly httpGet: { readonly path: string } };
}

interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas: number;
    readonly template: {
      readonly metadata: { readonly labels: Record<string, string> };
      readonly spec: {
        readonly serviceAccountName: string;
        readonly enableServiceLinks?: boolean;
        readonly containers: [Container];
      };
    };
  };
}

interface Service extends KubeObject {
  readonly spec: {
    readonly clusterIP: string;
    readonly selector?: Record<string, string>;
    readonly ports: { readonly port: number; readonly targetPort: number | string }[];
  };
}

interface Pod {
  readonly deployment: Deployment;
  readonly program: Program;
}

export interface Node {
  /** Runs what the Deployments say and stops what they no longer say; all is ready when it resolves. */
  readonly settle: () => Promise<void>;
  /** The one pod that there is. @throws Error unless there is exactly one */
  readonly pod: () => Pod;
  readonly stop: () => Promise<void>;
}

function isCurrent({ deployment, program }: Pod, { spec }: Deployment): boolean {
  const same = JSON.stringify(spec.template) === JSON.stringify(deployment.spec.template);
  return same && program.running();
}

function sharesPort(...deployments: [Deployment, Deployment]): boolean {
  const [one, other] = deployments.map(({ spec }) =>
    spec.template.spec.containers[0].ports.map(({ containerPort }) => containerPort),
  ) as [number[], number[]];
  return one.some((port) => other.includes(port));
}

/** Says of a Deployment that all of its replicas are there, for whoever waits for that. */
export async function reportAvailable(plane: ControlPlane, deployment: KubeObject): Promise<void> {
  const { replicas } = deployment["spec"] as { replicas: number };
  const status = {
    observedGeneration: deployment.metadata?.generation,
    ...{ replicas, updatedReplicas: replicas, readyReplicas: replicas },
    availableReplicas: replicas,
  };
  await plane.request("PATCH", `${await plane.pathOf(deployment)}/status`, { status }, MERGE);
}

/** A node of one namespace; with `firstReplicaOnly` it runs one pod of a Deployment that wants more. */
export function startNode(
  plane: ControlPlane,
  namespace: string,
  { firstReplicaOnly = false }: { firstReplicaOnly?: boolean } = {},
): Node {
  const host = requireBed("a node");
  const pods = new Map<string, Pod>();

  const list = async <T extends KubeObject>(path: string): Promise<T[]> => {
    const { body } = await plane.request("GET", path);
    return (body.items ?? []) as T[];
  };

  /** A folder with the image's programs, as they are found on its PATH. */
  const unpack = async (image: string): Promise<string> => {
    const [, programs] =
      Object.entries(IMAGES).find(([name]) => image.split(":")[0]?.endsWith(`/${name}`)) ?? [];
    if (programs === undefined) throw new Error(`no such image: ${image}`);
    const folder = join(plane.directory, `image-${randomBytes(4).toString("hex")}`);
    await mkdir(folder);
    for (const [name, path] of Object.entries(programs())) await symlink(path, join(folder, name));
    return folder;
  };

  const environment = ({ env = [] }: Container, podName: string): Record<string, string> => {
    const fields: Record<string, string> = {
      "metadata.name": podName,
      "metadata.namespace": namespace,
    };
    return Object.fromEntries(
      env.map(({ name, value, valueFrom }) => [
        name,
        value ?? fields[valueFrom?.fieldRef?.fieldPath ?? ""] ?? "",
      ]),
    );
  };

  /** What a kubelet tells of a namespace's Services, where nobody turns it off. */
  const serviceLinks = (services: Service[]): Record<string, string> =>
    Object.fromEntries(
      services.flatMap(({ metadata, spec: { clusterIP, ports } }) => {
        const name = (metadata?.name ?? "").toUpperCase().replaceAll("-", "_");
        const port = ports[0]?.port ?? 0;
        return [
          [`${name}_SERVICE_HOST`, clusterIP],
          [`${name}_SERVICE_PORT`, String(port)],
          [`${name}_PORT`, `tcp://${clusterIP}:${port}`],
          [`${name}_PORT_${port}_TCP`, `tcp://${clusterIP}:${port}`],
          [`${name}_PORT_${port}_TCP_ADDR`, clusterIP],
        ];
      }),
    );

  const start = async (deployment: Deployment, services: Service[]): Promise<void> => {
    const { spec } = deployment.spec.template;
    const [container] = spec.containers;
    const name = deployment.metadata?.name ?? "";
    const programs = await unpack(container.image);
    const account = await withAccount(plane, namespace, spec.serviceAccountName);
    const links = spec.enableServiceLinks === false ? {} : serviceLinks(services);
    const env = {
      PATH: [programs, dirname(process.execPath), process.env["PATH"] ?? ""].join(":"),
      KUBERNETES_SERVICE_HOST: plane.host,
      KUBERNETES_SERVICE_PORT: String(plane.port),
      ...links,
      ...environment(container, `${name}-0`),
    };
    const program = startProgram([...account, ...container.command, ...container.args], { env });
    pods.set(name, { deployment, program });
    const port = container.ports.find((each) => each.name === "http")?.containerPort ?? 0;
    const url = `http://${host}:${port}${container.readinessProbe.httpGet.path}`;
    const probe = async (): Promise<boolean> =>
      (await fetch(url, { signal: AbortSignal.timeout(10_000) })).ok;
    await untilReady(name, program, probe);
  };

  const matches = ({ spec: { selector } }: Service, { deployment }: Pod): boolean => {
    const { labels } = deployment.spec.template.metadata;
    const wanted = Object.entries(selector ?? {});
    return wanted.length > 0 && wanted.every(([label, value]) => labels[label] === value);
  };

  /** Each Service leads to the pod that it selects, or nowhere. */
  const route = async (services: Service[]): Promise<void> => {
    for (const service of services) {
      const name = service.metadata?.name ?? "";
      const target = service.spec.ports[0]?.targetPort;
      const pod = [...pods.values()].find((each) => matches(service, each));
      const port = pod?.deployment.spec.template.spec.containers[0].ports.find(
        (each) => each.name === target,
      )?.containerPort;
      if (port !== undefined) await exposeController(plane, { service: name, namespace, port });
      else await plane.apply({ ...NOWHERE, metadata: { name, namespace } });
    }
  };

  const stopPod = async (name: string): Promise<void> => {
    const pod = pods.get(name);
    pods.delete(name);
    await pod?.program.stop();
  };

  /** As a rolling update: the new pod is ready before the old one ends, where both have ports here. */
  const roll = async (deployment: Deployment, services: Service[]): Promise<void> => {
    const name = deployment.metadata?.name ?? "";
    const old = pods.get(name);
    if (old !== undefined && isCurrent(old, deployment)) return;
    if (old === undefined || sharesPort(old.deployment, deployment)) {
      await stopPod(name);
      return start(deployment, services);
    }
    pods.delete(name);
    await start(deployment, services);
    await sleep(OVERLAP_MS);
    await old.program.stop();
  };

  const settle = async (): Promise<void> => {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
    const type = { apiVersion: "apps/v1", kind: "Deployment" };
    const deployments = (await list<Deployment>(path)).map((each) => ({ ...each, ...type }));
    const services = await list<Service>(`/api/v1/namespaces/${namespace}/services`);
    const wanted = deployments.filter(({ spec }) => spec.replicas > 0);
    for (const name of [...pods.keys()]) {
      if (!wanted.some(({ metadata }) => metadata?.name === name)) await stopPod(name);
    }
    for (const deployment of wanted) {
      if (deployment.spec.replicas > 1 && !firstReplicaOnly)
        throw new Error("one address, one replica");
      await roll(deployment, services);
    }
    for (const deployment of deployments) await reportAvailable(plane, deployment);
    await route(services);
  };

  return {
    settle,
    pod: () => {
      const [pod, ...more] = pods.values();
      if (pod === undefined || more.length > 0) throw new Error(`${pods.size} pods, not one`);
      return pod;
    },
    stop: async () => {
      for (const { program } of pods.values()) await program.stop();
      pods.clear();
    },
  };
}
