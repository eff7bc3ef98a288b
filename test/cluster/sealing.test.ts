// The sealing loop on a real API server: what becomes of a SealedSecret, well and badly.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { formatKeySecret } from "../../shared/keys/keyfile.ts";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  readSecret,
  sealed,
  SEALED_SECRETS,
  statusOf,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { ensureNamespace, type RunningController, startCluster } from "./signet.ts";

const NOT_MANAGED = 'Resource "taken" already exists and is not managed by SealedSecret';

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;

beforeAll(async () => {
  ({ plane, controller } = await startCluster());
  certificate = await certificateOf(controller);
});

afterAll(async () => {
  const logs = controller.logs();
  await controller.stop();
  await plane.stop();
  // Every value that these tests seal carries this text.
  expect(logs).not.toContain("plain-");
  expect(logs).not.toContain(Buffer.from("plain-").toString("base64").slice(0, 8));
});

let namespaces = 0;

/** A namespace of the test's own. */
async function newNamespace(): Promise<string> {
  const name = `t${++namespaces}`;
  await ensureNamespace(plane, name);
  return name;
}

async function patchSecret(namespace: string, name: string, patch: unknown): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
  const { status } = await plane.request("PATCH", path, patch, MERGE);
  expect(status).toBe(200);
}

async function deleteObject(path: string): Promise<void> {
  expect((await plane.request("DELETE", path)).status).toBe(200);
}

describe("a SealedSecret that is declared", () => {
  it("becomes the Secret, with status and Event", async () => {
    const namespace = await newNamespace();
    await plane.apply(
      await sealed(certificate, {
        namespace,
        name: "db",
        stringData: { password: "plain-1", empty: "" },
        labels: { app: "shop" },
        annotations: { note: "kept" },
      }),
    );
    const secret = await untilData(plane, namespace, "db", { password: "plain-1", empty: "" });
    expect(secret).toMatchObject({
      type: "Opaque",
      metadata: {
        labels: { app: "shop" },
        annotations: { note: "kept" },
        ownerReferences: [{ kind: "SealedSecret", name: "db", controller: true }],
      },
    });
    const seen = await untilVerdict(plane, namespace, "db", "Unsealed");
    expect(seen.synced).toMatchObject({ status: "True", message: "" });
    expect(seen.ready).toMatchObject({ status: "True" });
    expect(Object.values(seen.sealedUnder)).toEqual([["empty", "password"]]);
    await plane.waitFor("the Event", async () => (await eventsOf(plane, namespace, "db"))[0]);
    expect(await eventsOf(plane, namespace, "db")).toEqual([
      "Normal Unsealed SealedSecret unsealed successfully",
    ]);
  });

  it("is followed when it changes, down to what it no longer says", async () => {
    const namespace = await newNamespace();
    const name = "changing";
    const before = { a: "plain-1", b: "plain-2" };
    const labels = { keep: "1", drop: "1" };
    await plane.apply(await sealed(certificate, { namespace, name, stringData: before, labels }));
    await untilData(plane, namespace, name, before);
    await patchSecret(namespace, name, { metadata: { labels: { theirs: "1" } } });
    await untilVerdict(plane, namespace, name, "Unsealed");

    const after = { a: "plain-3" };
    await plane.apply(
      await sealed(certificate, { namespace, name, stringData: after, labels: { keep: "2" } }),
    );
    const secret = await untilData(plane, namespace, name, after);
    expect(secret.metadata?.labels).toEqual({
      keep: "2",
      theirs: "1",
      "kube-signet/secret": "owned",
    });
    const seen = await untilVerdict(plane, namespace, name, "Unsealed");
    expect(seen.generation).toBe(2);
  });

  it("takes its Secret with it when it is deleted, and leaves one when it is renamed", async () => {
    const namespace = await newNamespace();
    const stringData = { a: "plain-1" };
    await plane.apply(await sealed(certificate, { namespace, name: "old", stringData }));
    await untilData(plane, namespace, "old", stringData);
    await plane.apply(await sealed(certificate, { namespace, name: "new", stringData }));
    await deleteObject(`${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/old`);
    await untilData(plane, namespace, "new", stringData);
    // Garbage collection learns of a new kind within half a minute.
    await plane.waitFor(
      "the old Secret to be collected",
      async () => (await readSecret(plane, namespace, "old")) === undefined,
    );
  });

  it("opens in each scope where that scope allows", async () => {
    const namespace = await newNamespace();
    const stringData = { a: "plain-1" };
    for (const scope of ["strict", "namespace-wide", "cluster-wide"] as const) {
      await plane.apply(
        await sealed(certificate, { namespace, name: `s-${scope}`, stringData, scope }),
      );
      await untilData(plane, namespace, `s-${scope}`, stringData);
    }
  });

  it.each([
    ["Opaque", { any: "plain-1" }],
    ["kubernetes.io/basic-auth", { username: "plain-u", password: "plain-p" }],
    ["kubernetes.io/ssh-auth", { "ssh-privatekey": "plain-k" }],
    ["kubernetes.io/tls", { "tls.crt": "plain-c", "tls.key": "plain-k" }],
    ["kubernetes.io/dockerconfigjson", { ".dockerconfigjson": '{"auths":{"plain-":{}}}' }],
    ["kubernetes.io/dockercfg", { ".dockercfg": '{"plain-":{}}' }],
    ["example.org/own", { any: "plain-1" }],
  ])("makes a Secret of type %s", async (type, stringData) => {
    const namespace = await newNamespace();
    await plane.apply(await sealed(certificate, { namespace, name: "typed", stringData, type }));
    const secret = await untilData(plane, namespace, "typed", stringData);
    expect(secret["type"]).toBe(type);
    await untilVerdict(plane, namespace, "typed", "Unsealed");
  });

  it("renders its templates", async () => {
    const namespace = await newNamespace();
    const object = await sealed(certificate, {
      namespace,
      name: "templated",
      stringData: { password: "plain-1" },
    });
    const { template } = object.spec as { template: Record<string, unknown> };
    template["data"] = { "app.conf": "password={{ .password | upper }}\n" };
    await plane.apply(object);
    await untilData(plane, namespace, "templated", {
      password: "plain-1",
      "app.conf": "password=PLAIN-1\n",
    });
  });
});

