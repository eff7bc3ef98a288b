// What the built program does with servers, clocks and signals, which a scenario cannot tell.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { type Finished, runToEnd } from "../cluster/program.ts";

const CERT = resolve("test/fixtures/cert.pem");
const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {a: hunter2}\n";

let folder = "";
let servers: Server[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-program-"));
  writeFileSync(join(folder, "secret.yaml"), SECRET);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  for (const server of servers) server.close().closeAllConnections();
  servers = [];
});

function signet(args: string[], stdin = ""): Promise<Finished> {
  const command = [process.execPath, resolve("dist/signet.cjs"), ...args];
  return runToEnd(command, { stdin, cwd: folder, env: { HOME: folder } });
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("a certificate by its address", () => {
  it("is fetched, with a warning where the way is open", async () => {
    const pem = await readFile(CERT);
    const url = await serve((_request, response) => response.end(pem));
    const { status, stdout, stderr } = await signet(["seal", "--cert", url, "secret.yaml"]);
    expect(stderr).toBe(
      `signet: warning: ${url} is fetched without TLS: anyone who can change the traffic can read what you seal\n`,
    );
    expect(stdout).toContain("kind: SealedSecret");
    expect(status).toBe(0);
  });

  it.for<[string, RequestListener, string, string]>([
    ["is not there", (_q, r) => r.writeHead(404).end(), "2m", "404 Not Found"],
    ["never comes", () => undefined, "300ms", "no response within 0.3 s"],
    ["is cut off", (q) => q.socket.destroy(), "2m", "connection reset (ECONNRESET)"],
    ["is too large", (_q, r) => r.end("x".repeat(2 ** 21)), "2m", "the answer is too large"],
  ])("is told where it %s", async ([, listener, timeout, reason]) => {
    const url = `${await serve(listener)}/cert.pem`;
    const args = ["seal", "--cert", url, "--request-timeout", timeout, "secret.yaml"];
    const { status, stdout, stderr } = await signet(args);
    expect(stderr).toContain(`signet: error: cannot fetch "${url}": ${reason}`);
    expect(stdout).toBe("");
    expect(status).toBe(1);
  });

  it("is told where nothing listens, and no password in the address is", async () => {
    const url = await serve(() => undefined);
    await new Promise((done) => servers.pop()?.close(done));
    const { stderr } = await signet(["cert", "show", url.replace("//", "//user:hunter2@")]);
    expect(stderr).toContain(`cannot fetch "${url}": connection refused (ECONNREFUSED)\n`);
    expect(stderr).not.toContain("hunter2");
  });

  it("is fetched with the password in the address, which is not shown", async () => {
    const pem = await readFile(CERT);
    let sent = "";
    const url = await serve((request, response) => {
      sent = request.headers.authorization ?? "";
      response.end(pem);
    });
    const address = url.replace("//", "//user:hunter2@");
    const { status, stdout, stderr } = await signet(["cert", "show", address]);
    expect(sent).toBe("Basic dXNlcjpodW50ZXIy");
    expect(stdout + stderr).not.toContain("hunter2");
    expect(status).toBe(0);
  });
});

describe("the cluster's certificate", () => {
  const config = (server: string): string => {
    const file = join(folder, "kubeconfig");
    const cluster = { name: "c", cluster: { server, "insecure-skip-tls-verify": true } };
    writeFileSync(
      file,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "x",
        clusters: [cluster],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        users: [{ name: "u", user: { token: "hunter2" } }],
      }),
    );
    return file;
  };
  const failure =
    (status: number, message: string): RequestListener =>
    (_request, response) =>
      response.writeHead(status).end(JSON.stringify({ kind: "Status", message }));

  it("is read through the service's proxy, by the name of its port", async () => {
    const pem = await readFile(CERT, "utf8");
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? "", request.headers.authorization ?? "");
      if (request.url?.endsWith("cert.pem")) response.end(pem);
      else response.end(JSON.stringify({ spec: { ports: [{ name: "web" }] } }));
    });
    const args = [
      "--kubeconfig",
      config(url),
      "--controller-name",
      "s",
      "--controller-namespace",
      "n",
    ];
    const { status, stdout, stderr } = await signet(["cert", "fetch", ...args]);
    expect(stderr).toBe("");
    expect(stdout).toBe(pem);
    expect(status).toBe(0);
    const services = "/api/v1/namespaces/n/services";
    expect(asked).toEqual([
      "/api/v1/namespaces/n/configmaps/s-certificates",
      "Bearer hunter2",
      `${services}/s`,
      "Bearer hunter2",
      `${services}/http:s:web/proxy/v1/cert.pem`,
      "Bearer hunter2",
    ]);
  });

  it.for<[number, string]>([
    [401, "log in again"],
    [
      403,
      'you need permission to "get" the service sealed-secrets-controller in namespace kube-system',
    ],
    [404, "use --controller-name and --controller-namespace"],
  ])("is refused with %i, and told what to do", async ([code, hint]) => {
    const url = await serve(failure(code, "the server said so"));
    const { status, stderr } = await signet(["seal", "--kubeconfig", config(url), "secret.yaml"]);
    expect(stderr).toContain(
      `signet: error: cannot get sealed secret service: ${code} the server said so ` +
        "(kube-system/sealed-secrets-controller)" +
        (code === 401 ? "" : "; ConfigMap kube-system/sealed-secrets-controller-certificates: ") +
        (code === 403 ? "403 the server said so" : code === 404 ? "not found" : "") +
        "\nsignet: hint: ",
    );
    expect(stderr).toContain(hint);
    expect(stderr).not.toContain("hunter2");
    expect(status).toBe(1);
  });

  it("is not waited for longer than asked", async () => {
    const url = await serve(() => undefined);
    const args = ["--kubeconfig", config(url), "--request-timeout", "300ms"];
    const { status, stderr } = await signet(["cert", "fetch", ...args]);
    expect(stderr).toContain(
      `signet: error: cannot reach the cluster at ${url}: no response within 0.3 s\n`,
    );
    expect(status).toBe(1);
  });

  it("cannot be asked for with a kubeconfig that is none, whose text is not shown", async () => {
    const file = join(folder, "broken");
    writeFileSync(file, "users: [{token: hunter2\n");
    const { status, stderr } = await signet(["cert", "fetch", "--kubeconfig", file]);
    expect(stderr).toContain(`signet: error: ${file}: `);
    expect(stderr).not.toContain("hunter2");
    expect(status).toBe(1);
  });
});

