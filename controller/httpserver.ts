// HTTP servers: listening, TLS and certificate reload, timeouts, closing.
// SPEC.md, "HTTP".

import { readFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import { type ConnectionLimits, limitConnections } from "./connections.ts";
import type { Log } from "./log.ts";

/** For the TLS handshake, and for the headers of a request. */
const HEADERS_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** More than any cluster's proxies need, and few enough to bound the process's memory. */
const CONNECTIONS: ConnectionLimits = { perAddress: 256, total: 512 };
/** How often the certificate files are checked: a mounted Secret changes without notice. */
const TLS_CHECK_INTERVAL_MS = 10_000;

export interface ServerOptions {
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly connections?: ConnectionLimits;
  /** Serve HTTPS with this certificate and key, PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly log: Log;
}

/**
 * Listens on `address`: `:8080`, `127.0.0.1:8080`, `[::1]:0`.
 * @throws Error if it cannot listen, or if the TLS files are not usable
 */
export async function listen(
  address: string,
  routes: RequestListener,
  { readTimeoutMs, writeTimeoutMs, connections = CONNECTIONS, tls, log }: ServerOptions,
): Promise<Server | TlsServer> {
  const { host, port } = parseAddress(address);
  const limits = {
    requestTimeout: readTimeoutMs,
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, readTimeoutMs || HEADERS_TIMEOUT_MS),
    connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const pair = tls === undefined ? undefined : readPair(tls);
  const server =
    pair === undefined
      ? createServer(limits, routes)
      : createTlsServer(
          { ...limits, ...pair, minVersion: "TLSv1.2", handshakeTimeout: HEADERS_TIMEOUT_MS },
          routes,
        );
  limitConnections(server, connections);
  server.setTimeout(writeTimeoutMs);
  if (tls !== undefined && pair !== undefined) {
    reloadOnChange(server as TlsServer, pair.cert + pair.key, tls, log);
  }
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return server;
}

function readPair({ certFile, keyFile }: NonNullable<ServerOptions["tls"]>): {
  cert: string;
  key: string;
} {
  try {
    const pair = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
    createSecureContext(pair);
    return pair;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // OpenSSL's message may quote the file.
    throw new Error(`the TLS certificate or key is invalid: ${code ?? "not PEM"}`);
  }
}

/** Serves a new pair once the files change; keeps the old one if the new one is not usable. */
function reloadOnChange(
  server: TlsServer,
  serving: string,
  tls: NonNullable<ServerOptions["tls"]>,
  log: Log,
): void {
  let last = serving;
  const timer = setInterval(() => {
    try {
      const pair = readPair(tls);
      const seen = pair.cert + pair.key;
      if (seen === last) return;
      server.setSecureContext({ ...pair, minVersion: "TLSv1.2" });
      last = seen;
      log.info("TLS certificate reloaded", { file: tls.certFile });
    } catch (error) {
      log.error("TLS certificate not reloaded, keeping the previous one", {
        error: (error as Error).message,
      });
    }
  }, TLS_CHECK_INTERVAL_MS);
  timer.unref();
  server.once("close", () => {
    clearInterval(timer);
  });
}

/** The `host:port` that a server listens on. */
export function addressOf(server: Server | TlsServer): string {
  const { address, port, family } = server.address() as AddressInfo;
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

/** @throws Error if `address` is not `host:port` */
export function parseAddress(address: string): { host: string | undefined; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new Error(`${address} is not an address to listen on, such as :8080`);
  }
  const host = match[1] ?? match[2];
  return { host: host === "" ? undefined : host, port };
}

/** Stops accepting connections, and closes those that are still open after `graceMs`. */
export async function closeServer(server: Server | TlsServer, graceMs: number): Promise<void> {
  const cut = setTimeout(() => {
    server.closeAllConnections();
  }, graceMs);
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeIdleConnections();
  });
  clearTimeout(cut);
}
