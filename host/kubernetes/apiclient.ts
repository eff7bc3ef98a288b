// A client of the Kubernetes API: requests and watches, their timeouts, errors and rate limit.

import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as httpRequest,
} from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { addAbortSignal } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../../shared/errors.ts";
import { AnswerTooLarge, parseAnswer, readAnswer } from "./answer.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { VERSION } from "../../shared/version.ts";
import type { Connection } from "./kubeconfig.ts";
import type { Unparsed } from "./paging.ts";
import { Transport } from "./transport.ts";
import { WatchLines } from "./watchlines.ts";

/** An error response of the API server, or a failure to reach it (status 0). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** The server's machine-readable reason, such as `AlreadyExists`. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  /** The number of fields of the object that the server reports as invalid. */
  readonly invalidFields: number;

  /**
   * `message` must not contain any part of a request body, which servers quote when they reject it.
   */
  constructor(
    status: number,
    reason: string,
    message: string,
    retryAfterMs?: number,
    invalidFields = 0,
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
    this.invalidFields = invalidFields;
  }
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Json;
  readonly contentType?: string;
  readonly accept?: string;
  /** Called right before the request is sent; throws if it may no longer be sent. */
  readonly guard?: () => void;
  /** Skips the client's rate limit. */
  readonly urgent?: boolean;
  readonly timeoutMs?: number;
}

/** For a whole call, without the login. */
const REQUEST_TIMEOUT_MS = 30_000;
const PLUGIN_LIMIT_MS = 60_000;
/**
 * The longest wait that a server can demand, because a longer one would stop us altogether. The
 * shortest is a second, because less would not relieve the server.
 */
const MAX_RETRY_AFTER_S = 60;
/** A 500 may concern a single object, so it says nothing about the others. */
const UNAVAILABLE = new Set([502, 503, 504]);
/** The shortest time between two calls of `onRecovered`, for a server that fails repeatedly. */
const MIN_RECOVERY_INTERVAL_MS = 5_000;

/** A client of one API server: keep-alive connections, a timeout per call, a rate limit. */
export class KubernetesClient {
  readonly #transport: Transport;
  readonly #take: () => Promise<void>;
  readonly #userAgent: string;

  /** `qps` and `burst` limit the calls per second; a negative `qps` means no limit. */
  constructor(connection: Connection, limits: { qps: number; burst: number }, identity = "") {
    this.#transport = new Transport(connection, {
      keepsConnections: true,
      pluginLimitMs: PLUGIN_LIMIT_MS,
    });
    // So that the API server's audit log shows which replica wrote.
    this.#userAgent = `kube-signet/${VERSION}${identity === "" ? "" : ` (${identity})`}`;
    this.#take = limits.qps > 0 ? tokenBucket(limits.qps, limits.burst) : () => Promise.resolve();
  }

  /** Called when the API server answers again after it was unreachable or failing. */
  onRecovered: (() => void) | undefined;
  #isFailing = false;
  #recoveredAtMs = -Infinity;

  #recordHealth(isFailing: boolean): void {
    const nowMs = performance.now();
    if (!isFailing && this.#isFailing && nowMs - this.#recoveredAtMs >= MIN_RECOVERY_INTERVAL_MS) {
      this.#recoveredAtMs = nowMs;
      this.onRecovered?.();
    }
    this.#isFailing = isFailing;
  }

  /**
   * One call.
   * @throws ApiError for every response that is not 2xx, and on a timeout; AnswerTooLarge
   */
  async call(method: string, path: string, options: CallOptions = {}): Promise<JsonObject> {
    return (await this.unparsed(method, path, options))();
  }

  /** One call, as `call` makes it, with the response as it came. */
  async unparsed(method: string, path: string, options: CallOptions = {}): Promise<Unparsed> {
    if (options.urgent !== true) await this.#take();
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const request = await this.#open(method, path, options, body);
    const deadline = AbortSignal.timeout(options.timeoutMs ?? REQUEST_TIMEOUT_MS);
    addAbortSignal(deadline, request);
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        if (error instanceof AnswerTooLarge) {
          reject(error);
          return;
        }
        this.#recordHealth(true);
        const isLate = deadline.aborted;
        reject(
          isLate
            ? new ApiError(0, "Timeout", `no response to ${method} ${path}`)
            : asApiError(error),
        );
      };
      request.on("error", fail);
      request.on("response", (response) => {
        readAnswer(response).then((text) => {
          const status = response.statusCode ?? 0;
          this.#recordHealth(UNAVAILABLE.has(status));
          if (status < 200 || status > 299) reject(this.#refusal(status, response, text));
          else resolve(() => asObject(parseAnswer(text)) ?? {});
        }, fail);
      });
      try {
        options.guard?.();
      } catch (error) {
        // This failure says nothing about the server's health.
        request.removeAllListeners("error").on("error", () => undefined);
        request.destroy();
        reject(asApiError(error));
        return;
      }
      request.end(body);
    });
  }

  /**
   * Follows a watch until the server ends it or `signal` aborts. Events are passed on in order. A
   * stream that is silent for `silenceMs` counts as dead, because bookmarks arrive more often.
   * @throws ApiError
   */
  async watch(
    path: string,
    options: CallOptions,
    silenceMs: number,
    signal: AbortSignal,
    onEvent: (type: string, object: JsonObject) => void,
  ): Promise<void> {
    await this.#take();
    const request = await this.#open("GET", path, options, undefined, signal);
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void => {
        request.destroy();
        if (signal.aborted) resolve();
        else reject(asApiError(error));
      };
      request.setTimeout(silenceMs, () => {
        fail(new ApiError(0, "Silent", "the watch stopped sending events"));
      });
      request.on("error", fail);
      request.on("response", (response) => {
        const status = response.statusCode ?? 0;
        if (status !== 200) {
          readAnswer(response).then((text) => {
            fail(this.#refusal(status, response, text));
          }, fail);
          return;
        }
        const lines = new WatchLines();
        response.on("data", (chunk: Buffer) => {
          try {
            for (const line of lines.take(chunk)) {
              if (line.trim() !== "") onEvent(...watchEvent(line));
            }
          } catch (error) {
            fail(error);
          }
        });
        response.on("end", resolve);
        response.on("error", fail);
      });
      request.end();
    });
  }

  /** Closes every connection, even if a request is using it. */
  close(): void {
    this.#transport.close();
  }

  #refusal(status: number, response: IncomingMessage, text: string): ApiError {
    if (status === 401) this.#transport.refused();
    return refusal(status, response, text);
  }

  async #open(
    method: string,
    path: string,
    { query = {}, contentType = "application/json", accept = "application/json" }: CallOptions,
    body: Buffer | undefined,
    signal?: AbortSignal,
  ): Promise<ClientRequest> {
    const { url, options } = await this.#transport.prepare(path).catch((error: unknown) => {
      this.#recordHealth(true);
      throw asApiError(error);
    });
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const sent: RequestOptions = {
      ...options,
      method,
      ...(signal === undefined ? {} : { signal }),
      headers: {
        ...(options.headers as OutgoingHttpHeaders),
        accept,
        "user-agent": this.#userAgent,
        ...(body === undefined
          ? {}
          : { "content-type": contentType, "content-length": body.length }),
      },
    };
    return (url.protocol === "http:" ? httpRequest : httpsRequest)(url, sent);
  }
}

