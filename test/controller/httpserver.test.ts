// The HTTP server: addresses, TLS and its renewal, and how it closes.
// SPEC.md, "HTTP".
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
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
      /level=ERROR msg="TLS certificate kept as it was" error="the TLS certificate or key cannot be used: ERR_OSSL_\w+"$/,
    );

    put("other-");
    vi.advanceTimersByTime(10_000);
    const after = await shown(server);
    expect(after).not.toBe(before);
    expect(lines.at(-1)).toMatch(/level=INFO msg="TLS certificate renewed" file=\S+\/tls\.crt$/);
    vi.advanceTimersByTime(10_000);
    expect([await shown(server), lines.length]).toEqual([after, 2]);

    // Nobody looks at the files of a server that is closed.
    await closeServer(server, 0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is refused at the start with a key of another certificate, or without files", async () => {
    const start = (): Promise<Server> => serve(() => undefined, tls);
    await expect(start()).rejects.toThrow("the TLS certificate or key cannot be used: ENOENT");
    put("");
    copyFileSync("test/fixtures/other-key.pem", tls.keyFile);
    await expect(start()).rejects.toThrow("the TLS certificate or key cannot be used: ERR_OSSL");
    expect(servers).toEqual([]);
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
