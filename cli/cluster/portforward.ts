// Requests to the controller's pod by a port-forward, through API server and kubelet, as
// `kubectl port-forward` makes it. Loaded only where needed.
// SPEC.md, "Command line", "Certificate".

import type { OutgoingHttpHeaders } from "node:http";
import type { RequestOptions } from "node:https";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import { type Answer, send } from "../../host/http.ts";
import { networkReason } from "../../host/networkreason.ts";
import { SignetError } from "../../shared/errors.ts";
import {
  asObject,
  type JsonObject,
  metadataOf,
  objectsIn,
} from "../../shared/kubernetes/object.ts";
import { detail } from "../terminal/messages.ts";
import {
  ask,
  type Cluster,
  MAX_ANSWER_BYTES,
  objectIn,
  type Question,
  wordsOf,
} from "./apiserver.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

/**
 * Carries one port in two channels. API servers pass it on, and kubelets speak it since Kubernetes 1.6
 * (docs/compatibility.md, "Connecting to the cluster").
 */
const SUBPROTOCOL = "v4.channel.k8s.io";
const DATA = 0;
const ERROR = 1;
/** The first message of a channel begins with the number of the port. */
const PORT_BYTES = 2;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const MAX_REASON_LENGTH = 500;

export interface ForwardTarget {
  readonly service: JsonObject;
  readonly options: ClusterOptions;
  /** Whether the pod serves HTTPS. */
  readonly isTls: boolean;
}

/** @throws SignetError network */
export async function requestByForward(
  cluster: Cluster,
  target: ForwardTarget,
  { method, route, body, headers }: Question,
): Promise<Answer> {
  const { controllerName, controllerNamespace: namespace } = target.options;
  const { pod, port } = await findPod(cluster, target);
  const forwarded = await openForward(cluster, { namespace, pod, port });
  const { requestTimeoutMs } = cluster;
  const host = `${controllerName}.${namespace}.svc`;
  // As for the API server's proxy: the API server and the kubelet vouch for the pod, not TLS.
  const stream = target.isTls
    ? connectTls({ socket: forwarded, servername: host, rejectUnauthorized: false })
    : forwarded;
  const options: RequestOptions = {
    method,
    createConnection: () => stream,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(requestTimeoutMs > 0 ? { signal: AbortSignal.timeout(requestTimeoutMs) } : {}),
  };
  try {
    const answer = await Promise.race([
      send(new URL(`http://${host}${route}`), options, body, {
        maxBytes: MAX_ANSWER_BYTES,
        isRepeatable: false,
      }),
      endOf(forwarded),
    ]);
    detail(`${method} ${route} of pod ${namespace}/${pod}, port ${port}: ${answer.status}`);
    return answer;
  } catch (error) {
    const fault = forwarded.errored ?? error;
    const reason =
      fault instanceof ForwardFault ? fault.message : networkReason(error, requestTimeoutMs);
    throw new SignetError("network", `pod ${pod}: ${reason}`, { cause: error });
  } finally {
    forwarded.destroy();
  }
}

/** Rejects when the stream ends: a request that meets one that has ended would never be answered. */
async function endOf(stream: Duplex): Promise<never> {
  if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
  throw stream.errored ?? new Error("the connection was closed");
}

