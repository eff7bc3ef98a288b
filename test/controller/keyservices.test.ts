// The key services of Google and Azure over recorded pairs of requests and answers: their servers cannot
// be had here. The pairs follow the reference of their public REST APIs:
// https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/encrypt
// https://learn.microsoft.com/rest/api/keyvault/keys/wrap-key/wrap-key
// SPEC.md, "Wrapped keys".
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AwsKms } from "../../host/kms/aws.ts";
import { AzureKeyVault, azureIdentity } from "../../host/kms/azure.ts";
import { GcpKms } from "../../host/kms/gcp.ts";
import { Transit } from "../../host/kms/transit.ts";
import type { KeyService } from "../../shared/keys/keyservice.ts";

const CONTEXT = { namespace: "kube-system", name: "sealed-secrets-key1", fingerprint: "SHA256:x" };
const BOUND = Buffer.from(
  "kube-signet/wrapped-key/1\0kube-system\0sealed-secrets-key1\0SHA256:x",
).toString("base64");
const DATA_KEY = Buffer.alloc(32, 7);

interface Recorded {
  readonly request: string;
  /** Headers of the request that count. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | string;
  readonly status: number;
  readonly answer: object;
}

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A server that gives the recorded answers in order, and notes where a request is another one. */
async function replay(
  recorded: readonly Recorded[],
): Promise<{ url: URL; faults: string[]; left: () => number }> {
  const queue = [...recorded];
  const faults: string[] = [];
  const made = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const next = queue.shift();
      const asked = `${request.method ?? ""} ${request.url ?? ""}`;
      if (next === undefined || next.request !== asked) {
        faults.push(`${asked} in place of ${next?.request ?? "nothing"}`);
      }
      for (const [name, value] of Object.entries(next?.headers ?? {})) {
        if (request.headers[name] !== value) faults.push(`${asked}: ${name} is not ${value}`);
      }
      const expected = next?.body;
      if (expected !== undefined) {
        const same = typeof expected === "string" ? expected : JSON.stringify(expected);
        if (text !== same) faults.push(`${asked}: ${text} is not ${same}`);
      }
      response.writeHead(next?.status ?? 500, { "content-type": "application/json" });
      response.end(JSON.stringify(next?.answer ?? {}));
    });
  });
  server = made;
  await new Promise<void>((done) => made.listen(0, "127.0.0.1", done));
  const url = new URL(`http://127.0.0.1:${(made.address() as AddressInfo).port}`);
  return { url, faults, left: () => queue.length };
}

/** What a call throws, as `CODE MESSAGE`. */
async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "nothing",
    (error: unknown) => {
      const { code, message } = error as { code: string; message: string };
      return `${code} ${message}`;
    },
  );
}

const KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/signet";
const GOOGLE_TOKEN: Recorded = {
  request: "GET /token",
  headers: { "metadata-flavor": "Google" },
  status: 200,
  answer: { access_token: "ya29.token", expires_in: 3599, token_type: "Bearer" },
};

async function google(recorded: readonly Recorded[]) {
  const { url, ...rest } = await replay(recorded);
  return {
    ...rest,
    service: new GcpKms({ key: KEY, endpoint: url, metadata: new URL("/token", url) }),
  };
}

describe("Google Cloud KMS", () => {
  it("wraps and unwraps, bound to the Secret, with one token", async () => {
    const headers = { authorization: "Bearer ya29.token" };
    const ciphertext = Buffer.from("ciphertext").toString("base64");
    const { service, faults, left } = await google([
      GOOGLE_TOKEN,
      {
        request: `POST /v1/${KEY}:encrypt`,
        headers,
        body: { plaintext: DATA_KEY.toString("base64"), additionalAuthenticatedData: BOUND },
        status: 200,
        answer: {
          name: `${KEY}/cryptoKeyVersions/3`,
          ciphertext,
          ciphertextCrc32c: "1",
          protectionLevel: "SOFTWARE",
        },
      },
      {
        request: `POST /v1/${KEY}:decrypt`,
        headers,
        body: { ciphertext, additionalAuthenticatedData: BOUND },
        status: 200,
        answer: { plaintext: DATA_KEY.toString("base64"), usedPrimary: true },
      },
    ]);
    const wrapped = await service.wrap(DATA_KEY, CONTEXT);
    expect(wrapped.key).toBe(`${KEY}/cryptoKeyVersions/3`);
    expect(Buffer.from(await service.unwrap(wrapped, CONTEXT)).equals(DATA_KEY)).toBe(true);
    expect({ faults, left: left() }).toEqual({ faults: [], left: 0 });
  });

  it.each<[string, number, object, string]>([
    [
      "a ciphertext of another context is refused",
      400,
      { error: { code: 400, message: "Decryption failed", status: "INVALID_ARGUMENT" } },
      `key-invalid Google Cloud KMS (${KEY}): INVALID_ARGUMENT (status 400)`,
    ],
    [
      "a missing right may come",
      403,
      { error: { code: 403, message: "Permission denied", status: "PERMISSION_DENIED" } },
      `network Google Cloud KMS (${KEY}): PERMISSION_DENIED (status 403)`,
    ],
    [
      "a service that is away may come back",
      503,
      { error: { code: 503, status: "UNAVAILABLE" } },
      `network Google Cloud KMS (${KEY}): UNAVAILABLE (status 503)`,
    ],
  ])("%s", async (_words, status, answer, expected) => {
    const { service } = await google([
      GOOGLE_TOKEN,
      { request: `POST /v1/${KEY}:decrypt`, status, answer },
    ]);
    const wrapped = { key: KEY, ciphertext: Buffer.from("x") };
    expect(await failureOf(service.unwrap(wrapped, CONTEXT))).toBe(expected);
  });
});

