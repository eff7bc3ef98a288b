// The sealing keys of a running cluster: renewed, marked, brought along, broken, taken away.
// SPEC.md, "Sealing keys and certificates", "Renewal", "Retirement of keys".
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { CONFIRMED_ANNOTATION, formatKeySecret } from "../../shared/keys/keyfile.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  metricOf,
  sealed,
  statusOf,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { ensureNamespace, installSignet, type RunningController, startSignet } from "./signet.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";
const DAY_MS = 86_400_000;

let plane: ControlPlane;
let controller: RunningController;
let count = 0;
let name: string;

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
});

beforeEach(async () => {
  name = `key-${++count}`;
  const { status } = await plane.request("DELETE", `${SECRETS}?labelSelector=${KEY_LABEL}`);
  expect(status).toBe(200);
  controller = await start();
});

afterEach(async () => {
  await controller.stop();
  expect(controller.logs()).not.toContain("PRIVATE KEY");
});

afterAll(async () => {
  await plane.stop();
});

function start(...flags: string[]): Promise<RunningController> {
  return startSignet(plane, { flags: ["--key-size=2048", ...flags] });
}

async function restart(...flags: string[]): Promise<void> {
  await controller.stop();
  controller = await start(...flags);
}

async function keySecrets(): Promise<KubeObject[]> {
  const { body } = await plane.request("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`);
  return body.items ?? [];
}

async function onlyKey(): Promise<string> {
  const [key, ...others] = await keySecrets();
  expect(others).toEqual([]);
  return key?.metadata?.name ?? "";
}

async function patchKey(secret: string, patch: unknown): Promise<void> {
  expect((await plane.request("PATCH", `${SECRETS}/${secret}`, patch, MERGE)).status).toBe(200);
}

const label = (secret: string, value: string | null): Promise<void> =>
  patchKey(secret, { metadata: { labels: { [KEY_LABEL]: value } } });

async function untilOtherCertificate(than: string): Promise<string> {
  return plane.waitFor("another certificate", async () => {
    const served = await certificateOf(controller);
    return served !== than && served.includes("BEGIN") ? served : undefined;
  });
}

async function declare(certificate: string, value = "1"): Promise<void> {
  const stringData = { value };
  await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
}

function foreignKey(daysOld: number): Promise<SealingKeyPair> {
  const notBefore = new Date(Math.floor((Date.now() - daysOld * DAY_MS) / 1000) * 1000);
  return createSealingKey({ bits: 2048, notBefore, validForMs: 3650 * DAY_MS });
}

function fingerprintOf(pem: string): string {
  return parseCertificate(pem).fingerprint;
}

/** A key Secret that an operator confirmed. */
function confirmedSecret(pair: SealingKeyPair, name: string): KubeObject {
  const annotations = { [CONFIRMED_ANNOTATION]: fingerprintOf(pair.certificatePem) };
  return formatKeySecret(pair, { name, namespace: "kube-system" }, {}, annotations);
}

async function bring(pair: SealingKeyPair, secret: string): Promise<void> {
  await plane.apply(confirmedSecret(pair, secret));
}

describe("a new sealing key", () => {
  it.each<[string, () => Promise<void>]>([
    [
      "is made by age",
      async () => {
        await restart("--key-renew-period=1s");
      },
    ],
    [
      "is made at the cutoff, in the original's spelling of a moment",
      async () => {
        const moment = new Date(Date.now() + 2_000).toUTCString().replace("GMT", "+0000");
        await restart(`--key-cutoff-time=${moment}`);
      },
    ],
    [
      "is made on SIGUSR1",
      () => {
        controller.kill("SIGUSR1");
        return Promise.resolve();
      },
    ],
    [
      "is made by annotation",
      async () => {
        const annotations = { "kube-signet/renew": "now" };
        await patchKey(await onlyKey(), { metadata: { annotations } });
      },
    ],
    [
      "is made when the one that seals is marked compromised",
      async () => {
        await label(await onlyKey(), "compromised");
      },
    ],
    [
      "is made when the only one is taken away",
      async () => {
        await label(await onlyKey(), "retired");
      },
    ],
  ])("%s, and seals at once", async (_what, ask) => {
    const before = await certificateOf(controller);
    await ask();
    const after = await untilOtherCertificate(before);
    expect(fingerprintOf(after)).not.toBe(fingerprintOf(before));
    await declare(after);
    await untilData(plane, "demo", name, { value: "1" });
  });

  it("is made once for one cutoff, and once for one annotation", async () => {
    const annotations = { "kube-signet/renew": "now" };
    await patchKey(await onlyKey(), { metadata: { annotations } });
    await restart(`--key-cutoff-time=${new Date(Date.now() - 1_000).toISOString()}`);
    await restart(`--key-cutoff-time=${new Date(Date.now() + 3_600_000).toISOString()}`);
    await new Promise((done) => setTimeout(done, 1_500));
    expect((await keySecrets()).length).toBeLessThanOrEqual(3);
    const settled = (await keySecrets()).length;
    await restart(`--key-cutoff-time=${new Date(Date.now() + 3_600_000).toISOString()}`);
    expect(await keySecrets()).toHaveLength(settled);
  });

  it("is not made where renewal is off, however old the one that was brought along is", async () => {
    await controller.stop();
    await plane.request("DELETE", `${SECRETS}?labelSelector=${KEY_LABEL}`);
    const mine = await foreignKey(700);
    await bring(mine, "my-own");
    controller = await start("--key-renew-period=0");
    expect(await certificateOf(controller)).toBe(mine.certificatePem);
    expect(await keySecrets()).toHaveLength(1);
  });
});

describe("a key that is marked compromised", () => {
  it("still opens, seals no more, and is told of until its values are sealed anew", async () => {
    const before = await certificateOf(controller);
    await declare(before);
    await untilVerdict(plane, "demo", name, "Unsealed");
    const compromised = await onlyKey();
    await label(compromised, "compromised");
    const after = await untilOtherCertificate(before);
    const condition = async (): Promise<string> => {
      const { body } = await plane.request(
        "GET",
        `/apis/bitnami.com/v1alpha1/namespaces/demo/sealedsecrets/${name}`,
      );
      const { conditions = [] } =
        (body as { status?: { conditions?: { type: string; message: string }[] } }).status ?? {};
      return conditions.find(({ type }) => type === "KeyCompromised")?.message ?? "";
    };
    await plane.waitFor("the condition", async () => (await condition()) !== "");
    expect(await condition()).toContain("sealed with a compromised key: value;");
    await plane.waitFor("the Event", async () =>
      (await eventsOf(plane, "demo", name)).some((event) =>
        event.includes("Warning KeyCompromised"),
      ),
    );
    expect((await statusOf(plane, "demo", name)).synced?.status).toBe("True");
    const fingerprint = fingerprintOf(before);
    const values = (): Promise<number> =>
      metricOf(controller, "sealing_key_values", { fingerprint, state: "compromised" });
    // The controller counts what its watch has brought, which may be later than the status is read.
    await plane.waitFor("the values in the metric", async () => (await values()) > 0);

    // What only the compromised key opens is opened all the same.
    await plane.request("DELETE", `/api/v1/namespaces/demo/secrets/${name}`);
    await untilData(plane, "demo", name, { value: "1" });
    expect(await metricOf(controller, "sealing_keys", { state: "compromised" })).toBe(1);

    await declare(after, "2");
    await untilData(plane, "demo", name, { value: "2" });
    await plane.waitFor("the condition to go", async () => (await condition()) === "");
  });
});

describe("key Secrets as they come and go", () => {
  it("of equal age: the one created first seals, as in the original", async () => {
    // Later than the key that is there: dates count in whole seconds.
    await new Promise((done) => setTimeout(done, 1_100));
    const second = await foreignKey(0);
    const notBefore = parseCertificate(second.certificatePem).notBefore;
    const other = await createSealingKey({ bits: 2048, notBefore, validForMs: DAY_MS });
    const before = await certificateOf(controller);
    await bring(other, "zz-created-first");
    await untilOtherCertificate(before);
    await new Promise((done) => setTimeout(done, 1_100));
    await bring(second, "aa-created-second");
    await plane.waitFor(
      "three keys",
      async () => (await metricOf(controller, "sealing_keys", { state: "former" })) === 2,
    );
    expect(await certificateOf(controller)).toBe(other.certificatePem);
    await restart();
    expect(await certificateOf(controller)).toBe(other.certificatePem);
  });

  it("one that is malformed is told of and skipped, and used once it is mended", async () => {
    const pair = await foreignKey(-1);
    const good = confirmedSecret(pair, "broken");
    const data = { ...(good["data"] as Record<string, string>), "tls.key": "bm90IGEga2V5" };
    await plane.apply({ ...good, data });
    await plane.waitFor(
      "it to be told of",
      async () => (await metricOf(controller, "sealing_keys", { state: "malformed" })) === 1,
    );
    expect(controller.logs()).toContain("sealing key Secret is malformed, skipped");
    await declare(await certificateOf(controller));
    await untilData(plane, "demo", name, { value: "1" });
    await restart();
    await plane.apply(good);
    await plane.waitFor(
      "it to seal",
      async () => (await certificateOf(controller)) === pair.certificatePem,
    );
    expect(await metricOf(controller, "sealing_keys", { state: "malformed" })).toBe(0);
  });

  it("one that is taken away opens no more, and opens again once it is back", async () => {
    const pair = await foreignKey(1);
    await bring(pair, "passing");
    await declare(pair.certificatePem);
    await untilVerdict(plane, "demo", name, "Unsealed");
    await label("passing", "retired");
    await plane.waitFor(
      "it to be gone",
      async () => (await metricOf(controller, "sealing_keys", { state: "former" })) === 0,
    );
    await declare(pair.certificatePem, "2");
    await untilVerdict(plane, "demo", name, "DecryptFailed");
    await label("passing", "active");
    await untilData(plane, "demo", name, { value: "2" });
  });

  it("the one from before 2019, which has the prefix for a name and no label, is followed as well", async () => {
    const pair = await foreignKey(400);
    const legacy = formatKeySecret(pair, { name: "sealed-secrets-key", namespace: "kube-system" });
    const { labels: _none, ...metadata } = legacy["metadata"] as Record<string, unknown>;
    await declare(pair.certificatePem);
    await untilVerdict(plane, "demo", name, "DecryptFailed");
    await plane.apply({ ...legacy, metadata });
    await untilData(plane, "demo", name, { value: "1" });
    await plane.request("DELETE", `${SECRETS}/sealed-secrets-key`);
    await plane.waitFor(
      "it to be gone",
      async () => (await metricOf(controller, "sealing_keys", { state: "former" })) === 0,
    );
  });
});
