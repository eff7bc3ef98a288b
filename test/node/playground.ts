// The playground on a real node: a cluster with our chart in it, in its own namespaces, and the way
// to its API server from the machine.
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type NetConnectOpts, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inBed } from "../cluster/bed.ts";
import { BED_VARIABLE, insideBed, startProgram, waitFor } from "../cluster/program.ts";
import { type RealCluster, startRealCluster } from "./cluster.ts";
import { controllerImage, IMAGES_VARIABLE } from "./images.ts";
import { checkNode } from "./node.ts";
import { CERTIFICATE, NAMESPACE } from "./pods.ts";

type Say = (line: string) => void;

/** Names the socket through which the process in the namespaces is reached from outside. */
const SOCKET_VARIABLE = "KUBE_SIGNET_PLAYGROUND_SOCKET";

/** Why there can be no real node here; undefined where there can. */
export function whyNoNode(): string | undefined {
  try {
    checkNode();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Hands each connection on; keeps no program running. */
function forward(target: NetConnectOpts): Server {
  const server = createServer((client) => {
    const onward = connect(target);
    for (const [one, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.pipe(other);
      one.unref();
    }
  });
  return server.unref();
}

const listening = (server: Server, at: { path: string } | { host: string; port: number }) =>
  new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(at, done);
  });

/**
 * Runs this script again in its own namespaces. Resolves to its exit status. Its API server
 * listens at a port of this machine meanwhile.
 */
export async function playInNamespaces(ended: Promise<unknown>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "signet-playground-"));
  const socket = join(folder, "api-server");
  const server = forward({ path: socket });
  try {
    await listening(server, { host: "127.0.0.1", port: 0 });
    const { port } = server.address() as { port: number };
    const env = {
      ...{ [IMAGES_VARIABLE]: folder, ...process.env },
      ...{ [BED_VARIABLE]: "1", [SOCKET_VARIABLE]: `${socket} ${port}` },
    };
    const inner = startProgram(inBed([process.execPath, ...process.argv.slice(1)]), { env });
    let shown = 0;
    const timer = setInterval(() => {
      const logs = inner.logs();
      process.stdout.write(logs.slice(shown));
      shown = logs.length;
    }, 100);
    void ended.then(() => {
      inner.kill("SIGTERM");
    });
    const status = await inner.exited;
    clearInterval(timer);
    process.stdout.write(inner.logs().slice(shown));
    return typeof status === "number" ? status : 1;
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
}

/** A kubeconfig for the machine outside, where there is a way in. */
async function kubeconfigOutside({ plane, kubeconfig }: RealCluster): Promise<string> {
  const [socket, port] = (process.env[SOCKET_VARIABLE] ?? "").split(" ");
  if (socket === undefined || port === undefined) return kubeconfig;
  await listening(forward({ host: plane.host, port: plane.port }), { path: socket });
  const text = await readFile(kubeconfig, "utf8");
  // The certificate is for the address inside.
  const server = `server: https://127.0.0.1:${port}\n      tls-server-name: kubernetes`;
  const path = join(plane.directory, "kubeconfig");
  await writeFile(path, text.replace(`server: ${plane.url}`, server), { mode: 0o600 });
  return path;
}

interface Playground {
  readonly kubeconfig: string;
  /** What the controller's pods have logged since the last call. */
  readonly news: () => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Starts a cluster of one node with the chart in it. Needs the namespaces. */
export async function startPlayground(say: Say): Promise<Playground> {
  if (!insideBed()) throw new Error("a node needs namespaces of its own");
  say("building the controller's image from the Dockerfile, half a minute");
  const image = await controllerImage();
  say("starting a control plane and a node: containerd, kubelet, kube-proxy; 20 seconds");
  const cluster = await startRealCluster({ images: [image] });
  try {
    say("installing the chart with Helm, and waiting for the controller's pods");
    const install = ["install", "signet", "charts/signet", `--namespace=${NAMESPACE}`];
    await cluster.helm(...install, "--wait", "--timeout=600s");
    await waitFor("the certificate", () =>
      cluster.kubectl(["get", "--raw", CERTIFICATE]).catch(() => undefined),
    );
    const kubeconfig = await kubeconfigOutside(cluster);
    let since = new Date().toISOString();
    const news = async (): Promise<string> => {
      const now = new Date().toISOString();
      const target = ["deployment/signet-controller", `--namespace=${NAMESPACE}`];
      const text = await cluster.kubectl([
        ...["logs", ...target, "--all-pods", `--since-time=${since}`],
      ]);
      since = now;
      return text;
    };
    return { kubeconfig, news, stop: cluster.stop };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
