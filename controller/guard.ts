// Guards the routes that open values: who may ask, how often, how large, how much at once.
// SPEC.md, "HTTP".

import type { IncomingMessage } from "node:http";
import { SignetError } from "../shared/errors.ts";
import type { Access } from "./access.ts";
import { Bodies, BodyCutOff, BodyTooLarge, TooManyBodies } from "./bodies.ts";
import { type Caller, Gate } from "./gate.ts";
import { RateLimit } from "./ratelimit.ts";
import { JobLost } from "./sandbox.ts";
import type { Submission } from "./submission.ts";

const MIB = 1024 * 1024;
/** A body may be larger than the largest object that etcd accepts, 1.5 MiB. */
const BODIES = { perBody: 2 * MIB, perAddress: 16 * MIB, total: 32 * MIB };
/** Requests may use two of the four threads for RSA; the others are left for the reconciler. */
const MAX_CONCURRENT = 2;
const MAX_WAITING = 32;
/** The sandbox for bodies has one thread. Its queue has no limit of its own. */
const MAX_PARSED = 1;
const MAX_REVIEWS = 8;
/** A request with this many values, or this large, counts as two. */
const VALUES_PER_REQUEST = 20;
const BYTES_PER_REQUEST = 64 * 1024;
/** A body that used up the time or the memory for one counts as this many bursts. */
const BURSTS_PER_BOMB = 10;
/** The limit of one address, as a multiple of the limit of one client behind it. */
const CLIENTS_PER_ADDRESS = 5;

export interface Answer {
  readonly code: number;
  readonly body?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Route = (request: IncomingMessage, path: string) => Answer | Promise<Answer>;

export interface GuardWiring {
  /**
   * Parses a body in a time and a memory of its own. `client`: who sent it.
   * @throws SignetError if it is not one SealedSecret or a List of them
   * @throws JobLost
   */
  readonly parse: (client: string, body: Uint8Array) => Promise<Submission>;
  /** Rate (requests a second) and burst that each client of verify and rotate may use. */
  readonly rate: number;
  readonly burst: number;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Whether the bearer may use the route; undefined if everyone may. */
  readonly review?:
    ((authorization: string | undefined, path: string) => Promise<Access>) | undefined;
}

type Work = (submission: Submission) => Promise<Answer>;

/**
 * Routes that open values. A direct caller can claim to be any number of clients: all that a client
 * uses counts for its address too, so that a claim never gains it anything.
 */
export function guardedRoute(wiring: GuardWiring): (work: Work) => Route {
  const allowance = new Allowances(wiring);
  const bodies = new Bodies(BODIES);
  const gate = new Gate(MAX_CONCURRENT, MAX_WAITING);
  const reviews = new Gate(MAX_REVIEWS, MAX_WAITING);

  const submissionOf = parserOf(wiring, allowance);

  const answerTo = async (caller: Caller, body: Uint8Array, work: Work): Promise<Answer> => {
    let submission: Submission | undefined;
    try {
      submission = await submissionOf(caller, body);
    } catch (error) {
      // Time may have been short because the machine is busy; memory depends on the body alone.
      const isLost = error instanceof JobLost && error.loss !== "memory";
      if (isLost) return { code: 503, body: "cannot be parsed now\n" };
      if (error instanceof SignetError || error instanceof JobLost) {
        return { code: 400, body: "not one SealedSecret\n" };
      }
      throw error;
    }
    if (submission === undefined) return tooMany(1000, {});
    try {
      return await work(submission);
    } catch (error) {
      // The same answer for every failure: a difference would reveal something about the value.
      if (error instanceof SignetError) return { code: 409 };
      throw error;
    }
  };

  return (work) => async (request, path) => {
    const caller = callerOf(request);
    const { retryAfterMs, headers } = allowance.take(caller);
    if (retryAfterMs > 0) return tooMany(retryAfterMs, headers);
    if (wiring.review !== undefined) {
      const { review } = wiring;
      const { authorization } = request.headers;
      const access = await reviews
        .run(caller, () => review(authorization, path))
        .catch((): null => null);
      if (access === undefined) return tooMany(1000, headers);
      const refusal = refusalOf(access);
      if (refusal !== null) return refusal;
    }
    let charged = 0;
    const onBytes = (length: number): void => {
      const due = Math.floor(length / BYTES_PER_REQUEST);
      if (due > charged) allowance.charge(caller, due - charged);
      charged = due;
    };
    try {
      const answer = await bodies.hold(request, caller.address, onBytes, (body) =>
        gate.run(caller, () => answerTo(caller, body, work)),
      );
      return answer === undefined
        ? tooMany(1000, headers)
        : { ...answer, headers: { ...answer.headers, ...headers } };
    } catch (error) {
      if (error instanceof BodyTooLarge) return { code: 413, body: "too large\n", headers };
      if (error instanceof TooManyBodies) return tooMany(1000, headers);
      if (error instanceof BodyCutOff) return { code: 408, headers };
      throw error;
    }
  };
}

/** Parses one body at a time, and charges its sender for what that costs. */
function parserOf(
  wiring: GuardWiring,
  allowance: Allowances,
): (caller: Caller, body: Uint8Array) => Promise<Submission | undefined> {
  const parsing = new Gate(MAX_PARSED, MAX_WAITING);
  return async (caller: Caller, body: Uint8Array): Promise<Submission | undefined> => {
    try {
      const submission = await parsing.run(caller, () => wiring.parse(caller.address, body));
      const sizes = submission?.objects.map(({ sealed }) => sealed.encryptedData.size) ?? [];
      const values = sizes.reduce((sum, size) => sum + size, 0);
      allowance.charge(caller, Math.floor(values / VALUES_PER_REQUEST));
      return submission;
    } catch (error) {
      if (error instanceof JobLost && error.loss !== "closed") {
        allowance.charge(caller, BURSTS_PER_BOMB * wiring.burst);
      }
      throw error;
    }
  };
}

/** What each client, and each address, may still use. */
class Allowances {
  readonly #clients: RateLimit;
  readonly #addresses: RateLimit;
  readonly #burst: number;
  readonly #clock: () => number;

