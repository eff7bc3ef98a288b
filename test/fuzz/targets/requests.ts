// HTTP: raw bytes on a socket of the controller's API, and an honest request after them.

import { request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { apiRoutes } from "../../../controller/api.ts";
import { closeServer, listen } from "../../../controller/httpserver.ts";
import { createLog } from "../../../controller/log.ts";
import { parseSubmission } from "../../../controller/submission.ts";
import { createMetrics } from "../../../controller/metrics.ts";
import { mutateBytes, mutateManifest } from "../mutate.ts";
import { keyring, sealedObjects, SEALED_WORDS } from "../material.ts";
import { bytesOf, checkUntold, Find, type Target } from "../target.ts";

const WORDS = [
  ...["GET ", "POST ", "HEAD ", "PRI * ", "/healthz", "/v1/verify", "/v1/rotate", "/v1/cert.pem"],
  ...["/v1/keys", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/2.0\r\n\r\n", "Host: a\r\n", "\r\n\r\n"],
  ...["Content-Length: 0\r\n", "Content-Length: 5\r\n", "Content-Length: 99999999999\r\n"],
  ...["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n", "0\r\n\r\n", "ffffffff\r\n"],
  ...["Expect: 100-continue\r\n", "Connection: upgrade\r\n", "Upgrade: websocket\r\n"],
  ...[
    "X-Forwarded-For: 1.2.3.4, ",
    "Authorization: Bearer ",
    "Cookie: a=b\r\n",
    "Connection: close\r\n",
  ],
];

const lines: string[] = [];
let server: Server | undefined;

async function start(): Promise<Server> {
  const log = createLog("DEBUG", "text", (line) => lines.push(line));
  const keys = keyring();
  const metrics = createMetrics("0", {
    queueDepth: () => 0,
    contested: () => 0,
    deliveries: () => ({ delivered: 0, failed: 0, waiting: 0 }),
    leads: () => true,
    shards: () => 1,
    sealedSecrets: () => [],
    nameThem: true,
    keyring: keys,
    firstLedAt: () => undefined,
    malformedKeys: () => 0,
    waitingKeys: () => 0,
    wrappedKeys: () => new Map(),
    hasKeyService: false,
    renewalAt: () => null,
    unrecoverable: () => 0,
    now: () => new Date(0),
  });
  const routes = apiRoutes({
    keyring: keys,
    metrics,
    log,
    ready: () => true,
    keyReport: () => ({ keys: [] }),
    recoveryReport: () => null,
    parse: (_client, body) => Promise.resolve().then(() => parseSubmission(body)),
    rate: 1e9,
    burst: 1e9,
    clock: () => performance.now(),
  });
  return await listen("127.0.0.1:0", routes, {
    readTimeoutMs: 5000,
    writeTimeoutMs: 5000,
    log,
  });
}

/** Sends bytes and no more, and waits until the server has said all that it says. */
function send(port: number, input: Uint8Array): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => socket.end(input));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve(Buffer.concat(chunks));
    });
  });
}

function health(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: "127.0.0.1", path: "/healthz", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.on("error", reject);
    asked.end();
  });
}

const asRequest = (path: string, body: Uint8Array): Uint8Array => {
  const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([bytesOf(head), body]);
};

export const requests: Target = {
  name: "requests",
  seeds: async () => (await sealedObjects()).map((object) => bytesOf(JSON.stringify(object))),
  generate: (random, seeds) => {
    const path = random.pick(["/v1/verify", "/v1/rotate"]);
    // A hostile body in an honest request, or all of it hostile.
    const body = mutateManifest(random, seeds, SEALED_WORDS);
    if (random.chance(0.5)) return asRequest(path, body);
    const get = bytesOf("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    const chunked = bytesOf(
      `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    );
    return mutateBytes(random, [get, get, chunked, asRequest(path, body)], WORDS);
  },
  short: 60,
  run: async (input) => {
    server ??= await start();
    const { port } = server.address() as AddressInfo;
    const answer = (await send(port, input)).toString("latin1");
    checkUntold(answer, "an answer");
    if (answer !== "" && !answer.startsWith("HTTP/1.1 "))
      throw new Find("an answer that is not HTTP");
    if (/^HTTP\/1\.1 5\d\d/.test(answer)) throw new Find(answer.slice(0, 200));
    for (const line of lines.splice(0)) {
      checkUntold(line, "a line of the log");
      if (line.includes("request failed")) throw new Find(line);
    }
    const code = await health(port);
    if (code !== 200) throw new Find(`/healthz answers ${String(code)} afterwards`);
  },
  close: async () => {
    if (server !== undefined) await closeServer(server, 0);
    server = undefined;
  },
};
