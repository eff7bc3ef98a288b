// Our controller in the test bed: what the chart installs less the Deployment, the process, the way
// by which `kubeseal` reaches a controller through the API server, and a cluster with all that.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { get } from "node:https";
import { resolve } from "node:path";
import { loadAll } from "js-yaml";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  cleanEnvironment,
  freePort,
  listenHost,
  requireBed,
  startProgram,
  untilReady,
} from "./program.ts";

const MANIFEST = "deploy/signet.yaml";
export const MANIFEST_NAMESPACE = "kube-system";
const PROGRAM = "dist/signet-controller.mjs";

/** What `deploy/signet.yaml` holds, moved to another namespace where one is named. */
export async function signetManifest(namespace = MANIFEST_NAMESPACE): Promise<KubeObject[]> {
  const objects = loadAll(await readFile(resolve(process.cwd(), MANIFEST), "utf8"))
    .filter((document) => document !== null && document !== undefined)
    .map((document) => document as KubeObject);
  if (objects.length === 0) throw new Error(`${MANIFEST} is empty`);
  for (const { metadata, subjects } of objects) {
    if (metadata?.namespace === MANIFEST_NAMESPACE) metadata.namespace = namespace;
    for (const subject of (subjects ?? []) as { namespace?: string }[]) {
      if (subject.namespace === MANIFEST_NAMESPACE) subject.namespace = namespace;
    }
  }
  return objects;
}

/** What one of the chart's templates renders to with `values` set. */
export function chartObjects(template: string, ...values: string[]): KubeObject[] {
  const args = ["template", "signet", "charts/signet", `--namespace=${MANIFEST_NAMESPACE}`];
  const chosen = [`--show-only=templates/${template}`, ...values.map((value) => `--set=${value}`)];
  const text = execFileSync(partPath("helm"), [...args, ...chosen], { encoding: "utf8" });
  return loadAll(text).filter((document) => document !== null) as KubeObject[];
}

/** A service account that has the rights of a ClusterRole everywhere. */
export async function addAccount(
  plane: ControlPlane,
  { namespace, name, role }: { namespace: string; name: string; role: string },
): Promise<void> {
  const apiGroup = "rbac.authorization.k8s.io";
  await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } });
  await plane.apply({
    apiVersion: `${apiGroup}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name: `${namespace}-${name}` },
    roleRef: { apiGroup, kind: "ClusterRole", name: role },
    subjects: [{ kind: "ServiceAccount", name, namespace }],
  });
}

/** Creates a service account with these rights in its namespace. Returns its token. */
export async function addTenant(
  plane: ControlPlane,
  { namespace, name, rules }: { namespace: string; name: string; rules: object[] },
): Promise<string> {
  const apiGroup = "rbac.authorization.k8s.io";
  const metadata = { name, namespace };
  await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
  await plane.apply({ apiVersion: `${apiGroup}/v1`, kind: "Role", metadata, rules });
  await plane.apply({
    apiVersion: `${apiGroup}/v1`,
    kind: "RoleBinding",
    metadata,
    roleRef: { apiGroup, kind: "Role", name },
    subjects: [{ kind: "ServiceAccount", ...metadata }],
  });
  return plane.serviceAccountToken(namespace, name);
}

/** Creates a namespace where it is not there yet. */
export async function ensureNamespace(plane: ControlPlane, name: string): Promise<void> {
  await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
}

/**
 * Applies all that the chart installs, less the Deployment: there is no kubelet here, `startSignet`
 * runs the program instead.
 */
export async function installSignet(
  plane: ControlPlane,
  { namespace = MANIFEST_NAMESPACE }: { namespace?: string } = {},
): Promise<void> {
  await ensureNamespace(plane, namespace);
  for (const object of await signetManifest(namespace)) {
    if (object.kind !== "Deployment") await plane.apply(object);
  }
}

export interface RunningController {
  /** `http://HOST:PORT` of certificate, verify, rotate and health. */
  readonly url: string;
  readonly metricsUrl: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** All that it wrote, stdout and stderr. */
  logs: () => string;
  /** Sends a signal and returns at once; `exited` resolves when it has ended. */
  kill: (signal: NodeJS.Signals) => void;
  readonly exited: Promise<number | NodeJS.Signals>;
  /** SIGTERM, then SIGKILL after 10 seconds; the exit status, or the signal that ended it. */
  stop: () => Promise<number | NodeJS.Signals>;
}

export interface StartOptions {
  /** Flags beyond the kubeconfig and the two listeners. */
  flags?: string[];
  env?: Record<string, string>;
  namespace?: string;
  /** Fixed port, for a restart that `exposeController` must not notice. */
  port?: number;
  /** Where it listens; the service proxy of the API server reaches no loopback address. */
  host?: string;
  /** Resolve when it answers at all, for tests of a controller that cannot become ready. */
  waitFor?: "ready" | "alive";
  /** The Node that runs it (default: that of the tests). */
  node?: string;
  /** It serves HTTPS, with a certificate of no known authority. */
  tls?: boolean;
}

/** For one look whether it is up; the next follows. */
const LOOK_MS = 10_000;

async function answersOk(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(LOOK_MS) });
  await response.arrayBuffer();
  return response.ok;
}

