// The routes: certificate, keys, page, recovery, verify, rotate, health, readiness, metrics.
// SPEC.md, "HTTP".

import { Readable } from "node:stream";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Keyring } from "../shared/keys/keyring.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import { KIND_NAMES } from "../shared/keys/kinds.ts";
import { ALGORITHM_HEADER, reseal } from "../shared/sealing/seal.ts";
import { formatSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";
import { opens } from "../shared/sealing/unseal.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { Allowances } from "./allowances.ts";
import { callerOf } from "./caller.ts";
import { type Answer, type GuardWiring, guardedRoute, type Route, tooMany } from "./guard.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { shared } from "./sharedanswer.ts";

/** Requests per second that each client may send to `/v1/keys`; also the burst. */
const READ_RATE = 20;
const READ_BURST = 80;

export interface ApiWiring extends GuardWiring {
  readonly keyring: Keyring;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly ready: () => boolean;
  /** The response of `/v1/keys`. */
  readonly keyReport: () => Json;
  /** The response of `/v1/recovery`; null where no recovery recipients are named. */
  readonly recoveryReport: () => Json | Promise<Json>;
  /** The page on which people seal; undefined if it is not served. */
  readonly page?: Page | undefined;
}

export interface Page {
  /** Its HTML now; null while no key seals. */
  readonly html: () => string | null;
  /** Its Content-Security-Policy. */
  readonly policy: string;
}

type Routes = Readonly<Record<string, { readonly methods: string[]; readonly route: Route }>>;

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const JSON_TYPE = "application/json";
const NOT_FOUND: Answer = { code: 404, body: "404 page not found\n" };

/** A route that returns a JSON report, rate-limited for each caller; 404 if the report is null. */
function reportRoute(readers: Allowances, text: () => Promise<string>): Route {
  return async (request) => {
    const { retryAfterMs } = readers.take(callerOf(request));
    if (retryAfterMs > 0) return tooMany(retryAfterMs, {});
    const body = await text();
    return body === "null" ? NOT_FOUND : { code: 200, body, contentType: JSON_TYPE };
  };
}

/** What the page may do is in its policy. It is never kept, and never shown inside of another page. */
function pageRoute(readers: Allowances, { html, policy }: Page, clock: () => number): Route {
  const text = shared(html, clock);
  const headers = {
    "cache-control": "no-store",
    "content-security-policy": `${policy}; frame-ancestors 'none'`,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "clipboard-read=(), camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
  };
  return async (request) => {
    const { retryAfterMs } = readers.take(callerOf(request));
    if (retryAfterMs > 0) return tooMany(retryAfterMs, {});
    const body = await text();
    if (body === null) return { code: 503, body: "no sealing key yet\n" };
    return { code: 200, body, contentType: "text/html; charset=utf-8", headers };
  };
}

/** The routes that are reachable from the cluster. */
export function apiRoutes(wiring: ApiWiring): RequestListener {
  const { keyring, metrics, ready, keyReport, recoveryReport, page, log } = wiring;
  const guarded = guardedRoute(wiring);
  const { clock } = wiring;
  const readers = new Allowances({ rate: READ_RATE, burst: READ_BURST, clock });
  const keysText = shared(() => JSON.stringify(keyReport()), clock);
  const recoveryText = shared(async () => JSON.stringify(await recoveryReport()), clock);
  const pageRoutes: Routes =
    page === undefined
      ? {}
      : { "/": { methods: ["GET", "HEAD"], route: pageRoute(readers, page, clock) } };
  const routes: Routes = {
    ...healthRoutes(ready),
    ...pageRoutes,
    "/v1/cert.pem": {
      methods: ["GET", "HEAD"],
      // Not rate-limited: answering costs no more than refusing.
      route: () => {
        const { newest } = keyring;
        return newest === null
          ? { code: 500, body: "cannot get certificate\n" }
          : { code: 200, body: newest.certificate.pem, contentType: "application/x-pem-file" };
      },
    },
    "/v1/keys": { methods: ["GET", "HEAD"], route: reportRoute(readers, keysText) },
    "/v1/recovery": { methods: ["GET", "HEAD"], route: reportRoute(readers, recoveryText) },
    "/v1/verify": {
      methods: ["POST"],
      route: guarded(async ({ sealed }, trials) => {
        for (const each of sealed) if (!(await opens(each, keyring, trials))) return { code: 409 };
        return { code: 200 };
      }),
    },
    "/v1/rotate": {
      methods: ["POST"],
      route: guarded(async ({ sealed, json, isList }, trials, headers) => {
        const algorithm = headers[ALGORITHM_HEADER];
        const refusal = algorithmRefusal(algorithm, keyring);
        if (refusal !== null) return refusal;
        const kind = algorithm as string | undefined;
        const resealed: SealedSecret[] = [];
        for (const each of sealed) {
          resealed.push(await reseal(each, keyring, 1, undefined, trials, kind));
        }
        const isSame = resealed.every((each, index) => each === sealed[index]);
        const body = isSame ? json : withResealedValues(json, isList, sealed, resealed);
        return { code: 200, body, contentType: JSON_TYPE };
      }),
    },
  };

  return (request, response) => {
    const startedMs = clock();
    const path = pathOf(request);
    const known = Object.hasOwn(routes, path) ? path : "other";
    const method = METHODS.has(request.method ?? "") ? (request.method ?? "") : "other";
    answer(routes, request, path)
      .catch((error: unknown): Answer => {
        log.error("request failed", { path: known, error: (error as Error).message });
        return { code: 500 };
      })
      .then(
        (answered) => {
          send(request, response, answered);
          metrics.httpRequests.inc({ path: known, code: answered.code, method });
          const seconds = (clock() - startedMs) / 1000;
          if (known.startsWith("/v1/"))
            metrics.httpSeconds.observe({ path: known, method }, seconds);
        },
        log.debug.bind(log, "request was interrupted"),
      );
  };
}

/** Why values cannot be sealed with this algorithm; null if they can, or if none is named. */
function algorithmRefusal(algorithm: string | string[] | undefined, keyring: Keyring) {
  if (algorithm === undefined) return null;
  if (typeof algorithm !== "string" || !KIND_NAMES.includes(algorithm)) {
    return { code: 400, body: "unknown algorithm\n" };
  }
  const kinds = keyring.newest?.certificate.kinds ?? [algorithm];
  return kinds.includes(algorithm)
    ? null
    : { code: 400, body: `the sealing key has no ${algorithm} key\n` };
}

/** The routes for the kubelet's probes, on their own server. They open no values. */
export function probeRoutes(ready: () => boolean): RequestListener {
  const routes = healthRoutes(ready);
  return (request, response) => {
    void answer(routes, request, pathOf(request)).then((answered) => {
      send(request, response, { ...answered, headers: { connection: "close" } });
    });
  };
}

function healthRoutes(ready: () => boolean): Routes {
  return {
    "/healthz": { methods: ["GET", "HEAD"], route: () => ({ code: 200, body: "ok\n" }) },
    "/readyz": {
      methods: ["GET", "HEAD"],
      route: () => (ready() ? { code: 200, body: "ok\n" } : { code: 503, body: "not ready\n" }),
    },
  };
}

async function answer(routes: Routes, request: IncomingMessage, path: string): Promise<Answer> {
  const found = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (found === undefined) return NOT_FOUND;
  if (!found.methods.includes(request.method ?? "")) {
    const allow = found.methods.join(", ");
    return { code: 405, body: "method not allowed\n", headers: { allow } };
  }
  return found.route(request, path);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?")[0] ?? "";
}

/** What was posted with the values and the stamps of `after`; everything else is unchanged. */
function withResealedValues(
  json: Uint8Array,
  isList: boolean,
  before: readonly SealedSecret[],
  after: readonly SealedSecret[],
): string {
  const posted = JSON.parse(new TextDecoder().decode(json)) as JsonObject;
  const objects = isList ? (posted["items"] as JsonObject[]) : [posted];
  const items = objects.map((object, index) => {
    const [old, fresh] = [before[index], after[index]];
    return fresh === undefined || fresh === old ? object : withValuesOf(object, fresh);
  });
  return JSON.stringify(isList ? { ...posted, items } : items[0]);
}

function withValuesOf(object: JsonObject, after: SealedSecret): JsonObject {
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
    // Otherwise the unread part of the body would be parsed as the next request.
    ...(request.complete ? {} : { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** The route that Prometheus scrapes: `/metrics`. */
export function metricsRoutes(
  { scrape, contentType }: Metrics,
  clock: () => number,
): RequestListener {
  const scraped = shared(scrape, clock);
  return (request, response) => {
    if (request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    scraped().then(
      (pieces) => {
        response.writeHead(200, { "content-type": contentType });
        Readable.from(pieces).pipe(response);
      },
      () => {
        response.writeHead(500).end();
      },
    );
  };
}
