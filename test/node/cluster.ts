// A whole small cluster: a real control plane, real nodes on a network between them, and the images
// that their pods run.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ControlPlane, startControlPlane } from "../cluster/controlplane.ts";
import { requireBed, runToEnd } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type Image, pauseImage } from "./images.ts";
import { checkNode, podNetwork, type RealNode, startRealNode } from "./node.ts";

const BRIDGE = "nodes";
/** Addresses that are reserved for documentation (RFC 5737). */
const GATEWAY = "192.0.2.1";
const addressOf = (number: number): string => `192.0.2.${10 + number}`;

export interface RealCluster {
  readonly plane: ControlPlane;
  /** An administrator's. */
  readonly kubeconfig: string;
  readonly nodes: readonly RealNode[];
  /** What the command prints. @throws Error unless it succeeds */
  readonly kubectl: (args: readonly string[], stdin?: string) => Promise<string>;
  readonly helm: (...args: string[]) => Promise<string>;
  /** Has all nodes know an image. */
  readonly load: (image: Image) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const newToken = (): string => randomBytes(16).toString("hex");

function layCable(numbers: readonly number[]): void {
  const ip = (...args: string[]): unknown => execFileSync("ip", args);
  ip("link", "add", BRIDGE, "type", "bridge");
  ip("address", "add", `${GATEWAY}/24`, "dev", BRIDGE);
  ip("link", "set", BRIDGE, "up");
  // The API server's proxy goes to pods.
  for (const each of numbers) ip("route", "add", podNetwork(each), "via", addressOf(each));
}

/** Starts a cluster in the bed's network. Its nodes are ready when this resolves. */
export async function startRealCluster({
  nodes: count = 1,
  images = [],
  auditLog = false,
}: {
  nodes?: number;
  images?: readonly Image[];
  auditLog?: boolean;
} = {}): Promise<RealCluster> {
  requireBed("a cluster with nodes");
  checkNode();
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const nameOf = (number: number): string => `node-${number}`;
  layCable(numbers);
  const proxyToken = newToken();
  const tokens = new Map(numbers.map((number) => [number, newToken()]));
  const users = [
    `${proxyToken},system:kube-proxy,proxy,system:node-proxier`,
    ...numbers.map(
      (number) =>
        `${tokens.get(number) ?? ""},system:node:${nameOf(number)},${nameOf(number)},system:nodes`,
    ),
  ];
  const nodes: RealNode[] = [];
  let plane: ControlPlane | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
    await plane?.stop();
    execFileSync("ip", ["link", "delete", BRIDGE]);
  };
  try {
    plane = await startControlPlane({ auditLog, nodes: { address: GATEWAY, users } });
    const { directory } = plane;
    const proxyConfig = await plane.kubeconfig({ token: proxyToken });
    for (const number of numbers) {
      const work = join(directory, nameOf(number));
      mkdirSync(work);
      const node = await startRealNode({
        place: { number, work, address: addressOf(number) },
        name: nameOf(number),
        kubeletConfig: await plane.kubeconfig({ token: tokens.get(number) ?? "" }),
        proxyConfig,
        ...{ gateway: GATEWAY, bridge: BRIDGE },
        routes: numbers
          .filter((each) => each !== number)
          .map((each) => ({ to: podNetwork(each), via: addressOf(each) })),
      });
      nodes.push(node);
    }
    const cluster = { plane, nodes, stop, ...toolsOf(await plane.kubeconfig(), nodes) };
    for (const image of [await pauseImage(), ...images]) await cluster.load(image);
    for (const node of nodes) await untilNodeReady(plane, node);
    return cluster;
  } catch (error) {
    const said = nodes.map((node) => `${node.name}\n${node.logs().slice(-4_000)}`).join("\n");
    await stop();
    throw new Error(`the cluster did not start: ${String(error)}\n${said}`, { cause: error });
  }
}

function toolsOf(
  kubeconfig: string,
  nodes: readonly RealNode[],
): Pick<RealCluster, "kubeconfig" | "kubectl" | "helm" | "load"> {
  const run = async (command: readonly string[], stdin?: string): Promise<string> => {
    const env = { KUBECONFIG: kubeconfig };
    const options = { env, ...(stdin === undefined ? {} : { stdin }) };
    const { status, stdout, stderr } = await runToEnd([...command], options);
    if (status === 0) return stdout;
    throw new Error(`${command.slice(1).join(" ")}: ${status}\n${stdout}${stderr}`);
  };
  return {
    kubeconfig,
    kubectl: (args, stdin) => run([partPath("kubectl"), ...args], stdin),
    helm: (...args) => run([partPath("helm"), ...args]),
    load: async (image) => {
      for (const node of nodes) await node.load(image);
    },
  };
}

interface Conditions {
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

async function untilNodeReady(plane: ControlPlane, node: RealNode): Promise<void> {
  const { name } = node;
  await node.untilReady(async () => {
    const { body } = await plane.request("GET", `/api/v1/nodes/${name}`);
    const { conditions = [] } = (body["status"] ?? {}) as Conditions;
    return conditions.some(({ type, status }) => type === "Ready" && status === "True");
  });
}
