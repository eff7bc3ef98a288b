// The routes over a real socket: what each answers, to whom, how often, and what it never tells.
// SPEC.md, "HTTP".
import { type IncomingMessage, request as httpRequest, type Server } from "node:http";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { reviewAccess } from "../../controller/access.ts";
import { apiRoutes, type ApiWiring, metricsRoutes, probeRoutes } from "../../controller/api.ts";
import { Gate } from "../../controller/gate.ts";
import { addressOf, closeServer, listen } from "../../controller/httpserver.ts";
import { CHANGE_REASONS } from "../../controller/keychanges.ts";
import { keyReport } from "../../controller/keyreport.ts";
import { createLog } from "../../controller/log.ts";
import { createMetrics, type Metrics } from "../../controller/metrics.ts";
import { JobLost } from "../../controller/sandbox.ts";
import { parseSubmission } from "../../controller/submission.ts";
import { formatKeySecret, readKeySecret } from "../../shared/keys/keyfile.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret, parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";
import { type CountingKeys, countingKeys, valuesUnder } from "../shared/countingkeys.ts";
import { startApiServer } from "./apiserver.ts";
import { until } from "./waiting.ts";

const VALUE = "hunter2-plain";
const MAX_BODY = 2 * 1024 * 1024;

interface Service {
  readonly url: string;
  readonly keyring: Keyring;
  readonly metrics: Metrics;
  readonly lines: string[];
  readonly time: { ms: number };
}

const servers: Server[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(servers.splice(0).map((server) => closeServer(server, 0)));
});

/** The routes, listening. The keyring's two keys: `first` seals, `second` is older. */
async function serve(
  wiring: Partial<ApiWiring> = {},
  { keyring = keyringOf([]), firstLedAt }: { keyring?: Keyring; firstLedAt?: Date } = {},
): Promise<Service> {
  const lines: string[] = [];
  const time = { ms: 0 };
  const log = createLog("INFO", "text", (line) => lines.push(line));
  if (keyring.keys.length === 0) {
    keyring.replace([testKey("first"), { ...testKey("second"), orderedAt: new Date(0) }]);
  }
  const metrics = createMetrics("0", {
    queueDepth: () => 0,
    contested: () => 0,
    deliveries: () => ({ delivered: 0, failed: 0, waiting: 0 }),
    leads: () => true,
    shards: () => 1,
    sealedSecrets: () => [],
    nameThem: true,
    keyring,
    firstLedAt: () => firstLedAt,
    malformedKeys: () => 0,
    waitingKeys: () => 0,
    wrappedKeys: () => new Map(),
    hasKeyService: false,
    renewalAt: () => null,
    unrecoverable: () => 0,
    now: () => new Date(0),
  });
  const routes = apiRoutes({
    keyring,
    metrics,
    log,
    ready: () => true,
    keyReport: () => keyReport(keyring, []),
    recoveryReport: () => null,
    parse: (_client, body) => Promise.resolve().then(() => parseSubmission(body)),
    rate: 1000,
    burst: 1000,
    clock: () => time.ms,
    ...wiring,
  });
  const limits = { readTimeoutMs: 5_000, writeTimeoutMs: 5_000, log };
  const server = (await listen("127.0.0.1:0", routes, limits)) as Server;
  servers.push(server);
  return { url: `http://${addressOf(server)}`, keyring, metrics, lines, time };
}

interface Declared {
  readonly name?: string;
  readonly data?: Record<string, string>;
  readonly scope?: Scope;
  readonly key?: "first" | "second" | "stranger";
}

async function sealed({
  name = "db",
  data = { password: VALUE },
  scope = "strict",
  key = "first",
}: Declared = {}): Promise<JsonObject> {
  const secret = parseSecret({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "demo" },
    stringData: data,
  });
  return formatSealedSecret(await seal(secret, testKey(key).certificate, scope));
}

const renamed = (object: JsonObject, metadata: JsonObject): JsonObject => ({
  ...object,
  metadata: { ...metadataOf(object), ...metadata },
});
const withValue = (object: JsonObject, password: string): JsonObject => ({
  ...object,
  spec: { ...(object["spec"] as JsonObject), encryptedData: { password } },
});
const valueOf = (object: JsonObject): string =>
  (object["spec"] as { encryptedData: { password: string } }).encryptedData.password;
const listOf = (...items: JsonObject[]): JsonObject & { items: JsonObject[] } => ({
  apiVersion: "v1",
  kind: "List",
  items,
});

function post(
  { url }: Service,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(url + path, { method: "POST", body: text, headers });
}

