// What a tenant gets by the controller's rights that the tenant's own rights do not give: nothing.
// SPEC.md, "Reconciling", "Status".
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sourceOf } from "../../controller/sourceof.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { certificateOf, metricOf, readSecret, sealed, SEALED_SECRETS } from "./objects.ts";
import { statusOf, untilData, untilJudged, untilVerdict } from "./objects.ts";
import { addTenant, type RunningController, startCluster, startSignet } from "./signet.ts";

const FLAGS = ["--key-size=2048"];
const NAMESPACE = "tenant";
const TOKEN_TYPE = "kubernetes.io/service-account-token";

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
/** May create SealedSecrets and write their status, and read Secrets. */
let tenant: string;
let count = 0;
let name: string;

beforeAll(async () => {
  ({ plane, controller } = await startCluster({ flags: FLAGS, namespaces: [NAMESPACE] }));
  certificate = await certificateOf(controller);
  tenant = await account("tenant", [
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["create", "get"] },
    {
      apiGroups: ["bitnami.com"],
      resources: ["sealedsecrets/status"],
      verbs: ["update", "patch"],
    },
    { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
  ]);
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

beforeEach(() => {
  name = `deputy-${++count}`;
});

const account = (user: string, rules: object[]): Promise<string> =>
  addTenant(plane, { namespace: NAMESPACE, name: user, rules });

const sealedPath = (): string => `${SEALED_SECRETS}/namespaces/${NAMESPACE}/sealedsecrets/${name}`;
const secretPath = (): string => `/api/v1/namespaces/${NAMESPACE}/secrets/${name}`;

/** The tenant creates a SealedSecret. */
async function declare(more: Partial<Parameters<typeof sealed>[1]> = {}): Promise<void> {
  const stringData = { password: "of-the-tenant" };
  const object = await sealed(certificate, { namespace: NAMESPACE, name, stringData, ...more });
  const path = sealedPath().replace(/\/[^/]*$/, "");
  expect((await plane.request("POST", path, object, { token: tenant })).status).toBe(201);
}

/** A Secret of someone else. */
async function foreign(more: KubeObject = {}): Promise<KubeObject> {
  return plane.apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: NAMESPACE },
    data: { password: Buffer.from("of-the-owner").toString("base64") },
    ...more,
  });
}

/**
 * The tenant writes in the status that the controller left the Secret in this state. The verdict is
 * taken out, so that it tells when the controller has looked again.
 */
async function forge(secret: JsonObject, token = tenant): Promise<void> {
  await plane.waitFor("the status to be forged", async () => {
    const { body } = await plane.request("GET", sealedPath(), undefined, { token });
    const source = sourceOf(body as JsonObject);
    const recorded = (body["status"] as { secret?: JsonObject } | undefined)?.secret ?? {};
    const status = { conditions: [], secret: { ...recorded, patched: false, source, ...secret } };
    const answer = await plane.request(
      "PUT",
      `${sealedPath()}/status`,
      { ...body, status },
      { token },
    );
    return answer.status === 200;
  });
}

describe("a forged status", () => {
  it.each<[string, KubeObject, JsonObject]>([
    ["in its version of now", {}, {}],
    ["in another version", {}, { resourceVersion: "1" }],
    ["in another version, immutable", { immutable: true }, { resourceVersion: "1" }],
  ])("neither overwrites nor deletes a foreign Secret: %s", async (_what, more, forged) => {
    const { metadata } = await foreign(more);
    await declare();
    await untilVerdict(plane, NAMESPACE, name, "NotManaged");
    const { uid = "", resourceVersion = "" } = metadata ?? {};
    for (let turn = 0; turn < 2; turn++) {
      await forge({ uid, resourceVersion, ...forged });
      const { reason } = await untilJudged(plane, NAMESPACE, name);
      const secret = await readSecret(plane, NAMESPACE, name);
      expect(secret?.metadata).toMatchObject({ uid, resourceVersion });
      expect(reason).toBe("NotManaged");
    }
  });

  it("does not hide that our Secret was changed", async () => {
    const editor = await account("editor", [
      { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["get"] },
      { apiGroups: ["bitnami.com"], resources: ["sealedsecrets/status"], verbs: ["update"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["get", "patch"] },
    ]);
    await declare();
    await untilData(plane, NAMESPACE, name, { password: "of-the-tenant" });
    await untilVerdict(plane, NAMESPACE, name, "Unsealed");
    // While the controller is away, so that it has only the status to go by.
    await controller.stop();
    const edit = { stringData: { password: "of-the-editor" } };
    const edited = await plane.request("PATCH", secretPath(), edit, { ...MERGE, token: editor });
    expect(edited.status).toBe(200);
    const { uid = "", resourceVersion = "" } = edited.body.metadata ?? {};
    await forge({ uid, resourceVersion }, editor);
    controller = await startSignet(plane, { flags: FLAGS });
    await untilData(plane, NAMESPACE, name, { password: "of-the-tenant" });
  });
});

it("a forged status makes no key look unused, and is put right", async () => {
  const auditor = await account("auditor", [
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["get"] },
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets/status"], verbs: ["update"] },
  ]);
  await declare();
  const { sealedUnder } = await untilVerdict(plane, NAMESPACE, name, "Unsealed");
  const [fingerprint = ""] = Object.keys(sealedUnder);
  const before = await valuesUnder(fingerprint);
  for (const forged of [{ "SHA256:other": ["password"] }, { [fingerprint]: [] }, {}]) {
    await plane.waitFor("the status to be forged", async () => {
      const { body } = await plane.request("GET", sealedPath(), undefined, { token: auditor });
      const status = { ...(body["status"] as JsonObject), sealedUnder: forged };
      const changed = { ...body, status };
      const path = `${sealedPath()}/status`;
      return (await plane.request("PUT", path, changed, { token: auditor })).status === 200;
    });
    await plane.waitFor("the status to be put right", async () => {
      const { counted, unknown } = await valuesUnder(fingerprint);
      expect(counted + unknown).toBeGreaterThanOrEqual(before.counted);
      const seen = await statusOf(plane, NAMESPACE, name);
      return JSON.stringify(seen.sealedUnder) === JSON.stringify(sealedUnder);
    });
    await plane.waitFor("the count to be right", async () => {
      const { counted, unknown } = await valuesUnder(fingerprint);
      return counted === before.counted && unknown === before.unknown;
    });
  }
});