/** A pod of the service that is ready, and the port on which it serves. */
async function findPod(
  cluster: Cluster,
  { service, options }: ForwardTarget,
): Promise<{ pod: string; port: number }> {
  const { controllerNamespace: namespace } = options;
  const spec = asObject(service["spec"] ?? null) ?? {};
  const selector = Object.entries(asObject(spec["selector"] ?? null) ?? {});
  if (selector.length === 0) throw new SignetError("network", "the service selects no pods");
  const labels = selector
    .map(([label, value]) => `${label}=${typeof value === "string" ? value : ""}`)
    .join(",");
  const query = new URLSearchParams({ labelSelector: labels });
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?${query.toString()}`;
  const answer = await ask(cluster, "GET", path);
  if (answer.status !== 200) throw new SignetError("network", wordsOf(answer));
  const found = objectsIn(objectIn(answer)?.["items"]).find(isReady);
  if (found === undefined) throw new SignetError("network", "no pod of the service is ready");
  const port = portOf(asObject(objectsIn(spec["ports"])[0] ?? null) ?? {}, found);
  if (port === undefined)
    throw new SignetError("network", "the pod does not have the service's port");
  const { name } = metadataOf(found);
  return { pod: typeof name === "string" ? name : "", port };
}

function isReady(pod: JsonObject): boolean {
  const status = asObject(pod["status"] ?? null) ?? {};
  const isGoing = metadataOf(pod)["deletionTimestamp"] !== undefined;
  return (
    !isGoing &&
    status["phase"] === "Running" &&
    objectsIn(status["conditions"]).some(
      (condition) => condition["type"] === "Ready" && condition["status"] === "True",
    )
  );
}

function portOf(
  { targetPort = null, port = null }: JsonObject,
  pod: JsonObject,
): number | undefined {
  const wanted = targetPort ?? port;
  if (typeof wanted === "number") return wanted;
  const containers = objectsIn(asObject(pod["spec"] ?? null)?.["containers"]);
  const named = containers
    .flatMap(({ ports }) => objectsIn(ports))
    .find(({ name }) => name === wanted);
  const number = named?.["containerPort"];
  return typeof number === "number" ? number : undefined;
}

/** What the API server, the kubelet or the pod says against it. */
class ForwardFault extends Error {}

async function openForward(
  { transport, requestTimeoutMs }: Cluster,
  { namespace, pod, port }: { namespace: string; pod: string; port: number },
): Promise<Duplex> {
  const pods = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const path = `${pods}/${encodeURIComponent(pod)}/portforward`;
  const { url, options } = await transport.prepare(path);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  url.searchParams.set("ports", String(port));
  const socket = new WebSocket(url, [SUBPROTOCOL], {
    agent: options.agent as RequestOptions["agent"] & object,
    headers: options.headers as OutgoingHttpHeaders & Record<string, string>,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    ...(requestTimeoutMs > 0 ? { handshakeTimeout: requestTimeoutMs } : {}),
  });
  const stream = new ForwardedStream(socket);
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown): void => {
      stream.destroy();
      reject(new SignetError("network", `pod ${pod}: ${reason}`, { cause }));
    };
    socket.once("open", () => {
      resolve(stream);
    });
    socket.once("error", (error) => {
      fail(networkReason(error, requestTimeoutMs), error);
    });
    socket.once("unexpected-response", (_request, response) => {
      const { statusCode: status = 0, statusMessage: reason = "", headers } = response;
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        if (text.length < MAX_MESSAGE_BYTES) text += chunk;
      });
      const end = (): void => {
        fail(wordsOf({ status, reason, headers, text }));
      };
      response.once("end", end).once("error", end);
    });
  });
}

/** The bytes of the forwarded port, as a connection to the pod would carry them. */
class ForwardedStream extends Duplex {
  readonly #socket: WebSocket;
  readonly #begun = new Set<number>();

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.#receive(data);
    });
    socket.on("close", () => {
      this.push(null);
    });
    socket.on("error", (error) => this.destroy(error));
    // Whoever reads asks what it was: an error may come when nobody listens.
    this.on("error", () => undefined);
  }

  #receive(message: Buffer): void {
    const channel = message[0] ?? ERROR;
    const isFirst = !this.#begun.has(channel);
    this.#begun.add(channel);
    const content = message.subarray(1 + (isFirst ? PORT_BYTES : 0));
    if (content.length === 0) return;
    if (channel !== DATA) {
      const words = content.toString("utf8").trim().slice(0, MAX_REASON_LENGTH);
      this.destroy(new ForwardFault(words));
    } else if (!this.push(content)) {
      this.#socket.pause();
    }
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _: string, done: (error?: Error) => void): void {
    this.#socket.send(Buffer.concat([Buffer.of(DATA), chunk]), done);
  }

  // The protocol knows no end of one side. What is written ends after the answer was read.
  override _final(done: (error?: Error) => void): void {
    this.#socket.terminate();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }
}