describe("what everybody may read", () => {
  it("is the certificate that seals now", async () => {
    const service = await serve();
    const read = async (): Promise<[number, string | null, string]> => {
      const answer = await fetch(`${service.url}/v1/cert.pem?of=now`);
      return [answer.status, answer.headers.get("content-type"), await answer.text()];
    };
    const { pem } = testKey("first").certificate;
    expect(await read()).toEqual([200, "application/x-pem-file", pem]);
    service.keyring.replace([testKey("second")]);
    expect((await read())[2]).toBe(testKey("second").certificate.pem);
    service.keyring.replace([{ ...testKey("first"), compromised: true }]);
    expect(await read()).toEqual([500, "text/plain; charset=utf-8", "cannot get certificate\n"]);
  });

  it("is the report of the keys, with nothing secret in it", async () => {
    const { url } = await serve();
    const answer = await fetch(`${url}/v1/keys`);
    expect(answer.headers.get("content-type")).toBe("application/json");
    const { keys } = (await answer.json()) as { keys: JsonObject[] };
    expect(keys.map(({ fingerprint, secret, state }) => [fingerprint, secret, state])).toEqual([
      [testKey("first").certificate.fingerprint, "first", "sealing"],
      [testKey("second").certificate.fingerprint, "second", "former"],
    ]);
    expect(new Set(keys.flatMap((key) => Object.keys(key)))).toEqual(
      new Set([
        ...["fingerprint", "secret", "state", "bits", "algorithms", "notBefore", "notAfter"],
        ...["values", "sealedSecrets"],
      ]),
    );
  });

  it("is health, and readiness as it is now", async () => {
    let ready = false;
    const { url } = await serve({ ready: () => ready });
    const read = async (path: string, method = "GET"): Promise<[number, string]> => {
      const answer = await fetch(url + path, { method });
      return [answer.status, await answer.text()];
    };
    expect(await read("/healthz")).toEqual([200, "ok\n"]);
    expect(await read("/healthz", "HEAD")).toEqual([200, ""]);
    expect(await read("/readyz")).toEqual([503, "not ready\n"]);
    ready = true;
    expect(await read("/readyz")).toEqual([200, "ok\n"]);
    expect(await read("/readyz", "HEAD")).toEqual([200, ""]);
  });
});

describe("what is cheap to read", () => {
  it("is limited for each client if it is the report of the keys, and else not", async () => {
    const { url, time } = await serve();
    const ask = async (path: string, client = "greedy"): Promise<number> => {
      const answer = await fetch(url + path, { headers: { "x-forwarded-for": client } });
      await answer.text();
      return answer.status;
    };
    for (let count = 0; count < 500; count++) expect(await ask("/v1/cert.pem")).toBe(200);
    for (let count = 0; count < 80; count++) expect(await ask("/v1/keys")).toBe(200);
    expect([await ask("/v1/keys"), await ask("/v1/keys", "other")]).toEqual([429, 200]);
    expect([await ask("/healthz"), await ask("/readyz")]).toEqual([200, 200]);
    time.ms += 50;
    expect(await ask("/v1/keys")).toBe(200);
  });

  it("is made once for many: the report of the keys takes a tenth of the time at most", async () => {
    let made = 0;
    const service = await serve({
      keyReport: () => {
        service.time.ms += 10;
        return ++made;
      },
    });
    const ask = async (): Promise<string> => (await fetch(`${service.url}/v1/keys`)).text();
    expect([await ask(), await ask()]).toEqual(["1", "1"]);
    service.time.ms += 89;
    expect(await ask()).toBe("1");
    service.time.ms += 1;
    expect(await ask()).toBe("2");
  });
});

describe("the server for probes", () => {
  it("answers health and readiness, nothing else, and keeps no connection", async () => {
    const log = createLog("ERROR", "text", () => undefined);
    const limits = { readTimeoutMs: 5_000, writeTimeoutMs: 5_000, log };
    let ready = false;
    const server = (await listen(
      "127.0.0.1:0",
      probeRoutes(() => ready),
      limits,
    )) as Server;
    servers.push(server);
    const ask = async (path: string): Promise<[number, string | null]> => {
      const answer = await fetch(`http://${addressOf(server)}${path}`);
      return [answer.status, answer.headers.get("connection")];
    };
    expect(await ask("/healthz")).toEqual([200, "close"]);
    expect(await ask("/readyz")).toEqual([503, "close"]);
    ready = true;
    expect(await ask("/readyz?verbose")).toEqual([200, "close"]);
    expect(await ask("/v1/cert.pem")).toEqual([404, "close"]);
  });
});

