// How long `signet` goes on asking a controller that is away or asked too often, and its words
// where it gives up. Runs the built program, dist/signet.cjs, against a server that answers as
// told.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";

let folder: string;
let server: Server;
/** Statuses with which the next SealedSecrets are sent back. */
let refusals: number[];
let posted: number;

function answer({ method, url = "" }: IncomingMessage, response: ServerResponse): void {
  if (method !== "POST") {
    response.writeHead(url.endsWith("/services/sealed-secrets-controller") ? 200 : 404).end("{}");
    return;
  }
  posted++;
  response.writeHead(refusals.shift() ?? 200, { "retry-after": "0" }).end();
}

function signet(...args: string[]): Promise<Finished> {
  const command = [process.execPath, resolve("dist/signet.cjs"), ...args];
  return runToEnd(command, { cwd: folder, env: { HOME: folder } });
}

beforeEach(async () => {
  [refusals, posted] = [[], 0];
  folder = mkdtempSync(join(tmpdir(), "controllerwork-"));
  server = createServer(answer);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const config = {
    clusters: [{ name: "a", cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: "a", user: {} }],
    contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
    "current-context": "a",
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "secret"), "x");
  const cert = ["--cert", resolve("test/fixtures/cert.pem")];
  const made = await signet("new", "db", "-n", "shop", ...cert, "--from-file", "a=secret");
  expect(made.status, made.stderr).toBe(0);
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const verify = (): Promise<Finished> =>
  signet("verify", "--live", "--kubeconfig", "config.json", "db.yaml");

it("a controller that was asked too often, and then is away, is waited for", async () => {
  refusals = [...Array<number>(61).fill(429), 503, 503];
  const { status, stderr } = await verify();
  expect([status, posted], stderr).toEqual([0, 64]);
});

it("one that stays away is given up after sixty times", async () => {
  refusals = Array<number>(70).fill(503);
  const { status, stderr } = await verify();
  expect([status, posted, stderr]).toEqual([
    1,
    60,
    "signet: error: the controller cannot verify: status 503\n" +
      "signet: hint: see its log; run this again once it responds\n",
  ]);
});

it.for([
  [
    403,
    'signet: hint: you need permission to "create" services/proxy of sealed-secrets-controller in namespace kube-system\n',
  ],
  [400, ""],
  [500, "signet: hint: see its log; run this again once it responds\n"],
] as const)("status %i is told at once, with what helps", async ([refusal, hint]) => {
  refusals = [refusal];
  const { status, stderr } = await verify();
  expect([status, posted]).toEqual([1, 1]);
  expect(stderr).toBe(`signet: error: the controller cannot verify: status ${refusal}\n${hint}`);
});