/**
 * @throws ApiError 410 if `line` is not an event: the change that it reported is lost until the
 * next list
 */
function watchEvent(line: string): [string, JsonObject] {
  const event = asObject(parseAnswer(line));
  const object = asObject(event?.["object"] ?? null);
  const type = event?.["type"];
  if (typeof type !== "string" || object === null) {
    throw new ApiError(410, "Malformed", "the watch sent a line that is not an event");
  }
  return [type, object];
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof SignetError) {
    const file = error.place.file === undefined ? "" : `${error.place.file}: `;
    return new ApiError(
      0,
      "Unreachable",
      `cannot send requests to the API server: ${file}${error.message}`,
    );
  }
  const code = (error as NodeJS.ErrnoException).code ?? (error as Error).name;
  return new ApiError(0, "Unreachable", `the API server is unreachable: ${code}`);
}

function refusal(status: number, response: IncomingMessage, text: string): ApiError {
  const answer = asObject(parseAnswer(text));
  const reason = typeof answer?.["reason"] === "string" ? answer["reason"] : `HTTP${status}`;
  const details = asObject(answer?.["details"] ?? null);
  const causes = Array.isArray(details?.["causes"]) ? details["causes"] : [];
  // Only the fields: a cause's message may quote the value that was rejected.
  const fields = causes
    .map((cause) => asObject(cause))
    .flatMap((cause) => (typeof cause?.["field"] === "string" ? [cause["field"]] : []));
  const where = fields.length === 0 ? "" : ` (${fields.join(", ")})`;
  const seconds = Number(response.headers["retry-after"]);
  return new ApiError(
    status,
    reason,
    `the API server returned ${status} ${reason}${where}`,
    Number.isFinite(seconds) ? 1000 * Math.min(Math.max(seconds, 1), MAX_RETRY_AFTER_S) : undefined,
    fields.length,
  );
}

/** Allows `burst` calls at once, then `qps` per second. Callers are served in order. */
function tokenBucket(qps: number, burst: number): () => Promise<void> {
  let freeAtMs = 0;
  const costMs = 1000 / qps;
  return async () => {
    const now = performance.now();
    freeAtMs = Math.max(freeAtMs, now - burst * costMs) + costMs;
    if (freeAtMs > now) await sleep(freeAtMs - now);
  };
}