describe("a SealedSecret that cannot be opened", () => {
  it.each([
    ["name", { name: "other", namespace: undefined }],
    ["namespace", { name: "right", namespace: "kube-public" }],
  ])("for its wrong %s says so, makes nothing, and recovers", async (_what, sealedFor) => {
    const namespace = await newNamespace();
    const stringData = { b: "plain-1", a: "plain-2" };
    const wrong = await sealed(certificate, {
      namespace: sealedFor.namespace ?? namespace,
      name: sealedFor.name,
      stringData,
    });
    wrong.metadata = { ...wrong.metadata, name: "right", namespace };
    await plane.apply(wrong);
    const seen = await untilVerdict(plane, namespace, "right", "DecryptFailed");
    const message = "no key could decrypt secret (a, b)";
    expect(seen.synced).toMatchObject({ status: "False", message });
    expect(seen.ready).toMatchObject({ status: "False" });
    expect(await readSecret(plane, namespace, "right")).toBeUndefined();
    await plane.waitFor("the Event", async () => (await eventsOf(plane, namespace, "right"))[0]);
    expect(await eventsOf(plane, namespace, "right")).toEqual([
      `Warning ErrUnsealFailed Failed to unseal: ${message}`,
    ]);

    await plane.apply(await sealed(certificate, { namespace, name: "right", stringData }));
    await untilData(plane, namespace, "right", stringData);
    await untilVerdict(plane, namespace, "right", "Unsealed");
  });

  it("for a missing key is opened as soon as the key is there", async () => {
    const namespace = await newNamespace();
    const stringData = { a: "plain-1" };
    const pair = await createSealingKey({
      bits: 2048,
      // Older than the controller's own, which goes on sealing.
      notBefore: new Date(Date.now() - 86_400_000),
      validForMs: 30 * 86_400_000,
    });
    await plane.apply(
      await sealed(pair.certificatePem, { namespace, name: "foreign", stringData }),
    );
    await untilVerdict(plane, namespace, "foreign", "DecryptFailed");
    const key = formatKeySecret(pair, { name: "brought-along", namespace: "kube-system" });
    await plane.apply(key);
    await untilData(plane, namespace, "foreign", stringData);
    await untilVerdict(plane, namespace, "foreign", "Unsealed");
    expect(await certificateOf(controller)).toBe(certificate);
  });

  it("keeps the Secret that it had", async () => {
    const namespace = await newNamespace();
    const stringData = { a: "plain-1" };
    const good = await sealed(certificate, { namespace, name: "damaged", stringData });
    await plane.apply(good);
    await untilData(plane, namespace, "damaged", stringData);
    const spec = good.spec as { encryptedData: Record<string, string> };
    spec.encryptedData["a"] = `Ag${"A".repeat(1000)}`;
    await plane.apply(good);
    await untilVerdict(plane, namespace, "damaged", "DecryptFailed");
    await untilData(plane, namespace, "damaged", stringData);
  });

  it("for a failing template says where, and no value", async () => {
    const namespace = await newNamespace();
    const object = await sealed(certificate, {
      namespace,
      name: "leaky",
      stringData: { password: "plain-1" },
    });
    const { template } = object.spec as { template: Record<string, unknown> };
    template["data"] = { x: "{{ fail .password }}" };
    await plane.apply(object);
    const seen = await untilVerdict(plane, namespace, "leaky", "TemplateFailed");
    expect(seen.synced?.message).toContain("spec.template.data.x");
    expect(JSON.stringify(seen)).not.toContain("plain-1");
    expect((await eventsOf(plane, namespace, "leaky")).join()).not.toContain("plain-1");
  });
});

