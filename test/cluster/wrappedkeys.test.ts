// Sealing keys wrapped by real key services, in a running cluster: made, converted, rotated, without
// their service, and killed in between.
// SPEC.md, "Wrapped keys".
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { KEY_LABEL } from "../../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL, WRAPPING_ANNOTATION } from "../../shared/keys/wrappedkey.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { makeRepository } from "./gitops.ts";
import { KEY_SERVICES, type RunningService, startKmsPlugin } from "./keyservices.ts";
import { certificateOf, metricOf, sealed, untilData, untilVerdict } from "./objects.ts";
import {
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const BACKED_UP = "--kms-backup-verified";
const VALUE = "a-value-that-nobody-may-read";

let plane: ControlPlane;
let count = 0;
let name: string;
const running: RunningController[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
});

beforeEach(async () => {
  name = `wrapped-${++count}`;
  for (const label of [KEY_LABEL, WRAPPED_KEY_LABEL]) {
    expect((await plane.request("DELETE", `${SECRETS}?labelSelector=${label}`)).status).toBe(200);
  }
});

afterEach(async () => {
  for (const controller of running.splice(0)) {
    await controller.stop();
    expect(controller.logs()).not.toContain("PRIVATE KEY");
  }
});

afterAll(async () => {
  await plane.stop();
});

async function start(
  service: RunningService | null,
  flags: string[] = [BACKED_UP],
  waitFor: "ready" | "alive" = "ready",
): Promise<RunningController> {
  const all = ["--key-size=2048", ...(service?.flags ?? []), ...flags];
  const controller = await startSignet(plane, { flags: all, waitFor, env: service?.env ?? {} });
  running.push(controller);
  return controller;
}

async function stop(controller: RunningController): Promise<void> {
  running.splice(running.indexOf(controller), 1);
  await controller.stop();
}

async function secretsWith(label: string): Promise<KubeObject[]> {
  const { body } = await plane.request("GET", `${SECRETS}?labelSelector=${label}`);
  return body.items ?? [];
}

const plain = (): Promise<KubeObject[]> => secretsWith(KEY_LABEL);
const wrapped = (): Promise<KubeObject[]> => secretsWith(WRAPPED_KEY_LABEL);

async function ask(secret: KubeObject, request: string): Promise<void> {
  const metadata = { annotations: { [WRAPPING_ANNOTATION]: request } };
  const path = `${SECRETS}/${secret.metadata?.name ?? ""}`;
  expect((await plane.request("PATCH", path, { metadata }, MERGE)).status).toBe(200);
}

function textOf(secret: KubeObject | undefined): Record<string, string> {
  const text = Buffer.from(secret?.data?.["tls.key.wrapped"] ?? "", "base64").toString();
  return JSON.parse(text) as Record<string, string>;
}

async function declare(certificate: string, value = VALUE, object = name): Promise<void> {
  const stringData = { value };
  await plane.apply(await sealed(certificate, { namespace: "demo", name: object, stringData }));
}

const fingerprintOf = (pem: string): string => parseCertificate(pem).fingerprint;

