// A tenant who may write SealedSecrets in the controller's own namespace, and nothing else: it never
// becomes the one who can read what is sealed from then on.
// SPEC.md, "Confirmed keys".
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { keyName } from "../../controller/clusterkeys.ts";
import { SEALING_SINCE_ANNOTATION } from "../../controller/keychanges.ts";
import {
  CONFIRMED_ANNOTATION,
  formatKeySecret,
  KEY_LABEL,
  readKeySecret,
} from "../../shared/keys/keyfile.ts";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import { certificateOf, eventsOf, metricOf, readSecret, sealed, untilJudged } from "./objects.ts";
import { addTenant, type RunningController, startCluster, startSignet } from "./signet.ts";

const NAMESPACE = "kube-system";
const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;
const SEALED = `/apis/bitnami.com/v1alpha1/namespaces/${NAMESPACE}/sealedsecrets`;

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let token: string;
/** A key of the tenant's own, which would be the newest for all time. */
let planted: SealingKeyPair;

beforeAll(async () => {
  ({ plane, controller } = await startCluster({
    flags: ["--key-size=2048"],
    namespaces: ["demo"],
  }));
  certificate = await certificateOf(controller);
  const notBefore = new Date("2999-01-01T00:00:00Z");
  planted = await createSealingKey({ bits: 2048, notBefore, validForMs: 1e12 });
  const rule = {
    apiGroups: ["bitnami.com"],
    resources: ["sealedsecrets", "sealedsecrets/status"],
    verbs: ["get", "list", "create", "update", "patch", "delete"],
  };
  token = await addTenant(plane, { namespace: NAMESPACE, name: "tenant", rules: [rule] });
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

const files = (): Record<string, string> => ({
  "tls.crt": planted.certificatePem,
  "tls.key": planted.privateKeyPem,
});

async function create(object: KubeObject): Promise<void> {
  const { status, body } = await plane.request("POST", SEALED, object, { token });
  expect([status, body.message]).toEqual([201, undefined]);
}

/** Nothing of the tenant's seals, and what everybody is handed is as before. */
async function expectNothingChanged(): Promise<void> {
  expect(await certificateOf(controller)).toBe(certificate);
  expect(await metricOf(controller, "sealing_keys", { state: "former" })).toBe(0);
  expect(await metricOf(controller, "sealing_keys", { state: "unconfirmed" })).toBe(0);
}

describe("a SealedSecret in the controller's namespace", () => {
  it.each<[string, string, JsonObject]>([
    ["the label of a key", "plain", { labels: { [KEY_LABEL]: "active" } }],
    ["another value of that label", "other", { labels: { [KEY_LABEL]: "retired" } }],
    [
      "the annotation that confirms one",
      "confirmed",
      { annotations: { [CONFIRMED_ANNOTATION]: "x" } },
    ],
    ["the name from before there was a label", "sealed-secrets-key", {}],
    ["a name that begins as a key's", "sealed-secrets-keyabcde", {}],
    [
      "the label, without an owner",
      "unowned",
      {
        labels: { [KEY_LABEL]: "active" },
        annotations: { "sealedsecrets.bitnami.com/skip-set-owner-references": "true" },
      },
    ],
  ])("makes no Secret with %s", async (_what, name, metadata) => {
    const object = await sealed(certificate, {
      namespace: NAMESPACE,
      name,
      type: "kubernetes.io/tls",
      stringData: files(),
    });
    const spec = object["spec"] as { template: { metadata?: JsonObject } };
    spec.template.metadata = { ...spec.template.metadata, ...metadata };
    await create(object);
    const { reason, message } = await untilJudged(plane, NAMESPACE, name);
    await expectNothingChanged();
    expect(await readSecret(plane, NAMESPACE, name)).toBeUndefined();
    expect(reason).toBe("KeySecret");
    expect(message).toContain("no SealedSecret may make or change");
  });

  it("changes no key Secret, even one whose owner handed it over", async () => {
    const own = (await plane.request("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`)).body
      .items?.[0];
    const name = "handed-over";
    const pair = await createSealingKey({
      bits: 2048,
      notBefore: new Date(),
      validForMs: 1e9,
    });
    const annotations = { "sealedsecrets.bitnami.com/managed": "true" };
    await plane.apply(formatKeySecret(pair, { name, namespace: NAMESPACE }, {}, annotations));
    const before = await readSecret(plane, NAMESPACE, name);
    await create(await sealed(certificate, { namespace: NAMESPACE, name, stringData: files() }));
    const { reason } = await untilJudged(plane, NAMESPACE, name);
    expect((await readSecret(plane, NAMESPACE, name))?.data).toEqual(before?.data);
    expect(reason).toBe("KeySecret");
    expect(own?.metadata?.name).toMatch(/^sealed-secrets-key/);
    expect(await certificateOf(controller)).toBe(certificate);
    await plane.request("DELETE", `${SECRETS}/${name}`);
  });
});

describe("a key Secret that someone else put there", () => {
  const name = "from-elsewhere";

  it("opens only, is told of, and seals once it is confirmed; both can be undone", async () => {
    await plane.apply(formatKeySecret(planted, { name, namespace: NAMESPACE }));
    await plane.waitFor("it to be told of", async () =>
      (await eventsOf(plane, NAMESPACE, name)).some((event) =>
        event.startsWith("Warning SealingKeyUnconfirmed"),
      ),
    );
    expect(controller.logs()).toContain(`signet keys adopt ${name}`);
    expect(await certificateOf(controller)).toBe(certificate);
    expect(await metricOf(controller, "sealing_keys", { state: "unconfirmed" })).toBe(1);
    expect(await metricOf(controller, "sealing_keys_appeared")).toBe(1);
    const rotated = await fetch(`${controller.url}/v1/rotate`, {
      method: "POST",
      body: JSON.stringify(
        await sealed(certificate, { namespace: "demo", name: "db", stringData: { a: "b" } }),
      ),
    });
    expect(await rotated.text()).not.toContain(
      parseCertificate(planted.certificatePem).fingerprint,
    );

    const { fingerprint } = parseCertificate(planted.certificatePem);
    const confirm = (value: string | null): Promise<unknown> =>
      plane.request(
        "PATCH",
        `${SECRETS}/${name}`,
        { metadata: { annotations: { [CONFIRMED_ANNOTATION]: value } } },
        { contentType: "application/merge-patch+json" },
      );
    await confirm("SHA256:of-another-key");
    await confirm(fingerprint);
    await plane.waitFor(
      "it to seal",
      async () => (await certificateOf(controller)) === planted.certificatePem,
    );
    await plane.waitFor("the change to be reported", async () =>
      (await eventsOf(plane, NAMESPACE, name)).some((event) =>
        event.startsWith("Normal SealingKeyChanged"),
      ),
    );
    expect(await metricOf(controller, "sealing_keys_appeared")).toBe(0);
    expect(await metricOf(controller, "sealing_key_changes_total", { reason: "confirmed" })).toBe(
      1,
    );
    await confirm(null);
    await plane.waitFor(
      "the former key to seal again",
      async () => (await certificateOf(controller)) === certificate,
    );
  });
});

describe("someone who may create and delete Secrets in the controller's namespace", () => {
  let vandal: string;

  beforeAll(async () => {
    const rules = [
      { apiGroups: [""], resources: ["secrets"], verbs: ["get", "list", "create", "delete"] },
    ];
    vandal = await addTenant(plane, { namespace: NAMESPACE, name: "vandal", rules });
  });

  async function call(method: string, path: string, object?: KubeObject): Promise<KubeObject> {
    const { status, body } = await plane.request(method, path, object, { token: vandal });
    expect(status).toBeLessThan(300);
    return body;
  }

  it("does not keep a key from being made by taking the names that it would have", async () => {
    const fingerprint = parseCertificate(certificate).fingerprint;
    // What the name of the next key follows from is public.
    const keys = (await call("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`)).items ?? [];
    const pairs = await Promise.all(keys.map(({ metadata = {} }) => readKey(metadata.name ?? "")));
    for (const key of pairs) {
      for (let attempt = 0; attempt < 25; attempt++) {
        const name = keyName("sealed-secrets-key", key, attempt);
        await call("POST", SECRETS, {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name, namespace: NAMESPACE },
        });
      }
    }
    controller.kill("SIGUSR1");
    await plane.waitFor("another key to seal", async () => {
      const now = parseCertificate(await certificateOf(controller)).fingerprint;
      return now !== fingerprint;
    });
    certificate = await certificateOf(controller);
  });

  it("does not change the key that seals unnoticed while nobody leads, whatever its marks", async () => {
    await controller.stop();
    const keys = (await call("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`)).items ?? [];
    for (const { metadata = {} } of keys) await call("DELETE", `${SECRETS}/${metadata.name ?? ""}`);
    const pair = await createSealingKey({
      bits: 2048,
      notBefore: new Date(),
      validForMs: 1e9,
    });
    const annotations = {
      [CONFIRMED_ANNOTATION]: parseCertificate(pair.certificatePem).fingerprint,
      [SEALING_SINCE_ANNOTATION]: new Date().toISOString(),
    };
    const secret = formatKeySecret(
      pair,
      { name: "exchanged", namespace: NAMESPACE },
      {},
      annotations,
    );
    await call("POST", SECRETS, secret);
    controller = await startSignet(plane, { flags: ["--key-size=2048"] });
    await plane.waitFor(
      "the change to be reported",
      async () =>
        (await metricOf(controller, "sealing_key_changes_total", { reason: "removed" })) === 1,
    );
    expect(controller.logs()).toContain("the active sealing key changed");
  });
});

async function readKey(name: string): Promise<SealingKey> {
  const secret = await readSecret(plane, NAMESPACE, name);
  return readKeySecret(parseSecret(secret as JsonObject));
}
