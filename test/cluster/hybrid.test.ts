// Keys of two halves on a real API server: our controller makes one and opens both kinds of values with
// it, the original's controller and kubeseal go on with the first half, and so does ours on an older Node.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { sealingIn } from "../../shared/keys/kinds.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { changeItems, seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { certificateOf, sealed, statusOf, untilData, untilVerdict } from "./objects.ts";
import { kubeseal, startOriginal } from "./original.ts";
import {
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SERVICE = { service: "sealed-secrets-controller", namespace: "kube-system" };
const FLAGS = ["--key-size=2048", "--hybrid-keys"];

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

async function started(starting: Promise<RunningController>): Promise<RunningController> {
  const controller = await starting;
  running.push(controller);
  await exposeController(plane, { ...SERVICE, port: controller.port });
  return controller;
}

/** One SealedSecret with a value of each kind. */
async function mixed(certificatePem: string, name: string): Promise<KubeObject> {
  const certificate = parseCertificate(certificatePem);
  const metadata = { name, namespace: "demo" };
  const manifest = { apiVersion: "v1", kind: "Secret", metadata, stringData: { rsa: "one" } };
  const rsa = await seal(parseSecret(manifest), sealingIn(certificate, "rsa"));
  const set = new Map([["hybrid", new TextEncoder().encode("two")]]);
  return formatSealedSecret(await changeItems(rsa, { set }, certificate));
}

const BOTH = { rsa: "one", hybrid: "two" };
let pem: string;

describe("a controller with --hybrid-keys", () => {
  it("makes a key of two halves, which opens both kinds in one SealedSecret", async () => {
    const controller = await started(
      startSignet(plane, { flags: FLAGS, node: partPath("node24") }),
    );
    pem = await certificateOf(controller);
    expect(parseCertificate(pem).kinds).toEqual(["hybrid", "rsa"]);
    await plane.apply(await mixed(pem, "mixed"));
    await untilData(plane, "demo", "mixed", BOTH);
    await untilVerdict(plane, "demo", "mixed", "Unsealed");
  });

  it("serves the original's kubeseal, which seals RSA, and validates and keeps hybrid values", async () => {
    await started(startSignet(plane, { flags: FLAGS, node: partPath("node24") }));
    expect((await kubeseal(["--fetch-cert"], { kubeconfig })).stdout).toBe(pem);
    const metadata = { name: "theirs", namespace: "demo" };
    const secret = { apiVersion: "v1", kind: "Secret", metadata, stringData: { a: "1" } };
    const made = await kubeseal([], { kubeconfig, stdin: JSON.stringify(secret) });
    expect(made.stderr).toBe("");
    await plane.apply(JSON.parse(made.stdout) as KubeObject);
    await untilData(plane, "demo", "theirs", { a: "1" });
    const object = await mixed(pem, "posted");
    const stdin = JSON.stringify(object);
    expect((await kubeseal(["--validate"], { kubeconfig, stdin })).status).toBe(0);
    const answer = JSON.parse((await kubeseal(["--re-encrypt"], { kubeconfig, stdin })).stdout) as {
      spec: { encryptedData: Record<string, string> };
    };
    expect(answer.spec.encryptedData).toEqual(
      (object as unknown as typeof answer).spec.encryptedData,
    );
    const moved = await kubeseal(["--validate"], {
      kubeconfig,
      stdin: stdin.replaceAll("posted", "moved"),
    });
    expect(moved.status).toBe(1);
  });
});

describe("the original's controller with such a key", () => {
  it("serves it, opens RSA, and says of a hybrid value what it says of any that no key opens", async () => {
    const original = await started(startOriginal(plane, { flags: ["--key-size=2048"] }));
    expect(await certificateOf(original)).toBe(pem);
    const certificate = { ...parseCertificate(pem), kinds: ["rsa"] };
    const metadata = { name: "old", namespace: "demo" };
    const secret = { apiVersion: "v1", kind: "Secret", metadata, stringData: { a: "1" } };
    await plane.apply(formatSealedSecret(await seal(parseSecret(secret), certificate)));
    await untilData(plane, "demo", "old", { a: "1" });
    await plane.apply(await mixed(pem, "rolled-back"));
    const told = await plane.waitFor("the original to judge the hybrid value", async () => {
      const { synced } = await statusOf(plane, "demo", "rolled-back");
      return synced?.status === "False" ? synced.message : undefined;
    });
    expect(told).toBe("no key could decrypt secret (hybrid)");
  });
});

describe("our controller on a Node without ML-KEM", () => {
  it("opens RSA with such a key, leaves the other half idle, and says so", async () => {
    const options = { flags: ["--key-size=2048"], node: partPath("node22") };
    const controller = await started(startSignet(plane, options));
    await plane.apply(
      await sealed(pem, { namespace: "demo", name: "idle", stringData: { a: "1" } }),
    );
    const { synced } = await untilVerdict(plane, "demo", "idle", "DecryptFailed");
    expect(synced?.message).toBe("no key could decrypt secret (a)");
    await untilData(plane, "demo", "old", { a: "1" });
    expect(controller.logs()).toContain("post-quantum half is not used");
  });

  it("refuses --hybrid-keys in words", async () => {
    const starting = startSignet(plane, { flags: FLAGS, node: partPath("node22") });
    await expect(starting).rejects.toThrow(/--hybrid-keys requires Node 24\.7 or newer/);
  });
});