function answersTls(url: string): Promise<boolean> {
  return new Promise((done, fail) => {
    get(url, { rejectUnauthorized: false, timeout: LOOK_MS, agent: false }, (response) => {
      response.resume();
      done(response.statusCode === 200);
    }).on("error", fail);
  });
}

/** Runs our controller with a token of the chart's service account, and no more rights. */
export async function startSignet(
  plane: ControlPlane,
  options: StartOptions = {},
): Promise<RunningController> {
  const program = resolve(process.cwd(), PROGRAM);
  if (!existsSync(program)) throw new Error(`${PROGRAM} is missing: run \`npm run build\``);
  const { namespace = MANIFEST_NAMESPACE } = options;
  const manifest = await signetManifest(namespace);
  const account = manifest.find(({ kind }) => kind === "ServiceAccount")?.metadata?.name;
  if (account === undefined) throw new Error(`${MANIFEST} has no ServiceAccount`);
  const token = await plane.serviceAccountToken(namespace, account);

  const host = options.host ?? listenHost();
  const port = options.port ?? (await freePort(host));
  const metricsPort = await freePort(host);
  const url = `${options.tls === true ? "https" : "http"}://${host}:${port}`;
  const running = startProgram(
    [
      options.node ?? process.execPath,
      program,
      `--kubeconfig=${await plane.kubeconfig({ token, namespace })}`,
      ...[`--listen-addr=${host}:${port}`, `--listen-metrics-addr=${host}:${metricsPort}`],
      ...(options.flags ?? []),
    ],
    {
      // Started again it is the same pod: it need not wait for its own lease to run out.
      env: cleanEnvironment({ POD_NAMESPACE: namespace, POD_NAME: "signet-0", ...options.env }),
    },
  );
  const health = options.waitFor === "alive" ? "/healthz" : "/readyz";
  const probe = (): Promise<boolean> =>
    options.tls === true ? answersTls(url + health) : answersOk(url + health);
  await untilReady("signet-controller", running, probe);
  const { pid, logs, kill, exited, stop } = running;
  const metricsUrl = `http://${host}:${metricsPort}`;
  return { url, metricsUrl, host, port, pid, logs, kill, exited, stop: () => stop() };
}

interface ServicePort {
  name?: string;
  port: number;
}

/**
 * Makes a Service lead to a program that listens on the bed's address, so that the API server's
 * service proxy reaches it. The proxy refuses loopback addresses, and addresses that no Pod has.
 * A Service that exists keeps its ports; else one is created with a port named `http`.
 */
export async function exposeController(
  plane: ControlPlane,
  {
    service,
    namespace,
    port,
    host,
  }: { service: string; namespace: string; port: number; host?: string },
): Promise<void> {
  const ip = host ?? requireBed("exposing a program by the service proxy");
  const path = `/api/v1/namespaces/${namespace}/services/${service}`;
  const metadata = { name: service, namespace };
  const created = { apiVersion: "v1", kind: "Service", metadata };
  const existing = await plane.request("GET", path);
  const { spec } =
    existing.status === 200
      ? existing.body
      : await plane.apply({ ...created, spec: { ports: [{ name: "http", port: 8080 }] } });
  const [first] = (spec as { ports: ServicePort[] }).ports;
  const podName = `${service}-pod`;
  const pod = await plane.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: podName, namespace },
    spec: { containers: [{ name: "controller", image: "none" }] },
  });
  await plane.request(
    "PATCH",
    `/api/v1/namespaces/${namespace}/pods/${podName}/status`,
    { status: { phase: "Running", podIP: ip, podIPs: [{ ip }] } },
    MERGE,
  );
  const targetRef = { kind: "Pod", name: podName, namespace, uid: pod.metadata?.uid };
  const endpointPort = first?.name === undefined ? { port } : { name: first.name, port };
  await plane.apply({
    apiVersion: "v1",
    kind: "Endpoints",
    metadata,
    subsets: [{ addresses: [{ ip, targetRef }], ports: [endpointPort] }],
  });
}

export interface Cluster {
  readonly plane: ControlPlane;
  readonly controller: RunningController;
  /** An administrator's. */
  readonly kubeconfig: string;
}

/** A control plane with our controller, where `kubeseal` and `signet` look for it, and namespaces. */
export async function startCluster({
  flags = ["--key-size=2048"],
  namespaces = [],
  env = {},
}: {
  flags?: string[];
  namespaces?: string[];
  env?: Record<string, string>;
} = {}): Promise<Cluster> {
  const plane = await startControlPlane();
  await installSignet(plane);
  for (const name of namespaces) await ensureNamespace(plane, name);
  const controller = await startSignet(plane, { flags, env });
  const service = { service: "sealed-secrets-controller", namespace: MANIFEST_NAMESPACE };
  await exposeController(plane, { ...service, port: controller.port });
  return { plane, controller, kubeconfig: await plane.kubeconfig() };
}
