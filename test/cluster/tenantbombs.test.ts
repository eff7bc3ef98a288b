// A tenant who may write SealedSecrets in its own namespace, and nothing else, makes them as costly
// as it can: it gets verdicts, and nobody else waits.
// SPEC.md, "Limits".
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  metricOf,
  sealed,
  statusOf,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { addTenant, type RunningController, startCluster, startSignet } from "./signet.ts";

const SEALED = "/apis/bitnami.com/v1alpha1/namespaces/tenant/sealedsecrets";
const LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

const STARTED = {
  flags: ["--key-size=2048", "--leader-elect-lease-duration=15s"],
  // What Node takes of the chart's memory limit, in MiB.
  env: { NODE_OPTIONS: "--max-old-space-size=256" },
};

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let token: string;
let honest = 0;
/** Stands for an object nested 9,000 deep. */
const DEEP = "nested 9,000 deep";

beforeAll(async () => {
  ({ plane, controller } = await startCluster({ ...STARTED, namespaces: ["tenant", "honest"] }));
  certificate = await certificateOf(controller);
  const rules = [{ apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["create"] }];
  token = await addTenant(plane, { namespace: "tenant", name: "tenant", rules });
});

afterAll(async () => {
  await controller.stop();
  expect(controller.logs()).not.toContain("plain-");
  await plane.stop();
});

async function create(name: string, template: object): Promise<void> {
  const stringData = { password: "plain-1" };
  const object = await sealed(certificate, { namespace: "tenant", name, stringData });
  const spec = object["spec"] as { template?: object };
  spec.template = { ...spec.template, ...template };
  // As text: no JSON.stringify goes as deep.
  const text = JSON.stringify(object).replace(
    JSON.stringify(DEEP),
    () => '{"a":'.repeat(9000) + "{}" + "}".repeat(9000),
  );
  const { status, body } = await plane.request("POST", SEALED, text, { token });
  expect([status, body.message]).toEqual([201, undefined]);
}

async function lease(): Promise<{ holder: unknown; transitions: unknown; renewed: unknown }> {
  const { body } = await plane.request("GET", LEASE);
  const spec = (body.items ?? [])[0]?.["spec"] as Record<string, unknown> | undefined;
  return {
    holder: spec?.["holderIdentity"],
    transitions: spec?.["leaseTransitions"],
    renewed: spec?.["renewTime"],
  };
}

/** Another namespace is served, and the leader still leads and renews. */
async function expectOthersServed(before: Awaited<ReturnType<typeof lease>>): Promise<void> {
  const name = `honest-${honest++}`;
  const object: KubeObject = await sealed(certificate, {
    namespace: "honest",
    name,
    stringData: { password: name },
  });
  const spec = object["spec"] as { template?: object };
  spec.template = { ...spec.template, data: { url: "db://{{ .password }}" } };
  await plane.apply(object);
  await untilData(plane, "honest", name, { password: name, url: `db://${name}` });
  const after = await plane.waitFor("the Lease to be renewed", async () => {
    const now = await lease();
    return now.renewed === before.renewed ? undefined : now;
  });
  expect([after.holder, after.transitions]).toEqual([before.holder, before.transitions]);
  expect(controller.logs()).not.toContain("this replica is a follower");
}

const items = (count: number, source: (index: number) => string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`item${index}`, source(index)]));

/** `hash` of a text that grows: few steps, much work. */
const BOMB = `{{ $t := repeat 9000 "x" }}{{ range until 900 }}{{ $x := sha256sum $t }}{{ end }}`;

describe("a tenant's SealedSecret", () => {
  it.each<[string, string, object, string, RegExp]>([
    [
      "60 items of work",
      "steps",
      { data: items(60, () => BOMB) },
      "TemplateFailed",
      /too much work/,
    ],
    [
      "400 items of text",
      "text",
      { data: items(400, (i) => `{{ repeat 1000000 "${i % 10}" }}`) },
      "TemplateFailed",
      /too much (text|work)/,
    ],
    [
      "metadata nested 9,000 deep",
      "depth",
      {
        metadata: {
          rest: DEEP,
        },
      },
      "Invalid",
      /nested deeper than 200 levels/,
    ],
  ])("with %s gets one verdict, and others are served", async (_, name, template, reason, why) => {
    const before = await lease();
    const decryptions = await metricOf(controller, "unsealed_objects_total");
    await create(name, template);
    await expectOthersServed(before);
    const { synced } = await untilVerdict(plane, "tenant", name, reason);
    expect(synced?.message).toMatch(why);
    // It is not tried again: all that was decrypted since are its own and the other's values.
    await expectOthersServed(await lease());
    const after = await metricOf(controller, "unsealed_objects_total");
    expect(after - decryptions).toBeLessThanOrEqual(3);
    const events = await eventsOf(plane, "tenant", name);
    expect(events.map((event) => event.split(" ", 2).join(" "))).toEqual([
      "Warning ErrUnsealFailed",
    ]);
    expect((await statusOf(plane, "tenant", name)).synced?.status).toBe("False");
  });

  it.each<[string, object]>([
    ["of very many parts", { metadata: { rest: Array.from({ length: 480_000 }, () => ({})) } }],
    ["of a long text", { metadata: { rest: "x".repeat(1_400_000) } }],
  ])("%s takes no memory, however many they are, also after a restart", async (_, template) => {
    const port = controller.port;
    const text = JSON.stringify({
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { generateName: "many-", namespace: "tenant" },
      spec: { encryptedData: { a: "AgAA" }, template },
    });
    for (let count = 0; count < 12; count++) {
      const { status } = await plane.request("POST", SEALED, text, { token });
      expect(status).toBe(201);
    }
    await expectOthersServed(await lease());
    await controller.stop();
    controller = await startSignet(plane, { ...STARTED, port });
    const name = `honest-${honest++}`;
    await plane.apply(
      await sealed(certificate, { namespace: "honest", name, stringData: { password: name } }),
    );
    await untilData(plane, "honest", name, { password: name });
    expect(controller.logs()).toContain("controller ready");
  });

  it("with 600 values of a former key is opened, and others are served meanwhile", async () => {
    const former = certificate;
    for (let keys = 1; keys < 4; keys++) {
      const newest = certificate;
      controller.kill("SIGUSR1");
      certificate = await plane.waitFor("the next key", async () => {
        const served = await certificateOf(controller);
        return served === newest ? undefined : served;
      });
    }
    const before = await lease();
    const stringData = items(600, (i) => `plain-${i}`);
    const object = await sealed(former, { namespace: "tenant", name: "former", stringData });
    const { status } = await plane.request("POST", SEALED, object, { token });
    expect(status).toBe(201);
    await expectOthersServed(before);
    await untilVerdict(plane, "tenant", "former", "Unsealed");
  });
});