  constructor({ rate, burst, clock }: GuardWiring) {
    this.#clients = new RateLimit(rate, burst);
    this.#addresses = new RateLimit(rate * CLIENTS_PER_ADDRESS, burst * CLIENTS_PER_ADDRESS);
    this.#burst = burst;
    this.#clock = clock;
  }

  /** `retryAfterMs`: 0 if the request is allowed. */
  take({ address, client }: Caller): { retryAfterMs: number; headers: Record<string, string> } {
    const own = this.#clients.take(`${address} ${client}`, this.#clock());
    // What a client has too many of is not used up for the others behind the address.
    const all = own.allowed ? this.#addresses.take(address, this.#clock()) : own;
    return {
      retryAfterMs:
        own.allowed && all.allowed ? 0 : Math.max(1, own.retryAfterMs, all.retryAfterMs),
      headers: {
        "x-ratelimit-limit": String(this.#burst),
        "x-ratelimit-remaining": String(own.remaining),
        "x-ratelimit-reset": String(Math.ceil(own.resetMs / 1000)),
      },
    };
  }

  charge({ address, client }: Caller, requests: number): void {
    this.#clients.charge(`${address} ${client}`, requests, this.#clock());
    this.#addresses.charge(address, requests, this.#clock());
  }
}

function refusalOf(access: Access | null): Answer | null {
  if (access === null) return { code: 503, body: "the token cannot be checked now\n" };
  if (access === "unauthenticated") {
    return { code: 401, body: "unauthorized\n", headers: { "www-authenticate": "Bearer" } };
  }
  return access === "forbidden" ? { code: 403, body: "forbidden\n" } : null;
}

export function tooMany(retryAfterMs: number, headers: Readonly<Record<string, string>>): Answer {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const more = { ...headers, "retry-after": String(seconds) };
  return { code: 429, body: "limit exceeded\n", headers: more };
}

/** The client is the one that the last proxy names: the API server's proxy appends its own client. */
function callerOf(request: IncomingMessage): Caller {
  const header = request.headers["x-forwarded-for"];
  const text = Array.isArray(header) ? header.join() : (header ?? "");
  const client = text.split(",").at(-1)?.trim().slice(0, 64) ?? "";
  return { address: request.socket.remoteAddress ?? "", client };
}
