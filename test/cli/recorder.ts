// A server on this machine in place of an API server: it notes what was asked and as whom, and has
// a controller's certificate to give.

import { readFileSync } from "node:fs";
import {
  createServer as createHttp,
  type IncomingHttpHeaders,
  type RequestListener,
} from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type PeerCertificate, TLSSocket } from "node:tls";
import type { Pair } from "./authority.ts";

export interface Recorder {
  readonly url: string;
  readonly port: number;
  /** Each request: path, headers, and the name in the client's certificate. */
  readonly seen: { path: string; headers: IncomingHttpHeaders; client: string | undefined }[];
  /** Addresses that clients asked for with CONNECT, as of a proxy. */
  readonly connected: string[];
  readonly close: () => Promise<void>;
}

/** Without `tls` it speaks plain HTTP. */
export async function startRecorder(tls?: Pair, listener?: RequestListener): Promise<Recorder> {
  const seen: Recorder["seen"] = [];
  const connected: string[] = [];
  const answer: RequestListener = (request, response) => {
    const path = request.url ?? "";
    const { socket, headers } = request;
    // Without a certificate it is an empty object.
    const certificate: Partial<PeerCertificate> =
      socket instanceof TLSSocket ? socket.getPeerCertificate() : {};
    seen.push({ path, headers, client: [certificate.subject?.CN].flat()[0] });
    if (listener !== undefined) listener(request, response);
    else if (path.endsWith("cert.pem")) response.end(readFileSync("test/fixtures/cert.pem"));
    else response.end(JSON.stringify({ spec: { ports: [{ name: "web" }] } }));
  };
  const server =
    tls === undefined
      ? createHttp(answer)
      : createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, answer);
  server.on("connect", (request, socket) => {
    connected.push(request.url ?? "");
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    port,
    seen,
    connected,
    close: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A kubeconfig with one context of the name, its cluster and its user. */
export function kubeconfig(name: string, cluster: object, user: object, more: object = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    contexts: [{ name, context: { cluster: name, user: name, ...more } }],
    clusters: [{ name, cluster }],
    users: [{ name, user }],
  });
}
