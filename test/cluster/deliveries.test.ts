// Secrets that are delivered to other namespaces, on a real API server with the chart's rights: where
// they go, what ends them, and what a tenant gains.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Scope } from "../../shared/sealing/scope.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  metricOf,
  readSecret,
  sealed,
  SEALED_SECRETS,
  untilData,
} from "./objects.ts";
import { addTenant, installSignet, type RunningController, startSignet } from "./signet.ts";

const TO = "kube-signet/deliver-to";
const ACCEPT = "kube-signet/accept-deliveries";
const FLAGS = ["--key-size=2048", "--deliver-from=shared,infra"];

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  controller = await startSignet(plane, { flags: FLAGS });
  certificate = await certificateOf(controller);
  for (const name of ["shared", "infra", "tenant"]) await namespaceWith({}, name);
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

let made = 0;
async function namespaceWith(
  labels: Record<string, string>,
  name = `ns${++made}`,
): Promise<string> {
  await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  return name;
}

async function change(namespace: string, metadata: object): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}`;
  expect((await plane.request("PATCH", path, { metadata }, MERGE)).status).toBe(200);
}

interface Asked {
  readonly value?: string;
  readonly namespace?: string;
  readonly scope?: Scope;
}

/** A SealedSecret that asks for deliveries to namespaces with a label of its own name. */
function asking(name: string, asked: Asked = {}): Promise<KubeObject> {
  const { value = "one", namespace = "shared", scope = "cluster-wide" } = asked;
  const annotations = { [TO]: `to-${name}` };
  return sealed(certificate, { namespace, name, stringData: { value }, scope, annotations });
}

function sourcePath(name: string, namespace = "shared"): string {
  return `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}`;
}

async function remove(name: string): Promise<void> {
  expect((await plane.request("DELETE", sourcePath(name))).status).toBe(200);
}

async function untilGone(namespace: string, name: string): Promise<void> {
  await plane.waitFor(`${namespace}/${name} to be deleted`, async () => {
    return (await readSecret(plane, namespace, name)) === undefined;
  });
}

/** Waits until the condition `Delivered` has this message. */
async function untilTold(name: string, message: string, namespace = "shared"): Promise<void> {
  await plane.waitFor(`${namespace}/${name} to tell "${message}"`, async () => {
    const { body } = await plane.request("GET", sourcePath(name, namespace));
    const { conditions = [] } =
      (body as { status?: { conditions?: Record<string, string>[] } }).status ?? {};
    return conditions.find(({ type }) => type === "Delivered")?.["message"] === message;
  });
}

describe("a Secret that is delivered", () => {
  it("goes where labels match, follows them and its values, and goes with its source", async () => {
    const label = { "to-login": "" };
    const [one, two] = [await namespaceWith(label), await namespaceWith(label)];
    const [later, refusing] = [await namespaceWith({}), await namespaceWith(label)];
    await change(refusing, { annotations: { [ACCEPT]: "false" } });
    await plane.apply(await asking("login"));
    for (const namespace of ["shared", one, two]) {
      await untilData(plane, namespace, "login", { value: "one" });
    }
    await untilTold("login", "delivered to 2 namespaces");
    expect(await readSecret(plane, refusing, "login")).toBeUndefined();
    expect(await eventsOf(plane, "shared", "login")).toContain(
      "Normal Delivered delivered to 2 namespaces",
    );

    await change(later, { labels: label });
    await untilData(plane, later, "login", { value: "one" });
    await plane.apply(await asking("login", { value: "two" }));
    for (const namespace of [one, two, later]) {
      await untilData(plane, namespace, "login", { value: "two" });
    }
    const path = `/api/v1/namespaces/${one}/secrets/login`;
    await plane.request("PATCH", path, { stringData: { value: "evil" } }, MERGE);
    await untilData(plane, one, "login", { value: "two" });
    await plane.request("DELETE", path);
    await untilData(plane, one, "login", { value: "two" });

    await change(two, { labels: { "to-login": null } });
    await change(later, { annotations: { [ACCEPT]: "false" } });
    for (const namespace of [two, later]) await untilGone(namespace, "login");
    await untilTold("login", "delivered to 1 namespace");
    await remove("login");
    await untilGone(one, "login");
    expect(await metricOf(controller, "deliveries_removed_total")).toBe(3);
  });

  it("never overwrites or deletes one of somebody else, and says so", async () => {
    const label = { "to-theirs": "" };
    const [one, two] = [await namespaceWith(label), await namespaceWith(label)];
    const metadata = { name: "theirs", namespace: one };
    await plane.apply({ apiVersion: "v1", kind: "Secret", metadata, stringData: { value: "x" } });
    await plane.apply(await asking("theirs"));
    const delivered = await untilData(plane, two, "theirs", { value: "one" });
    await untilTold(
      "theirs",
      `delivered to 1 of 2 namespaces, not to ${one}; ${one}: NotManaged: Resource "theirs" ` +
        "already exists and is not managed by SealedSecret",
    );
    // A copy, with all its marks, as a backup or a person makes it.
    const { labels, annotations } = delivered.metadata ?? {};
    const copy = { name: "theirs", namespace: "tenant", ...(labels && { labels }) };
    await plane.apply({
      ...{ apiVersion: "v1", kind: "Secret", stringData: { value: "copy" } },
      metadata: { ...copy, ...(annotations && { annotations }) },
    });
    await remove("theirs");
    await untilGone(two, "theirs");
    await untilData(plane, one, "theirs", { value: "x" });
    await untilData(plane, "tenant", "theirs", { value: "copy" });
  });
});

it("gives a tenant nothing, whatever is written", async () => {
  const label = { "to-strict": "", "to-mine": "" };
  const target = await namespaceWith(label);
  const token = await addTenant(plane, {
    namespace: "tenant",
    name: "tenant",
    rules: [
      { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["*"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["*"] },
    ],
  });
  const mine = await asking("mine", { namespace: "tenant" });
  const path = `${SEALED_SECRETS}/namespaces/tenant/sealedsecrets`;
  expect((await plane.request("POST", path, mine, { token })).status).toBe(201);
  await untilTold(
    "mine",
    "namespace tenant is not one of --deliver-from, so its Secrets are not delivered",
    "tenant",
  );
  // With the annotation put on by hand, as a writer of Git in a listed namespace could.
  const declared = { namespace: "shared", name: "strict", stringData: { value: "one" } };
  const strict = await sealed(certificate, declared);
  const annotations = { ...strict.metadata?.annotations, [TO]: "to-strict" };
  await plane.apply({ ...strict, metadata: { ...strict.metadata, annotations } });
  await untilTold(
    "strict",
    "the values are sealed with scope strict, so they open in one namespace only: " +
      "seal them with scope selector or cluster-wide",
  );
  for (const name of ["mine", "strict"]) {
    expect(await readSecret(plane, target, name)).toBeUndefined();
  }
});

it("outlives the definition, and is adopted when that is back", async () => {
  const namespace = await namespaceWith({ "to-kept": "" });
  const source = await asking("kept");
  await plane.apply(source);
  const before = await untilData(plane, namespace, "kept", { value: "one" });
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sealedsecrets.bitnami.com";
  expect((await plane.request("DELETE", path)).status).toBe(200);
  await plane.waitFor("the definition to be gone", async () => {
    return (await plane.request("GET", path)).status === 404;
  });
  await controller.stop();
  controller = await startSignet(plane, { flags: FLAGS, waitFor: "alive" });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect((await readSecret(plane, namespace, "kept"))?.metadata?.uid).toBe(before.metadata?.uid);

  await installSignet(plane);
  await plane.waitFor("the SealedSecret to be accepted", async () => {
    const answer = await plane.request("POST", sourcePath("kept").replace(/\/kept$/, ""), source);
    return answer.status === 201;
  });
  await untilTold("kept", "delivered to 1 namespace");
  const after = await untilData(plane, namespace, "kept", { value: "one" });
  expect(after.metadata?.uid).toBe(before.metadata?.uid);
  await plane.apply(await asking("kept", { value: "two" }));
  await untilData(plane, namespace, "kept", { value: "two" });
});

it("is refused with a list of namespaces", async () => {
  const flags = [...FLAGS, "--all-namespaces=false", "--additional-namespaces=shared"];
  await expect(startSignet(plane, { flags })).rejects.toThrow("--deliver-from requires");
});
