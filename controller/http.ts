// Owns: the HTTP routes: certificate, health, readiness, metrics; methods and limits.
// Does not own: what ready means (main.ts), which certificate (shared/keyring.ts).
// SPEC.md, "HTTP".

import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Keyring } from "../shared/keyring.ts";
import type { Metrics } from "./metrics.ts";

const REQUEST_TIMEOUT_MS = 30_000;

export interface HttpWiring {
  readonly keyring: Keyring;
  readonly metrics: Metrics;
  readonly ready: () => boolean;
}

/** What is served to the cluster: `/v1/cert.pem`, `/healthz`, `/readyz`. */
export function apiRoutes({ keyring, metrics, ready }: HttpWiring): RequestListener {
  return (request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const send = (code: number, body: string, contentType = "text/plain; charset=utf-8"): void => {
      const method = request.method ?? "";
      const known = ROUTES.includes(path) ? path : "other";
      metrics.httpRequests.inc({
        path: known,
        code,
        method: METHODS.has(method) ? method : "other",
      });
      response.writeHead(code, {
        "content-type": contentType,
        "x-content-type-options": "nosniff",
      });
      response.end(method === "HEAD" ? undefined : body);
    };
    if (!ROUTES.includes(path)) {
      send(404, "404 page not found\n");
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      send(405, "method not allowed\n");
    } else if (path === "/healthz") {
      send(200, "ok\n");
    } else if (path === "/readyz") {
      send(ready() ? 200 : 503, ready() ? "ok\n" : "not ready\n");
    } else {
      const newest = keyring.newest;
      if (newest === null) send(500, "cannot get certificate\n");
      else send(200, newest.certificate.pem, "application/x-pem-file");
    }
  };
}

const ROUTES = ["/v1/cert.pem", "/healthz", "/readyz"];
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** What is served to Prometheus: `/metrics`. */
export function metricsRoutes({ registry }: Metrics): RequestListener {
  return (request, response) => {
    if (request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => {
        response.writeHead(200, { "content-type": registry.contentType }).end(text);
      },
      () => {
        response.writeHead(500).end();
      },
    );
  };
}

/** Listens on `address`: `:8080`, `127.0.0.1:8080`, `[::1]:0`. */
export async function listen(address: string, routes: RequestListener): Promise<Server> {
  const { host, port } = parseAddress(address);
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      maxHeaderSize: 16384,
    },
    routes,
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return server;
}

/** `host:port` that a server really listens on. */
export function addressOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

/** @throws Error where `address` is not `host:port` */
export function parseAddress(address: string): { host: string | undefined; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new Error(`${address} is not an address to listen on, such as :8080`);
  }
  const host = match[1] ?? match[2];
  return { host: host === "" ? undefined : host, port };
}

/** Stops taking connections, lets running answers end, and closes what is left after `graceMs`. */
export async function closeServer(server: Server, graceMs: number): Promise<void> {
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
