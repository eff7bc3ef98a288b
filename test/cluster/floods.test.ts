// Strangers flood the controller's HTTP server: probes are answered, and honest clients are served.
// SPEC.md, "HTTP".
import { request } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import { certificateOf, sealed, untilData, untilVerdict } from "./objects.ts";
import { freePort, listenHost } from "./program.ts";
import { addTenant, type RunningController, startCluster } from "./signet.ts";

/** Not the address of the honest clients. */
const ATTACKER = "127.0.0.9";
/** As the chart's probes have it. */
const PROBE_TIMEOUT_MS = 5_000;
const MIB = 1024 * 1024;

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let probes: string;
/** A tenant's, who may create SealedSecrets in its own namespace, and nothing else. */
let token: string;
let count = 0;
const sockets: Socket[] = [];

beforeAll(async () => {
  const host = listenHost();
  const health = `${host}:${await freePort(host)}`;
  probes = `http://${health}`;
  const flags = ["--key-size=2048", `--listen-health-addr=${health}`, "--read-timeout=2m"];
  ({ plane, controller } = await startCluster({ flags, namespaces: ["demo", "tenant"] }));
  certificate = await certificateOf(controller);
  const rules = [{ apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["create"] }];
  token = await addTenant(plane, { namespace: "tenant", name: "tenant", rules });
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

/** Opens a connection as the attacker, and sends `text`. Resolves once that has gone. */
async function attack(text: string): Promise<void> {
  const { host, port } = controller;
  const socket = connect({ host, port, localAddress: ATTACKER });
  sockets.push(socket);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  // Being cut off is what an attacker must expect.
  socket.on("error", () => undefined);
  if (text !== "") {
    await new Promise((resolve) => {
      socket.once("close", resolve);
      socket.write(text, resolve);
    });
  }
  socket.resume();
}

function post(body: string, length = body.length, client = "a"): string {
  const headers = `host: a\r\nx-forwarded-for: ${client}\r\ncontent-length: ${length}`;
  return `POST /v1/verify HTTP/1.1\r\n${headers}\r\n\r\n${body}`;
}

async function probe(): Promise<void> {
  for (const path of ["/healthz", "/readyz"]) {
    const answer = await fetch(probes + path, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    expect([path, answer.status]).toEqual([path, 200]);
  }
}

/** Over a connection of its own: one that is kept would not have to be let in. */
function verify(body: string): Promise<number | undefined> {
  const { host, port } = controller;
  const options = { host, port, path: "/v1/verify", method: "POST", agent: false };
  const signal = AbortSignal.timeout(2 * PROBE_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const asked = request({ ...options, signal }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on("error", reject).end(body);
  });
}

/** Everything that honest users want, while the attack goes on. */
async function serveAll(): Promise<void> {
  await probe();
  const name = `honest-${++count}`;
  const object = await sealed(certificate, {
    namespace: "demo",
    name,
    stringData: { password: "plain-1" },
  });
  await plane.apply(object);
  expect(await verify(JSON.stringify(object))).toBe(200);
  await probe();
  await untilData(plane, "demo", name, { password: "plain-1" });
  await probe();
}

it("serves through bodies that are slow to parse", async () => {
  // A tab that begins a line is refused at once; behind a colon the reader has to look at all of them.
  const tabs = post(`a:${"\t".repeat(40_000)}`);
  await Promise.all(Array.from({ length: 5 }, () => attack(tabs)));
  await serveAll();
});

it("serves through large bodies of one address that claims to be many clients", async () => {
  const body = "- a: b\n".repeat(Math.floor((2 * MIB) / 7));
  const flood = Array.from({ length: 10 }, (_, n) =>
    attack(post(body, body.length, `10.0.0.${n}`)),
  );
  await serveAll();
  await Promise.all(flood);
  await serveAll();
});

it("serves through bodies that never end", async () => {
  const part = "x".repeat(MIB);
  const bodies = Array.from({ length: 200 }, (_, n) => attack(post(part, 2 * MIB, `10.0.1.${n}`)));
  await serveAll();
  await Promise.all(bodies);
  await serveAll();
});

it("serves through more idle connections than it keeps", async () => {
  await Promise.all(Array.from({ length: 600 }, () => attack("")));
  await serveAll();
});

const SLOW_TO_PARSE = "- a: b\n".repeat(Math.floor((2 * MIB) / 7));
const HONEST = "127.0.0.1";

/**
 * What the controller answers a tenant through the API server's proxy, which names the address that
 * the tenant calls from as its client.
 */
function ask(from: string, route: string, body?: string): Promise<number | undefined> {
  const { hostname, port } = new URL(plane.url);
  const service = "http:sealed-secrets-controller:http";
  const options = {
    ...{ hostname, port, agent: false, rejectUnauthorized: false, localAddress: from },
    path: `/api/v1/namespaces/kube-system/services/${service}/proxy${route}`,
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  };
  return new Promise((resolve, reject) => {
    const asked = httpsRequest(options, (response) => {
      response.resume();
      response.once("end", () => {
        resolve(response.statusCode);
      });
    });
    asked.on("error", reject).end(body);
  });
}

/** Everybody reaches the controller from the API server's address: only the client differs. */
async function serveProxied(): Promise<void> {
  const small = await sealed(certificate, {
    namespace: "demo",
    name: `proxied-${++count}`,
    stringData: { password: "plain-1" },
  });
  const text = JSON.stringify(small);
  const routes = ["/v1/verify", "/v1/rotate"];
  const answers = [
    ...(await Promise.all(routes.map((route) => ask(HONEST, route, text)))),
    await ask(HONEST, "/v1/verify", text.padEnd(MIB / 8, " ")),
    await ask(HONEST, "/v1/cert.pem"),
    await ask(HONEST, "/v1/keys"),
  ];
  expect(answers).toEqual([200, 200, 200, 200, 200]);
}

it("serves those behind the API server's proxy while one of them sends large bodies", async () => {
  const answers: (number | undefined)[] = [];
  const flood = Array.from({ length: 14 }, async () => {
    answers.push(await ask(ATTACKER, "/v1/verify", SLOW_TO_PARSE));
  });
  await plane.waitFor("the flood", () => answers.length > 0);
  await serveProxied();
  await Promise.all(flood);
  await serveProxied();
  expect(new Set(answers)).not.toContain(200);
});

it("serves those behind the API server's proxy after one has sent bodies that use up the parser", async () => {
  const answers = [];
  for (let bombs = 0; bombs < 4; bombs++) {
    answers.push(await ask(ATTACKER, "/v1/verify", SLOW_TO_PARSE));
    await serveProxied();
  }
  expect(answers).not.toContain(200);
});

it("serves the certificate to everybody, and the keys to each client for itself", async () => {
  const waves = Array.from({ length: 40 }, async () => {
    const statuses: (number | undefined)[] = [];
    for (let asked = 0; asked < 15; asked++) {
      statuses.push(await ask(ATTACKER, "/v1/cert.pem"), await ask(ATTACKER, "/v1/keys"));
    }
    return statuses;
  });
  const statuses = (await Promise.all(waves)).flat();
  await serveProxied();
  expect(statuses.filter((_, index) => index % 2 === 0)).toEqual(Array(600).fill(200));
  expect(statuses).toContain(429);
});

/** A SealedSecret of the tenant with as many values, under the keys in turn, which it does not tell. */
async function inTurn(many: number, certificates: readonly string[]): Promise<KubeObject> {
  const metadata = { namespace: "tenant", name: "in-turn" };
  const parts = await Promise.all(
    certificates.map(async (each, part) => {
      const names = Array.from({ length: many / certificates.length }, (_, n) => `v${n}-${part}`);
      const stringData = Object.fromEntries(names.map((name) => [name, "plain-1"]));
      const object = await sealed(each, { ...metadata, stringData });
      const { encryptedData } = object["spec"] as { encryptedData: Record<string, string> };
      return Object.entries(encryptedData).sort(
        ([a], [b]) => parseInt(a.slice(1)) - parseInt(b.slice(1)),
      );
    }),
  );
  const encryptedData = Object.fromEntries(
    (parts[0] ?? []).flatMap((_, index) => parts.map((part) => part[index] ?? ["", ""])),
  );
  const kind = { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret" };
  return { ...kind, metadata, spec: { encryptedData } };
}

/** A key that opens values, as after a restore. Returns its certificate. */
async function addKey(_: unknown, index: number): Promise<string> {
  const notBefore = new Date(Date.UTC(2020, index));
  const pair = await createSealingKey({ bits: 2048, notBefore, validForMs: 1e12 });
  const labels = { "sealedsecrets.bitnami.com/sealed-secrets-key": "active" };
  await plane.apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `old-${index}`, namespace: "kube-system", labels },
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": pair.certificatePem, "tls.key": pair.privateKeyPem },
  });
  return pair.certificatePem;
}

it("serves others while a tenant has thousands of values opened, under all keys in turn", async () => {
  const certificates = [certificate, ...(await Promise.all(Array.from({ length: 7 }, addKey)))];
  await plane.waitFor("the keys to be held", async () => {
    const answer = await fetch(`${controller.url}/v1/keys`);
    const { keys } = (await answer.json()) as { keys: unknown[] };
    return keys.length === certificates.length;
  });
  const object = await inTurn(2800, certificates);
  const body = JSON.stringify(object);
  const answers: (number | undefined)[] = [];
  const flood = [1, 2].map(async () => {
    answers.push(await ask(ATTACKER, "/v1/rotate", body));
  });
  const path = "/apis/bitnami.com/v1alpha1/namespaces/tenant/sealedsecrets";
  const { status } = await plane.request("POST", path, object, { token });
  expect(status).toBe(201);
  await serveProxied();
  await serveAll();
  expect(answers).not.toContain(413);
  await Promise.all(flood);
  expect(answers).toContain(413);
  const { synced } = await untilVerdict(plane, "tenant", "in-turn", "Invalid");
  expect(synced?.message).toBe(
    "opening its values takes more than 10000 attempts with sealing keys",
  );
  await serveAll();
});