describe("a Secret that is already there", () => {
  const theirs = (namespace: string, name: string, annotations = {}): KubeObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, annotations, labels: { theirs: "1" } },
    stringData: { own: "plain-own", both: "plain-old" },
  });

  it("is left alone, until it goes", async () => {
    const namespace = await newNamespace();
    await plane.apply(theirs(namespace, "taken"));
    const stringData = { both: "plain-new" };
    await plane.apply(await sealed(certificate, { namespace, name: "taken", stringData }));
    const seen = await untilVerdict(plane, namespace, "taken", "NotManaged");
    expect(seen.synced).toMatchObject({ status: "False", message: NOT_MANAGED });
    await untilData(plane, namespace, "taken", { own: "plain-own", both: "plain-old" });
    expect(await eventsOf(plane, namespace, "taken")).toEqual([
      `Warning ErrUpdateFailed ${NOT_MANAGED}`,
    ]);
    await deleteObject(`/api/v1/namespaces/${namespace}/secrets/taken`);
    await untilData(plane, namespace, "taken", stringData);
    await untilVerdict(plane, namespace, "taken", "Unsealed");
  });

  it("is taken over where it says managed", async () => {
    const namespace = await newNamespace();
    const managed = { "sealedsecrets.bitnami.com/managed": "true" };
    await plane.apply(theirs(namespace, "managed", managed));
    const stringData = { both: "plain-new" };
    await plane.apply(await sealed(certificate, { namespace, name: "managed", stringData }));
    const secret = await untilData(plane, namespace, "managed", stringData);
    expect(secret.metadata).toMatchObject({
      labels: { theirs: "1", "kube-signet/secret": "owned" },
      ownerReferences: [{ kind: "SealedSecret", name: "managed" }],
    });
  });

  it("is added to where it says patch, and stays theirs whatever the template says", async () => {
    const namespace = await newNamespace();
    const patch = { "sealedsecrets.bitnami.com/patch": "true" };
    await plane.apply(theirs(namespace, "patched", patch));
    await plane.apply(
      await sealed(certificate, {
        namespace,
        name: "patched",
        stringData: { both: "plain-new", ours: "plain-x" },
        labels: { ours: "1" },
        annotations: { "sealedsecrets.bitnami.com/managed": "true" },
      }),
    );
    const merged = { own: "plain-own", both: "plain-new", ours: "plain-x" };
    const secret = await untilData(plane, namespace, "patched", merged);
    expect(secret.metadata?.labels).toEqual({
      theirs: "1",
      ours: "1",
      "kube-signet/secret": "patched",
    });
    expect(secret.metadata?.annotations).toEqual(patch);
    expect(secret.metadata?.ownerReferences).toBeUndefined();
    await untilVerdict(plane, namespace, "patched", "Unsealed");
    await deleteObject(`${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/patched`);
    await untilData(plane, namespace, "patched", merged);
  });

  it("is not made of our items alone when its owner deletes it, and added to once it is back", async () => {
    const namespace = await newNamespace();
    const name = "patched";
    const mayBeAddedTo = theirs(namespace, name, { "sealedsecrets.bitnami.com/patch": "true" });
    await plane.apply(mayBeAddedTo);
    const stringData = { ours: "plain-x" };
    await plane.apply(await sealed(certificate, { namespace, name, stringData }));
    const merged = { own: "plain-own", both: "plain-old", ours: "plain-x" };
    await untilData(plane, namespace, name, merged);
    await untilVerdict(plane, namespace, name, "Unsealed");
    await deleteObject(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    await untilVerdict(plane, namespace, name, "NotManaged");
    expect(
      (await plane.request("GET", `/api/v1/namespaces/${namespace}/secrets/${name}`)).status,
    ).toBe(404);
    await plane.apply(mayBeAddedTo);
    await untilData(plane, namespace, name, merged);
    await untilVerdict(plane, namespace, name, "Unsealed");
  });

  it("that says managed and patch becomes ours and keeps its items", async () => {
    const namespace = await newNamespace();
    const name = "handed-over";
    const both = {
      "sealedsecrets.bitnami.com/patch": "true",
      "sealedsecrets.bitnami.com/managed": "true",
    };
    await plane.apply(theirs(namespace, name, both));
    for (const value of ["plain-1", "plain-2"]) {
      const stringData = { both: value };
      await plane.apply(await sealed(certificate, { namespace, name, stringData }));
      const secret = await untilData(plane, namespace, name, { own: "plain-own", both: value });
      expect(secret.metadata?.ownerReferences).toMatchObject([{ kind: "SealedSecret", name }]);
      await untilVerdict(plane, namespace, name, "Unsealed");
    }
  });

  it("without an owner by wish is still ours to update, and outlives its SealedSecret", async () => {
    const namespace = await newNamespace();
    const annotations = { "sealedsecrets.bitnami.com/skip-set-owner-references": "true" };
    const name = "free";
    for (const value of ["plain-1", "plain-2"]) {
      const stringData = { a: value };
      await plane.apply(await sealed(certificate, { namespace, name, stringData, annotations }));
      const secret = await untilData(plane, namespace, name, stringData);
      expect(secret.metadata?.ownerReferences).toBeUndefined();
      await untilVerdict(plane, namespace, name, "Unsealed");
    }
    await deleteObject(`${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}`);
    await untilData(plane, namespace, name, { a: "plain-2" });
  });

  it("that is immutable is not touched, told of, and made anew once deleted", async () => {
    const namespace = await newNamespace();
    const name = "frozen";
    const first = { a: "plain-1" };
    await plane.apply(
      await sealed(certificate, { namespace, name, stringData: first, immutable: true }),
    );
    expect((await untilData(plane, namespace, name, first))["immutable"]).toBe(true);
    const second = { a: "plain-2" };
    await plane.apply(
      await sealed(certificate, { namespace, name, stringData: second, immutable: true }),
    );
    const seen = await untilVerdict(plane, namespace, name, "Immutable");
    expect(seen.synced?.status).toBe("False");
    await untilData(plane, namespace, name, first);
    await deleteObject(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    await untilData(plane, namespace, name, second);
    await untilVerdict(plane, namespace, name, "Unsealed");
  });

  it("of another type is not touched, told of, and made anew once deleted", async () => {
    const namespace = await newNamespace();
    const name = "retyped";
    const stringData = { a: "plain-1" };
    await plane.apply(await sealed(certificate, { namespace, name, stringData }));
    await untilData(plane, namespace, name, stringData);
    const type = "example.org/other";
    await plane.apply(await sealed(certificate, { namespace, name, stringData, type }));
    await untilVerdict(plane, namespace, name, "TypeChanged");
    await deleteObject(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    await untilVerdict(plane, namespace, name, "Unsealed");
    expect((await readSecret(plane, namespace, name))?.["type"]).toBe(type);
  });

  it("is put back when someone edits or deletes it", async () => {
    const namespace = await newNamespace();
    const name = "drifting";
    const stringData = { a: "plain-1" };
    await plane.apply(
      await sealed(certificate, { namespace, name, stringData, labels: { app: "shop" } }),
    );
    await untilData(plane, namespace, name, stringData);
    await patchSecret(namespace, name, {
      stringData: { a: "plain-evil", b: "plain-more" },
      metadata: { labels: { app: "evil", theirs: "1" } },
    });
    const edited = await untilData(plane, namespace, name, stringData);
    expect(edited.metadata?.labels).toMatchObject({ app: "shop", theirs: "1" });
    await patchSecret(namespace, name, {
      metadata: { labels: null, ownerReferences: null },
      stringData: { a: "plain-evil" },
    });
    await untilData(plane, namespace, name, stringData);
    await deleteObject(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    await untilData(plane, namespace, name, stringData);
    await plane.waitFor("the Event", async () =>
      (await eventsOf(plane, namespace, name)).some((event) => event.includes("DriftCorrected")),
    );
  });

  it("of an earlier SealedSecret of its name is adopted when that is made anew", async () => {
    const namespace = await newNamespace();
    const name = "reborn";
    const stringData = { a: "plain-1" };
    const object = await sealed(certificate, { namespace, name, stringData });
    await plane.apply(object);
    await untilData(plane, namespace, name, stringData);
    const path = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}`;
    await deleteObject(path);
    const { metadata } = await plane.apply(object);
    await untilVerdict(plane, namespace, name, "Unsealed");
    await plane.waitFor("the Secret to be the new one's", async () => {
      const owners = (await readSecret(plane, namespace, name))?.metadata?.ownerReferences;
      return JSON.stringify(owners ?? []).includes(metadata?.uid ?? "none");
    });
    await untilData(plane, namespace, name, stringData);
  });
});

describe("the controller's rights", () => {
  /** Takes a right on Secrets from the controller while `work` runs. */
  async function withoutRight(verb: string, work: () => Promise<void>): Promise<void> {
    const { body } = await plane.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles");
    const role = (body.items ?? []).find(({ metadata }) => metadata?.name?.includes("signet"));
    const rules = role?.["rules"] as { resources: string[]; verbs: string[] }[];
    const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${role?.metadata?.name ?? ""}`;
    const fewer = rules.map((rule) =>
      rule.resources.includes("secrets")
        ? { ...rule, verbs: rule.verbs.filter((each) => each !== verb) }
        : rule,
    );
    await plane.request("PATCH", path, { rules: fewer }, MERGE);
    try {
      await work();
    } finally {
      await plane.request("PATCH", path, { rules }, MERGE);
    }
  }

  it("are reported if they are missing, and work goes on once they are back", async () => {
    const namespace = await newNamespace();
    const name = "denied";
    await withoutRight("create", async () => {
      const stringData = { a: "plain-1" };
      await plane.waitFor("the right to be gone", async () => {
        await plane.apply(
          await sealed(certificate, { namespace, name: "probe", stringData, labels: {} }),
        );
        return (await statusOf(plane, namespace, "probe")).synced?.reason === "WriteFailed";
      });
      await plane.apply(await sealed(certificate, { namespace, name, stringData }));
      const seen = await untilVerdict(plane, namespace, name, "WriteFailed");
      expect(seen.synced?.message).toContain("403 Forbidden");
      expect(await readSecret(plane, namespace, name)).toBeUndefined();
    });
    await untilData(plane, namespace, name, { a: "plain-1" });
    await untilVerdict(plane, namespace, name, "Unsealed");
  });

  it("are not needed to read a Secret that nobody else has a part in", async () => {
    const namespace = await newNamespace();
    const declare = async (name: string, value: string): Promise<void> => {
      await plane.apply(await sealed(certificate, { namespace, name, stringData: { a: value } }));
    };
    for (const name of ["ours", "shared"]) {
      await declare(name, "plain-1");
      await untilData(plane, namespace, name, { a: "plain-1" });
      await untilVerdict(plane, namespace, name, "Unsealed");
    }
    await patchSecret(namespace, "shared", { metadata: { labels: { theirs: "1" } } });
    await untilVerdict(plane, namespace, "shared", "Unsealed");
    await withoutRight("get", async () => {
      let value = 1;
      await plane.waitFor("the right to be gone", async () => {
        await declare("shared", `plain-${++value}`);
        return (await statusOf(plane, namespace, "shared")).synced?.reason === "WriteFailed";
      });
      await declare("ours", "plain-2");
      await untilData(plane, namespace, "ours", { a: "plain-2" });
      await untilVerdict(plane, namespace, "ours", "Unsealed");
    });
  });
});

describe("the controller's HTTP", () => {
  it("serves certificate, health and metrics, and refuses other methods", async () => {
    expect((await fetch(`${controller.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${controller.url}/readyz`)).status).toBe(200);
    expect((await fetch(`${controller.url}/v1/cert.pem`, { method: "DELETE" })).status).toBe(405);
    expect((await fetch(`${controller.url}/nothing`)).status).toBe(404);
    const answer = await fetch(`${controller.url}/v1/cert.pem`);
    expect(answer.headers.get("content-type")).toBe("application/x-pem-file");
    const metrics = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
    expect(metrics).toContain("sealed_secrets_controller_unseal_requests_total");
  });
});