/** How many values the controller counts under a key, and how many under no key that it is sure of. */
async function valuesUnder(fingerprint: string): Promise<{ counted: number; unknown: number }> {
  const labels = { fingerprint };
  return {
    counted: await metricOf(controller, "sealing_key_values", labels),
    unknown: await metricOf(controller, "sealing_key_values", { state: "unknown" }),
  };
}

it("a template moves its Secret nowhere, and names no owner but the SealedSecret", async () => {
  const stringData = { password: "of-the-tenant" };
  const object = await sealed(certificate, { namespace: NAMESPACE, name, stringData });
  const { metadata } = (object["spec"] as { template: { metadata: JsonObject } }).template;
  const owner = { apiVersion: "v1", kind: "Namespace", name: "default", uid: "u" };
  Object.assign(metadata, { name: "moved", namespace: "default", ownerReferences: [owner] });
  const path = sealedPath().replace(/\/[^/]*$/, "");
  const declared = await plane.request("POST", path, object, { token: tenant });
  expect(declared.status).toBe(201);
  const secret = await untilData(plane, NAMESPACE, name, stringData);
  const owners = secret.metadata?.ownerReferences?.map(({ kind, uid }) => [kind, uid]);
  expect(owners).toEqual([["SealedSecret", declared.body.metadata?.uid]]);
  for (const [namespace, other] of [
    ["default", "moved"],
    ["default", name],
    [NAMESPACE, "moved"],
  ] as const) {
    expect(await readSecret(plane, namespace, other)).toBeUndefined();
  }
});

describe("a Secret that Kubernetes turns into a credential", () => {
  const annotations = { "kubernetes.io/service-account.name": "default" };

  it("is not created for a tenant, and nobody's token comes out", async () => {
    await declare({ type: TOKEN_TYPE, annotations });
    const { reason, message } = await untilJudged(plane, NAMESPACE, name);
    const answer = await plane.request("GET", secretPath(), undefined, { token: tenant });
    expect(answer.status).toBe(404);
    expect(reason).toBe("TypeNotAllowed");
    expect(message).toContain(`--allow-secret-types=${TOKEN_TYPE}`);
  });

  it("is left as it is where the original created it", async () => {
    await foreign({ metadata: { name, namespace: NAMESPACE, annotations }, type: TOKEN_TYPE });
    const before = await plane.waitFor("its token", async () => {
      const secret = await readSecret(plane, NAMESPACE, name);
      return secret?.data?.["token"] === undefined ? undefined : secret;
    });
    await declare({ type: TOKEN_TYPE, annotations });
    const { reason } = await untilJudged(plane, NAMESPACE, name);
    expect(await readSecret(plane, NAMESPACE, name)).toEqual(before);
    expect(reason).toBe("TypeNotAllowed");
  });

  it("is created where the operator allows it, and then holds the token", async () => {
    await declare({ type: TOKEN_TYPE, annotations });
    await untilVerdict(plane, NAMESPACE, name, "TypeNotAllowed");
    await controller.stop();
    const allowed = [...FLAGS, `--allow-secret-types=${TOKEN_TYPE}`];
    controller = await startSignet(plane, { flags: allowed });
    await plane.waitFor("the token of the service account", async () => {
      const answer = await plane.request("GET", secretPath(), undefined, { token: tenant });
      return answer.body.data?.["token"] !== undefined;
    });
  });

  it.each<[string, string, Partial<Parameters<typeof sealed>[1]>]>([
    [
      "a bootstrap token",
      "kube-system",
      { name: "bootstrap-token-abcdef", type: "bootstrap.kubernetes.io/token" },
    ],
    ["a Helm release", NAMESPACE, { type: "helm.sh/release.v1" }],
    ["a Helm release by its name", NAMESPACE, { name: "sh.helm.release.v1.web.v1" }],
    ["a Helm release by its label", NAMESPACE, { labels: { owner: "helm" } }],
  ])("is not created: %s", async (_what, namespace, more) => {
    const stringData = { release: "x" };
    const object = await sealed(certificate, { namespace, name, stringData, ...more });
    await plane.apply(object);
    const made = object.metadata?.name ?? "";
    const { reason } = await untilJudged(plane, namespace, made);
    expect(await readSecret(plane, namespace, made)).toBeUndefined();
    expect(reason).toBe("TypeNotAllowed");
  });
});