describe("a certificate's validity", () => {
  it("is warned of 30 days before its end", async () => {
    const { certificatePem } = await createSealingKey({
      bits: 2048,
      notBefore: new Date(),
      validForMs: 10.5 * 86_400_000,
    });
    writeFileSync(join(folder, "soon.pem"), certificatePem);
    const { status, stderr } = await signet(["seal", "--cert", "soon.pem", "secret.yaml"]);
    expect(stderr).toBe(
      "signet: warning: soon.pem: the certificate expires in 10 days; fetch the next one before then\n",
    );
    expect(status).toBe(0);
  });
});

describe("many files", () => {
  it("leaves each file whole and nothing else when it is killed at any moment", async () => {
    const many = join(folder, "many");
    const { mkdirSync } = await import("node:fs");
    mkdirSync(many);
    for (let index = 0; index < 60; index++) {
      writeFileSync(join(many, `${index}.yaml`), SECRET.replace("db", `db${index}`));
    }
    for (const delayMs of [60, 90, 120]) {
      const child = spawn(
        process.execPath,
        [resolve("dist/signet.cjs"), "seal", "--cert", CERT, "--in-place", "many"],
        { cwd: folder, stdio: "ignore" },
      );
      setTimeout(() => child.kill("SIGTERM"), delayMs);
      await new Promise((done) => child.on("close", done));
    }
    const names = readdirSync(many);
    expect(names.filter((name) => !name.startsWith("."))).toHaveLength(60);
    for (const name of names) {
      expect(name, "a temporary file was left").toMatch(/^\d+\.yaml$/);
      expect(await readFile(join(many, name), "utf8")).toMatch(
        /^(apiVersion: v1\nkind: Secret\n[^]*hunter2}\n|---\napiVersion: bitnami[^]*namespace: demo\n)$/,
      );
    }
  });
});
