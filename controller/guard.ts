// Guards the routes that open values: who may use them, how often, with what body size, and how
// many at once.
// SPEC.md, "HTTP".

import type { IncomingMessage } from "node:http";
import { SignetError } from "../shared/errors.ts";
import { MAX_TRIALS, Trials, TrialsExceeded } from "../shared/keys/trials.ts";
import type { Access } from "./access.ts";
import { Allowances, type Rate } from "./allowances.ts";
import { Bodies, BodyCutOff, type BodyLimits, BodyTooLarge, TooManyBodies } from "./bodies.ts";
import { callerOf } from "./caller.ts";
import { Gate, GateFull, type Ticket } from "./gate.ts";
import { JobLost } from "./sandbox.ts";
import type { Submission } from "./submission.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const BODIES: BodyLimits = {
  /** More than the largest object that etcd accepts, 1.5 MiB. */
  perBody: 2 * MIB,
  small: 64 * KIB,
  pools: {
    small: { perAddress: 4 * MIB, total: 8 * MIB },
    large: { perAddress: 24 * MIB, total: 48 * MIB },
  },
};
/**
 * Values are opened for two requests at a time, which leaves two of the four threads to the
 * reconciler.
 */
const MAX_OPENED = 2;
/**
 * An address that recently used more than this gets fewer turns while others, including the
 * reconciler, have work. Few addresses send requests, so their average would tell nothing.
 */
const BUSY_FROM_MS = 1_000;
/** A busy address, such as the API server's, may also stand for clients with little to do. */
const BUSY_SHARE = 1 / 4;
/** For each gate. Even if all are used, an address has connections left. */
const MAX_WAITING = 64;
/** About what an operation with a key of 4096 bits takes. */
const OPEN_MS_PER_VALUE = 2.5;
/** Requests with few values come first, but not for so long that none with many gets a turn. */
const MOST_EXPECTED_MS = 1_000;
/** The sandbox for bodies has one thread. Its queue has no limit of its own. */
const MAX_PARSED = 1;
/** Parsing may take at most 10 s, for the largest body. */
const PARSE_MS_PER_BYTE = 10_000 / BODIES.perBody;
const MAX_REVIEWS = 8;
/** A request with this many values or key attempts, or this large, counts as two. */
const VALUES_PER_REQUEST = 20;
const BYTES_PER_REQUEST = 64 * KIB;

