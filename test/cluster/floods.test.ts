// Strangers flood the controller's HTTP server: probes are answered, and honest clients are served.
// SPEC.md, "HTTP".
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { ControlPlane } from "./controlplane.ts";
import { certificateOf, sealed, untilData } from "./objects.ts";
import { freePort, listenHost } from "./program.ts";
import { type RunningController, startCluster } from "./signet.ts";

/** Not the address of the honest clients. */
const ATTACKER = "127.0.0.9";
/** As the chart's probes have it. */
const PROBE_TIMEOUT_MS = 5_000;
const MIB = 1024 * 1024;

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let probes: string;
let count = 0;
const sockets: Socket[] = [];

beforeAll(async () => {
  const host = listenHost();
  const health = `${host}:${await freePort(host)}`;
  probes = `http://${health}`;
  const flags = ["--key-size=2048", `--listen-health-addr=${health}`, "--read-timeout=2m"];
  ({ plane, controller } = await startCluster({ flags, namespaces: ["demo"] }));
  certificate = await certificateOf(controller);
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
  const tabs = post("\t".repeat(40_000));
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
