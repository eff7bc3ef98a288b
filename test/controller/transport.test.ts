// Connections of the controller to its API server: credentials and authorities that are replaced
// while it runs, and how long one call may take.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { KubernetesClient } from "../../host/kubernetes/apiclient.ts";
import { loadOwnConfig } from "../../host/kubernetes/kubeconfig.ts";
import { createAuthority, type Pair } from "../cli/authority.ts";
import { kubeconfig, type Recorder, startRecorder } from "../cli/recorder.ts";

const authority = createAuthority("the authority of the test");

let folder: string;
let servers: Recorder[];
let clients: KubernetesClient[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-transport-"));
  [servers, clients] = [[], []];
});
afterEach(async () => {
  for (const client of clients) client.close();
  for (const server of servers) await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const write = (name: string, text: string): void => {
  writeFileSync(join(folder, name), text);
};
function writePair({ cert, key }: Pair): void {
  write("cert.pem", cert);
  write("key.pem", key);
}

async function start(...args: Parameters<typeof startRecorder>): Promise<Recorder> {
  const server = await startRecorder(...args);
  servers.push(server);
  return server;
}

function client(server: string, user: object): KubernetesClient {
  write("ca.pem", authority.certificate);
  write("config", kubeconfig("a", { server, "certificate-authority": "ca.pem" }, user));
  const made = new KubernetesClient(loadOwnConfig(join(folder, "config")), { qps: -1, burst: 0 });
  clients.push(made);
  return made;
}

it("a client certificate that is replaced is used from the next call on", async () => {
  const server = await start(authority.server());
  writePair(authority.client("one"));
  const asks = client(server.url, { "client-certificate": "cert.pem", "client-key": "key.pem" });
  await asks.call("GET", "/a");
  writePair(authority.client("two"));
  await asks.call("GET", "/a");
  // Half of it is there: the other half is being written.
  write("cert.pem", "");
  await asks.call("GET", "/a");
  rmSync(join(folder, "key.pem"));
  await asks.call("GET", "/a");
  writePair(authority.client("three"));
  await asks.call("GET", "/a");
  expect(server.seen.map(({ client: name }) => name)).toEqual([
    "one",
    "two",
    "two",
    "two",
    "three",
  ]);
});

it("an authority that is replaced is trusted from the next call on, and the old one no more", async () => {
  const next = createAuthority("the next authority");
  const [old, renewed] = [await start(authority.server()), await start(next.server())];
  const asks = client(renewed.url, {});
  const before = await asks.call("GET", "/a").catch((error: unknown) => error);
  expect(String(before)).toContain("the API server is unreachable");
  write("ca.pem", next.certificate);
  await asks.call("GET", "/a");
  expect(renewed.seen).toHaveLength(1);
  const former = client(old.url, {});
  await former.call("GET", "/a");
  write("ca.pem", next.certificate);
  await expect(former.call("GET", "/a")).rejects.toThrow("the API server is unreachable");
});

it("a token that is replaced is used from the next call on", async () => {
  const server = await start(authority.server());
  write("token", "one\n");
  const asks = client(server.url, { tokenFile: "token" });
  await asks.call("GET", "/a");
  write("token", "two");
  await asks.call("GET", "/a");
  write("token", "");
  await asks.call("GET", "/a");
  expect(server.seen.map(({ headers }) => headers.authorization)).toEqual(
    ["one", "two", "two"].map((token) => `Bearer ${token}`),
  );
});

it("connections are kept while nothing is replaced", async () => {
  const server = await start(authority.server());
  const sockets = new Set<unknown>();
  const counted = await start(authority.server(), (request, response) => {
    sockets.add(request.socket);
    response.end("{}");
  });
  expect(server.seen).toEqual([]);
  const asks = client(counted.url, {});
  for (let call = 0; call < 3; call++) await asks.call("GET", "/a");
  expect(sockets.size).toBe(1);
});

it("a call ends after its time, also where the server goes on sending", async () => {
  const server = await start(authority.server(), (request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 20);
    request.socket.on("close", () => {
      clearInterval(timer);
    });
  });
  const asks = client(server.url, {});
  const failed = asks.call("GET", "/a", { timeoutMs: 300 });
  await expect(failed).rejects.toMatchObject({ status: 0, reason: "Timeout" });
});

it("a login that fails counts as an API server that cannot be asked, and says why", async () => {
  const server = await start(authority.server());
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "no-such-login" };
  const asks = client(server.url, { exec: { ...exec, interactiveMode: "Never" } });
  await expect(asks.call("GET", "/a")).rejects.toThrow(
    'cannot send requests to the API server: the login plugin "no-such-login" was not found',
  );
  expect(server.seen).toEqual([]);
});
