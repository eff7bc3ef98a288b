// Requests to the controller, through the API server's service proxy. Loaded only where needed.
// SPEC.md, "Command line", "Certificate".

import type { OutgoingHttpHeaders } from "node:http";
import { type Answer, send } from "../../host/http.ts";
import { type Connection, loadKubeconfig, shownServer } from "../../host/kubernetes/kubeconfig.ts";
import { Transport } from "../../host/kubernetes/transport.ts";
import { proxyWords } from "../../host/proxies.ts";
import { networkReason } from "../../host/networkreason.ts";
import { SignetError } from "../../shared/errors.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { detail } from "../terminal/messages.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

/** A list of large SealedSecrets comes in pages; one page is smaller than this. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** The controller, behind the API server's service proxy. */
export interface Controller {
  /** How messages name it. */
  readonly source: string;
  /**
   * No route changes anything, so that a request may be repeated.
   * @throws SignetError network where there is no answer; an answer may have any status
   */
  request(
    method: "GET" | "POST",
    route: string,
    body?: string,
    headers?: OutgoingHttpHeaders,
  ): Promise<Answer>;
}

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

/**
 * Finds the controller's service.
 * @throws SignetError network, usage, io
 */
export async function connectController(options: ClusterOptions): Promise<Controller> {
  const cluster = clusterOf(options, true);
  const { controllerName: name, controllerNamespace: namespace } = options;
  const services = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`;
  const service = `${services}/${encodeURIComponent(name)}`;
  const found = await ask(cluster, "GET", service);
  if (found.status !== 200) throw serviceError(found, options);
  const port = firstPortName(found.text);
  const target = `${port === "https" ? "https" : "http"}:${name}:${port}`;
  const proxied = encodeURIComponent(target).replaceAll("%3A", ":");
  return {
    source: `the controller ${namespace}/${name}`,
    request: (method, route, body, headers) =>
      ask(cluster, method, `${services}/${proxied}/proxy${route}`, {
        body,
        headers,
        isRepeatable: true,
      }),
  };
}

/**
 * Fetches `route` from the controller. `what` names it in errors.
 * @throws SignetError network, usage
 */
export async function fetchFromController(
  options: ClusterOptions,
  route: string,
  what: string,
): Promise<{ readonly text: string; readonly source: string }> {
  const controller = await connectController(options);
  const answer = await controller.request("GET", route);
  if (answer.status === 200) return { text: answer.text, source: controller.source };
  const { controllerName: name, controllerNamespace: namespace } = options;
  throw new SignetError("network", `cannot fetch ${what}: ${wordsOf(answer)}`, {
    hint:
      answer.status === 403
        ? `you need permission to "get" services/proxy of ${name} in namespace ${namespace}`
        : `is the controller's pod running? see \`kubectl -n ${namespace} get endpoints ${name}\``,
  });
}

/** A cluster, and how requests go there. */
interface Cluster {
  readonly connection: Connection;
  readonly transport: Transport;
  readonly requestTimeoutMs: number;
}

/** @throws SignetError usage, io */
function clusterOf(options: ClusterOptions, keepsConnections: boolean): Cluster {
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

async function ask(
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
    const answer = await send(url, requestOptions, body, {
      maxBytes: MAX_ANSWER_BYTES,
      isRepeatable,
    });
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
        hint: `it is that of ${words}; choose another cluster with --context`,
      },
    );
  }
}

function serviceError(answer: Answer, options: ClusterOptions): SignetError {
  const { controllerName: name, controllerNamespace: namespace } = options;
  const hint = {
    401: "the cluster does not know you: renew your login",
    403: `you need permission to "get" the service ${name} in namespace ${namespace}`,
    404: "use --controller-name and --controller-namespace to say where the controller runs",
  }[answer.status];
  return new SignetError(
    "network",
    `cannot get sealed secret service: ${wordsOf(answer)} (${namespace}/${name})`,
    hint === undefined ? {} : { hint },
  );
}

/** The status, and the server's message where it has one. */
export function wordsOf({ status, text }: Answer): string {
  try {
    const message = asObject(JSON.parse(text) as Json)?.["message"];
    if (typeof message === "string" && message !== "") return `${status} ${message.slice(0, 500)}`;
  } catch {
    // Not a status object: use the number only.
  }
  return `status ${status}`;
}

/** Empty for an unnamed port: the proxy then uses the first port as well. */
function firstPortName(text: string): string {
  try {
    const spec = asObject(asObject(JSON.parse(text) as Json)?.["spec"] ?? null);
    const ports = spec?.["ports"];
    const first = Array.isArray(ports) ? asObject(ports[0] ?? null) : null;
    const name = first?.["name"];
    return typeof name === "string" ? name : "";
  } catch {
    throw new SignetError("network", "the cluster's answer about the service is not JSON");
  }
}
