// A cluster that does not answer holds `signet doctor` up no longer than its deadline, and no other.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkCluster } from "../../cli/commands/doctor/clusterchecks.ts";
import type { Diagnosis } from "../../cli/commands/doctor/diagnosis.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { parseProject } from "../../cli/repository/projectfile.ts";

let folder: string;
let silent: Server;
const sockets = new Set<Socket>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "signet-doctor-"));
  silent = createServer((socket) => sockets.add(socket));
  await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
});

afterAll(() => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  rmSync(folder, { recursive: true, force: true });
});

function kubeconfigOf({ port }: AddressInfo): string {
  const path = join(folder, `config-${port}`);
  writeFileSync(
    path,
    `clusters: [{name: a, cluster: {server: "http://127.0.0.1:${port}"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {}}]
`,
  );
  return path;
}

it("says which Kubernetes, controller and keys it found", async () => {
  const fingerprint = parseCertificate(readFileSync("test/fixtures/cert.pem", "utf8")).fingerprint;
  const key = { fingerprint, secret: "k", state: "sealing", values: 1, sealedSecrets: 1 };
  const answers: Readonly<Record<string, object>> = {
    "/version": { gitVersion: "v1.34.1" },
    "/api/v1/namespaces/kube-system/services/sealed-secrets-controller": {
      metadata: { labels: { "app.kubernetes.io/version": "0.1.0" } },
      spec: { ports: [{ port: 8080 }] },
    },
    "/v1/keys": { keys: [key], unknown: { values: 0, sealedSecrets: 0 } },
  };
  const server = createHttpServer(({ url = "" }, response) => {
    const [, answer] = Object.entries(answers).find(([path]) => url.endsWith(path)) ?? [];
    response.statusCode = answer === undefined ? 404 : 200;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    const kubeconfig = kubeconfigOf(server.address() as AddressInfo);
    mkdirSync(join(folder, "certificates"), { recursive: true });
    copyFileSync("test/fixtures/cert.pem", join(folder, "certificates/one.pem"));
    copyFileSync("test/fixtures/other-cert.pem", join(folder, "certificates/two.pem"));
    const project = parseProject("clusters: {one: {context: a}, two: {context: a}}", folder);
    const found: Diagnosis[] = [];
    for (const cluster of project.clusters.values()) {
      const given = { kubeconfig, requestTimeoutMs: 10_000 };
      await checkCluster(project, cluster, given, 10_000, (each) => found.push(each));
    }
    const words = found.map(({ cluster, check, state, code, message }) =>
      [cluster, check, state, code ?? "", message].join("|"),
    );
    expect(words).toEqual([
      "one|API server|ok||Kubernetes v1.34.1",
      "one|controller|ok||kube-system/sealed-secrets-controller: version 0.1.0, 1 key",
      "one|certificate|ok||matches the key that the controller seals with",
      "two|API server|ok||Kubernetes v1.34.1",
      "two|controller|ok||kube-system/sealed-secrets-controller: version 0.1.0, 1 key",
      expect.stringMatching(/^two\|certificate\|problem\|certificate-unknown\|/) as string,
    ]);
  } finally {
    server.close();
  }
});

it("asks all clusters at once, each until its deadline", async () => {
  const kubeconfig = kubeconfigOf(silent.address() as AddressInfo);
  const project = parseProject("clusters: {one: {context: a}, two: {context: a}}", folder);
  const found: Diagnosis[] = [];
  const given = { kubeconfig, requestTimeoutMs: 60_000 };
  const started = Date.now();
  await Promise.all(
    [...project.clusters.values()].map((cluster) =>
      checkCluster(project, cluster, given, 500, (each) => found.push(each)),
    ),
  );
  expect(Date.now() - started).toBeLessThan(5000);
  expect(found.map(({ cluster, state, code }) => ({ cluster, state, code }))).toEqual([
    { cluster: "one", state: "problem", code: "unreachable" },
    { cluster: "two", state: "problem", code: "unreachable" },
  ]);
});
