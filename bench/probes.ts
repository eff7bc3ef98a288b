// Sends the same requests once per second, and counts how many are answered in time.
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { repeatedly } from "./pace.ts";

export interface Probe {
  readonly url: string;
  /** A body makes it a POST. */
  readonly body?: string;
  readonly withinMs: number;
  /** Additional options of the request, such as its source address. */
  readonly options?: RequestOptions;
}

export interface Share {
  asked: number;
  /** Answered with 200 in time. */
  answered: number;
  /** Other outcomes, by status or error. */
  readonly others: Map<string, number>;
}

const SLOWEST_MS = 10_000;

/**
 * Sends each probe once per second over its own connection. Returns a function that returns the
 * results so far.
 */
export function startProbes<Name extends string>(
  probes: Readonly<Record<Name, Probe>>,
): () => Promise<Record<Name, Share>> {
  const shares: [string, Share][] = [];
  const ends: (() => Promise<void>)[] = [];
  for (const [name, probe] of Object.entries<Probe>(probes)) {
    const share: Share = { asked: 0, answered: 0, others: new Map() };
    shares.push([name, share]);
    const ask = async (): Promise<void> => {
      share.asked++;
      const outcome = await outcomeOf(probe);
      if (outcome === "200") share.answered++;
      else share.others.set(outcome, (share.others.get(outcome) ?? 0) + 1);
    };
    ends.push(repeatedly(1, SLOWEST_MS / 1000, ask));
  }
  return async () => {
    await Promise.all(ends.map((end) => end()));
    return Object.fromEntries(shares) as Record<Name, Share>;
  };
}

/** @throws Error if a probe fails without an attack, because it could then show nothing */
export async function checkProbes(probes: Readonly<Record<string, Probe>>): Promise<void> {
  for (const [name, probe] of Object.entries(probes)) {
    const outcome = await outcomeOf({ ...probe, withinMs: SLOWEST_MS });
    if (outcome !== "200") throw new Error(`the probe ${name} gets ${outcome}`);
  }
}

/** The status of the complete response, or why there was none in time. */
function outcomeOf({ url, body, withinMs, options = {} }: Probe): Promise<string> {
  const method = body === undefined ? "GET" : "POST";
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((done) => {
    const signal = AbortSignal.timeout(withinMs);
    const failed = (error: Error & { code?: string }): void => {
      done(signal.aborted ? "late" : (error.code ?? error.message));
    };
    const all = { ...options, method, agent: false, signal };
    send(url, all, (response: IncomingMessage) => {
      response.on("error", failed).on("end", () => {
        done(String(response.statusCode));
      });
      response.resume();
    })
      .on("error", failed)
      .end(body);
  });
}
