// Limits how often each client may send a request.
// SPEC.md, "HTTP".

export interface Allowance {
  readonly allowed: boolean;
  /** Whole requests that the client may still send at once. */
  readonly remaining: number;
  /** Until the next request is allowed; 0 if it is allowed now. */
  readonly retryAfterMs: number;
  /** Until the full burst is available again. */
  readonly resetMs: number;
}

/** Clients that are remembered. Beyond that, the least recently active one is forgotten. */
const MAX_CLIENTS = 4096;

/**
 * Allows `rate` requests per second for each client, and bursts of `burst`. Times are of a
 * monotonic clock.
 */
export class RateLimit {
  readonly #rate: number;
  readonly #burst: number;
  readonly #limit: number;
  readonly #clients = new Map<string, { readonly tokens: number; readonly atMs: number }>();

  constructor(rate: number, burst: number, maxClients = MAX_CLIENTS) {
    this.#rate = rate;
    this.#burst = burst;
    this.#limit = maxClients;
  }

  /** What `take` would return now; nothing is taken, and the client is not remembered. */
  look(client: string, nowMs: number): Allowance {
    const tokens = this.#tokensOf(client, nowMs);
    return this.#allowance(tokens, tokens >= 1);
  }

  /** Takes one request from the client's allowance, if it has one. */
  take(client: string, nowMs: number): Allowance {
    const tokens = this.#tokensOf(client, nowMs);
    const allowed = tokens >= 1;
    const left = allowed ? tokens - 1 : tokens;
    this.#remember(client, left, nowMs);
    return this.#allowance(left, allowed);
  }

  /**
   * Charges the client for `requests` more, for a request that cost as much as several. A client
   * owes one burst at most, so that others who share its name or address wait no longer than that.
   * Returns how many it was charged for.
   */
  charge(client: string, requests: number, nowMs: number): number {
    const tokens = this.#tokensOf(client, nowMs);
    const charged = Math.max(0, Math.min(requests, tokens + this.#burst));
    this.#remember(client, tokens - charged, nowMs);
    return charged;
  }

  #allowance(tokens: number, allowed: boolean): Allowance {
    const msFor = (missing: number): number => Math.max(0, (missing / this.#rate) * 1000);
    return {
      allowed,
      remaining: Math.max(0, Math.floor(tokens)),
      retryAfterMs: msFor(1 - tokens),
      resetMs: msFor(this.#burst - tokens),
    };
  }

  #tokensOf(client: string, nowMs: number): number {
    const known = this.#clients.get(client);
    if (known === undefined) return this.#burst;
    return Math.min(this.#burst, known.tokens + ((nowMs - known.atMs) / 1000) * this.#rate);
  }

  #remember(client: string, tokens: number, atMs: number): void {
    this.#clients.delete(client);
    this.#clients.set(client, { tokens, atMs });
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > this.#limit && oldest !== undefined) this.#clients.delete(oldest);
  }
}
