// Requests to the controller, through the API server's service proxy. Loaded only where needed.
// SPEC.md, "Command line", "Certificate".

import type { OutgoingHttpHeaders } from "node:http";
import type { RequestOptions } from "node:https";
import { type Answer, send } from "../../host/http.ts";
import { KeptConnections } from "../../host/kubernetes/keptconnections.ts";
import { loadKubeconfig } from "../../host/kubernetes/kubeconfig.ts";
import type { ConnectionOverrides } from "../../host/kubernetes/kubeconfigfiles.ts";
import type { KubeConfig, User } from "../../host/kubernetes/library.ts";
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
  request(method: "GET" | "POST", route: string, body?: string): Promise<Answer>;
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
  const config = loadKubeconfig(options);
  return {
    request: (method, path, body, headers) => ask(config, method, path, options, { body, headers }),
  };
}

/**
 * Finds the controller's service.
 * @throws SignetError network, usage, io
 */
export async function connectController(options: ClusterOptions): Promise<Controller> {
  const config = loadKubeconfig(options);
  const { controllerName: name, controllerNamespace: namespace } = options;
  const services = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`;
  const kept = new KeptConnections();
  const service = `${services}/${encodeURIComponent(name)}`;
  const found = await ask(config, "GET", service, options, { kept });
  if (found.status !== 200) throw serviceError(found, options);
  const port = firstPortName(found.text);
  const target = `${port === "https" ? "https" : "http"}:${name}:${port}`;
  const proxied = encodeURIComponent(target).replaceAll("%3A", ":");
  return {
    source: `the controller ${namespace}/${name}`,
    request: (method, route, body) =>
      ask(config, method, `${services}/${proxied}/proxy${route}`, options, {
        body,
        kept,
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
        ? `you need leave to "get" services/proxy of ${name} in ${namespace}`
        : `is the controller's pod running? see \`kubectl -n ${namespace} get endpoints ${name}\``,
  });
}

interface Request {
  readonly body?: string | undefined;
  readonly headers?: OutgoingHttpHeaders | undefined;
  readonly kept?: KeptConnections;
  /** Whether to send it again where a kept connection was closed (default: true for a GET). */
  readonly isRepeatable?: boolean;
}

async function ask(
  config: KubeConfig,
  method: Method,
  path: string,
  options: ClusterOptions,
  { body, headers = {}, kept, isRepeatable = method === "GET" }: Request,
): Promise<Answer> {
  const server = config.getCurrentCluster()?.server ?? "";
  const { requestTimeoutMs, overrides } = options;
  try {
    const requestOptions: RequestOptions = {
      method,
      headers: {},
      ...(requestTimeoutMs > 0 ? { signal: AbortSignal.timeout(requestTimeoutMs) } : {}),
    };
    await config.applyToHTTPSOptions(requestOptions);
    if (kept !== undefined) requestOptions.agent = kept.agentLike(requestOptions.agent);
    // After the library, which drops existing headers where a plugin logs in.
    requestOptions.headers = {
      ...(requestOptions.headers as OutgoingHttpHeaders),
      accept: "application/json, application/x-pem-file, */*",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
      ...impersonation(config.getCurrentUser(), overrides),
    };
    const answer = await send(new URL(server + path), requestOptions, body, {
      maxBytes: MAX_ANSWER_BYTES,
      isRepeatable,
    });
    detail(`${method} ${server}${path}: ${answer.status}`);
    return answer;
  } catch (error) {
    if (error instanceof SignetError) throw error;
    throw new SignetError(
      "network",
      `cannot reach the cluster at ${server}: ${networkReason(error, requestTimeoutMs)}`,
      {
        cause: error,
        hint: "choose another cluster with --context; sealing needs a certificate only: --cert FILE",
      },
    );
  }
}

/**
 * Headers that impersonate a user; without them, a request would use the account's own permissions.
 */
function impersonation(
  account: User | null,
  overrides: ConnectionOverrides | undefined,
): OutgoingHttpHeaders {
  const { asGroups = [], asUid } = overrides ?? {};
  return {
    ...(account?.impersonateUser ? { "impersonate-user": account.impersonateUser } : {}),
    ...(asGroups.length === 0 ? {} : { "impersonate-group": [...asGroups] }),
    ...(asUid === undefined ? {} : { "impersonate-uid": asUid }),
  };
}

function serviceError(answer: Answer, options: ClusterOptions): SignetError {
  const { controllerName: name, controllerNamespace: namespace } = options;
  const hint = {
    401: "the cluster does not know you: renew your login, or seal with --cert FILE",
    403: `you need leave to "get" the service ${name} in ${namespace}; or seal with --cert FILE`,
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
