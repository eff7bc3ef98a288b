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

/** `rate` requests a second for each client, `burst` at once. Times are of a monotonic clock. */
export class RateLimit {
  readonly #rate: number;
  readonly #burst: number;
  readonly #clients = new Map<string, { tokens: number; atMs: number }>();

  constructor(rate: number, burst: number) {
    this.#rate = rate;
    this.#burst = burst;
  }

  /** Takes one request from the client's allowance, if it has one. */
  take(client: string, nowMs: number): Allowance {
    const bucket = this.#bucket(client, nowMs);
    const allowed = bucket.tokens >= 1;
    if (allowed) bucket.tokens -= 1;
    const msFor = (tokens: number): number => Math.max(0, (tokens / this.#rate) * 1000);
    return {
      allowed,
      remaining: Math.max(0, Math.floor(bucket.tokens)),
      retryAfterMs: msFor(1 - bucket.tokens),
      resetMs: msFor(this.#burst - bucket.tokens),
    };
  }

  /** Charges the client for `requests` more, for a request that was as much work as several. */
  charge(client: string, requests: number, nowMs: number): void {
    this.#bucket(client, nowMs).tokens -= requests;
  }

  #bucket(client: string, nowMs: number): { tokens: number; atMs: number } {
    const known = this.#clients.get(client) ?? { tokens: this.#burst, atMs: nowMs };
    const gained = ((nowMs - known.atMs) / 1000) * this.#rate;
    const bucket = { tokens: Math.min(this.#burst, known.tokens + gained), atMs: nowMs };
    this.#clients.delete(client);
    this.#clients.set(client, bucket);
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > MAX_CLIENTS && oldest !== undefined) this.#clients.delete(oldest);
    return bucket;
  }
}
