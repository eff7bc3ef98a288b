// Owns: what the controller serves, through the API server: kubeconfig, service, proxy, words for
// what goes wrong. Does not own: what is wanted of it (certificate.ts, keys.ts).
// SPEC.md, "Command line", "Certificate". Loaded only where the cluster is asked.

import { request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { SignetError } from "../shared/errors.ts";
import { type ClusterOptions, kubeconfigFiles } from "./kubeconfig.ts";
import { KubeConfig } from "./kubernetes.ts";
import { networkReason } from "./network.ts";
import { asObject } from "../shared/secret.ts";
import type { Json } from "../shared/manifest.ts";

/** An answer of the API server is small: a service, or a certificate. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * What the controller answers to a GET of `route`, through the API server's service proxy. `what`
 * names it where it cannot be had.
 * @throws SignetError network, usage
 */
export async function fetchFromController(
  options: ClusterOptions,
  route: string,
  what: string,
): Promise<{ readonly text: string; readonly source: string }> {
  const config = loadConfig(options);
  const { controllerName: name, controllerNamespace: namespace } = options;
  const services = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`;
  const found = await get(config, `${services}/${encodeURIComponent(name)}`, options);
  if (found.status !== 200) throw serviceError(found, options);
  const port = firstPortName(found.text);
  const scheme = port === "https" ? "https" : "http";
  const service = `${scheme}:${name}:${port}`;
  const proxied = encodeURIComponent(service).replaceAll("%3A", ":");
  const answer = await get(config, `${services}/${proxied}/proxy${route}`, options);
  if (answer.status !== 200) {
    throw new SignetError("network", `cannot fetch ${what}: ${wordsOf(answer)}`, {
      hint:
        answer.status === 403
          ? `you need leave to "get" services/proxy "${service}" in ${namespace}`
          : `is the controller's pod running? see \`kubectl -n ${namespace} get endpoints ${name}\``,
    });
  }
  return { text: answer.text, source: `the controller ${namespace}/${name}` };
}

function loadConfig({ kubeconfig, context }: ClusterOptions): KubeConfig {
  const config = new KubeConfig();
  const files = kubeconfigFiles(kubeconfig);
  const [first] = files;
  const inCluster = (process.env["KUBERNETES_SERVICE_HOST"] ?? "") !== "";
  const noConfig = (): SignetError =>
    new SignetError(
      "usage",
      "no certificate was given, and there is no kubeconfig to ask a cluster with",
      { hint: "seal offline with --cert FILE, or name a cluster with --kubeconfig FILE" },
    );
  if (first === undefined && !inCluster) throw noConfig();
  try {
    if (first === undefined) config.loadFromCluster();
    else if (files.length === 1) config.loadFromFile(first);
    else config.loadFromDefault();
  } catch (error) {
    // The library's message may quote the file.
    throw new SignetError("io", "this kubeconfig cannot be read", {
      cause: error,
      hint: "see whether `kubectl config view` can",
      ...(first === undefined ? {} : { place: { file: first } }),
    });
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      throw new SignetError("usage", `the kubeconfig has no context ${JSON.stringify(context)}`, {
        hint: "see `kubectl config get-contexts`",
      });
    }
    config.setCurrentContext(context);
  }
  if (config.getCurrentCluster() === null) throw noConfig();
  return config;
}

async function get(config: KubeConfig, path: string, options: ClusterOptions): Promise<Answer> {
  const server = config.getCurrentCluster()?.server ?? "";
  const { requestTimeoutMs } = options;
  try {
    const url = new URL(server.replace(/\/+$/, "") + path);
    const requestOptions: RequestOptions = {
      headers: { accept: "application/json, application/x-pem-file, */*" },
      ...(requestTimeoutMs > 0 ? { signal: AbortSignal.timeout(requestTimeoutMs) } : {}),
    };
    await config.applyToHTTPSOptions(requestOptions);
    return await send(url, requestOptions);
  } catch (error) {
    if (error instanceof SignetError) throw error;
    throw new SignetError(
      "network",
      `cannot reach the cluster at ${server}: ${networkReason(error, requestTimeoutMs)}`,
      {
        cause: error,
        hint: "seal offline with --cert FILE, or choose another cluster with --context",
      },
    );
  }
}

function send(url: URL, options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { agent, ...plain } = options;
    const request =
      url.protocol === "http:" ? httpRequest(url, plain) : httpsRequest(url, { ...plain, agent });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) request.destroy(new Error("the answer is too large"));
      });
      response.on("error", reject);
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      });
    });
    request.end();
  });
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
    `cannot get sealed secret service "${namespace}/${name}": ${wordsOf(answer)}`,
    hint === undefined ? {} : { hint },
  );
}

/** The API server's own words, where it gives some. */
function wordsOf({ status, text }: Answer): string {
  try {
    const message = asObject(JSON.parse(text) as Json)?.["message"];
    if (typeof message === "string" && message !== "") return `${status} ${message.slice(0, 500)}`;
  } catch {
    // No status object: the number must do.
  }
  return `status ${status}`;
}

/** An unnamed port gives an empty name, which the proxy takes for the first port as well. */
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
