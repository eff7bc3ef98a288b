// Clients of the controller's Service: a pod that asks for the certificate again and again, each time
// by a new connection to the ClusterIP, and reports every request that failed.
import type { KubeObject } from "../cluster/controlplane.ts";
import type { RealCluster } from "./cluster.ts";
import { NAMESPACE, scriptPod } from "./pods.ts";

interface Tally {
  readonly answers: number;
  /** What went wrong, in the order of time. */
  readonly failures: string[];
}

export interface Load {
  readonly tally: () => Promise<Tally>;
  /** Ends it; the tally of all. */
  readonly stop: () => Promise<Tally>;
}

const NAME = "clients";

const scriptFor = (url: string): string => `
const http = require("node:http");
let answers = 0;
const ask = () => {
  const failed = (what) => { console.log("failed " + new Date().toISOString() + " " + what); setTimeout(ask, 20); };
  const request = http.get(${JSON.stringify(url)}, { agent: false, timeout: 30_000 }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part) => (text += part)).on("error", (error) => failed(String(error)));
    response.on("end", () => {
      if (response.statusCode !== 200 || !text.includes("END CERTIFICATE")) return failed(response.statusCode + " " + text);
      answers++;
      setTimeout(ask, 20);
    });
  });
  request.on("timeout", () => request.destroy(new Error("no answer")));
  request.on("error", (error) => failed(String(error)));
};
for (let client = 0; client < 4; client++) ask();
setInterval(() => console.log("answers " + answers), 500);`;

/** Where the controller's Service is for pods. There is no DNS. */
export async function serviceUrl({ plane }: RealCluster): Promise<string> {
  const path = `/api/v1/namespaces/${NAMESPACE}/services/sealed-secrets-controller`;
  const { body } = await plane.request("GET", path);
  const { clusterIP, ports } = body["spec"] as {
    clusterIP: string;
    ports: readonly { port: number }[];
  };
  return `http://${clusterIP}:${ports[0]?.port ?? 0}`;
}

/** Starts the clients on a node; they have had answers when this resolves. */
export async function startLoad(
  cluster: RealCluster,
  { namespace, image, node }: { namespace: string; image: string; node: string },
): Promise<Load> {
  const { plane, kubectl } = cluster;
  const script = scriptFor(`${await serviceUrl(cluster)}/v1/cert.pem`);
  const pod: KubeObject = scriptPod({
    ...{ namespace, name: NAME, image, script },
    spec: { nodeName: node },
  });
  await plane.apply(pod);
  const tally = async (): Promise<Tally> => {
    const log = await kubectl(["logs", "--namespace", namespace, NAME]);
    const lines = log.trim().split("\n");
    const told = lines.findLast((line) => line.startsWith("answers ")) ?? "answers 0";
    return {
      answers: Number(told.split(" ")[1]),
      failures: lines.filter((line) => line.startsWith("failed ")),
    };
  };
  await plane.waitFor("clients", async () => (await tally()).answers > 0);
  const stop = async (): Promise<Tally> => {
    const all = await tally();
    await kubectl(["delete", "pod", "--namespace", namespace, NAME]);
    return all;
  };
  return { tally, stop };
}