function tokenFile(token: string): string {
  const file = join(mkdtempSync(join(tmpdir(), "signet-token-")), "token");
  writeFileSync(file, `${token}\n`);
  return file;
}

const VERSION = "0123456789abcdef0123456789abcdef";

async function azure(recorded: readonly Recorded[]) {
  const { url, ...rest } = await replay(recorded);
  const identity = azureIdentity({
    AZURE_CLIENT_ID: "client",
    AZURE_TENANT_ID: "tenant",
    AZURE_FEDERATED_TOKEN_FILE: tokenFile("jwt-of-the-pod"),
    AZURE_AUTHORITY_HOST: url.href,
  });
  const key = new URL("/keys/signet", url);
  return { ...rest, key, service: new AzureKeyVault({ key, identity }) };
}

const AZURE_TOKEN: Recorded = {
  request: "POST /tenant/oauth2/v2.0/token",
  body:
    "grant_type=client_credentials&client_id=client&client_assertion_type=" +
    "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&" +
    "client_assertion=jwt-of-the-pod&scope=https%3A%2F%2F0.0.1%2F.default",
  status: 200,
  answer: { token_type: "Bearer", expires_in: 86399, access_token: "eyJ0.token" },
};

describe("Azure Key Vault", () => {
  it("wraps with the newest version of the key, and unwraps with the one that wrapped", async () => {
    const headers = { authorization: "Bearer eyJ0.token" };
    const value = Buffer.from("wrapped").toString("base64url");
    const { service, faults, left, key } = await azure([
      AZURE_TOKEN,
      {
        request: "POST /keys/signet/wrapkey?api-version=7.4",
        headers,
        body: { alg: "RSA-OAEP-256", value: DATA_KEY.toString("base64url") },
        status: 200,
        answer: { kid: `https://v.vault.azure.net/keys/signet/${VERSION}`, value },
      },
      {
        request: `POST /keys/signet/${VERSION}/unwrapkey?api-version=7.4`,
        headers,
        body: { alg: "RSA-OAEP-256", value },
        status: 200,
        answer: {
          kid: `https://v.vault.azure.net/keys/signet/${VERSION}`,
          value: DATA_KEY.toString("base64url"),
        },
      },
    ]);
    const wrapped = await service.wrap(DATA_KEY);
    expect(wrapped.key).toBe(`${key.href}/${VERSION}`);
    expect(Buffer.from(await service.unwrap(wrapped)).equals(DATA_KEY)).toBe(true);
    expect({ faults, left: left() }).toEqual({ faults: [], left: 0 });
  });

  it.each<[string, number, object, string]>([
    [
      "a damaged ciphertext is refused",
      400,
      { error: { code: "BadParameter", message: "not decrypted" } },
      "key-invalid BadParameter (status 400)",
    ],
    [
      "a missing right may come",
      403,
      { error: { code: "Forbidden", message: "Caller is not authorized" } },
      "network Forbidden (status 403)",
    ],
    [
      "being throttled passes",
      429,
      { error: { code: "Throttled" } },
      "network Throttled (status 429)",
    ],
  ])("%s", async (_words, status, answer, expected) => {
    const request = `POST /keys/signet/${VERSION}/unwrapkey?api-version=7.4`;
    const { service, key } = await azure([AZURE_TOKEN, { request, status, answer }]);
    const wrapped = {
      key: `https://evil.example.org/keys/x/${VERSION}`,
      ciphertext: Buffer.from("x"),
    };
    const failure = await failureOf(service.unwrap(wrapped));
    expect(failure.replace(`Azure Key Vault (${key.href}): `, "")).toBe(expected);
  });

  it("takes nothing from the Secret but a version", async () => {
    const { service, left } = await azure([AZURE_TOKEN]);
    const wrapped = {
      key: "https://v.vault.azure.net/keys/a/../../x",
      ciphertext: Buffer.from("x"),
    };
    expect(await failureOf(service.unwrap(wrapped))).toContain("key-invalid");
    expect(left()).toBe(1);
  });
});

