// The HTTP server: addresses, TLS and its renewal, and how it closes.
// SPEC.md, "HTTP".
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ConnectionLimits } from "../../controller/connections.ts";
import { addressOf, closeServer, listen, parseAddress } from "../../controller/httpserver.ts";
import { createLog } from "../../controller/log.ts";
import { until } from "./waiting.ts";

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => closeServer(server, 0)));
});

async function serve(
  routes: RequestListener,
  tls?: { certFile: string; keyFile: string },
  lines: string[] = [],
): Promise<Server> {
  const log = createLog("INFO", "text", (line) => lines.push(line));
  const options = { readTimeoutMs: 0, writeTimeoutMs: 0, tls, log };
  const server = (await listen("127.0.0.1:0", routes, options)) as Server;
  servers.push(server);
  return server;
}

describe("an address to listen on", () => {
  it.each<[string, string | undefined, number]>([
    [":8080", undefined, 8080],
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["[::1]:65535", "::1", 65535],
    ["localhost:1", "localhost", 1],
  ])("%s", (address, host, port) => {
    expect(parseAddress(address)).toEqual({ host, port });
  });

  it.each(["", "8080", ":65536", ":a", "::1:80", "[::1]", "a:b:1", ":-1"])("not %s", (address) => {
    const message = `${address} is not an address to listen on, such as :8080`;
    expect(() => parseAddress(address)).toThrow(new Error(message));
  });

  it("is told as it really is, and refused where it is taken", async () => {
    const server = await serve((_request, response) => response.end("served"));
    const address = addressOf(server);
    expect(await (await fetch(`http://${address}`)).text()).toBe("served");
    const log = createLog("INFO", "text", () => undefined);
    const again = listen(address, () => undefined, { readTimeoutMs: 0, writeTimeoutMs: 0, log });
    await expect(again).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});

describe("TLS", () => {
  let folder: string;
  let tls: { certFile: string; keyFile: string };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "kube-signet-tls-"));
    tls = { certFile: join(folder, "tls.crt"), keyFile: join(folder, "tls.key") };
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(folder, { recursive: true });
  });

  const put = (pair: "" | "other-"): void => {
    copyFileSync(`test/fixtures/${pair}cert.pem`, tls.certFile);
    copyFileSync(`test/fixtures/${pair}key.pem`, tls.keyFile);
  };

  /** The certificate that a new connection is shown. */
  async function shown(server: Server): Promise<string> {
    const { port } = server.address() as AddressInfo;
    const socket: TLSSocket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    await new Promise((resolve, reject) => {
      socket.once("secureConnect", resolve).once("error", reject);
    });
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  }

  it("takes a new pair into use for new connections, and keeps the old one of a broken", async () => {
    put("");
    const lines: string[] = [];
    const server = await serve((_request, response) => response.end(), tls, lines);
    const before = await shown(server);
    vi.advanceTimersByTime(10_000);
    expect([await shown(server), lines]).toEqual([before, []]);

    writeFileSync(tls.certFile, "half of a certificate");
    vi.advanceTimersByTime(10_000);
    expect(await shown(server)).toBe(before);
    expect(lines.length).toBe(1);
    expect(lines[0]).toMatch(
      /level=ERROR msg="TLS certificate not reloaded, keeping the previous one" error="the TLS certificate or key is invalid: ERR_OSSL_\w+"$/,
    );

    put("other-");
    vi.advanceTimersByTime(10_000);
    const after = await shown(server);
    expect(after).not.toBe(before);
    expect(lines.at(-1)).toMatch(/level=INFO msg="TLS certificate reloaded" file=\S+\/tls\.crt$/);
    vi.advanceTimersByTime(10_000);
    expect([await shown(server), lines.length]).toEqual([after, 2]);

    // Nobody looks at the files of a server that is closed.
    await closeServer(server, 0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is refused at the start with a key of another certificate, or without files", async () => {
    const start = (): Promise<Server> => serve(() => undefined, tls);
    await expect(start()).rejects.toThrow("the TLS certificate or key is invalid: ENOENT");
    put("");
    copyFileSync("test/fixtures/other-key.pem", tls.keyFile);
    await expect(start()).rejects.toThrow("the TLS certificate or key is invalid: ERR_OSSL");
    expect(servers).toEqual([]);
  });
});