export interface Answer {
  readonly code: number;
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Route = (request: IncomingMessage, path: string) => Answer | Promise<Answer>;

export interface GuardWiring extends Rate {
  /**
   * Parses a body with limited time and memory, and takes its buffer. `client`: who sent it.
   * @throws SignetError if it is not one SealedSecret or a List of them
   * @throws JobLost
   */
  readonly parse: (client: string, body: Uint8Array<ArrayBuffer>) => Promise<Submission>;
  /** Where values are opened for the reconciler. */
  readonly openers?: Gate | undefined;
  /** Whether the bearer may use the route; undefined if everyone may. */
  readonly review?:
    ((authorization: string | undefined, path: string) => Promise<Access>) | undefined;
}

type Work = (
  submission: Submission,
  trials: Trials,
  headers: IncomingMessage["headers"],
) => Promise<Answer>;

/** Routes that open values. */
export function guardedRoute(wiring: GuardWiring): (work: Work) => Route {
  const allowances = new Allowances(wiring);
  const bodies = new Bodies(BODIES);
  const opening = new Gate(MAX_OPENED, MAX_WAITING, wiring.clock, {
    busyShare: BUSY_SHARE,
    busyFromMs: BUSY_FROM_MS,
    beside: wiring.openers,
  });
  const parse = parserOf(wiring, allowances);
  const review = reviewerOf(wiring);

  return (work) => async (request, path) => {
    const caller = callerOf(request);
    const { retryAfterMs, headers } = allowances.take(caller);
    if (retryAfterMs > 0) return tooMany(retryAfterMs, headers);
    const ticket = { ...caller, since: wiring.clock() };
    const chargeEvery = (unit: number): ((amount: number) => void) => {
      let charged = 0;
      return (amount) => {
        const due = Math.floor(amount / unit);
        if (due > charged) allowances.charge(caller, due - charged);
        charged = Math.max(charged, due);
      };
    };
    const onBytes = chargeEvery(BYTES_PER_REQUEST);
    const onValues = chargeEvery(VALUES_PER_REQUEST);
    try {
      await review(ticket, request, path);
      const answer = await bodies.hold(request, caller, onBytes, async (body, signal) => {
        const held = { ...ticket, signal };
        const submission = await parse(held, body);
        // The JSON of a small text with aliases may be large.
        onBytes(submission.json.length);
        const values = valuesOf(submission);
        onValues(values);
        const expectedMs = Math.min(values * OPEN_MS_PER_VALUE, MOST_EXPECTED_MS);
        const opener = { ...held, expectedMs };
        const trials = new Trials({
          limit: MAX_TRIALS,
          atOnce: 1,
          run: (operation, count) => {
            onValues(count);
            return opening.run(opener, operation);
          },
        });
        return work(submission, trials, request.headers);
      });
      return { ...answer, headers };
    } catch (error) {
      return { headers, ...refusalFor(error, headers) };
    }
  };
}

/**
 * Parses one body at a time, and charges its sender if that uses up the time or memory for a body.
 */
function parserOf(
  wiring: GuardWiring,
  allowances: Allowances,
): (ticket: Ticket, body: Uint8Array<ArrayBuffer>) => Promise<Submission> {
  const parsing = new Gate(MAX_PARSED, MAX_WAITING, wiring.clock);
  return async (ticket, body) => {
    const { address } = ticket;
    const work = async (): Promise<Submission> => {
      try {
        return await wiring.parse(address, body);
      } catch (error) {
        if (error instanceof JobLost && error.loss !== "closed") {
          allowances.charge(ticket, Infinity);
          // These requests passed the limit before this one was charged.
          parsing.refuse(ticket);
        }
        throw error;
      }
    };
    try {
      return await parsing.run({ ...ticket, expectedMs: body.length * PARSE_MS_PER_BYTE }, work);
    } catch (error) {
      // Time may have run out because the machine is busy; memory depends only on the body.
      const isLost = error instanceof JobLost && error.loss !== "memory";
      if (isLost) throw new Refused({ code: 503, body: "cannot parse the request at this time\n" });
      if (error instanceof SignetError || error instanceof JobLost) {
        throw new Refused({ code: 400, body: "not a SealedSecret\n" });
      }
      throw error;
    }
  };
}

/**
 * Returns a function that checks whether the bearer may use the route, and throws Refused if not.
 */
function reviewerOf(
  wiring: GuardWiring,
): (ticket: Ticket, request: IncomingMessage, path: string) => Promise<void> {
  const reviews = new Gate(MAX_REVIEWS, MAX_WAITING, wiring.clock);
  return async (ticket, request, path) => {
    if (wiring.review === undefined) return;
    const { authorization } = request.headers;
    const { review } = wiring;
    const access = await reviews.run(ticket, () => review(authorization, path).catch(() => null));
    const refusal = accessRefusal(access);
    if (refusal !== null) throw new Refused(refusal);
  };
}

/** A response to send instead of the result. */
class Refused extends Error {
  readonly answer: Answer;
  constructor(answer: Answer) {
    super();
    this.answer = answer;
  }
}

/** @throws `error` if it is not one that a request can cause */
function refusalFor(error: unknown, headers: Readonly<Record<string, string>>): Answer {
  if (error instanceof Refused) return error.answer;
  if (error instanceof GateFull || error instanceof TooManyBodies) return tooMany(1000, headers);
  if (error instanceof BodyTooLarge) return { code: 413, body: "too large\n" };
  if (error instanceof BodyCutOff) return { code: 408 };
  if (error instanceof TrialsExceeded) {
    return {
      code: 413,
      body: "too many values sealed with different keys: send fewer at a time\n",
    };
  }
  // The same answer for every failure: a difference would reveal something about the value.
  if (error instanceof SignetError) return { code: 409 };
  throw error;
}

/** An object without any also costs work. */
function valuesOf({ sealed }: Submission): number {
  return sealed.reduce((sum, { encryptedData }) => sum + Math.max(1, encryptedData.size), 0);
}

function accessRefusal(access: Access | null): Answer | null {
  if (access === null) return { code: 503, body: "cannot check the token at this time\n" };
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