describe.each(KEY_SERVICES)("with %s", (_words, startService) => {
  let service: RunningService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(async () => {
    await service.stop();
  });

  it("new keys are wrapped, and what is sealed with them opens, also after a restart", async () => {
    const controller = await start(service);
    const certificate = await certificateOf(controller);
    expect(await plain()).toEqual([]);
    const [secret, ...others] = await wrapped();
    expect(others).toEqual([]);
    expect(Object.keys(secret?.data ?? {}).sort()).toEqual(["tls.crt", "tls.key.wrapped"]);
    expect(JSON.stringify(secret)).not.toContain(Buffer.from("PRIVATE").toString("base64"));
    expect(textOf(secret)["fingerprint"]).toBe(fingerprintOf(certificate));
    await declare(certificate);
    await untilData(plane, "demo", name, { value: VALUE });
    await stop(controller);
    const again = await start(service);
    expect(await certificateOf(again)).toBe(certificate);
    await declare(certificate, "2");
    await untilData(plane, "demo", name, { value: "2" });
    expect(await metricOf(again, "sealing_keys_stored", { form: "wrapped" })).toBe(1);
    expect(
      await metricOf(again, "kms_requests_total", { operation: "unwrap", outcome: "ok" }),
    ).toBeGreaterThan(0);
  });

  it("stored keys are wrapped, wrapped again and unwrapped, and every value keeps opening", async () => {
    const before = await start(null, []);
    const old = await certificateOf(before);
    await declare(old);
    await untilData(plane, "demo", name, { value: VALUE });
    const { body: first } = await plane.request("GET", `/api/v1/namespaces/demo/secrets/${name}`);
    await stop(before);

    // A key that lay in plain text does not go on sealing.
    const controller = await start(service);
    const certificate = await plane.waitFor("a wrapped key to seal", async () => {
      const served = await certificateOf(controller);
      return served !== old && served;
    });
    const [lying] = await plain();
    if (lying === undefined) throw new Error("the plain key is gone");
    await ask(lying, "wrap");
    await plane.waitFor("no plain key to be left", async () => (await plain()).length === 0);
    expect(await wrapped()).toHaveLength(2);
    expect(await metricOf(controller, "sealing_keys_stored", { form: "plain" })).toBe(0);
    await declare(old, "2", `${name}-old`);
    await untilData(plane, "demo", `${name}-old`, { value: "2" });
    expect(await certificateOf(controller)).toBe(certificate);

    await service.rotate();
    const [one] = await wrapped();
    if (one === undefined) throw new Error("there is no wrapped key");
    const { key, wrappedDataKey } = textOf(one);
    await ask(one, "rewrap");
    const again = await plane.waitFor("it to be wrapped again", async () => {
      const found = (await wrapped()).find(({ metadata }) => metadata?.name === one.metadata?.name);
      return textOf(found)["wrappedDataKey"] !== wrappedDataKey && found;
    });
    expect(textOf(again)["key"] !== key).toBe(service.tellsVersion);
    expect(again.metadata?.annotations?.[WRAPPING_ANNOTATION]).toBeUndefined();
    expect(again.metadata?.uid).toBe(one.metadata?.uid);
    await declare(old, "3", `${name}-old`);
    await untilData(plane, "demo", `${name}-old`, { value: "3" });

    // Whoever may annotate Secrets does not get keys in plain text.
    await ask(again, "unwrap");
    await plane.waitFor("it to be refused", () =>
      controller.logs().includes("--kms-mode is not leave"),
    );
    expect(await plain()).toEqual([]);
    await stop(controller);

    // The refused request still stands and is carried out at once, so only the others are asked for.
    const others = (await wrapped()).filter(({ metadata }) => metadata?.uid !== one.metadata?.uid);
    const leaving = await start(service, ["--kms-mode=leave"]);
    for (const each of others) await ask(each, "unwrap");
    await plane.waitFor("no wrapped key to be left", async () => (await wrapped()).length === 0);
    expect(await plain()).toHaveLength(2);
    await stop(leaving);
    const after = await start(null, []);
    expect(await certificateOf(after)).toBe(certificate);
    await declare(old, "4", `${name}-old`);
    await untilData(plane, "demo", `${name}-old`, { value: "4" });
    // It was never made anew.
    const { body: last } = await plane.request("GET", `/api/v1/namespaces/demo/secrets/${name}`);
    expect(last.metadata?.resourceVersion).toBe(first.metadata?.resourceVersion);
  });

  it("that is away: open keys go on, a restart waits and is not ready, and follows once it is back", async () => {
    const controller = await start(service);
    const certificate = await certificateOf(controller);
    await service.pause();
    try {
      await declare(certificate);
      await untilData(plane, "demo", name, { value: VALUE });
      controller.kill("SIGUSR1");
      await plane.waitFor("a renewal to fail", () =>
        controller.logs().includes("sealing key could not be created"),
      );
      await stop(controller);
      const waiting = await start(service, [BACKED_UP], "alive");
      await plane.waitFor("it to say so", () =>
        waiting.logs().includes("wrapped sealing keys are waiting for the key service"),
      );
      expect((await fetch(`${waiting.url}/readyz`)).status).toBe(503);
      expect(await metricOf(waiting, "sealing_keys_waiting")).toBe(1);
      await service.resume();
      await plane.waitFor("it to be ready", async () => (await fetch(`${waiting.url}/readyz`)).ok);
      expect(await certificateOf(waiting)).toBe(certificate);
      expect(await wrapped()).toHaveLength(1);
      await declare(certificate, "2");
      await untilData(plane, "demo", name, { value: "2" });
    } finally {
      await service.resume();
    }
  });

  it("a key that was copied to another Secret, or changed, is skipped and nothing else", async () => {
    const controller = await start(service);
    const certificate = await certificateOf(controller);
    const [secret] = await wrapped();
    const { name: _, uid: _uid, resourceVersion: _version, ...metadata } = secret?.metadata ?? {};
    const copy = { ...secret, metadata: { ...metadata, name: `copy-${count}` } } as KubeObject;
    const changed = { ...textOf(secret), since: "2020-01-01T00:00:00Z" };
    const other = {
      ...copy,
      metadata: { ...metadata, name: `changed-${count}` },
      data: {
        ...copy.data,
        "tls.key.wrapped": Buffer.from(JSON.stringify(changed)).toString("base64"),
      },
    };
    for (const object of [copy, other]) {
      const answer = await plane.request("POST", SECRETS, object);
      expect(answer.status).toBe(201);
    }
    await stop(controller);
    const again = await start(service);
    await plane.waitFor(
      "both to be told of",
      async () => (await metricOf(again, "sealing_keys", { state: "malformed" })) === 2,
    );
    expect(await certificateOf(again)).toBe(certificate);
    expect(again.logs()).toContain("wrapped sealing key cannot be opened, skipped");
  });
});

