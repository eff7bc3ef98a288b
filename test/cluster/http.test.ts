// The controller's HTTP API as clients and attackers meet it, and the Go kubeseal through it.
// SPEC.md, "HTTP".
import { readFileSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { decodeEnvelope } from "../../shared/keys/kinds.ts";
import { readKeySecret } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import { certificateOf, metricOf, sealed, statusOf, untilData, untilVerdict } from "./objects.ts";
import { kubeseal } from "./original.ts";
import { runToEnd } from "./program.ts";
import {
  addAccount,
  chartObjects,
  type RunningController,
  startCluster,
  startSignet,
} from "./signet.ts";
import { slowness } from "./slowness.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";
const CLUSTER_WIDE = { "sealedsecrets.bitnami.com/cluster-wide": "true" };
const FLAGS = ["--key-size=2048", "--rate-limit=1000", "--rate-limit-burst=1000"];

let plane: ControlPlane;
let controller: RunningController;
let kubeconfig: string;
let certificate: string;
/** The certificate before the key was renewed. */
let former: string;

beforeAll(async () => {
  ({ plane, controller, kubeconfig } = await startCluster({ flags: FLAGS, namespaces: ["demo"] }));
  former = await certificateOf(controller);
  controller.kill("SIGUSR1");
  certificate = await plane.waitFor("the next key", async () => {
    const served = await certificateOf(controller);
    return served === former ? undefined : served;
  });
});

afterAll(async () => {
  await controller.stop();
  expect(controller.logs()).not.toContain("plain-");
  await plane.stop();
});

function post(
  path: string,
  body: unknown,
  {
    to = controller,
    headers = {},
  }: { to?: RunningController; headers?: Record<string, string> } = {},
): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(`${to.url}${path}`, { method: "POST", body: text, headers });
}

const make = (
  name: string,
  more: Partial<Parameters<typeof sealed>[1]> = {},
  under = certificate,
): Promise<KubeObject> =>
  sealed(under, { namespace: "demo", name, stringData: { password: "plain-1" }, ...more });

/** All keys of the cluster: what no client has. */
async function keyring(): Promise<Keyring> {
  const { body } = await plane.request("GET", `${SECRETS}?labelSelector=${KEY_LABEL}`);
  const secrets = (body.items ?? []).map((item) => ({ ...item, apiVersion: "v1", kind: "Secret" }));
  return new Keyring(secrets.map((secret) => readKeySecret(parseSecret(secret as JsonObject))));
}

async function opened(object: JsonObject): Promise<Record<string, string>> {
  const { values } = await openValues(parseSealedSecret(object), await keyring());
  return Object.fromEntries(
    [...values].map(([item, value]) => [item, Buffer.from(value).toString()]),
  );
}

/** The fingerprint of the key that each value really is under. */
async function keysOf(object: JsonObject): Promise<Record<string, string>> {
  const { stamp } = await openValues(parseSealedSecret(object), await keyring());
  return Object.fromEntries(stamp);
}

function listOf(...items: KubeObject[]): KubeObject {
  return { apiVersion: "v1", kind: "List", items };
}

function yaml(object: KubeObject): string {
  return `# as in Git\n---\n${JSON.stringify(object)}\n---\n`;
}