describe("what is not served", () => {
  it.each<[string, string, number, string | null, string]>([
    ["GET", "/", 404, null, "404 page not found\n"],
    ["GET", "/metrics", 404, null, "404 page not found\n"],
    ["POST", "/constructor", 404, null, "404 page not found\n"],
    ["POST", "/v1/cert.pem", 405, "GET, HEAD", "method not allowed\n"],
    ["DELETE", "/healthz", 405, "GET, HEAD", "method not allowed\n"],
    ["GET", "/v1/verify", 405, "POST", "method not allowed\n"],
    ["PUT", "/v1/rotate", 405, "POST", "method not allowed\n"],
  ])("%s %s", async (method, path, status, allow, text) => {
    const { url } = await serve();
    const answer = await fetch(url + path, { method });
    expect([answer.status, answer.headers.get("allow"), await answer.text()]).toEqual([
      status,
      allow,
      text,
    ]);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  it("is counted under one name, whatever strangers ask for", async () => {
    const { url, metrics } = await serve();
    for (const path of ["/a", "/b", "/__proto__", "/healthz?x"]) await fetch(url + path);
    await fetch(`${url}/v1/cert.pem`, { method: "DELETE" });
    const { values } = await metrics.httpRequests.get();
    expect(values.map(({ labels, value }) => ({ ...labels, value }))).toEqual([
      { path: "other", code: 404, method: "GET", value: 3 },
      { path: "/healthz", code: 200, method: "GET", value: 1 },
      { path: "/v1/cert.pem", code: 405, method: "DELETE", value: 1 },
    ]);
  });

  it("is an error of ours: it is logged, and answered without a word", async () => {
    const { url, lines } = await serve({
      keyReport: () => {
        throw new Error("a bug");
      },
    });
    const answer = await fetch(`${url}/v1/keys`);
    expect([answer.status, await answer.text()]).toEqual([500, ""]);
    expect(lines.map((line) => line.replace(/^\S+ /, ""))).toEqual([
      'level=ERROR msg="request failed" path=/v1/keys error="a bug"',
    ]);
  });
});

describe("verify", () => {
  it.each<[string, () => Promise<unknown>, number]>([
    ["what opens", () => sealed(), 200],
    ["what opens with an older key", () => sealed({ key: "second" }), 200],
    ["YAML", async () => `# as in Git\n---\n${JSON.stringify(await sealed())}\n---\n`, 200],
    ["a List of what opens", async () => listOf(await sealed(), await sealed({ name: "b" })), 200],
    [
      "a List of which one does not open",
      async () => listOf(await sealed(), await sealed({ key: "stranger" })),
      409,
    ],
    ["another kind", () => Promise.resolve({ apiVersion: "v1", kind: "Secret" }), 400],
    ["two objects", async () => `${JSON.stringify(await sealed())}\n---\n{"kind":"X"}`, 400],
    ["a List with another kind in it", async () => listOf(await sealed(), { kind: "X" }), 400],
    ["an empty List", () => Promise.resolve(listOf()), 400],
    ["nothing", () => Promise.resolve(""), 400],
    ["broken YAML", () => Promise.resolve("a: [b"), 400],
    ["a list in JSON", () => Promise.resolve("[]"), 400],
  ])("%s", async (_what, body, status) => {
    const service = await serve();
    const answer = await post(service, "/v1/verify", await body());
    expect([answer.status, await answer.text()]).toEqual([
      status,
      status === 400 ? "not a SealedSecret\n" : "",
    ]);
  });

  it("refuses bytes that are not text", async () => {
    const { url } = await serve();
    const answer = await fetch(`${url}/v1/verify`, {
      method: "POST",
      body: new Uint8Array([0x61, 0xff]),
    });
    expect([answer.status, await answer.text()]).toEqual([400, "not a SealedSecret\n"]);
  });
});

describe.each(["/v1/verify", "/v1/rotate"])("%s", (path) => {
  it("answers every failure to open alike", async () => {
    const service = await serve();
    const good = await sealed();
    const bytes = Buffer.from(valueOf(good), "base64");
    const flipped = (at: number): string => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
      return copy.toString("base64");
    };
    const failures: JsonObject[] = [
      await sealed({ key: "stranger" }),
      renamed(good, { name: "other" }),
      renamed(good, { namespace: "other" }),
      renamed(good, { annotations: { "sealedsecrets.bitnami.com/cluster-wide": "true" } }),
      withValue(good, flipped(100)),
      withValue(good, flipped(bytes.length - 1)),
      withValue(good, bytes.subarray(0, 40).toString("base64")),
      withValue(good, "AAAA"),
      withValue(good, "not base64!"),
      withValue(good, ""),
      // The form from before 2019.
      { ...good, spec: { data: flipped(100) } },
    ];
    const told = new Set<string>();
    for (const failure of failures) {
      const answer = await post(service, path, failure);
      const { date: _date, ...headers } = Object.fromEntries(answer.headers);
      delete headers["x-ratelimit-remaining"];
      told.add(JSON.stringify([answer.status, headers, await answer.text()]));
    }
    expect([...told].map((each) => (JSON.parse(each) as unknown[]).toSpliced(1, 1))).toEqual([
      [409, ""],
    ]);
    expect(service.lines).toEqual([]);
  });

  it("refuses a body that is too large, by what it says and by what it is", async () => {
    const { url } = await serve();
    const send = (headers: Record<string, string>, chunk: Buffer): Promise<[unknown, unknown]> =>
      new Promise((resolve, reject) => {
        const request = httpRequest(url + path, { method: "POST", headers }, (response) => {
          resolve([response.statusCode, response.headers.connection]);
          request.destroy();
        });
        request.on("error", reject);
        request.write(chunk);
      });
    expect(await send({ "content-length": String(MAX_BODY + 1) }, Buffer.from("{"))).toEqual([
      413,
      "close",
    ]);
    expect(await send({}, Buffer.alloc(MAX_BODY + 1, " "))).toEqual([413, "close"]);
  });

  it("takes the largest body that it takes at all", async () => {
    const service = await serve();
    const body = JSON.stringify(await sealed()).padEnd(MAX_BODY, " ");
    expect((await post(service, path, body)).status).toBe(200);
  });
});

describe("rotate", () => {
  const keysOf = async (service: Service, object: unknown): Promise<string[]> => {
    const { stamp } = await openValues(parseSealedSecret(object as JsonObject), service.keyring);
    return [...stamp.values()];
  };
  const FIRST = testKey("first").certificate.fingerprint;

  it("seals anew what is under an older key, and keeps all else of the object", async () => {
    const service = await serve();
    const old = { ...(await sealed({ key: "second" })), more: { kept: [1, null] } };
    const answer = await post(service, "/v1/rotate", old);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json");
    const fresh = (await answer.json()) as JsonObject;
    expect(await keysOf(service, fresh)).toEqual([FIRST]);
    expect(valueOf(fresh)).not.toBe(valueOf(old));
    const { values } = await openValues(parseSealedSecret(fresh), service.keyring);
    expect(Buffer.from(values.get("password") ?? []).toString()).toBe(VALUE);
    expect({ ...fresh, spec: null, metadata: null }).toEqual({
      ...old,
      spec: null,
      metadata: null,
    });
    const stamped = { "kube-signet/sealed-under": FIRST };
    expect(metadataOf(fresh)).toMatchObject({ ...metadataOf(old), annotations: stamped });
  });

  it("gives back what is under the newest key as it came", async () => {
    const service = await serve();
    const object = { ...(await sealed()), more: 1 };
    expect(await (await post(service, "/v1/rotate", object)).json()).toEqual(object);
  });

  it("gives back a List, with its items in their order", async () => {
    const service = await serve();
    const items = [await sealed(), await sealed({ name: "b", key: "second" })];
    const list = { ...listOf(...items), metadata: { note: "kept" } };
    const answer = (await (await post(service, "/v1/rotate", list)).json()) as typeof list;
    expect({ ...answer, items: [] }).toEqual({ ...list, items: [] });
    expect(answer.items.map((item) => metadataOf(item)["name"])).toEqual(["db", "b"]);
    expect(answer.items[0]).toEqual(items[0]);
    expect(await keysOf(service, answer.items[1])).toEqual([FIRST]);
  });

  it("leaves each value of the kind that it is, unless a header names another", async () => {
    const pair = await createSealingKey({
      bits: 2048,
      notBefore: new Date("2026-01-01T00:00:00Z"),
      validForMs: 1e12,
      kinds: ["hybrid"],
    });
    const both = readKeySecret(parseSecret(formatKeySecret(pair, { name: "both" })));
    const service = await serve(
      {},
      { keyring: new Keyring([{ ...both, confirmed: true }, testKey("first")]) },
    );
    const startOf = async (object: unknown, algorithm?: string): Promise<string> => {
      const headers = algorithm === undefined ? {} : { "kube-signet-algorithm": algorithm };
      const answer = await post(service, "/v1/rotate", object, headers);
      const text = await answer.text();
      if (answer.status !== 200) return `${answer.status} ${text}`;
      const fresh = JSON.parse(text) as JsonObject;
      expect(await keysOf(service, fresh)).toEqual([both.fingerprint]);
      return valueOf(fresh).slice(0, 4);
    };
    const old = await sealed();
    expect(await startOf(old)).toMatch(/^AQ/);
    expect(await startOf(old, "rsa")).toMatch(/^AQ/);
    expect(await startOf(old, "hybrid")).toBe("PQ1A");
    const headers = { "kube-signet-algorithm": "hybrid" };
    const hybrid: unknown = await (await post(service, "/v1/rotate", old, headers)).json();
    expect(await startOf(hybrid)).toBe("PQ1A");
    expect(await startOf(hybrid, "rsa")).toMatch(/^AQ/);
    expect(await startOf(old, "rot13")).toBe("400 unknown algorithm\n");
    service.keyring.replace([testKey("first")]);
    expect(await startOf(old, "hybrid")).toBe("400 the sealing key has no hybrid key\n");
  });

  it("has the one answer also where no key may seal", async () => {
    const service = await serve();
    service.keyring.replace([{ ...testKey("first"), compromised: true }]);
    const answer = await post(service, "/v1/rotate", await sealed());
    expect([answer.status, await answer.text()]).toEqual([409, ""]);
  });

  it("gives back nothing of a List of which one does not open", async () => {
    const service = await serve();
    const list = listOf(await sealed({ key: "second" }), await sealed({ key: "stranger" }));
    const answer = await post(service, "/v1/rotate", list);
    expect([answer.status, await answer.text()]).toEqual([409, ""]);
  });
});

describe("the rate", () => {
  const limits = (answer: Response): (string | null)[] =>
    ["limit", "remaining", "reset"].map((name) => answer.headers.get(`x-ratelimit-${name}`));

  it("is told with every answer, and ends with 429 until time has passed", async () => {
    const service = await serve({ rate: 0.5, burst: 2 });
    const body = await sealed();
    const first = await post(service, "/v1/verify", body);
    expect([first.status, limits(first)]).toEqual([200, ["2", "1", "2"]]);
    const refused = await post(service, "/v1/verify", "no object");
    expect([refused.status, limits(refused)]).toEqual([400, ["2", "0", "4"]]);
    const third = await post(service, "/v1/rotate", body);
    expect([third.status, limits(third), third.headers.get("retry-after")]).toEqual([
      429,
      ["2", "0", "4"],
      "2",
    ]);
    expect(await third.text()).toBe("limit exceeded\n");
    // What costs nothing is not limited.
    expect((await fetch(`${service.url}/v1/cert.pem`)).status).toBe(200);
    service.time.ms += 2_000;
    expect((await post(service, "/v1/verify", body)).status).toBe(200);
  });

  it("is each client's own behind a proxy, and the address's in all", async () => {
    const service = await serve({ rate: 0.001, burst: 1 });
    const ask = async (client: string): Promise<number> =>
      (await post(service, "/v1/verify", "x", { "x-forwarded-for": client })).status;
    expect([await ask("a"), await ask("a"), await ask("b")]).toEqual([400, 429, 400]);
    // The last proxy's word counts; what the client itself put before it does not.
    expect([await ask("x, a"), await ask("y, c")]).toEqual([429, 400]);
    // Five times the burst in all, whatever names are made up.
    expect([await ask("d"), await ask("e"), await ask("f")]).toEqual([400, 400, 429]);
  });

  it("counts a request with many values, or a large one, for more", async () => {
    const service = await serve({ rate: 0.001, burst: 100 });
    const remaining = async (body: string): Promise<number> => {
      const before = Number(limits(await post(service, "/v1/verify", ""))[1]);
      await post(service, "/v1/verify", body);
      return before - Number(limits(await post(service, "/v1/verify", ""))[1]);
    };
    const object = withValue(await sealed(), "AAAA");
    const spec = object["spec"] as JsonObject;
    const many = Object.fromEntries(Array.from({ length: 45 }, (_, n) => [`v${n}`, "AAAA"]));
    expect(await remaining("")).toBe(2);
    expect(
      await remaining(JSON.stringify({ ...object, spec: { ...spec, encryptedData: many } })),
    ).toBe(4);
    expect(await remaining("#".padEnd(3 * 64 * 1024, "x"))).toBe(5);
  });

  it("counts what the aliases of a small body write out to", async () => {
    const service = await serve({ rate: 0.001, burst: 100 });
    const kind = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n";
    const wide = `a: &a ${"x".repeat(1000)}\nb: [${"*a,".repeat(1000)}]\n`;
    const body = `${kind}${wide}metadata: {name: a, namespace: b}\nspec: {}\n`;
    const before = Number(limits(await post(service, "/v1/rotate", ""))[1]);
    expect((await post(service, "/v1/rotate", body)).status).toBe(200);
    // 1 MB of JSON.
    const after = Number(limits(await post(service, "/v1/rotate", ""))[1]);
    expect(before - after).toBe(2 + Math.floor(1_004_100 / (64 * 1024)));
  });

  it("counts the size of a body for its address, whatever clients it claims", async () => {
    const service = await serve({ rate: 0.001, burst: 10 });
    const large = "#".padEnd(MAX_BODY - 1, "x");
    const statuses: number[] = [];
    for (let client = 0; client < 10; client++) {
      const answer = await post(service, "/v1/verify", large, { "x-forwarded-for": `c${client}` });
      statuses.push(answer.status);
    }
    expect(statuses).toEqual([400, 400, 400, ...Array<number>(7).fill(429)]);
  });

  it("is not used up for an address by what one of its clients is refused", async () => {
    const service = await serve({ rate: 0.001, burst: 2 });
    const ask = async (client: string): Promise<number> =>
      (await post(service, "/v1/verify", "x", { "x-forwarded-for": client })).status;
    for (let count = 0; count < 50; count++) await ask("greedy");
    expect(await ask("modest")).toBe(400);
  });

  it("is used up by a body that takes too much time or memory", async () => {
    const service = await serve({
      rate: 1,
      burst: 2,
      parse: () => Promise.reject(new JobLost("memory")),
    });
    const ask = (client: string): Promise<Response> =>
      post(service, "/v1/verify", "x", { "x-forwarded-for": client });
    expect((await ask("bomb")).status).toBe(400);
    expect((await ask("bomb")).headers.get("retry-after")).toBe("3");
    // Only the sender waits, though all of them share the address of a proxy.
    expect((await ask("other")).status).toBe(400);
  });

  it("is used up also for the bodies that the sender of such a body has waiting", async () => {
    const bombs: ((error: Error) => void)[] = [];
    const parsed: string[] = [];
    const service = await serve({
      parse: (_client, body) => {
        const text = Buffer.from(body).toString();
        parsed.push(text);
        if (text !== "bomb") return Promise.resolve().then(() => parseSubmission(body));
        return new Promise((_, reject) => bombs.push(reject));
      },
    });
    const ask = async (client: string): Promise<number> =>
      (await post(service, "/v1/verify", client, { "x-forwarded-for": client })).status;
    const first = ask("bomb");
    await until(() => bombs.length === 1);
    const others = [ask("bomb"), ask("bomb"), ask("honest"), ask("bomb")];
    const waiting = vi.spyOn(Gate.prototype, "run");
    await until(() => waiting.mock.calls.length === 4);
    bombs[0]?.(new JobLost("deadline"));
    expect(await first).toBe(503);
    const answers = await Promise.race([Promise.all(others), until(() => bombs.length > 1)]);
    expect(answers).toEqual([429, 429, 400, 429]);
    expect(parsed).toEqual(["bomb", "honest"]);
  });

  it("leaves a thread of the sandbox to the reconciler: one body is parsed at a time", async () => {
    let parsing = 0;
    let most = 0;
    const service = await serve({
      parse: async (_client, body) => {
        most = Math.max(most, ++parsing);
        await new Promise((resolve) => setImmediate(resolve));
        parsing--;
        return parseSubmission(body);
      },
    });
    const body = await sealed();
    await Promise.all(Array.from({ length: 10 }, () => post(service, "/v1/verify", body)));
    expect(most).toBe(1);
  });

  it("leaves threads to the reconciler: two pieces of work at once, and a short line", async () => {
    const service = await serve();
    const body = valuesUnder(1, () => 9);
    const counting = countingKeys(1);
    service.keyring.replace(counting.keys);
    const waiting: (() => void)[] = [];
    counting.onTrial = () => new Promise((resolve) => waiting.push(resolve));
    const answers: number[] = [];
    const asked = Array.from({ length: 68 }, async () => {
      answers.push((await post(service, "/v1/verify", body)).status);
    });
    await until(() => answers.length === 2);
    expect([answers, counting.count()]).toEqual([[429, 429], 2]);
    for (let ended = 0; ended < 66; ended++) {
      await until(() => waiting.length > 0);
      waiting.shift()?.();
    }
    await Promise.all(asked);
    expect(answers.slice(2)).toEqual(Array.from({ length: 66 }, () => 409));
  });
});

describe.each(["/v1/verify", "/v1/rotate"])("tries of keys by %s", (path) => {
  const MANY = 2400;

  async function start(wiring: Partial<ApiWiring> = {}): Promise<Service & CountingKeys> {
    const counting = countingKeys(24);
    const service = await serve(wiring);
    service.keyring.replace(counting.keys);
    return Object.assign(counting, service);
  }

  it("are about as many as values, if they are under few old keys", async () => {
    const service = await start();
    const answer = await post(
      service,
      path,
      valuesUnder(MANY, (index) => 22 + (index % 2)),
    );
    expect(answer.status).toBe(200);
    expect(service.count()).toBeLessThanOrEqual(2 * MANY + 2 * 24);
  });

  it("are bounded for a request, which is told that it is too large", async () => {
    const service = await start();
    const object = valuesUnder(MANY, (index) => index % 24);
    const answer = await post(service, path, object);
    expect([answer.status, await answer.text()]).toEqual([
      413,
      "too many values sealed with different keys: send fewer at a time\n",
    ]);
    expect(service.count()).toBe(10_000);
    expect(
      (
        await post(
          service,
          path,
          valuesUnder(10, (index) => index % 24),
        )
      ).status,
    ).toBe(200);
  });

  it("are charged to their sender as they happen, and not to others of its address", async () => {
    const service = await start({ rate: 0.001, burst: 40 });
    const ask = async (client: string, body: JsonObject): Promise<number> =>
      (await post(service, path, body, { "x-forwarded-for": client })).status;
    let duringIt = 0;
    service.onTrial = async () => {
      if (service.count() === 1100)
        duringIt = await ask(
          "greedy",
          valuesUnder(1, () => 0),
        );
    };
    // One value counts for little; its tries of 24 keys each are what it costs.
    expect(
      await ask(
        "greedy",
        valuesUnder(60, (index) => index % 24),
      ),
    ).toBe(200);
    expect(duringIt).toBe(429);
    expect(
      await ask(
        "modest",
        valuesUnder(1, () => 0),
      ),
    ).toBe(200);
  });

  it("end when the client goes away", async () => {
    const service = await start();
    const client = new AbortController();
    let release = (): void => undefined;
    service.onTrial = () => {
      if (service.count() !== 50) return Promise.resolve();
      return new Promise((resolve) => {
        release = resolve;
        client.abort();
      });
    };
    const closed = new Promise<void>((resolve) => {
      servers.at(-1)?.on("request", ({ socket }: IncomingMessage) => {
        socket.once("close", () => {
          resolve();
        });
      });
    });
    const counted = vi.spyOn(service.metrics.httpRequests, "inc");
    const body = JSON.stringify(valuesUnder(MANY, (index) => index % 24));
    const sent = fetch(service.url + path, { method: "POST", body, signal: client.signal });
    await expect(sent).rejects.toThrow();
    await closed;
    release();
    await until(() => counted.mock.calls.length > 0);
    expect(counted.mock.calls[0]?.[0]).toMatchObject({ path, code: 408 });
    expect(service.count()).toBe(50);
  });

  it("of others come in between, one value at a time of each request", async () => {
    const service = await start();
    const waiting: (() => void)[] = [];
    const large = valuesUnder(MANY, (index) => index % 24);
    let most = 0;
    service.onTrial = async () => {
      await new Promise<void>((resolve) => (most = Math.max(most, waiting.push(resolve))));
    };
    let honest = 0;
    const floods = [0, 1, 2, 3].map((n) =>
      post(service, path, large, { "x-forwarded-for": `greedy-${n}` }),
    );
    await until(() => waiting.length === 2);
    const asked = post(
      service,
      path,
      valuesUnder(3, () => 0),
      { "x-forwarded-for": "honest" },
    );
    void asked.then(({ status }) => (honest = status));
    for (let turns = 0; turns < 600 && honest === 0; turns++) {
      await until(() => waiting.length > 0);
      waiting.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([honest, most]).toEqual([200, 2]);
    service.onTrial = () => Promise.resolve();
    for (const go of waiting.splice(0)) go();
    await Promise.all(floods);
  });
});

describe("bodies that wait", () => {
  it("give way to those of other clients, small and large, before and after they are parsed", async () => {
    let parse = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      parse = resolve;
    });
    const service = await serve({
      parse: async (_client, body) => {
        await held;
        return parseSubmission(body);
      },
    });
    const object = await sealed();
    const ask = async (client: string, bytes: number): Promise<number> => {
      const body = JSON.stringify(object).padEnd(bytes, " ");
      return (await post(service, "/v1/verify", body, { "x-forwarded-for": client })).status;
    };
    const refused: number[] = [];
    const flood = Array.from({ length: 12 }, async () => {
      const status = await ask("greedy", MAX_BODY);
      refused.push(status);
      return status;
    });
    // As many as there is memory for have arrived once one is refused.
    await until(() => refused.length > 0);
    expect(new Set(refused)).toEqual(new Set([429]));
    const honest = [ask("modest", 100), ask("other", MAX_BODY / 2)];
    setImmediate(parse);
    expect(await Promise.all(honest)).toEqual([200, 200]);
    expect(await Promise.all(flood)).toContain(200);
  });
});

