// The ways to a certificate and to the controller, in their order, and what is said where each
// fails. Runs the built program, dist/signet.cjs, against a server that answers as told.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";
import { type Forwarder, forwardAt } from "./forwarder.ts";
import { kubeconfig } from "./recorder.ts";

const PEM = readFileSync("test/fixtures/cert.pem", "utf8");
const CORE = "/api/v1/namespaces/kube-system";
const SERVICE = `${CORE}/services/sealed-secrets-controller`;
const CONFIG_MAP = `${CORE}/configmaps/sealed-secrets-controller-certificates`;
const PROXY = `${CORE}/services/http:sealed-secrets-controller:http/proxy`;

/** What is answered: an object, the status with which the server refuses, or whatever a function does. */
let answers: Record<string, object | number | RequestListener>;
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
    if (typeof answer === "function") (answer as RequestListener)(request, response);
    else if (typeof answer === "number") response.writeHead(answer).end(refused(answer, path));
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

const says =
  (code: number, message: string): RequestListener =>
  (_, response) => {
    const body = { kind: "Status", status: "Failure", message, code };
    response.writeHead(code).end(JSON.stringify(body));
  };

describe("a pod that the API server does not reach, and no right to a port-forward", () => {
  const WAY =
    "signet: hint: a firewall or NetworkPolicy may keep the API server from the controller's pod: allow its port; " +
    'or get permission to "list" pods and "create" pods/portforward in namespace kube-system; is the pod ready? ' +
    "see `kubectl -n kube-system get endpoints sealed-secrets-controller`";

  it.each([
    [503, "error trying to reach service: dial tcp 10.1.2.3:8080: i/o timeout"],
    [503, "error trying to reach service: dial tcp 10.1.2.3:8080: connect: connection refused"],
    [503, "error trying to reach service: context deadline exceeded"],
    [504, "error trying to reach service: dial tcp 10.1.2.3:8080: connect: no route to host"],
  ])("is distinguished from a missing one: %i %s", async (status, message) => {
    answers[`${CORE}/pods`] = 403;
    for (const route of ["cert.pem", "keys"]) {
      answers[`${PROXY}/v1/${route}`] = says(status, message);
    }
    for (const args of [["cert", "fetch"], ["keys"]]) {
      const { status: exit, stderr } = await signet(...args);
      expect([exit, stderr]).toEqual([1, expect.stringContaining(`${status} ${message}`)]);
      expect(stderr).toContain(WAY);
      expect(stderr).not.toContain("--context");
    }
  });

  it("is named where the API server only waits, and not the API server", async () => {
    answers[`${CORE}/pods`] = 403;
    answers[`${PROXY}/v1/keys`] = () => undefined;
    const { status, stderr } = await signet("keys", "--request-timeout", "1s");
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^signet: error: the API server at http:\S+ did not reach the controller kube-system\/sealed-secrets-controller within 1 s \(service proxy\); port-forward: 403 no pods$/m,
    );
    expect(stderr).toContain(WAY);
    expect(stderr).not.toContain("--context");
  });

  it("is told by kubeseal, whatever it asks for", async () => {
    answers[`${CORE}/pods`] = 403;
    const message = "error trying to reach service: dial tcp 10.1.2.3:8080: i/o timeout";
    for (const route of ["verify", "rotate"]) {
      answers[`${PROXY}/v1/${route}`] = says(503, message);
    }
    const stdin = JSON.stringify({
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { name: "a", namespace: "b" },
      spec: { encryptedData: { c: "AgB=" } },
    });
    for (const flag of ["--validate", "--re-encrypt"]) {
      const command = [process.execPath, resolve("dist/kubeseal.cjs"), flag];
      const env = { KUBECONFIG: join(folder, "config") };
      const { status, stderr } = await runToEnd(command, { stdin, env });
      expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
      expect(stderr).toContain("hint: a firewall or NetworkPolicy may keep the API server from");
    }
  });

  it("is no question of the way where no pod is ready", async () => {
    answers[`${CORE}/pods`] = 403;
    answers[`${PROXY}/v1/keys`] = says(503, 'no endpoints available for service "a"');
    const { stderr } = await signet("keys");
    expect(stderr).toContain("signet: hint: is the controller's pod running? see `kubectl -n");
    expect(stderr).not.toContain("firewall");
  });
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