describe("POST /v1/verify", () => {
  it.each<[string, () => Promise<unknown>, number]>([
    ["what opens", () => make("a"), 200],
    ["what opens with an older key", () => make("a", {}, former), 200],
    ["YAML with comments and empty documents", async () => yaml(await make("a")), 200],
    [
      "another name",
      async () => ({ ...(await make("a")), metadata: { name: "b", namespace: "demo" } }),
      409,
    ],
    [
      "another namespace",
      async () => ({ ...(await make("a")), metadata: { name: "a", namespace: "x" } }),
      409,
    ],
    ["no SealedSecret", () => Promise.resolve({ apiVersion: "v1", kind: "Secret" }), 400],
    ["two of them", async () => `${yaml(await make("a"))}${yaml(await make("b"))}`, 400],
    ["a List", async () => listOf(await make("a"), await make("b", {}, former)), 200],
    [
      "a List of which one does not open",
      async () => listOf(await make("a"), { ...(await make("b")), metadata: { name: "c" } }),
      409,
    ],
    ["a List with something else in it", async () => listOf(await make("a"), { kind: "X" }), 400],
    ["an empty List", () => Promise.resolve(listOf()), 400],
    ["nothing", () => Promise.resolve(""), 400],
    ["broken YAML", () => Promise.resolve("a: [b"), 400],
    ["bytes that are no text", () => Promise.resolve("\u0000"), 400],
  ])("%s", async (_what, body, status) => {
    const answer = await post("/v1/verify", await body());
    expect(answer.status).toBe(status);
    const text = await answer.text();
    expect(text).toBe(status === 400 ? "not a SealedSecret\n" : "");
  });
});

describe("POST /v1/rotate", () => {
  it("seals anew what is under an older key, and keeps all else as it was", async () => {
    const old = await make(
      "rotated",
      { labels: { app: "shop" }, annotations: { note: "kept" } },
      former,
    );
    const fresh = await make("rotated", { stringData: { token: "plain-2" } });
    const spec = old["spec"] as { encryptedData: Record<string, string>; template: JsonObject };
    const token = (fresh["spec"] as typeof spec).encryptedData["token"] ?? "";
    const object = {
      ...old,
      metadata: { ...old.metadata, labels: { own: "1" }, resourceVersion: "7" },
      spec: {
        ...spec,
        encryptedData: { ...spec.encryptedData, token },
        template: { ...spec.template, data: { url: "{{ .password }}" }, type: "x/y" },
        unknown: { kept: true },
      },
      status: { observedGeneration: 3 },
    };
    const answer = await post("/v1/rotate", object);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json");
    const rotated = (await answer.json()) as typeof object;
    const newest = (await keyring()).newest?.fingerprint;
    expect(await keysOf(rotated as unknown as JsonObject)).toEqual({
      password: newest,
      token: newest,
    });
    expect(await opened(rotated as unknown as JsonObject)).toEqual({
      password: "plain-1",
      token: "plain-2",
    });
    // Under the newest key already: not a byte of it changes.
    expect(rotated.spec.encryptedData["token"]).toBe(token);
    const before = spec.encryptedData["password"];
    expect({
      ...rotated,
      metadata: { ...rotated.metadata, annotations: object.metadata.annotations },
      spec: { ...rotated.spec, encryptedData: { ...rotated.spec.encryptedData, password: before } },
    }).toEqual(object);
    expect(rotated.metadata.annotations?.["kube-signet/sealed-under"]).toBe(newest);
  });

  it("of what is under the newest key gives the very same", async () => {
    const object = await make("same");
    expect(await (await post("/v1/rotate", object)).json()).toEqual(object);
  });

  it("of a List gives the List, each in its place", async () => {
    const items = [
      await make("one", {}, former),
      await make("two"),
      await make("three", {}, former),
    ];
    const answer = await post("/v1/rotate", listOf(...items));
    const rotated = (await answer.json()) as KubeObject & { items: KubeObject[] };
    expect(rotated.items.map(({ metadata }) => metadata?.name)).toEqual(["one", "two", "three"]);
    expect(rotated.items[1]).toEqual(items[1]);
    const newest = (await keyring()).newest?.fingerprint;
    for (const item of rotated.items) {
      expect(await keysOf(item as JsonObject)).toEqual({ password: newest });
    }
    const other = { ...(await make("a")), metadata: { name: "b", namespace: "demo" } };
    const refused = await post("/v1/rotate", listOf(...items, other));
    expect([refused.status, await refused.text()]).toEqual([409, ""]);
  });

  it("of what does not open gives nothing", async () => {
    const object = { ...(await make("a")), metadata: { name: "b", namespace: "demo" } };
    const answer = await post("/v1/rotate", object);
    expect([answer.status, await answer.text()]).toEqual([409, ""]);
  });
});

