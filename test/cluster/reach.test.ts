// Certificate, verify, rotate and keys for people who have no right to the service proxy, and where
// the API server reaches no pod: by the published ConfigMap and by a port-forward.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { type Kubelet, placePod, startKubelet } from "./kubelet.ts";
import { certificateOf, sealed, untilData } from "./objects.ts";
import { type Finished, freePort, requireBed, runToEnd } from "./program.ts";
import { addTenant, installSignet, type RunningController, startSignet } from "./signet.ts";

const NAMESPACE = "kube-system";
const CORE = `/api/v1/namespaces/${NAMESPACE}`;
const SERVICE = "sealed-secrets-controller";
const CONFIG_MAP = `${CORE}/configmaps/${SERVICE}-certificates`;
const BINDINGS = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}/rolebindings`;

let plane: ControlPlane;
let controller: RunningController;
let kubelet: Kubelet;
/** Kubeconfigs by what their users may do. */
let may: { nothing: string; seeService: string; forward: string };

/** Leads the Service to an address, behind which may be nothing. */
async function leadTo(ip: string, port: number): Promise<void> {
  const metadata = { name: SERVICE, namespace: NAMESPACE };
  const targetRef = { kind: "Pod", name: "on-node", namespace: NAMESPACE };
  const subsets = [{ addresses: [{ ip, targetRef }], ports: [{ name: "http", port }] }];
  await plane.apply({ apiVersion: "v1", kind: "Endpoints", metadata, subsets });
}

beforeAll(async () => {
  const host = requireBed("the service proxy");
  plane = await startControlPlane();
  await installSignet(plane);
  // As where serviceProxier.subjects is empty.
  await plane.request("DELETE", `${BINDINGS}/${SERVICE}-service-proxier`);
  controller = await startSignet(plane, { flags: ["--key-size=2048"] });
  kubelet = await startKubelet(plane, { node: "node", port: () => controller.port });
  const service = (await plane.request("GET", `${CORE}/services/${SERVICE}`)).body;
  await placePod(plane, { service, node: "node", port: controller.port, ip: host });
  await leadTo(host, controller.port);
  const user = async (name: string, rules: object[]): Promise<string> =>
    plane.kubeconfig({ token: await addTenant(plane, { namespace: NAMESPACE, name, rules }) });
  const rule = (resources: string[], ...verbs: string[]) => ({ apiGroups: [""], resources, verbs });
  may = {
    nothing: await user("nothing", []),
    seeService: await user("see-service", [rule(["services"], "get")]),
    forward: await user("forward", [
      rule(["services"], "get"),
      rule(["pods"], "list"),
      rule(["pods/portforward"], "get", "create"),
    ]),
  };
  await plane.waitFor("the certificate to be published", async () => {
    const { data = {}, metadata } = (await plane.request("GET", CONFIG_MAP)).body;
    return data["cert.pem"] !== undefined && metadata?.annotations !== undefined;
  });
});

afterAll(async () => {
  await controller.stop();
  await kubelet.stop();
  await plane.stop();
});

function run(program: string, args: string[], KUBECONFIG: string, stdin = ""): Promise<Finished> {
  const command = [process.execPath, resolve(`dist/${program}.cjs`), ...args];
  return runToEnd(command, { stdin, env: { KUBECONFIG } });
}

const made = async (): Promise<string> => {
  const declared = { namespace: "default", name: "db", stringData: { password: "hunter2" } };
  return JSON.stringify(await sealed(await certificateOf(controller), declared));
};

describe("the published ConfigMap", () => {
  it("gives everybody the certificate, with no other right", async () => {
    const certificate = await certificateOf(controller);
    const fetched = await run("signet", ["cert", "fetch", "-v"], may.nothing);
    expect([fetched.status, fetched.stdout]).toEqual([0, certificate]);
    expect(fetched.stderr).toContain(`ConfigMap ${NAMESPACE}/${SERVICE}-certificates`);
    const kubeseal = await run("kubeseal", ["--fetch-cert"], may.nothing);
    expect(kubeseal).toEqual({ status: 0, stdout: certificate, stderr: "" });
    const config = { token: await plane.serviceAccountToken(NAMESPACE, "nothing") };
    for (const [method, path] of [
      ["GET", `${CORE}/configmaps`],
      ["GET", `${CORE}/configmaps/kube-root-ca.crt`],
      ["PATCH", CONFIG_MAP],
    ] as const) {
      expect((await plane.request(method, path, undefined, config)).status, path).not.toBe(200);
    }
  });

  it("is put right after edits, also after one that makes it immutable, and when it is deleted", async () => {
    const { data } = (await plane.request("GET", CONFIG_MAP)).body;
    const isRight = async (): Promise<boolean> => {
      const { data: now, metadata, ...rest } = (await plane.request("GET", CONFIG_MAP)).body;
      const mark = metadata?.annotations?.["kube-signet/published-as"];
      const isOurs = now?.["cert.pem"] === data?.["cert.pem"] && rest["immutable"] !== true;
      return isOurs && mark === metadata?.uid;
    };
    for (const edit of [
      { data: { "cert.pem": "another" } },
      { immutable: true, data: { "cert.pem": "another" } },
    ]) {
      expect((await plane.request("PATCH", CONFIG_MAP, edit, MERGE)).status).toBe(200);
      await plane.waitFor("the edit to be reverted", isRight);
    }
    await plane.request("DELETE", CONFIG_MAP);
    await plane.waitFor("it to be there again", isRight);
    expect((await run("signet", ["cert", "fetch"], may.nothing)).status).toBe(0);
  });

  it("a copy, as a backup of another cluster brings it, counts for nothing", async () => {
    const { data, metadata } = (await plane.request("GET", CONFIG_MAP)).body;
    const copy = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: "copied-certificates",
        namespace: NAMESPACE,
        annotations: metadata?.annotations,
      },
      data,
    } as KubeObject;
    await plane.apply(copy);
    const args = ["cert", "fetch", "--certificates-configmap=copied-certificates"];
    const { status, stderr } = await run("signet", args, await plane.kubeconfig());
    expect([status, stderr]).toEqual([0, ""]);
    const said = await run("signet", [...args, "-v"], await plane.kubeconfig());
    expect(said.stderr).toContain(
      "copied-certificates: it is a copy, for example from another cluster",
    );
    expect(said.stderr).toContain("the controller answers by the service proxy");
  });
});

describe("a person without a right to the service proxy", () => {
  it("gets everything by a port-forward", async () => {
    const stdin = await made();
    const keys = await run("signet", ["keys", "--json", "-v"], may.forward);
    expect(keys.stderr).toContain("the controller answers by the port-forward");
    expect(JSON.parse(keys.stdout)).toMatchObject({ keys: [{ state: "sealing" }] });
    const valid = await run("kubeseal", ["--validate"], may.forward, stdin);
    expect(valid).toEqual({ status: 0, stdout: "", stderr: "" });
    const other = stdin.replace('"name":"db"', '"name":"other"');
    const invalid = await run("kubeseal", ["--validate"], may.forward, other);
    expect(invalid.stderr).toContain("unable to decrypt sealed secret");
    const rotated = await run("kubeseal", ["--re-encrypt"], may.forward, stdin);
    expect([rotated.status, JSON.parse(rotated.stdout)]).toEqual([
      0,
      expect.objectContaining({ kind: "SealedSecret" }),
    ]);
    expect(kubelet.asked.length).toBeGreaterThanOrEqual(4);
  });

  it("and without one to port-forwards is told of both", async () => {
    const { status, stderr } = await run("signet", ["keys"], may.seeService);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /cannot fetch the report on keys: 403 services .*"services\/proxy".*\(service proxy\); port-forward: 403 pods is forbidden/,
    );
  });
});

it("kubectl runs it as its plugins `kubectl signet` and `kubectl seal`", async () => {
  const folder = mkdtempSync(join(tmpdir(), "plugins-"));
  for (const name of ["kubectl-signet", "kubectl-seal"]) {
    symlinkSync(resolve("dist/signet.cjs"), join(folder, name));
  }
  const PATH = `${folder}:${process.env["PATH"] ?? ""}`;
  const env = { PATH, KUBECONFIG: may.nothing };
  const kubectl = (args: string[], stdin = ""): Promise<Finished> =>
    runToEnd([partPath("kubectl"), ...args], { stdin, env });
  const fetched = await kubectl(["signet", "cert", "fetch"]);
  expect([fetched.status, fetched.stdout]).toEqual([0, await certificateOf(controller)]);
  const secret =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: d}\n";
  const made = await kubectl(["seal"], secret);
  expect([made.status, made.stderr]).toEqual([0, ""]);
  expect(made.stdout).toContain("kind: SealedSecret");
  rmSync(folder, { recursive: true });
});

describe("values from the cluster", () => {
  it("are read with the person's own permissions, printed or given to a program", async () => {
    const folder = mkdtempSync(join(tmpdir(), "values-"));
    const file = join(folder, "db.json");
    writeFileSync(file, await made());
    await plane.apply(JSON.parse(await made()) as KubeObject);
    await untilData(plane, "default", "db", { password: "hunter2" });
    const admin = await plane.kubeconfig();
    const args = ["get", file, "password", "--from-cluster"];
    expect(await run("signet", args, admin)).toEqual({ status: 0, stdout: "hunter2", stderr: "" });
    const program = ["--", "sh", "-c", 'printf %s "$password"; exit 5'];
    const inside = await run("signet", ["exec", file, "--from-cluster", ...program], admin);
    expect(inside).toEqual({ status: 5, stdout: "hunter2", stderr: "" });
    const refused = await run("signet", args, may.forward);
    expect([refused.status, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toContain("cannot get Secret default/db: 403 secrets");
    rmSync(folder, { recursive: true });
  });
});

describe("an API server that reaches no pod", () => {
  it("is no obstacle where it refuses at once, nor where it waits", async () => {
    const host = requireBed("the service proxy");
    const silent = createServer();
    const port = await freePort(host);
    await new Promise<void>((done) => silent.listen(port, host, done));
    const admin = await plane.kubeconfig();
    try {
      for (const [what, at] of [
        ["nothing listens", await freePort(host)],
        ["nothing answers", port],
      ] as const) {
        await leadTo(host, at);
        const keys = await run("signet", ["keys", "--json", "-v"], admin);
        expect([what, keys.status], keys.stderr).toEqual([what, 0]);
        expect(keys.stderr).toContain("the controller does not answer by the service proxy");
        expect(keys.stderr).toContain("the controller answers by the port-forward");
      }
    } finally {
      silent.close();
      await leadTo(host, controller.port);
    }
  });
});
