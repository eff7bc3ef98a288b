// The routes: certificate, keys, verify, rotate, health, readiness, metrics.
// SPEC.md, "HTTP".

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { SignetError } from "../shared/errors.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { type Json, parseManifests } from "../shared/manifest/manifest.ts";
import { reseal } from "../shared/sealing/seal.ts";
import {
  formatSealedSecret,
  parseSealedSecret,
  type SealedSecret,
} from "../shared/sealing/sealedsecret.ts";
import { opens } from "../shared/sealing/unseal.ts";
import { asObject, type JsonObject, metadataOf, objectsOf } from "../shared/kubernetes/object.ts";
import type { Access } from "./access.ts";
import { BodyTooLarge, readBody } from "./httpserver.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { Gate, RateLimit } from "./ratelimit.ts";

/** More than the largest object that etcd accepts, 1.5 MiB. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;
/** Requests may use two of the four threads for RSA; the others are left for the reconciler. */
const MAX_CONCURRENT = 2;
const MAX_WAITING = 32;
/** A request with this many values, or this large, counts as two. */
const VALUES_PER_REQUEST = 20;
const BYTES_PER_REQUEST = 64 * 1024;
/** The limit of one address, as a multiple of the limit of one client behind it. */
const CLIENTS_PER_ADDRESS = 5;

export interface ApiWiring {
  readonly keyring: Keyring;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly ready: () => boolean;
  /** The response of `/v1/keys`. */
  readonly keyReport: () => Json;
  /** Rate (requests a second) and burst that each client of verify and rotate may use. */
  readonly rate: number;
  readonly burst: number;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Whether the bearer may use the route; undefined if everyone may. */
  readonly review?:
    ((authorization: string | undefined, path: string) => Promise<Access>) | undefined;
}