describe("an attack", () => {
  it("CVE-2026-22728: a template's annotation does not widen the scope of what is rotated", async () => {
    const strict = await make("victim", {}, former);
    const spec = strict["spec"] as { template: { metadata: JsonObject } };
    spec.template.metadata = { ...spec.template.metadata, annotations: CLUSTER_WIDE };
    const rotated = (await (await post("/v1/rotate", strict)).json()) as KubeObject;
    // The attacker's next step: the rotated value in a cluster-wide object of their own.
    const stolen = {
      ...rotated,
      metadata: { name: "mine", namespace: "attacker", annotations: CLUSTER_WIDE },
    };
    expect((await post("/v1/verify", stolen)).status).toBe(409);
    expect((await post("/v1/verify", rotated)).status).toBe(200);
    // A value that is cluster-wide does open there: the check above can fail.
    const wide = await make("victim", { scope: "cluster-wide" });
    expect((await post("/v1/verify", { ...wide, metadata: stolen.metadata })).status).toBe(200);
  });

  it("the object's own annotations do not widen it either", async () => {
    const strict = await make("victim", {}, former);
    for (const scope of ["cluster-wide", "namespace-wide"]) {
      const annotations = { [`sealedsecrets.bitnami.com/${scope}`]: "true" };
      const forged = { ...strict, metadata: { ...strict.metadata, annotations } };
      expect((await post("/v1/rotate", forged)).status).toBe(409);
    }
  });

  it.each(["verify", "rotate"])(
    "%s is no oracle: a template that fails by the value changes nothing of the answer",
    async (route) => {
      for (const guess of ["plain-1", "another"]) {
        const object = await make("victim", {}, former);
        const spec = object["spec"] as { template: JsonObject };
        spec.template["data"] = { x: `{{ if eq .password "${guess}" }}{{ fail "yes" }}{{ end }}` };
        const answer = await post(`/v1/${route}`, object);
        expect(answer.status).toBe(200);
        const text = await answer.text();
        if (route === "verify") expect(text).toBe("");
        else expect(JSON.parse(text)).toMatchObject({ spec: { template: spec.template } });
      }
    },
  );

  it("the controller's environment cannot be read by a template", async () => {
    const object = await make("env");
    const spec = object["spec"] as { template: JsonObject };
    spec.template["data"] = { x: '{{ env "POD_NAMESPACE" }}{{ getHostByName "localhost" }}' };
    await plane.apply(object);
    await untilVerdict(plane, "demo", "env", "TemplateFailed");
  });

  it("what does not open says the same, however it fails", async () => {
    const object = await make("victim");
    const spec = object["spec"] as { encryptedData: Record<string, string> };
    const bytes = Buffer.from(spec.encryptedData["password"] ?? "", "base64");
    const answers = new Set<string>();
    // The key part, the body and its tag, the length, no base64, nothing at all.
    const flipped = [10, 260, bytes.length - 1].map((index) => {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(index) ^ 1, index);
      return damaged.toString("base64");
    });
    for (const damaged of [...flipped, "AgA=", "?", ""]) {
      const answer = await post("/v1/verify", {
        ...object,
        spec: { encryptedData: { password: damaged } },
      });
      answers.add(`${answer.status} ${await answer.text()}`);
    }
    expect([...answers]).toEqual(["409 "]);
  });

  it("a thousand values that open nowhere cost a few operations, not thousands", async () => {
    const { publicKey } = {
      publicKey: (await make("x"))["spec"] as { encryptedData: Record<string, string> },
    };
    const value = publicKey.encryptedData["password"] ?? "";
    expect(decodeEnvelope(value)).not.toBeNull();
    const items = Array.from({ length: 1000 }, (_, index) => [`item${index}`, value]);
    const object = {
      ...(await make("b")),
      metadata: { name: "other", namespace: "demo" },
      spec: { encryptedData: Object.fromEntries(items) as JsonObject },
    };
    const startedMs = performance.now();
    expect((await post("/v1/rotate", object)).status).toBe(409);
    // One RSA-2048 operation is about a millisecond; 2,000 of them would be more than a second.
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeLessThan(1_000 * (await slowness()));
  });

  it("a flood of large requests does not keep a SealedSecret from becoming a Secret", async () => {
    const items = Array.from({ length: 400 }, (_, index) => [`item${index}`, "plain-x"]);
    const large = await make(
      "large",
      { stringData: Object.fromEntries(items) as Record<string, string> },
      former,
    );
    const body = JSON.stringify(large);
    let flooding = true;
    let answered = 0;
    const flood = Promise.all(
      Array.from({ length: 20 }, async () => {
        while (flooding) {
          await (await post("/v1/rotate", body)).arrayBuffer();
          answered++;
        }
      }),
    );
    try {
      await plane.waitFor("the flood", () => answered > 5);
      const startedMs = performance.now();
      await plane.apply(await make("calm"));
      await untilData(plane, "demo", "calm", { password: "plain-1" });
      const tookMs = performance.now() - startedMs;
      // The flood itself makes the machine slow: that is not counted.
      flooding = false;
      await flood;
      expect(tookMs).toBeLessThan(8_000 * (await slowness()));
    } finally {
      flooding = false;
      await flood;
    }
  });

  it("a body without end is cut off", async () => {
    const answer = await post("/v1/verify", "x".repeat(3 * 1024 * 1024)).catch(() => undefined);
    // The server answers before the body is through; whether the client still reads it is its own.
    expect([413, undefined]).toContain(answer?.status);
    const chunked = await new Promise<string>((done) => {
      const socket = connect(controller.port, controller.host, () => {
        socket.write("POST /v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        const chunk = `10000\r\n${"x".repeat(65536)}\r\n`;
        for (let index = 0; index < 40; index++) socket.write(chunk);
      });
      let text = "";
      socket.on("data", (data) => (text += data.toString()));
      socket.on("error", () => undefined);
      socket.on("close", () => {
        done(text);
      });
    });
    expect(chunked).toMatch(/^HTTP\/1.1 413|^$/);
    expect((await fetch(`${controller.url}/healthz`)).status).toBe(200);
  });

  it("paths and methods that nobody knows make no new series of metrics", async () => {
    await fetch(`${controller.url}/v1/secret-name-1`);
    await fetch(`${controller.url}/__proto__`);
    expect((await fetch(`${controller.url}/v1/verify`)).status).toBe(405);
    expect((await fetch(`${controller.url}/v1/verify`)).headers.get("allow")).toBe("POST");
    expect((await post("/v1/cert.pem", "")).status).toBe(405);
    const text = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
    expect(text).not.toContain("secret-name-1");
    expect(text).not.toContain("__proto__");
    expect(await metricOf(controller, "http_requests_total", { path: "other", code: "404" })).toBe(
      2,
    );
    expect(
      await metricOf(controller, "http_request_duration_seconds_count", { path: "/v1/verify" }),
    ).toBeGreaterThan(0);
  });
});