describe("where a token is wanted", () => {
  const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";
  const ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
  let api: Awaited<ReturnType<typeof startApiServer>>;
  beforeEach(async () => {
    api = await startApiServer();
  });
  afterEach(() => api.close());

  /** The service with an API server that knows one token, and allows it or not. */
  async function guarded(allowed: boolean): Promise<Service> {
    api.always("POST", REVIEWS, (response, { body }) => {
      const { token } = body["spec"] as { token: string };
      const user = { username: "jane", uid: "u1", groups: ["g"], extra: { a: ["b"] } };
      const status = token === "good" ? { authenticated: true, user } : {};
      response.end(JSON.stringify({ status }));
    });
    api.always("POST", ACCESS, (response) => response.end(JSON.stringify({ status: { allowed } })));
    const client = api.client();
    return serve({ review: (authorization, path) => reviewAccess(client, authorization, path) });
  }

  it.each<[string, string | undefined, boolean, number, string]>([
    ["none", undefined, true, 401, "unauthorized\n"],
    ["another scheme", "Basic good", true, 401, "unauthorized\n"],
    ["one that nobody knows", "Bearer bad", true, 401, "unauthorized\n"],
    ["one without the right", "Bearer good", false, 403, "forbidden\n"],
    ["one with the right", "bearer  good", true, 200, ""],
  ])("%s", async (_what, authorization, allowed, status, text) => {
    const service = await guarded(allowed);
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const answer = await post(service, "/v1/verify", await sealed(), headers);
    expect([answer.status, await answer.text()]).toEqual([status, text]);
    expect(answer.headers.get("www-authenticate")).toBe(status === 401 ? "Bearer" : null);
    // The others are for everybody.
    expect((await fetch(`${service.url}/v1/cert.pem`)).status).toBe(200);
  });

  it("asks about the user of the token and the very path", async () => {
    const service = await guarded(true);
    await post(service, "/v1/rotate", await sealed(), { authorization: "Bearer good" });
    expect(api.seen.map(({ path }) => path)).toEqual([REVIEWS, ACCESS]);
    expect(api.seen[1]?.body["spec"]).toEqual({
      user: "jane",
      uid: "u1",
      groups: ["g"],
      extra: { a: ["b"] },
      nonResourceAttributes: { path: "/v1/rotate", verb: "post" },
    });
  });

  it("says no for now where the API server cannot tell, and what is too often comes first", async () => {
    const client = api.client();
    const service = await serve({
      review: (authorization, path) => reviewAccess(client, authorization, path),
      rate: 0.001,
      burst: 1,
    });
    await api.close();
    const headers = { authorization: "Bearer good" };
    const answer = await post(service, "/v1/verify", await sealed(), headers);
    expect([answer.status, await answer.text()]).toEqual([
      503,
      "cannot check the token at this time\n",
    ]);
    expect((await post(service, "/v1/verify", "x")).status).toBe(429);
    api = await startApiServer();
  });
});

