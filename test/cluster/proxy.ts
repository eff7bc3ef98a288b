// A proxy between a controller and the API server that lets a test act between two calls.
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import type { ControlPlane } from "./controlplane.ts";

/** One call on its way. */
export interface ProxiedCall {
  readonly method: string;
  readonly path: string;
  /** True for what changes the cluster. */
  readonly isWrite: boolean;
  readonly isWatch: boolean;
  /** The header: whether only metadata were asked for. */
  readonly accept: string;
}

/** A response of the proxy itself; the API server never sees the call. */
export interface OwnAnswer {
  readonly status: number;
  readonly reason: string;
  readonly retryAfter?: number;
}

export interface Hooks {
  /** May hold a call up; `"drop"` cuts the connection before the API server hears of it. */
  readonly before?: (call: ProxiedCall) => Promise<"pass" | "drop" | OwnAnswer>;
  /** Sees an answered call before its caller does; `"drop"` loses the answer. */
  readonly after?: (call: ProxiedCall) => Promise<"pass" | "drop">;
}

export interface Proxy {
  /** Its certificate is of no known authority: clients must skip the check. */
  readonly url: string;
  /** Paths of the watches that are open, oldest first. */
  readonly watched: () => string[];
  /** Cuts all watches. */
  readonly cutWatches: () => void;
  /** All watches stay open, and nothing comes any more; new ones work. */
  readonly stallWatches: () => void;
  /** All watches end as the API server ends one whose place in its history is gone. */
  readonly expireWatches: () => void;
  readonly stop: () => Promise<void>;
}

const GONE = { kind: "Status", code: 410, reason: "Expired", status: "Failure" };

/** Passes calls on, as the hooks let it. */
async function startProxy(plane: ControlPlane, hooks: Hooks): Promise<Proxy> {
  const pair = await createSealingKey({
    bits: 2048,
    notBefore: new Date(Date.now() - 60_000),
    validForMs: 86_400_000,
    commonName: "127.0.0.1",
  });
  const watches = new Map<
    ServerResponse,
    { readonly path: string; readonly answer: IncomingMessage }
  >();
  const server = createServer(
    { key: pair.privateKeyPem, cert: pair.certificatePem },
    (request, response) => {
      const { method = "", url = "" } = request;
      const isWatch = url.includes("watch=true");
      const { accept = "" } = request.headers;
      const call = { method, path: url, isWrite: method !== "GET", isWatch, accept };
      const forward = async (): Promise<void> => {
        const verdict = (await hooks.before?.(call)) ?? "pass";
        if (verdict === "drop") {
          request.socket.destroy();
          return;
        }
        if (verdict !== "pass") {
          const { status, reason, retryAfter } = verdict;
          request.resume();
          response.writeHead(status, {
            "content-type": "application/json",
            ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
          });
          response.end(JSON.stringify({ kind: "Status", code: status, reason }));
          return;
        }
        const upstream = httpsRequest(
          {
            host: plane.host,
            port: plane.port,
            path: url,
            method,
            headers: { ...request.headers, host: `${plane.host}:${plane.port}` },
            rejectUnauthorized: false,
          },
          (answer) => {
            void (async () => {
              if ((await hooks.after?.(call)) === "drop") {
                request.socket.destroy();
                return;
              }
              response.writeHead(answer.statusCode ?? 502, answer.headers);
              if (isWatch) watches.set(response, { path: url, answer });
              answer.on("error", () => response.destroy());
              answer.pipe(response);
            })();
          },
        );
        upstream.on("error", () => request.socket.destroy());
        response.on("close", () => {
          watches.delete(response);
          upstream.destroy();
        });
        request.pipe(upstream);
      };
      void forward();
    },
  );
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    watched: () => [...watches.values()].map(({ path }) => path),
    cutWatches: () => {
      for (const response of watches.keys()) response.destroy();
    },
    stallWatches: () => {
      for (const [response, { answer }] of watches) answer.unpipe(response).resume();
    },
    expireWatches: () => {
      for (const [response, { answer }] of watches) {
        answer.unpipe(response);
        response.end(`${JSON.stringify({ type: "ERROR", object: GONE })}\n`);
      }
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((done) => {
        server.close(() => {
          done();
        });
      });
    },
  };
}

/** The same control plane, reached by way of a proxy. */
export async function startProxiedPlane(
  plane: ControlPlane,
  hooks: Hooks = {},
): Promise<Proxy & { readonly plane: ControlPlane }> {
  const proxy = await startProxy(plane, hooks);
  const kubeconfig: ControlPlane["kubeconfig"] = async ({ token = "" } = {}) => {
    const file = join(plane.directory, `proxied-${Math.random().toString(36).slice(2)}.json`);
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      clusters: [
        { name: "test", cluster: { server: proxy.url, "insecure-skip-tls-verify": true } },
      ],
      users: [{ name: "test", user: { token } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    };
    await writeFile(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  };
  return { ...proxy, plane: { ...plane, kubeconfig } };
}
