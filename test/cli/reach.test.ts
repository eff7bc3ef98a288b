// The ways to a certificate and to the controller, in their order, and what is said where each
// fails. Runs the built program, dist/signet.cjs, against a server that answers as told.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";
import { type Forwarder, forwardAt } from "./forwarder.ts";
import { kubeconfig } from "./recorder.ts";

const PEM = readFileSync("test/fixtures/cert.pem", "utf8");
const CORE = "/api/v1/namespaces/kube-system";
const SERVICE = `${CORE}/services/sealed-secrets-controller`;
const CONFIG_MAP = `${CORE}/configmaps/sealed-secrets-controller-certificates`;
const PROXY = `${CORE}/services/http:sealed-secrets-controller:http/proxy`;

/** What is answered: an object, or the status with which the server refuses. */
let answers: Record<string, object | number>;
let asked: string[];
let server: Server;
let controller: Server;
let atController: RequestListener;
let forwarder: Forwarder;
let folder: string;

const refused = (status: number, path: string): string =>
  JSON.stringify({
    kind: "Status",
    status: "Failure",
    message: `no ${path.split("/").pop()}`,
    code: status,
  });

async function listen(made: Server): Promise<number> {
  await new Promise<void>((done) => made.listen(0, "127.0.0.1", done));
  return (made.address() as AddressInfo).port;
}

beforeEach(async () => {
  asked = [];
  atController = (request, response) => {
    if (request.url === "/v1/cert.pem") response.end(PEM);
    else if (request.url === "/v1/keys") response.end(JSON.stringify({ keys: [], unknown: {} }));
    else response.writeHead(404).end("404 page not found\n");
  };
  controller = createServer((request, response) => {
    atController(request, response);
  });
  const port = await listen(controller);
  const selector = { app: "signet" };
  const ready = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  const containers = [{ ports: [{ name: "web", containerPort: port }] }];
  answers = {
    [SERVICE]: { spec: { selector, ports: [{ name: "http", port: 80, targetPort: "web" }] } },
    [`${CORE}/pods`]: {
      items: [
        { metadata: { name: "old" }, spec: { containers }, status: { phase: "Pending" } },
        { metadata: { name: "signet-0" }, spec: { containers }, status: ready },
      ],
    },
    [`${CORE}/pods/signet-0/portforward`]: {},
  };
  server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    asked.push(path);
    const answer = answers[path] ?? 404;
    if (typeof answer === "number") response.writeHead(answer).end(refused(answer, path));
    else response.end(JSON.stringify(answer));
  });
  forwarder = forwardAt(server, () => ({ host: "127.0.0.1", port }));
  folder = mkdtempSync(join(tmpdir(), "reach-"));
  const url = `http://127.0.0.1:${await listen(server)}`;
  writeFileSync(join(folder, "config"), kubeconfig("a", { server: url }, { token: "hunter2" }));
});

afterEach(() => {
  forwarder.close();
  for (const each of [server, controller]) {
    each.closeAllConnections();
    each.close();
  }
  rmSync(folder, { recursive: true });
});

function signet(...args: string[]): Promise<Finished> {
  const command = [process.execPath, resolve("dist/signet.cjs"), ...args];
  return runToEnd(command, { cwd: folder, env: { KUBECONFIG: join(folder, "config") } });
}

const published = (uid: string, mark: string, pem = PEM): object => ({
  metadata: { uid, annotations: { "kube-signet/published-as": mark } },
  data: { "cert.pem": pem },
});

it("the published certificate comes first, and nothing else is asked", async () => {
  answers[CONFIG_MAP] = published("1", "1");
  expect(await signet("cert", "fetch")).toEqual({ status: 0, stdout: PEM, stderr: "" });
  expect(asked).toEqual([CONFIG_MAP]);
});

it("another ConfigMap may be named", async () => {
  answers["/api/v1/namespaces/public/configmaps/certificates"] = published("1", "1");
  const { stdout } = await signet("cert", "fetch", "--certificates-configmap=public/certificates");
  expect(stdout).toBe(PEM);
});

it.each([
  ["a copy from another cluster", published("1", "2")],
  ["one that the controller has not filled", { metadata: { uid: "1" } }],
  ["one with damaged content", published("1", "1", "nonsense")],
  ["one that may not be read", 403],
])("%s is passed over, and the pod is reached by a port-forward", async (_, object) => {
  answers[CONFIG_MAP] = object;
  answers[`${PROXY}/v1/cert.pem`] = 503;
  const { status, stdout, stderr } = await signet("cert", "fetch", "--verbose");
  expect([status, stdout]).toEqual([0, PEM]);
  const port = (controller.address() as AddressInfo).port;
  expect(forwarder.asked).toEqual([`${CORE}/pods/signet-0/portforward?ports=${port}`]);
  expect(stderr).toContain("ConfigMap kube-system/sealed-secrets-controller-certificates: ");
  expect(stderr).toContain("the controller does not answer by the service proxy: 503 no cert.pem");
  expect(stderr).toContain("the controller answers by the port-forward");
  expect(stderr).not.toContain("hunter2");
});

it("an error names every way that was tried, and why it failed", async () => {
  answers[CONFIG_MAP] = 403;
  answers[`${PROXY}/v1/cert.pem`] = 403;
  answers[`${CORE}/pods`] = 403;
  const { status, stderr } = await signet("cert", "fetch");
  expect(status).toBe(1);
  expect(stderr).toContain(
    "signet: error: cannot fetch certificate: 403 no cert.pem (service proxy); " +
      "port-forward: 403 no pods; ConfigMap kube-system/sealed-secrets-controller-certificates: " +
      "403 no sealed-secrets-controller-certificates\n",
  );
});

it("a controller that the pod's port does not lead to is named with what the kubelet says", async () => {
  answers[`${PROXY}/v1/keys`] = 502;
  controller.closeAllConnections();
  controller.close();
  const { status, stderr } = await signet("keys");
  expect(status).toBe(1);
  expect(stderr).toContain(
    "502 no keys (service proxy); port-forward: pod signet-0: error forwarding",
  );
});

it("what the controller itself refuses is not asked for by another way", async () => {
  answers[`${PROXY}/v1/keys`] = { keys: [], unknown: {} };
  const { status } = await signet("keys");
  expect([status, forwarder.asked]).toEqual([0, []]);
});

it("a login that the cluster refuses ends it", async () => {
  for (const path of [CONFIG_MAP, SERVICE]) answers[path] = 401;
  const { status, stderr } = await signet("cert", "fetch");
  expect([status, asked]).toEqual([1, [CONFIG_MAP, SERVICE]]);
  expect(stderr).toContain(
    "401 no sealed-secrets-controller (kube-system/sealed-secrets-controller)",
  );
});