describe("the rate limit", () => {
  it("is for each client, cannot be escaped by claiming others, and says when to come back", async () => {
    const limited = await startSignet(plane, {
      flags: ["--key-size=2048", "--leader-elect=false", "--rate-limit=1", "--rate-limit-burst=2"],
    });
    try {
      const object = await make("a");
      const ask = async (forwarded: string): Promise<Response> =>
        post("/v1/verify", object, { to: limited, headers: { "x-forwarded-for": forwarded } });
      expect((await ask("10.0.0.1")).headers.get("x-ratelimit-remaining")).toBe("1");
      expect((await ask("10.0.0.1")).status).toBe(200);
      const refused = await ask("10.0.0.1");
      expect(refused.status).toBe(429);
      expect(refused.headers.get("retry-after")).toBe("1");
      expect(await refused.text()).toBe("limit exceeded\n");
      expect((await ask("10.0.0.2")).status).toBe(200);
      // Only the last hop counts, which the API server wrote; and the address has a limit of its own.
      expect((await ask("10.9.9.9, 10.0.0.1")).status).toBe(429);
      const spoofed = await Promise.all(
        Array.from({ length: 20 }, (_, index) => ask(`10.1.0.${index}`)),
      );
      expect(spoofed.filter(({ status }) => status === 429).length).toBeGreaterThan(5);
      expect((await fetch(`${limited.url}/v1/cert.pem`)).status).toBe(200);
    } finally {
      await limited.stop();
    }
  });
});