describe("connections", () => {
  const PIECE = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx";
  const WHOLE = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

  /** Opens a connection from `address`, sends `text`, and tells whether it has been closed. */
  async function open(server: Server, address: string, text: string) {
    const { port } = server.address() as AddressInfo;
    const socket = connectPlain({ port, host: "127.0.0.1", localAddress: address });
    let received = "";
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString();
    });
    socket.on("error", () => undefined);
    const accepted = new Promise((resolve) => server.once("connection", resolve));
    await new Promise((resolve) => socket.once("connect", resolve));
    await accepted;
    if (text !== "") socket.write(text);
    return { socket, received: () => received };
  }

  async function limited(connections: ConnectionLimits, routes: RequestListener): Promise<Server> {
    const log = createLog("INFO", "text", () => undefined);
    const options = { readTimeoutMs: 0, writeTimeoutMs: 0, connections, log };
    const server = (await listen("127.0.0.1:0", routes, options)) as Server;
    servers.push(server);
    return server;
  }

  it.each([
    ["nothing", ""],
    ["half of the headers", "GET / HTTP/1.1\r\nhost"],
    ["a body that never ends", PIECE],
    ["a request that was answered", WHOLE],
  ])("that sent %s give way to a new one, the oldest first", async (_what, text) => {
    let answered = 0;
    const server = await limited({ perAddress: 4, total: 8 }, (request, response) => {
      if (request.method === "GET") response.end("served", () => answered++);
    });
    const first: Awaited<ReturnType<typeof open>>[] = [];
    for (let count = 0; count < 4; count++) first.push(await open(server, "127.0.0.1", text));
    if (text === WHOLE) await until(() => answered === 4);
    const honest = await open(server, "127.0.0.1", WHOLE);
    await until(() => honest.received().endsWith("served"));
    await until(() => first[0]?.socket.destroyed === true);
    expect(first.map(({ socket }) => socket.destroyed)).toEqual([true, false, false, false]);
    for (const { socket } of [...first, honest]) socket.destroy();
  });

  it("in all, give way at the address that has the most", async () => {
    const server = await limited({ perAddress: 4, total: 4 }, (_request, response) => {
      response.end("served");
    });
    const modest = await open(server, "127.0.0.2", "");
    const greedy: Awaited<ReturnType<typeof open>>[] = [];
    for (let count = 0; count < 6; count++) greedy.push(await open(server, "127.0.0.3", ""));
    const other = await open(server, "127.0.0.4", WHOLE);
    await until(() => other.received().endsWith("served"));
    await until(() => greedy.filter(({ socket }) => socket.destroyed).length === 4);
    expect(modest.socket.destroyed).toBe(false);
    for (const { socket } of [...greedy, modest, other]) socket.destroy();
  });

  it("that wait for their answer never give way: a new one is refused", async () => {
    const answers: (() => void)[] = [];
    const server = await limited({ perAddress: 2, total: 2 }, (_request, response) => {
      answers.push(() => response.end("served"));
    });
    const waiting = [
      await open(server, "127.0.0.1", WHOLE),
      await open(server, "127.0.0.1", WHOLE),
    ];
    await until(() => answers.length === 2);
    const refused = await open(server, "127.0.0.1", "");
    await until(() => refused.socket.destroyed);
    for (const answer of answers) answer();
    await until(() => waiting.every(({ received }) => received().endsWith("served")));
    for (const { socket } of waiting) socket.destroy();
  });

  it("are counted behind TLS as well", async () => {
    const tls = { certFile: "test/fixtures/cert.pem", keyFile: "test/fixtures/key.pem" };
    const log = createLog("INFO", "text", () => undefined);
    const connections = { perAddress: 1, total: 1 };
    const options = { readTimeoutMs: 0, writeTimeoutMs: 0, connections, tls, log };
    let arrived = false;
    let answer: (() => void) | undefined;
    const server = (await listen(
      "127.0.0.1:0",
      (_request, response) => {
        arrived = true;
        answer = () => response.end("served");
      },
      options,
    )) as Server;
    servers.push(server);
    const { port } = server.address() as AddressInfo;
    const working = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    let received = "";
    working.on("data", (chunk: Buffer) => {
      received += chunk.toString();
    });
    working.write(WHOLE);
    await until(() => arrived);
    const refused = await open(server, "127.0.0.1", "");
    await until(() => refused.socket.destroyed);
    answer?.();
    await until(() => received.endsWith("served"));
    working.destroy();
  });

  it.each([
    ["half of the headers", "GET / HTTP/1.1\r\nhost"],
    ["a body that never ends", PIECE],
    ["nothing", ""],
  ])("are closed in time with %s", async (_what, text) => {
    const log = createLog("INFO", "text", () => undefined);
    const options = { readTimeoutMs: 100, writeTimeoutMs: 0, log };
    const server = (await listen("127.0.0.1:0", () => undefined, options)) as Server;
    servers.push(server);
    const { socket, received } = await open(server, "127.0.0.1", text);
    await until(() => socket.destroyed);
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe("closing", () => {
  /** A server that answers when it is told to, with one request in it. */
  async function asked() {
    let answer: (() => void) | undefined;
    const server = await serve((_request, response) => {
      answer = () => response.end("late");
    });
    const address = `http://${addressOf(server)}`;
    let outcome = "";
    const ended = new Promise<void>((resolve) => {
      // Of one request only: one that is kept would hold the server up.
      get(address, { agent: false }, (response) => {
        response.on("data", (chunk: Buffer) => {
          outcome += chunk.toString();
        });
        response.on("end", resolve);
      }).on("error", () => {
        outcome = "cut";
        resolve();
      });
    });
    await until(() => answer !== undefined);
    return {
      server,
      address,
      answer: () => {
        answer?.();
      },
      ended,
      outcome: () => outcome,
    };
  }

  it("lets a running answer end, and takes no new connection", async () => {
    const { server, address, answer, ended, outcome } = await asked();
    const closed = closeServer(server, 60_000);
    await expect(fetch(address)).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
    answer();
    await Promise.all([ended, closed]);
    expect(outcome()).toBe("late");
  });

  it("cuts what is not done in time", async () => {
    const { server, ended, outcome } = await asked();
    await closeServer(server, 20);
    await ended;
    expect(outcome()).toBe("cut");
  });
});
