// Owns: a proxy between a controller and the API server that lets a test stand between two calls.
// Does not own: what the test does there.
import { writeFile } from "node:fs/promises";
import { createServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createSealingKey } from "../../shared/certificate.ts";
import type { ControlPlane } from "./controlplane.ts";

/** One call on its way. */
export interface ProxiedCall {
  readonly method: string;
  readonly path: string;
  /** True for what changes the cluster. */
  readonly isWrite: boolean;
}

export interface Proxy {
  /** Its certificate is of no known authority: clients must skip the check. */
  readonly url: string;
  stop: () => Promise<void>;
}

/**
 * Passes calls on. `before` may hold a call up; where it returns `"drop"`, the connection is cut
 * and the API server never hears of it. `after` sees an answered call before its caller does;
 * `"drop"` there loses the answer.
 */
export async function startProxy(
  plane: ControlPlane,
  hooks: {
    readonly before?: (call: ProxiedCall) => Promise<"pass" | "drop">;
    readonly after?: (call: ProxiedCall) => Promise<"pass" | "drop">;
  },
): Promise<Proxy> {
  const pair = await createSealingKey({
    bits: 2048,
    notBefore: new Date(Date.now() - 60_000),
    validForMs: 86_400_000,
    commonName: "127.0.0.1",
  });
  const server = createServer(
    { key: pair.privateKeyPem, cert: pair.certificatePem },
    (request, response) => {
      const { method = "", url = "" } = request;
      const call = { method, path: url, isWrite: method !== "GET" };
      const forward = async (): Promise<void> => {
        if ((await hooks.before?.(call)) === "drop") {
          request.destroy();
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
                request.destroy();
                return;
              }
              response.writeHead(answer.statusCode ?? 502, answer.headers);
              answer.pipe(response);
            })();
          },
        );
        upstream.on("error", () => request.destroy());
        response.on("close", () => upstream.destroy());
        request.pipe(upstream);
      };
      void forward();
    },
  );
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
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
  hooks: Parameters<typeof startProxy>[1],
): Promise<{ plane: ControlPlane; stop: () => Promise<void> }> {
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
  return { plane: { ...plane, kubeconfig }, stop: () => proxy.stop() };
}
