// Requests to the API server of a kubeconfig's cluster. Loaded only where needed.
// SPEC.md, "Command line", "Certificate".

import type { OutgoingHttpHeaders } from "node:http";
import { type Answer, send } from "../../host/http.ts";
import { type Connection, loadKubeconfig, shownServer } from "../../host/kubernetes/kubeconfig.ts";
import { Transport } from "../../host/kubernetes/transport.ts";
import { proxyWords } from "../../host/proxies.ts";
import { networkReason } from "../../host/networkreason.ts";
import { SignetError } from "../../shared/errors.ts";
import { type JsonObject, jsonObjectIn } from "../../shared/kubernetes/object.ts";
import { detail } from "../terminal/messages.ts";
import { whileWaiting } from "../terminal/progress.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

/** A list of large SealedSecrets comes in pages; one page is smaller than this. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** The API server, as the user of the kubeconfig. */
export interface ApiServer {
  /** @throws SignetError network where there is no answer; an answer may have any status */
  request(
    method: Method,
    path: string,
    body?: string,
    headers?: OutgoingHttpHeaders,
  ): Promise<Answer>;
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** @throws SignetError usage, io */
export function connectApiServer(options: ClusterOptions): ApiServer {
  const cluster = clusterOf(options, false);
  return {
    request: (method, path, body, headers) => ask(cluster, method, path, { body, headers }),
  };
}

/** A cluster, and how requests go there. */
export interface Cluster {
  readonly connection: Connection;
  readonly transport: Transport;
  /** 0 for no limit. */
  readonly requestTimeoutMs: number;
}

/** @throws SignetError usage, io */
export function clusterOf(options: ClusterOptions, keepsConnections: boolean): Cluster {
  const connection = loadKubeconfig(options);
  const transport = new Transport(connection, { keepsConnections });
  return { connection, transport, requestTimeoutMs: options.requestTimeoutMs };
}

interface Request {
  readonly body?: string | undefined;
  readonly headers?: OutgoingHttpHeaders | undefined;
  /** Whether to send it again where a kept connection was closed (default: true for a GET). */
  readonly isRepeatable?: boolean;
}

/** What is asked of the controller, whichever way leads there. */
export interface Question {
  readonly method: "GET" | "POST";
  readonly route: string;
  readonly body: string | undefined;
  readonly headers: OutgoingHttpHeaders;
}

/** @throws SignetError network where there is no answer */
export async function ask(
  { connection, transport, requestTimeoutMs }: Cluster,
  method: Method,
  path: string,
  { body, headers = {}, isRepeatable = method === "GET" }: Request = {},
): Promise<Answer> {
  const server = shownServer(connection);
  try {
    const { url, options } = await transport.prepare(path);
    const requestOptions = {
      ...options,
      method,
      // From here on: a login may ask a person, who takes time.
      ...(requestTimeoutMs > 0
        ? { signal: AbortSignal.timeout(requestTimeoutMs), timeout: requestTimeoutMs }
        : {}),
      headers: {
        accept: "application/json, application/x-pem-file, */*",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
        ...(options.headers as OutgoingHttpHeaders),
      },
    };
    const answer = await whileWaiting(`waiting for ${server}`, () =>
      send(url, requestOptions, body, { maxBytes: MAX_ANSWER_BYTES, isRepeatable }),
    );
    if (answer.status === 401) transport.refused();
    detail(`${method} ${server}${path}: ${answer.status}`);
    return answer;
  } catch (error) {
    if (error instanceof SignetError) throw error;
    const { proxy, words } = connection;
    const way = proxy === undefined ? "" : ` through ${proxyWords(proxy)}`;
    throw new SignetError(
      "network",
      `cannot reach the cluster at ${server}${way}: ${networkReason(error, requestTimeoutMs)}`,
      {
        cause: error,
        hint: `this address is from ${words}; choose another cluster with --context`,
      },
    );
  }
}

/** The object that an answer holds; null if it holds none. */
export function objectIn({ text }: Answer): JsonObject | null {
  return jsonObjectIn(text);
}

/** The status, and the server's message where it has one. */
export function wordsOf(answer: Answer): string {
  const message = objectIn(answer)?.["message"];
  if (typeof message === "string" && message !== "")
    return `${answer.status} ${message.slice(0, 500)}`;
  return `status ${answer.status}`;
}
