// Interop with the Go original in a cluster: ours sealed for its controller, its sealed for ours,
// through the API server's service proxy, and one program taking over from the other.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { certificateOf, readSecret, sealed, untilData, untilVerdict } from "./objects.ts";
import { kubeseal, startOriginal } from "./original.ts";
import { runToEnd } from "./program.ts";
import {
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SERVICE = { service: "sealed-secrets-controller", namespace: "kube-system" };
const VALUES = {
  text: Buffer.from("correct horse"),
  empty: Buffer.alloc(0),
  binary: Buffer.from([0, 255, 128, 10, 13, 0]),
  "with.dots-and_more": Buffer.from("ü\n"),
};
const SCOPES = ["strict", "namespace-wide", "cluster-wide"] as const;

let plane: ControlPlane;
let kubeconfig: string;
const running: RunningController[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  kubeconfig = await plane.kubeconfig();
});

afterEach(async () => {
  for (const controller of running.splice(0)) await controller.stop();
});

afterAll(async () => {
  await plane.stop();
});

async function ours(): Promise<RunningController> {
  const controller = await startSignet(plane, { flags: ["--key-size=2048"] });
  running.push(controller);
  await exposeController(plane, { ...SERVICE, port: controller.port });
  return controller;
}

async function theirs(): Promise<RunningController> {
  const controller = await startOriginal(plane, { flags: ["--key-size=2048"] });
  running.push(controller);
  await exposeController(plane, { ...SERVICE, port: controller.port });
  return controller;
}

function encoded(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(VALUES).map(([item, bytes]) => [item, bytes.toString("base64")]),
  );
}

function secretManifest(name: string): string {
  const metadata = { name, namespace: "demo" };
  return JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata, data: encoded() });
}

async function signet(args: string[], stdin?: string): Promise<string> {
  const command = [process.execPath, "dist/signet.cjs", ...args];
  const ended = await runToEnd(command, stdin === undefined ? {} : { stdin });
  expect([ended.status, ended.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  return ended.stdout;
}

async function untilValues(name: string): Promise<KubeObject> {
  return plane.waitFor(`Secret ${name}`, async () => {
    const secret = await readSecret(plane, "demo", name);
    // Go writes an empty value as none.
    const found = Object.entries(secret?.data ?? {}).map(([item, value]) => [item, value]);
    const same = JSON.stringify(found.sort()) === JSON.stringify(Object.entries(encoded()).sort());
    return same ? secret : undefined;
  });
}

describe("the Go kubeseal with our controller", () => {
  it("fetches the certificate through the service proxy, and what it seals is opened", async () => {
    const controller = await ours();
    const fetched = await kubeseal(["--fetch-cert"], { kubeconfig });
    expect(fetched.stdout).toBe(await certificateOf(controller));
    for (const scope of SCOPES) {
      const name = `theirs-${scope}`;
      const made = await kubeseal(["--scope", scope], { kubeconfig, stdin: secretManifest(name) });
      expect(made.stderr).toBe("");
      await plane.apply(JSON.parse(made.stdout) as KubeObject);
      await untilValues(name);
      await untilVerdict(plane, "demo", name, "Unsealed");
    }
  });
});

describe("signet with the Go controller", () => {
  it("fetches the certificate through the service proxy, and what it seals is opened", async () => {
    const controller = await theirs();
    const cluster = ["--kubeconfig", kubeconfig];
    expect(await signet(["cert", "fetch", ...cluster])).toBe(await certificateOf(controller));
    for (const scope of SCOPES) {
      const name = `ours-${scope}`;
      const made = await signet(["seal", ...cluster, "--scope", scope], secretManifest(name));
      await plane.apply(JSON.parse(made) as KubeObject);
      await untilValues(name);
    }
  });
});

describe("a takeover", () => {
  it("from the original leaves every Secret in place, and follows it from then on", async () => {
    const original = await theirs();
    const name = "moving";
    const before = { namespace: "demo", name, labels: { keep: "1", drop: "1" } };
    const certificate = await certificateOf(original);
    await plane.apply(await sealed(certificate, { ...before, stringData: { a: "1", b: "2" } }));
    const made = await untilData(plane, "demo", name, { a: "1", b: "2" });
    expect(await original.stop()).toBeDefined();
    running.splice(0);

    const controller = await ours();
    // The same sealing key serves: both keep it in the same kind of Secret.
    expect(await certificateOf(controller)).toBe(certificate);
    await untilVerdict(plane, "demo", name, "Unsealed");
    const kept = await readSecret(plane, "demo", name);
    expect(kept?.metadata?.uid).toBe(made.metadata?.uid);

    const after = { namespace: "demo", name, labels: { keep: "2" }, stringData: { a: "3" } };
    await plane.apply(await sealed(certificate, after));
    const changed = await untilData(plane, "demo", name, { a: "3" });
    expect(changed.metadata?.labels).toEqual({ keep: "2", "kube-signet/secret": "owned" });
    expect(changed.metadata?.uid).toBe(made.metadata?.uid);
  });

  it("by the original leaves every Secret in place as well", async () => {
    const controller = await ours();
    const certificate = await certificateOf(controller);
    const declared = { namespace: "demo", name: "moving-back" };
    await plane.apply(await sealed(certificate, { ...declared, stringData: { a: "1" } }));
    const made = await untilData(plane, "demo", "moving-back", { a: "1" });
    await controller.stop();
    running.splice(0);

    const original = await theirs();
    expect(await certificateOf(original)).toBe(certificate);
    await plane.apply(await sealed(certificate, { ...declared, stringData: { a: "2" } }));
    const changed = await untilData(plane, "demo", "moving-back", { a: "2" });
    expect(changed.metadata?.uid).toBe(made.metadata?.uid);
  });
});

describe("recovery", () => {
  it("with the cluster's key Secrets opens what either program sealed", async () => {
    const controller = await ours();
    const { body } = await plane.request(
      "GET",
      "/api/v1/namespaces/kube-system/secrets?labelSelector=sealedsecrets.bitnami.com%2Fsealed-secrets-key",
    );
    const keys = join(plane.directory, "keys.json");
    // As kubectl prints it.
    const items = (body.items ?? []).map((item) => ({ apiVersion: "v1", kind: "Secret", ...item }));
    const list = { apiVersion: "v1", kind: "List", items };
    await writeFile(keys, JSON.stringify(list), { mode: 0o600 });
    const certificate = join(plane.directory, "cert.pem");
    await writeFile(certificate, await certificateOf(controller));
    const made = await kubeseal(["--cert", certificate], { stdin: secretManifest("lost") });
    const opened = await signet(["unseal", "--recovery-key", keys, "-o", "json"], made.stdout);
    expect((JSON.parse(opened) as KubeObject).data).toEqual(encoded());
    const again = await signet(["seal", "--cert", certificate], secretManifest("lost"));
    const back = await kubeseal(["--recovery-unseal", "--recovery-private-key", keys], {
      stdin: again,
    });
    const { data } = JSON.parse(back.stdout) as KubeObject;
    expect({ ...data, empty: "" }).toEqual(encoded());
  });
});
