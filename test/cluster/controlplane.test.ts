// The proof that the test bed is the real thing, before other tests rely on it.
import { createServer } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { installOriginalCrd, kubectl, kubeseal, startOriginal } from "./original.ts";
import { freePort, listenHost } from "./program.ts";
import { ensureNamespace, exposeController } from "./signet.ts";

function secret(name: string, more: KubeObject = {}): KubeObject {
  return { apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "default" }, ...more };
}

const SECRETS = "/api/v1/namespaces/default/secrets";

describe("the test bed", () => {
  let plane: ControlPlane;

  beforeAll(async () => {
    plane = await startControlPlane({ auditLog: true });
  });
  afterAll(async () => {
    await plane.stop();
  });

  it("denies by RBAC what a service account was not granted", async () => {
    await plane.apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "nobody", namespace: "default" },
    });
    const token = await plane.serviceAccountToken("default", "nobody");
    const answer = await plane.request("GET", SECRETS, undefined, { token });
    expect(answer.status).toBe(403);
    expect(answer.body.message).toContain("system:serviceaccount:default:nobody");
    expect((await plane.request("GET", SECRETS)).status).toBe(200);
    expect((await plane.request("GET", SECRETS, undefined, { token: "wrong" })).status).toBe(401);
  });

  it("collects an object whose owner is deleted", async () => {
    const owner = { apiVersion: "v1", kind: "ConfigMap" };
    const metadata = { name: "owner", namespace: "default" };
    const { uid = "" } = (await plane.apply({ ...owner, metadata })).metadata ?? {};
    const ownerReferences = [{ ...owner, name: "owner", uid }];
    await plane.apply(
      secret("owned", { metadata: { name: "owned", namespace: "default", ownerReferences } }),
    );
    await plane.request("DELETE", "/api/v1/namespaces/default/configmaps/owner");
    await plane.waitFor("the owned Secret to go", async () => {
      return (await plane.request("GET", `${SECRETS}/owned`)).status === 404;
    });
  });

  it("empties and removes a deleted namespace", async () => {
    await ensureNamespace(plane, "passing");
    await plane.apply(secret("inside", { metadata: { name: "inside", namespace: "passing" } }));
    await plane.request("DELETE", "/api/v1/namespaces/passing");
    await plane.waitFor("the namespace to go", async () => {
      return (await plane.request("GET", "/api/v1/namespaces/passing")).status === 404;
    });
  });

  it("reaches a program through the service proxy", async () => {
    const port = await freePort();
    const server = createServer((request, response) => response.end(`asked ${request.url ?? ""}`));
    await new Promise<void>((done) => server.listen(port, listenHost(), done));
    try {
      await exposeController(plane, { service: "echo", namespace: "default", port });
      const path = "/api/v1/namespaces/default/services/http:echo:http/proxy/v1/cert.pem";
      const answer = await plane.request("GET", path);
      expect([answer.status, answer.text]).toEqual([200, "asked /v1/cert.pem"]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("keeps its data when the API server and etcd are restarted", async () => {
    const applied = await plane.apply(secret("kept", { data: { key: "dmFsdWU=" } }));
    await plane.stopApiServer();
    await expect(plane.request("GET", SECRETS)).rejects.toThrow("ECONNREFUSED");
    await plane.stopEtcd();
    await plane.startEtcd();
    await plane.startApiServer();
    const { body } = await plane.request("GET", `${SECRETS}/kept`);
    expect(body.data).toEqual({ key: "dmFsdWU=" });
    expect(body.metadata?.uid).toBe(applied.metadata?.uid);
  });

  it("answers nothing while it is paused, and everything after", async () => {
    await plane.pauseApiServer();
    let answered = false;
    const waiting = plane.request("GET", SECRETS).then((answer) => {
      answered = true;
      return answer.status;
    });
    await new Promise((done) => setTimeout(done, 500));
    const answeredWhilePaused = answered;
    plane.resumeApiServer();
    expect(answeredWhilePaused).toBe(false);
    expect(await waiting).toBe(200);
  });

  it("counts every call in the audit log", async () => {
    const calls = async (): Promise<number> => {
      const events = await plane.auditEvents();
      return events.filter(({ requestURI }) => requestURI.startsWith(`${SECRETS}/counted`)).length;
    };
    expect(await calls()).toBe(0);
    for (let i = 0; i < 3; i++) await plane.request("GET", `${SECRETS}/counted`);
    expect(await calls()).toBe(3);
  });

  it("serves the real kubectl", async () => {
    const kubeconfig = await plane.kubeconfig();
    const { status, stdout } = await kubectl(["version", "--output=json"], { kubeconfig });
    expect(status).toBe(0);
    const { serverVersion } = JSON.parse(stdout) as { serverVersion: { gitVersion: string } };
    expect(serverVersion.gitVersion).toMatch(/^v1\.\d+\.\d+/);
  });

  it("runs the Go original, which seals and unseals", async () => {
    await installOriginalCrd(plane);
    const original = await startOriginal(plane, { namespace: "original" });
    await exposeController(plane, {
      service: "sealed-secrets-controller",
      namespace: "original",
      port: original.port,
    });
    const sealed = await kubeseal(["--controller-namespace=original"], {
      stdin: JSON.stringify(secret("sealed", { data: { password: "aHVudGVyMg==" } })),
      kubeconfig: await plane.kubeconfig(),
    });
    expect(sealed.stderr).toBe("");
    await plane.apply(JSON.parse(sealed.stdout) as KubeObject);
    const unsealed = await plane.waitFor("the unsealed Secret", async () => {
      return (await plane.request("GET", `${SECRETS}/sealed`)).body.data;
    });
    expect(unsealed).toEqual({ password: "aHVudGVyMg==" });
    expect(await original.stop()).toBeTypeOf("number");
  });

  it("names the part that failed, with its last words", async () => {
    const broken = startControlPlane({ apiServerFlags: ["--no-such-flag"] });
    await expect(broken).rejects.toThrow(/kube-apiserver ended with 1[^]*no-such-flag/);
  });
});
