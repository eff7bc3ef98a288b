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

/** No object of Kubernetes' is larger than etcd takes, 1.5 MiB. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;
/** RSA for strangers takes two of the four threads at most: the others are the reconciler's. */
const AT_ONCE = 2;
const WAITING = 32;
/** A request with so many values, or so large, counts as two. */
const VALUES_A_REQUEST = 20;
const BYTES_A_REQUEST = 64 * 1024;
/** All that come from one address, whatever they say of whom they come for. */
const SHARE_OF_ADDRESS = 5;

export interface ApiWiring {
  readonly keyring: Keyring;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly ready: () => boolean;
  /** What `/v1/keys` tells. */
  readonly keyReport: () => Json;
  /** Requests a second and at once for each client of verify and rotate. */
  readonly rate: number;
  readonly burst: number;
  /** Milliseconds of a clock that never jumps. */
  readonly clock: () => number;
  /** Whether the bearer may use the route; undefined where everybody may. */
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

/** What is served to the cluster. */
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
          items.push(grafted(object, sealed, await reseal(sealed, keyring, 1)));
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
        (given) => {
          send(request, response, given);
          metrics.httpRequests.inc({ path: known, code: given.code, method });
          const seconds = (wiring.clock() - startedMs) / 1000;
          if (known.startsWith("/v1/"))
            metrics.httpSeconds.observe({ path: known, method }, seconds);
        },
        log.debug.bind(log, "request was cut off"),
      );
  };
}

interface Given {
  readonly objects: readonly { readonly object: JsonObject; readonly sealed: SealedSecret }[];
  /** The List that they came in; null for one object by itself, all that the original takes. */
  readonly list: JsonObject | null;
}

/** A route that opens values for whoever asks: limited, checked, and silent about why it says no. */
function guardedRoute(wiring: ApiWiring): (work: (given: Given) => Promise<Answer>) => Route {
  const { clock, rate, burst, review } = wiring;
  const clients = new RateLimit(rate, burst);
  const addresses = new RateLimit(rate * SHARE_OF_ADDRESS, burst * SHARE_OF_ADDRESS);
  const gate = new Gate(AT_ONCE, WAITING);
  return (work) => async (request, path) => {
    const address = request.socket.remoteAddress ?? "";
    // Who reaches us directly can claim any number of clients, so the address has a limit as well.
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
    let given: Given;
    try {
      const body = await readBody(request, MAX_BODY_BYTES);
      clients.charge(client, Math.floor(body.length / BYTES_A_REQUEST), clock());
      given = parseGiven(body);
    } catch (error) {
      if (error instanceof BodyTooLarge) return { code: 413, body: "too large\n", headers };
      if (!(error instanceof SignetError)) throw error;
      return { code: 400, body: "not one SealedSecret\n", headers };
    }
    const values = given.objects.reduce((sum, each) => sum + each.sealed.encryptedData.size, 0);
    const more = Math.floor(values / VALUES_A_REQUEST);
    clients.charge(client, more, clock());
    addresses.charge(address, more, clock());
    const answer = await gate.run(() =>
      work(given).catch((error: unknown): Answer => {
        // One answer, whichever way it failed: what differs would tell something of the value.
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

/** Whom the last proxy says that it speaks for: the API server's service proxy adds its client. */
function lastHop(request: IncomingMessage): string {
  const header = request.headers["x-forwarded-for"];
  const text = Array.isArray(header) ? header.join() : (header ?? "");
  return text.split(",").at(-1)?.trim().slice(0, 64) ?? "";
}

/** @throws SignetError where `body` is not the YAML or JSON of one SealedSecret, or of a List of them */
function parseGiven(body: Buffer): Given {
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

/** What was given, with the values and the stamp of `after` in their places and all else kept. */
function grafted(object: JsonObject, before: SealedSecret, after: SealedSecret): JsonObject {
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
    // What was not read of a body would be taken for the next request.
    ...(request.complete ? {} : { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** What is served to Prometheus: `/metrics`. */
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