it("serves metrics, and nothing else, on their own address", async () => {
  const { metrics } = await serve();
  const log = createLog("ERROR", "text", () => undefined);
  const limits = { readTimeoutMs: 5_000, writeTimeoutMs: 5_000, log };
  const server = (await listen(
    "127.0.0.1:0",
    metricsRoutes(metrics, () => 0),
    limits,
  )) as Server;
  servers.push(server);
  const url = `http://${addressOf(server)}`;
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=/);
  expect(await answer.text()).toContain(
    'sealed_secrets_controller_sealing_keys{state="sealing"} 1\n',
  );
  expect((await fetch(`${url}/v1/cert.pem`)).status).toBe(404);
});

const scrapeText = async ({ scrape }: Metrics): Promise<string> =>
  Buffer.concat(await scrape()).toString();

it.each<[string, Date | undefined]>([
  ["the controller first led", new Date(2_000)],
  ["the oldest confirmed key, where there is no Lease", undefined],
])(
  "counts unconfirmed keys as appeared whose Secret is newer than %s",
  async (_what, firstLedAt) => {
    const planted = { confirmed: false, compromised: false };
    const keyring = new Keyring([
      { ...testKey("first"), createdAt: new Date(firstLedAt === undefined ? 2_000 : 5_000) },
      { ...testKey("second"), ...planted, createdAt: new Date(2_000) },
      { ...testKey("wide"), ...planted, createdAt: new Date(3_000) },
    ]);
    const given = { keyring, ...(firstLedAt === undefined ? {} : { firstLedAt }) };
    const { metrics } = await serve({}, given);
    expect(await scrapeText(metrics)).toContain(
      "\nsealed_secrets_controller_sealing_keys_appeared 1\n",
    );
  },
);

