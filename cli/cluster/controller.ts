// Requests to the controller: through the API server's service proxy, or else by a port-forward.
// Loaded only where needed.
// SPEC.md, "Command line", "Certificate".

import type { OutgoingHttpHeaders } from "node:http";
import type { Answer } from "../../host/http.ts";
import { shownServer } from "../../host/kubernetes/kubeconfig.ts";
import { SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { detail } from "../terminal/messages.ts";
import { ask, type Cluster, clusterOf, objectIn, type Question, wordsOf } from "./apiserver.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

/** The controller of a cluster. */
export interface Controller {
  /** How messages name it. */
  readonly source: string;
  /**
   * No route changes anything, so that a request may be repeated.
   * @throws SignetError network where there is no answer; an answer may have any status
   */
  request(
    method: Method,
    route: string,
    body?: string,
    headers?: OutgoingHttpHeaders,
  ): Promise<ControllerAnswer>;
}

type Method = Question["method"];

/** An answer of the controller, or of the API server if no way led to the controller. */
export interface ControllerAnswer extends Answer {
  /** The other ways, and why each failed. */
  readonly failures?: readonly string[];
}

/** A way to the controller. */
interface Way {
  readonly name: "service proxy" | "port-forward";
  /** @throws SignetError network where it does not lead to the controller */
  request(question: Question): Promise<Answer>;
}

/** The way that led to a controller before in this run, by cluster and controller. */
const worked = new Map<string, Way["name"]>();

/** An API server that reaches no pod may take half a minute to say so. */
const FIRST_GET_LIMIT_MS = 10_000;

/**
 * Finds the controller's service.
 * @throws SignetError network, usage, io
 */
export async function connectController(options: ClusterOptions): Promise<Controller> {
  const cluster = clusterOf(options, true);
  const { controllerName: name, controllerNamespace: namespace } = options;
  const services = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`;
  const found = await ask(cluster, "GET", `${services}/${encodeURIComponent(name)}`);
  if (found.status !== 200) throw serviceError(found, options);
  const service = objectIn(found);
  if (service === null) {
    throw new SignetError("network", "the cluster's answer about the service is not JSON");
  }
  const source = `the controller ${namespace}/${name}`;
  const place = `${shownServer(cluster.connection)} ${source}`;
  const ways = [proxyWay(cluster, service, options, place), forwardWay(cluster, service, options)];
  return {
    source,
    request: (method, route, body, headers = {}) =>
      firstAnswer(place, ways, { method, route, body, headers }),
  };
}

function proxyWay(
  cluster: Cluster,
  service: JsonObject,
  options: ClusterOptions,
  place: string,
): Way {
  const { controllerName: name, controllerNamespace: namespace } = options;
  // Empty for an unnamed port: the proxy then uses the first port as well.
  const port = firstPortName(service);
  const target = `${port === "https" ? "https" : "http"}:${name}:${port}`;
  const proxied = encodeURIComponent(target).replaceAll("%3A", ":");
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${proxied}/proxy`;
  return {
    name: "service proxy",
    request: ({ method, route, body, headers }) => {
      const { requestTimeoutMs: limitMs } = cluster;
      const isFirst = method === "GET" && worked.get(place) === undefined;
      const requestTimeoutMs = isFirst
        ? Math.min(limitMs || FIRST_GET_LIMIT_MS, FIRST_GET_LIMIT_MS)
        : limitMs;
      return ask({ ...cluster, requestTimeoutMs }, method, path + route, {
        body,
        headers,
        isRepeatable: true,
      }).catch((error: unknown) => {
        throw isTimeout(error) ? notReached(cluster, requestTimeoutMs, options) : error;
      });
    },
  };
}

const isTimeout = (error: unknown): boolean =>
  error instanceof SignetError &&
  error.cause instanceof Error &&
  ["TimeoutError", "AbortError"].includes(error.cause.name);

/** The API server answered about the service before, so it is not what cannot be reached. */
function notReached(
  { connection }: Cluster,
  timeoutMs: number,
  options: ClusterOptions,
): SignetError {
  const { controllerName: name, controllerNamespace: namespace } = options;
  const words = `the API server at ${shownServer(connection)} did not reach the controller ${namespace}/${name} within ${timeoutMs / 1000} s (service proxy)`;
  return new SignetError("network", words, { hint: wayHint(options) });
}

/** What to do where the API server does not reach the pod: a private cluster, a firewall, a policy. */
function wayHint({ controllerName: name, controllerNamespace: namespace }: ClusterOptions): string {
  return (
    "a firewall or NetworkPolicy may keep the API server from the controller's pod: allow its port; or get permission to " +
    `"list" pods and "create" pods/portforward in namespace ${namespace}; is the pod ready? ` +
    `see \`kubectl -n ${namespace} get endpoints ${name}\``
  );
}

function forwardWay(cluster: Cluster, service: JsonObject, options: ClusterOptions): Way {
  return {
    name: "port-forward",
    request: async (question) => {
      const { requestByForward } = await import("./portforward.ts");
      const isTls = firstPortName(service) === "https";
      return requestByForward(cluster, { service, options, isTls }, question);
    },
  };
}

/**
 * What the first way answers that leads to the controller; where none does, what the first one
 * answers, with the failures of the others.
 */
async function firstAnswer(
  place: string,
  ways: readonly Way[],
  question: Question,
): Promise<ControllerAnswer> {
  const known = worked.get(place);
  const inOrder = [...ways].sort((a, b) => Number(b.name === known) - Number(a.name === known));
  let first: Answer | SignetError | undefined;
  const failures: string[] = [];
  for (const way of inOrder) {
    const result = await way.request(question).catch((error: unknown) => {
      if (error instanceof SignetError && error.code === "network") return error;
      throw error;
    });
    if (!(result instanceof SignetError) && !isOfApiServer(result)) {
      if (known !== way.name) detail(`the controller answers by the ${way.name}`);
      worked.set(place, way.name);
      return result;
    }
    const words = result instanceof SignetError ? result.message : wordsOf(result);
    detail(`the controller does not answer by the ${way.name}: ${words}`);
    if (first === undefined) first = result;
    else failures.push(`${way.name}: ${words}`);
    // No other way is open to someone whom the cluster does not know.
    if (!(result instanceof SignetError) && result.status === 401) break;
  }
  if (first instanceof SignetError) throw withFailures(first, failures);
  if (first === undefined) throw new Error("no way to the controller");
  return { ...first, failures };
}

/** Whether the API server answers in the controller's place, which never answers with a Status. */
function isOfApiServer(answer: Answer): boolean {
  const isSuccess = answer.status >= 200 && answer.status <= 299;
  return !isSuccess && objectIn(answer)?.["kind"] === "Status";
}

/** What the API server says where it does not reach the pod of a service that has one. */
const NOT_REACHED = /error trying to reach service|dial tcp|i\/o timeout|context deadline exceeded/;

/** What to do where the API server answers in the controller's place; undefined where it does not. */
export function answerHint(answer: ControllerAnswer, options: ClusterOptions): string | undefined {
  if (!isOfApiServer(answer) || answer.status < 500) return undefined;
  return NOT_REACHED.test(wordsOf(answer)) ? wayHint(options) : podHint(options);
}

function podHint({ controllerName: name, controllerNamespace: namespace }: ClusterOptions): string {
  return `is the controller's pod running? see \`kubectl -n ${namespace} get endpoints ${name}\``;
}

/** An error that names the other ways that were tried. */
export function withFailures(error: SignetError, failures: readonly string[]): SignetError {
  const { code, message, hint, place, cause } = error;
  const details = { place, cause, ...(hint === undefined ? {} : { hint }) };
  return new SignetError(code, [message, ...failures].join("; "), details);
}

/** The status, the message where there is one, and why other ways failed. */
export function answerWords({ failures = [], ...answer }: ControllerAnswer): string {
  if (failures.length === 0) return wordsOf(answer);
  return [`${wordsOf(answer)} (service proxy)`, ...failures].join("; ");
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
  throw new SignetError("network", `cannot fetch ${what}: ${answerWords(answer)}`, {
    hint:
      answer.status === 403
        ? `you need permission to "get" services/proxy of ${name} in namespace ${namespace}`
        : (answerHint(answer, options) ?? podHint(options)),
  });
}

function serviceError(answer: Answer, options: ClusterOptions): SignetError {
  const { controllerName: name, controllerNamespace: namespace } = options;
  const hint = {
    401: "the cluster does not accept your credentials: log in again",
    403: `you need permission to "get" the service ${name} in namespace ${namespace}`,
    404: "use --controller-name and --controller-namespace to say where the controller runs",
  }[answer.status];
  return new SignetError(
    "network",
    `cannot get sealed secret service: ${wordsOf(answer)} (${namespace}/${name})`,
    hint === undefined ? {} : { hint },
  );
}

function firstPortName(service: JsonObject): string {
  const ports = asObject(service["spec"] ?? null)?.["ports"];
  const first = Array.isArray(ports) ? asObject(ports[0] ?? null) : null;
  const name = first?.["name"];
  return typeof name === "string" ? name : "";
}
