// A cluster that does not answer holds `signet doctor` up no longer than its deadline, and no other.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkCluster } from "../../cli/commands/doctor/clusterchecks.ts";
import type { Diagnosis } from "../../cli/commands/doctor/diagnosis.ts";
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

it("asks all clusters at once, each until its deadline", async () => {
  const { port } = silent.address() as AddressInfo;
  const kubeconfig = join(folder, "config");
  const server = `http://127.0.0.1:${port}`;
  writeFileSync(
    kubeconfig,
    `clusters: [{name: a, cluster: {server: "${server}"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {}}]
`,
  );
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