it("has a series for each reason of another sealing key before there is one, so that an alert sees the first", async () => {
  const text = await scrapeText((await serve()).metrics);
  const series = text.split("\n").filter((line) => /^\w+sealing_key_changes_total\{/.test(line));
  expect(series).toHaveLength(CHANGE_REASONS.length);
  expect(series.every((line) => line.endsWith("} 0"))).toBe(true);
});

describe("the page", () => {
  const POLICY = "default-src 'none'; script-src 'sha256-x'";

  it("is not served unless that is asked for", async () => {
    const { url } = await serve();
    expect((await fetch(url)).status).toBe(404);
  });

  it("is served with its policy, never kept, and never shown in another page", async () => {
    const { url } = await serve({ page: { html: () => "<!doctype html>page", policy: POLICY } });
    const answer = await fetch(url);
    expect([answer.status, await answer.text()]).toEqual([200, "<!doctype html>page"]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "cache-control": "no-store",
      "content-security-policy": `${POLICY}; frame-ancestors 'none'`,
      "content-type": "text/html; charset=utf-8",
      "cross-origin-opener-policy": "same-origin",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    });
    expect((await fetch(url, { method: "POST" })).status).toBe(405);
  });

  it("waits for a sealing key, and takes nobody's turn", async () => {
    const { url } = await serve({ page: { html: () => null, policy: POLICY } });
    expect((await fetch(url)).status).toBe(503);
    const statuses = await Promise.all(
      Array.from({ length: 100 }, async () => (await fetch(url)).status),
    );
    expect(statuses).toContain(429);
  });
});