describe("wrapped keys", () => {
  let service: RunningService;
  beforeAll(async () => {
    service = await startKmsPlugin();
  });
  afterAll(async () => {
    await service.stop();
  });

  it("are not switched on before someone confirms a backup", async () => {
    await expect(start(service, [])).rejects.toThrow(/--kms-backup-verified/);
  });

  it("hold a controller back that has no key service: it makes no key in their place", async () => {
    const controller = await start(service);
    await stop(controller);
    const without = await start(null, [], "alive");
    await plane.waitFor("it to say so", () =>
      without.logs().includes("this controller has no --kms-provider"),
    );
    expect((await fetch(`${without.url}/readyz`)).status).toBe(503);
    expect(await plain()).toEqual([]);
    expect(await wrapped()).toHaveLength(1);
  });

  it("that are no one's keep no controller back", async () => {
    const before = await start(null, []);
    const certificate = await certificateOf(before);
    await stop(before);
    const data = { "tls.key.wrapped": Buffer.from("{}").toString("base64") };
    const metadata = { name: `planted-${count}`, labels: { [WRAPPED_KEY_LABEL]: "active" } };
    expect((await plane.request("POST", SECRETS, { metadata, data })).status).toBe(201);
    const after = await start(null, []);
    expect(await certificateOf(after)).toBe(certificate);
    expect(await metricOf(after, "sealing_keys", { state: "malformed" })).toBe(1);
  });

  it("are worth nothing in a dump of the namespace and of etcd", async () => {
    // One in which no key ever lay in plain text.
    const fresh = await startControlPlane();
    try {
      await installSignet(fresh);
      const canary = { name: "canary", namespace: "kube-system" };
      const stringData = { key: "-----BEGIN CANARY KEY-----" };
      await fresh.apply({ apiVersion: "v1", kind: "Secret", metadata: canary, stringData });
      const flags = ["--key-size=2048", ...service.flags, BACKED_UP];
      const controller = await startSignet(fresh, { flags });
      const certificate = await certificateOf(controller);
      await controller.stop();
      const { body } = await fresh.request("GET", `${SECRETS}?limit=1000`);
      const dumped = (body.items ?? []).flatMap(({ data = {} }) => Object.values(data));
      const texts = dumped.map((value) => Buffer.from(value, "base64").toString("latin1"));
      expect(texts.some((text) => text.includes(certificate))).toBe(true);
      await fresh.stopEtcd("SIGTERM");
      const folder = join(fresh.directory, "etcd");
      for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (file.isFile()) texts.push(await readFile(join(file.parentPath, file.name), "latin1"));
      }
      expect(texts.filter((text) => text.includes("BEGIN CANARY KEY")).length).toBeGreaterThan(1);
      expect(texts.filter((text) => text.includes("PRIVATE KEY"))).toEqual([]);
    } finally {
      await fresh.stop();
    }
  });

  it("are listed, wrapped, wrapped again, backed up, restored and unwrapped by signet", async () => {
    const repository = await makeRepository({ KUBECONFIG: await plane.kubeconfig() });
    const expose = async (controller: RunningController): Promise<void> => {
      const place = { service: "sealed-secrets-controller", namespace: "kube-system" };
      await exposeController(plane, { ...place, port: controller.port });
    };
    try {
      const before = await start(null, []);
      await expose(before);
      const nowhere = await repository.attempt("signet keys wrap");
      expect(nowhere.stderr).toContain("this controller has no key service");
      const old = await certificateOf(before);
      await stop(before);

      const controller = await start(service);
      await expose(controller);
      await plane.waitFor("a wrapped key", async () => (await certificateOf(controller)) !== old);
      expect(await repository.sh("signet keys")).toContain(
        "1 key stored in plain text: run `signet keys wrap`",
      );
      expect((await repository.attempt("signet keys wrap")).stderr).toContain("1 key wrapped");
      expect(await plain()).toEqual([]);
      expect((await repository.attempt("signet keys rewrap")).stderr).toContain(
        "2 keys wrapped again",
      );
      const refused = await repository.attempt("signet keys unwrap --yes");
      expect(refused.stderr).toContain("the controller runs with --kms-mode wrap");
      const { keys } = JSON.parse(await repository.sh("signet keys --json")) as {
        keys: { secret: string; state: string; wrapped: { provider: string; since: string } }[];
      };
      expect(keys.map(({ wrapped: { provider } }) => provider)).toEqual(["kmsv2", "kmsv2"]);

      await repository.sh("cat > passphrase", "a passphrase of some length");
      const lock = "--passphrase-file passphrase";
      const backup = await repository.attempt(`signet keys backup --output k.age ${lock}`);
      expect(backup.stderr).toContain("2 keys wrapped by a key service");
      const former = keys.find(({ state }) => state === "former")?.secret ?? "";
      expect((await plane.request("DELETE", `${SECRETS}/${former}`)).status).toBe(200);
      await repository.sh(`signet keys restore k.age ${lock} --yes`);
      await declare(old);
      await untilData(plane, "demo", name, { value: VALUE });
      await stop(controller);

      const leaving = await start(service, ["--kms-mode=leave"]);
      await expose(leaving);
      expect((await repository.attempt("signet keys unwrap --yes")).stderr).toContain(
        "2 keys stored in plain text",
      );
      expect(await wrapped()).toEqual([]);
    } finally {
      await repository.remove();
    }
  });

  it("survive kill -9 at any moment of wrap, rewrap, renewal and unwrap", async () => {
    const first = await start(null, []);
    const certificates = [await certificateOf(first)];
    await declare(certificates[0] ?? "", "0", `${name}-0`);
    await untilVerdict(plane, "demo", `${name}-0`, "Unsealed");
    await stop(first);
    for (let round = 0; round < 12; round++) {
      const isLeaving = round % 4 === 3;
      const mode = isLeaving ? ["--kms-mode=leave"] : [BACKED_UP];
      const victim = await start(service, [...mode, "--key-renew-period=2s"], "alive");
      for (const secret of await plain()) await ask(secret, "wrap");
      for (const secret of await wrapped()) await ask(secret, isLeaving ? "unwrap" : "rewrap");
      await pause(Math.random() * 4_000);
      victim.kill("SIGKILL");
      await victim.exited;
      running.splice(running.indexOf(victim), 1);
      const held = await start(service);
      const served = await certificateOf(held);
      certificates.push(served);
      await declare(served, String(round + 1), `${name}-${round + 1}`);
      await untilData(plane, "demo", `${name}-${round + 1}`, { value: String(round + 1) });
      await stop(held);
    }
    // Everything that ever sealed still opens.
    const last = await start(service);
    for (const [round, certificate] of certificates.entries()) {
      await declare(certificate, `again ${round}`, `${name}-${round}`);
      await untilData(plane, "demo", `${name}-${round}`, { value: `again ${round}` });
    }
    expect(await metricOf(last, "sealing_keys", { state: "malformed" })).toBe(0);
  });
});