describe("GET /v1/keys and signet keys", () => {
  it("tell each key, and what is still under it", async () => {
    await plane.apply(await make("counted", {}, former));
    await untilVerdict(plane, "demo", "counted", "Unsealed");
    const seen = await statusOf(plane, "demo", "counted");
    const [oldest] = Object.keys(seen.sealedUnder);
    const answer = await fetch(`${controller.url}/v1/keys`);
    expect(answer.headers.get("content-type")).toBe("application/json");
    const { keys } = (await answer.json()) as { keys: Record<string, unknown>[] };
    expect(keys.map(({ state }) => state)).toEqual(["sealing", "former"]);
    expect(keys[1]).toMatchObject({ fingerprint: oldest });
    expect(keys[1]?.["values"]).toBeGreaterThan(0);
    const { status, stdout, stderr } = await runToEnd([
      process.execPath,
      ...["dist/signet.cjs", "keys", "--kubeconfig", kubeconfig],
    ]);
    expect(status).toBe(0);
    expect(stderr).toMatch(
      /^signet: cluster https:\/\/\S+ \(context test\), namespace kube-system, controller \S+\n$/,
    );
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^STATE +VALUES +SEALEDSECRETS +SINCE +SECRET +FINGERPRINT$/);
    expect(lines[1]).toMatch(/^sealing +\d+ .*SHA256:/);
    expect(lines[2]).toContain(oldest);
  });
});

describe("the Go kubeseal", () => {
  it("validates and re-encrypts through the API server's proxy, and opens what came back", async () => {
    const old = await make("via-proxy", {}, former);
    const stdin = JSON.stringify(old);
    expect(await kubeseal(["--validate"], { stdin, kubeconfig })).toMatchObject({
      status: 0,
      stderr: "",
    });
    const wrong = JSON.stringify({ ...old, metadata: { name: "other", namespace: "demo" } });
    const invalid = await kubeseal(["--validate"], { stdin: wrong, kubeconfig });
    expect(invalid.status).toBe(1);
    expect(invalid.stderr).toContain("unable to decrypt sealed secret: other");
    const refused = await kubeseal(["--re-encrypt"], { stdin: wrong, kubeconfig });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("unable to rotate secret");

    const rotated = await kubeseal(["--re-encrypt"], { stdin, kubeconfig });
    expect([rotated.status, rotated.stderr]).toEqual([0, ""]);
    const { newest } = await keyring();
    const { body } = await plane.request("GET", `${SECRETS}/${newest?.name ?? ""}`);
    const keyFile = join(plane.directory, "newest.json");
    writeFileSync(keyFile, JSON.stringify({ ...body, apiVersion: "v1", kind: "Secret" }), {
      mode: 0o600,
    });
    const recovered = await kubeseal(["--recovery-unseal", `--recovery-private-key=${keyFile}`], {
      stdin: rotated.stdout,
    });
    expect([recovered.status, recovered.stderr]).toEqual([0, ""]);
    const { data } = JSON.parse(recovered.stdout) as { data: Record<string, string> };
    expect(data).toEqual({ password: Buffer.from("plain-1").toString("base64") });
  });
});

