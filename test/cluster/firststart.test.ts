// The first start beside keys that somebody put there before: a tenant of the Go original, or a
// restore of a backup. None of them seals.
// SPEC.md, "Confirmed keys".
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockBackup } from "../../cli/recovery/lock.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { formatKeySecret, KEY_LABEL } from "../../shared/keys/keyfile.ts";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { makeRepository } from "./gitops.ts";
import { certificateOf, metricOf, readSecret, sealed, untilData } from "./objects.ts";
import { installOriginalCrd, startOriginal } from "./original.ts";
import { addTenant, ensureNamespace, installSignet, startSignet } from "./signet.ts";

const NAMESPACE = "kube-system";
const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;
const SEALED = `/apis/bitnami.com/v1alpha1/namespaces/${NAMESPACE}/sealedsecrets`;
const PREFIX = "sealed-secrets-key";

let plane: ControlPlane;
let kubeconfig: string;

beforeEach(async () => {
  plane = await startControlPlane();
  kubeconfig = await plane.kubeconfig();
});

afterEach(async () => {
  await plane.stop();
});

async function keySecrets(): Promise<KubeObject[]> {
  return (await plane.request("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`)).body.items ?? [];
}

/** A tenant with every right to SealedSecrets in the original's namespace, and no other right. */
async function tenant(): Promise<string> {
  const rules = [
    {
      apiGroups: ["bitnami.com"],
      resources: ["sealedsecrets"],
      verbs: ["get", "list", "create", "update", "patch", "delete"],
    },
  ];
  return addTenant(plane, { namespace: NAMESPACE, name: "tenant", rules });
}

/** Has the original make a key Secret that looks in every way as one of the original's own. */
async function plant(pair: SealingKeyPair, certificate: string, token: string): Promise<string> {
  const object = await sealed(certificate, {
    namespace: NAMESPACE,
    name: "any",
    scope: "namespace-wide",
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": pair.certificatePem, "tls.key": pair.privateKeyPem },
  });
  const { spec, metadata } = object as KubeObject & {
    spec: { template: { metadata?: object } };
  };
  spec.template.metadata = {
    generateName: PREFIX,
    labels: { [KEY_LABEL]: "active" },
    annotations: { "sealedsecrets.bitnami.com/namespace-wide": "true" },
  };
  const { name: _, ...rest } = metadata ?? {};
  const declared = { ...object, metadata: { ...rest, generateName: PREFIX } };
  const made = await plane.request("POST", SEALED, declared, { token });
  expect([made.status, made.body.message]).toEqual([201, undefined]);
  const name = made.body.metadata?.name ?? "";
  await plane.waitFor("the planted key", async () =>
    Boolean(await readSecret(plane, NAMESPACE, name)),
  );
  await plane.request("DELETE", `${SEALED}/${name}?propagationPolicy=Orphan`, undefined, { token });
  await plane.waitFor("the planted key to be an orphan", async () => {
    const secret = await readSecret(plane, NAMESPACE, name);
    return secret !== undefined && (secret.metadata?.ownerReferences ?? []).length === 0;
  });
  return name;
}

describe("keys beside the original", () => {
  it("none seals where a tenant planted one, and all open", async () => {
    await installOriginalCrd(plane);
    await ensureNamespace(plane, "demo");
    const original = await startOriginal(plane, { flags: ["--key-size=2048"] });
    const certificate = await certificateOf(original);
    const planted = await createSealingKey({
      bits: 2048,
      notBefore: new Date(),
      validForMs: 1e12,
    });
    const name = await plant(planted, certificate, await tenant());
    await original.stop();
    const values = { a: "b" };
    await plane.apply(
      await sealed(certificate, { namespace: "demo", name: "db", stringData: values }),
    );

    await installSignet(plane);
    const controller = await startSignet(plane, { flags: ["--key-size=2048"] });
    try {
      await untilData(plane, "demo", "db", values);
      const sealing = await certificateOf(controller);
      expect([planted.certificatePem, certificate]).not.toContain(sealing);
      const ours = (await keySecrets()).filter(({ metadata }) =>
        Boolean(metadata?.annotations?.["kube-signet/confirmed"]),
      );
      expect(ours.map(({ metadata }) => metadata?.annotations?.["kube-signet/confirmed"])).toEqual([
        parseCertificate(sealing).fingerprint,
      ]);
      expect(controller.logs()).toContain("there are 2 key Secrets");
      expect(await metricOf(controller, "sealing_keys", { state: "unconfirmed" })).toBe(2);
      expect(await metricOf(controller, "sealing_keys_appeared")).toBe(0);
      expect(controller.logs()).toContain(`signet keys adopt ${name}`);
      // What is in Git under the original's certificate still opens, also if it is sealed later.
      await plane.apply(
        await sealed(certificate, { namespace: "demo", name: "late", stringData: values }),
      );
      await untilData(plane, "demo", "late", values);
    } finally {
      await controller.stop();
    }
    // The way back: the original seals with the newest, which is ours.
    const again = await startOriginal(plane, { flags: ["--key-size=2048"] });
    const back = parseCertificate(await certificateOf(again)).fingerprint;
    await again.stop();
    expect(back).not.toBe(parseCertificate(planted.certificatePem).fingerprint);
  });

  it("none seals once this controller has led, though somebody deleted its own keys", async () => {
    await installSignet(plane);
    const first = await startSignet(plane, { flags: ["--key-size=2048"] });
    await first.stop();
    for (const { metadata } of await keySecrets()) {
      await plane.request("DELETE", `${SECRETS}/${metadata?.name ?? ""}`);
    }
    const put = await createSealingKey({ bits: 2048, notBefore: new Date(), validForMs: 1e12 });
    await plane.apply(formatKeySecret(put, { name: `${PREFIX}abcde`, namespace: NAMESPACE }));
    const second = await startSignet(plane, { flags: ["--key-size=2048"] });
    const sealing = await certificateOf(second);
    await second.stop();
    expect(sealing).not.toBe(put.certificatePem);
  });
});

describe("a restore before the controller is installed", () => {
  it("gives a key that never seals, until a person adopts it", async () => {
    const repository = await makeRepository({ KUBECONFIG: kubeconfig });
    try {
      const pair = await createSealingKey({ bits: 2048, notBefore: new Date(), validForMs: 1e12 });
      const { fingerprint } = parseCertificate(pair.certificatePem);
      const passphrase = "a passphrase of some length";
      const text = formatManifests([formatKeySecret(pair, { name: `${PREFIX}abcde` })], "yaml");
      await repository.sh("cat > passphrase", passphrase);
      await repository.sh("cat > f.age", await lockBackup(text, { passphrase }));
      await repository.sh(
        "signet keys restore f.age --passphrase-file passphrase --context test --yes --no-wait",
      );
      await installSignet(plane);
      const controller = await startSignet(plane, { flags: ["--key-size=2048"] });
      try {
        expect(await certificateOf(controller)).not.toBe(pair.certificatePem);
        const [restored] = (await keySecrets()).filter(
          ({ metadata }) => metadata?.name === `${PREFIX}abcde`,
        );
        expect(restored?.metadata?.annotations).toEqual({ "kube-signet/restored": fingerprint });
        const confirmation = {
          metadata: { annotations: { "kube-signet/confirmed": fingerprint } },
        };
        await plane.request("PATCH", `${SECRETS}/${PREFIX}abcde`, confirmation, MERGE);
        await plane.waitFor("it to open as a former key or to seal", async () => {
          const report = (await (await fetch(`${controller.url}/v1/keys`)).json()) as {
            keys: { fingerprint: string; state: string }[];
          };
          const found = report.keys.find((key) => key.fingerprint === fingerprint);
          return found !== undefined && found.state !== "unconfirmed";
        });
      } finally {
        await controller.stop();
      }
    } finally {
      await repository.remove();
    }
  });
});