interface Answer {
  readonly code: number;
  readonly body?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

type Route = (request: IncomingMessage, path: string) => Answer | Promise<Answer>;

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const JSON_TYPE = "application/json";

/** The routes that the cluster can reach. */
export function apiRoutes(wiring: ApiWiring): RequestListener {
  const { keyring, metrics, ready, keyReport, log } = wiring;
  const guarded = guardedRoute(wiring);
  const routes: Readonly<Record<string, { readonly methods: string[]; readonly route: Route }>> = {
    "/healthz": { methods: ["GET", "HEAD"], route: () => ({ code: 200, body: "ok\n" }) },
    "/readyz": {
      methods: ["GET", "HEAD"],
      route: () => (ready() ? { code: 200, body: "ok\n" } : { code: 503, body: "not ready\n" }),
    },
    "/v1/cert.pem": {
      methods: ["GET", "HEAD"],
      route: () => {
        const { newest } = keyring;
        return newest === null
          ? { code: 500, body: "cannot get certificate\n" }
          : { code: 200, body: newest.certificate.pem, contentType: "application/x-pem-file" };
      },
    },
    "/v1/keys": {
      methods: ["GET", "HEAD"],
      route: () => ({ code: 200, body: JSON.stringify(keyReport()), contentType: JSON_TYPE }),
    },
    "/v1/verify": {
      methods: ["POST"],
      route: guarded(async ({ objects }) => {
        for (const { sealed } of objects) if (!(await opens(sealed, keyring))) return { code: 409 };
        return { code: 200 };
      }),
    },
    "/v1/rotate": {
      methods: ["POST"],
      route: guarded(async ({ objects, list }) => {
        const items: JsonObject[] = [];
        for (const { object, sealed } of objects) {
          items.push(withResealedValues(object, sealed, await reseal(sealed, keyring, 1)));
        }
        const body = list === null ? items[0] : { ...list, items };
        return { code: 200, body: JSON.stringify(body), contentType: JSON_TYPE };
      }),
    },
  };

  const answer = async (request: IncomingMessage, path: string): Promise<Answer> => {
    const found = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (found === undefined) return { code: 404, body: "404 page not found\n" };
    if (!found.methods.includes(request.method ?? "")) {
      const allow = found.methods.join(", ");
      return { code: 405, body: "method not allowed\n", headers: { allow } };
    }
    return found.route(request, path);
  };

  return (request, response) => {
    const startedMs = wiring.clock();
    const path = (request.url ?? "").split("?")[0] ?? "";
    const known = Object.hasOwn(routes, path) ? path : "other";
    const method = METHODS.has(request.method ?? "") ? (request.method ?? "") : "other";
    answer(request, path)
      .catch((error: unknown): Answer => {
        log.error("request failed", { path: known, error: (error as Error).message });
        return { code: 500 };
      })
      .then(
        (answered) => {
          send(request, response, answered);
          metrics.httpRequests.inc({ path: known, code: answered.code, method });
          const seconds = (wiring.clock() - startedMs) / 1000;
          if (known.startsWith("/v1/"))
            metrics.httpSeconds.observe({ path: known, method }, seconds);
        },
        log.debug.bind(log, "request was cut off"),
      );
  };
}

interface Submission {
  readonly objects: readonly { readonly object: JsonObject; readonly sealed: SealedSecret }[];
  /** The List that holds them; null for a single object, which is all that the original accepts. */
  readonly list: JsonObject | null;
}

/** Routes that open values: rate-limited, authorized, and with one answer for every failure. */
function guardedRoute(
  wiring: ApiWiring,
): (work: (submission: Submission) => Promise<Answer>) => Route {
  const { clock, rate, burst, review } = wiring;
  const clients = new RateLimit(rate, burst);
  const addresses = new RateLimit(rate * CLIENTS_PER_ADDRESS, burst * CLIENTS_PER_ADDRESS);
  const gate = new Gate(MAX_CONCURRENT, MAX_WAITING);
  return (work) => async (request, path) => {
    const address = request.socket.remoteAddress ?? "";
    // A direct caller can claim to be any number of clients, so its address has a limit too.
    const client = `${address} ${lastHop(request)}`;
    const allowance = clients.take(client, clock());
    const shared = addresses.take(address, clock());
    const headers = {
      "x-ratelimit-limit": String(burst),
      "x-ratelimit-remaining": String(allowance.remaining),
      "x-ratelimit-reset": String(Math.ceil(allowance.resetMs / 1000)),
    };
    if (!allowance.allowed || !shared.allowed) {
      return tooMany(Math.max(allowance.retryAfterMs, shared.retryAfterMs), headers);
    }
    if (review !== undefined) {
      const access = await review(request.headers.authorization, path).catch(() => null);
      if (access === null) return { code: 503, body: "the token cannot be checked now\n" };
      if (access === "unauthenticated") {
        return { code: 401, body: "unauthorized\n", headers: { "www-authenticate": "Bearer" } };
      }
      if (access === "forbidden") return { code: 403, body: "forbidden\n" };
    }
    let submission: Submission;
    try {
      const body = await readBody(request, MAX_BODY_BYTES);
      clients.charge(client, Math.floor(body.length / BYTES_PER_REQUEST), clock());
      submission = parseSubmission(body);
    } catch (error) {
      if (error instanceof BodyTooLarge) return { code: 413, body: "too large\n", headers };
      if (!(error instanceof SignetError)) throw error;
      return { code: 400, body: "not one SealedSecret\n", headers };
    }
    const values = submission.objects.reduce(
      (sum, each) => sum + each.sealed.encryptedData.size,
      0,
    );
    const more = Math.floor(values / VALUES_PER_REQUEST);
    clients.charge(client, more, clock());
    addresses.charge(address, more, clock());
    const answer = await gate.run(() =>
      work(submission).catch((error: unknown): Answer => {
        // The same answer for every failure: a difference would reveal something about the value.
        if (error instanceof SignetError) return { code: 409 };
        throw error;
      }),
    );
    return answer === undefined
      ? tooMany(1000, headers)
      : { ...answer, headers: { ...answer.headers, ...headers } };
  };
}

function tooMany(retryAfterMs: number, headers: Readonly<Record<string, string>>): Answer {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const more = { ...headers, "retry-after": String(seconds) };
  return { code: 429, body: "limit exceeded\n", headers: more };
}

/** The client that the last proxy names: the API server's service proxy appends its own client. */
function lastHop(request: IncomingMessage): string {
  const header = request.headers["x-forwarded-for"];
  const text = Array.isArray(header) ? header.join() : (header ?? "");
  return text.split(",").at(-1)?.trim().slice(0, 64) ?? "";
}

/** @throws SignetError if `body` is not one SealedSecret or a List of them, as YAML or JSON */
function parseSubmission(body: Buffer): Submission {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new SignetError("manifest-syntax", "is not UTF-8 text");
  }
  const documents = parseManifests(text).filter(({ value }) => value !== null);
  const object = asObject(documents[0]?.value ?? null);
  if (documents.length !== 1 || object === null) {
    throw new SignetError("wrong-kind", "there is not one object");
  }
  const isList = object["kind"] === "List";
  const objects = (isList ? objectsOf({ value: object }) : [object]).map((each) => ({
    object: each,
    sealed: parseSealedSecret(each),
  }));
  if (objects.length === 0) throw new SignetError("wrong-kind", "there is no object");
  return { objects, list: isList ? object : null };
}

/** The submitted object with the values and the stamp of `after`; everything else is unchanged. */
function withResealedValues(
  object: JsonObject,
  before: SealedSecret,
  after: SealedSecret,
): JsonObject {
  if (after === before) return object;
  const fresh = formatSealedSecret(after);
  const { encryptedData, data } = asObject(fresh["spec"] ?? null) ?? {};
  const { annotations } = metadataOf(fresh);
  return {
    ...object,
    metadata: { ...metadataOf(object), ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      ...asObject(object["spec"] ?? null),
      ...(encryptedData === undefined ? {} : { encryptedData }),
      ...(data === undefined ? {} : { data }),
    },
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { code, body = "", contentType = "text/plain; charset=utf-8", headers = {} }: Answer,
): void {
  if (response.destroyed) return;
  response.writeHead(code, {
    "content-type": contentType,
    "x-content-type-options": "nosniff",
    ...headers,
    // The unread part of a body would be parsed as the next request.
    ...(request.complete ? {} : { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** The route that Prometheus reads: `/metrics`. */
export function metricsRoutes({ registry }: Metrics): RequestListener {
  return (request, response) => {
    if (request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => {
        response.writeHead(200, { "content-type": registry.contentType }).end(text);
      },
      () => {
        response.writeHead(500).end();
      },
    );
  };
}