describe("TLS and tokens", () => {
  async function pair(commonName: string): Promise<{ cert: string; key: string }> {
    const notBefore = new Date(Date.now() - 60_000);
    const made = await createSealingKey({
      bits: 2048,
      notBefore,
      validForMs: 86_400_000,
      commonName,
    });
    return { cert: made.certificatePem, key: made.privateKeyPem };
  }

  function servedName(port: number, host: string): Promise<string> {
    return new Promise((done, fail) => {
      httpsRequest(
        { host, port, path: "/healthz", rejectUnauthorized: false, agent: false },
        (answer) => {
          const socket = answer.socket as unknown as {
            getPeerCertificate: () => { subject: { CN: string } };
          };
          done(socket.getPeerCertificate().subject.CN);
          answer.resume();
        },
      )
        .on("error", fail)
        .end();
    });
  }

  it("is served with the files given, renewed when they change, kept when they break", async () => {
    const files = { cert: join(plane.directory, "tls.crt"), key: join(plane.directory, "tls.key") };
    const write = ({ cert, key }: { cert: string; key: string }): void => {
      writeFileSync(files.cert, cert);
      writeFileSync(files.key, key, { mode: 0o600 });
    };
    write(await pair("first"));
    const flags = [`--tls-cert-file=${files.cert}`, `--tls-private-key-file=${files.key}`];
    const served = await startSignet(plane, {
      flags: ["--key-size=2048", "--leader-elect=false", ...flags],
      tls: true,
    });
    try {
      expect(await servedName(served.port, served.host)).toBe("first");
      writeFileSync(files.key, "no key at all");
      await plane.waitFor("the complaint", () =>
        served.logs().includes("keeping the previous one"),
      );
      expect(await servedName(served.port, served.host)).toBe("first");
      write(await pair("second"));
      await plane.waitFor(
        "the renewal",
        async () => (await servedName(served.port, served.host)) === "second",
      );
      expect(served.logs()).not.toContain("no key at all");
      expect(readFileSync(files.key, "utf8")).toContain("PRIVATE KEY");
    } finally {
      await served.stop();
    }
  });

  it("a token is checked by the cluster: who it is, and whether it may", async () => {
    for (const object of chartObjects("rbac-token.yaml", "requireToken=true"))
      await plane.apply(object);
    await plane.apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "may-not", namespace: "demo" },
    });
    await addAccount(plane, { namespace: "demo", name: "may", role: "signet-client" });
    const checked = await startSignet(plane, {
      flags: [...FLAGS, "--leader-elect=false", "--require-token"],
    });
    try {
      const object = await make("a");
      const ask = async (authorization?: string): Promise<number> => {
        const headers = authorization === undefined ? {} : { authorization };
        return (await post("/v1/verify", object, { to: checked, headers })).status;
      };
      expect(await ask()).toBe(401);
      expect(await ask("Bearer nonsense")).toBe(401);
      expect(await ask("Basic eDp5")).toBe(401);
      expect(await ask(`Bearer ${await plane.serviceAccountToken("demo", "may-not")}`)).toBe(403);
      const token = await plane.serviceAccountToken("demo", "may");
      await plane.waitFor(
        "the binding to count",
        async () => (await ask(`Bearer ${token}`)) === 200,
      );
      expect((await fetch(`${checked.url}/v1/cert.pem`)).status).toBe(200);
      // No answer from the API server is no leave.
      await plane.stopApiServer("SIGKILL");
      expect(await ask(`Bearer ${token}`)).toBe(503);
      await plane.startApiServer();
      expect(checked.logs()).not.toContain(token);
    } finally {
      await checked.stop();
    }
  });
});