describe("a service that answers with anything", () => {
  const ENDLESS = Buffer.alloc(64 * 1024, "x");
  type Answer = (response: ServerResponse) => void;
  const answers: [string, Answer][] = [
    ["no JSON", (response) => response.end("<html>")],
    ["a list", (response) => response.end("[]")],
    [
      "fields of other kinds",
      (response) => response.end('{"data":7,"ciphertext":{},"CiphertextBlob":7}'),
    ],
    ["no status that it knows", (response) => response.writeHead(599).end("{}")],
    [
      "a redirect",
      (response) => response.writeHead(307, { location: "http://127.0.0.1:9/" }).end(),
    ],
    [
      "a text without an end",
      (response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const more = (): void => {
          while (!response.destroyed && response.write(ENDLESS));
        };
        response.on("drain", more);
        more();
      },
    ],
    ["nothing, while the line stays open", () => undefined],
    [
      "one byte a second",
      (response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(" "), 1000);
        response.on("close", () => {
          clearInterval(timer);
        });
      },
    ],
  ];
  const services: [string, (url: URL) => KeyService][] = [
    [
      "transit",
      (url) =>
        new Transit({
          address: url,
          mount: "transit",
          key: "k",
          namespace: "",
          login: { method: "token", file: tokenFile("hvs.token") },
          caFile: undefined,
        }),
    ],
    ["gcp", (url) => new GcpKms({ key: KEY, endpoint: url, metadata: url })],
    ["aws", (url) => new AwsKms({ key: "alias/k", region: "eu-central-1", endpoint: url })],
  ];

  it.each(services)(
    "%s fails soon, with little memory, and quotes nothing",
    async (_name, make) => {
      vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
      vi.stubEnv("AWS_SECRET_ACCESS_KEY", "example");
      const failures = await Promise.all(
        answers.map(async ([, answer]) => {
          const made = createServer((request, response) => {
            request.resume();
            // Google's tokens come from the same address.
            if (request.method === "GET") response.end('{"access_token":"t","expires_in":3600}');
            else answer(response);
          });
          await new Promise<void>((done) => made.listen(0, "127.0.0.1", done));
          const { port } = made.address() as AddressInfo;
          const startedMs = performance.now();
          try {
            const service = make(new URL(`http://127.0.0.1:${port}`));
            const failure = await failureOf(service.wrap(DATA_KEY, CONTEXT));
            return { failure, ms: performance.now() - startedMs };
          } finally {
            made.closeAllConnections();
            made.close();
          }
        }),
      );
      for (const [index, { failure, ms }] of failures.entries()) {
        const words = answers[index]?.[0] ?? "";
        expect(failure, words).toMatch(/^network /);
        expect(failure, words).not.toContain(DATA_KEY.toString("base64"));
        expect(failure.length, words).toBeLessThan(500);
        // Two tries of ten seconds, on a busy machine.
        expect(ms, words).toBeLessThan(60_000);
      }
      expect(process.memoryUsage().rss).toBeLessThan(1024 ** 3);
      vi.unstubAllEnvs();
    },
  );
});

describe("a service that cannot be reached", () => {
  it.each<[string, (url: URL) => KeyService]>([
    [
      "transit",
      (url) =>
        new Transit({
          address: url,
          mount: "transit",
          key: "k",
          namespace: "",
          login: { method: "token", file: tokenFile("hvs.token") },
          caFile: undefined,
        }),
    ],
    ["gcp", (url) => new GcpKms({ key: KEY, endpoint: url, metadata: url })],
  ])("%s says so, without a credential", async (_name, make) => {
    const failure = await failureOf(make(new URL("http://127.0.0.1:9")).wrap(DATA_KEY, CONTEXT));
    expect(failure).toMatch(/^network .*ECONNREFUSED/);
    expect(failure).not.toContain(DATA_KEY.toString("base64"));
  });
});
