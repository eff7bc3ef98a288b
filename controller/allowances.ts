// Limits how much of a route each client may use, and each address together with all of its
// clients.
// SPEC.md, "HTTP".

import type { Caller } from "./caller.ts";
import { RateLimit } from "./ratelimit.ts";

/** The limit of one address, as a multiple of the limit of one client behind it. */
const CLIENTS_PER_ADDRESS = 5;
/**
 * Maximum number of addresses, and of clients for each, to remember. Clients are counted per
 * address, so that names that one address makes up do not evict those of others.
 */
const MAX_ADDRESSES = 1024;
const MAX_CLIENTS = 512;

export interface Rate {
  /** Requests per second of one client, and the burst. */
  readonly rate: number;
  readonly burst: number;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
}

/**
 * A direct caller can claim to be any number of clients. Everything that a client uses also counts
 * for its address, so that such a claim gains nothing.
 */
export class Allowances {
  readonly #addresses: RateLimit;
  /** By address; the one that was active last comes last. */
  readonly #clients = new Map<string, RateLimit>();
  readonly #rate: Rate;

  constructor(rate: Rate) {
    const [all, burst] = [rate.rate * CLIENTS_PER_ADDRESS, rate.burst * CLIENTS_PER_ADDRESS];
    this.#addresses = new RateLimit(all, burst, MAX_ADDRESSES);
    this.#rate = rate;
  }

  /** `retryAfterMs`: 0 if the request is allowed. */
  take({ address, client }: Caller): { retryAfterMs: number; headers: Record<string, string> } {
    const nowMs = this.#rate.clock();
    const clients = this.#clientsOf(address);
    const all = this.#addresses.look(address, nowMs);
    const own = all.allowed ? clients.take(client, nowMs) : clients.look(client, nowMs);
    // A client above its own limit must not use up the allowance of others behind the same address.
    if (all.allowed && own.allowed) this.#addresses.take(address, nowMs);
    return {
      retryAfterMs:
        own.allowed && all.allowed ? 0 : Math.max(1, own.retryAfterMs, all.retryAfterMs),
      headers: {
        "x-ratelimit-limit": String(this.#rate.burst),
        "x-ratelimit-remaining": String(own.remaining),
        "x-ratelimit-reset": String(Math.ceil(own.resetMs / 1000)),
      },
    };
  }

  /** Charges the address for no more than its client is charged. */
  charge({ address, client }: Caller, requests: number): void {
    const nowMs = this.#rate.clock();
    const charged = this.#clientsOf(address).charge(client, requests, nowMs);
    this.#addresses.charge(address, charged, nowMs);
  }

  #clientsOf(address: string): RateLimit {
    const { rate, burst } = this.#rate;
    const clients = this.#clients.get(address) ?? new RateLimit(rate, burst, MAX_CLIENTS);
    this.#clients.delete(address);
    this.#clients.set(address, clients);
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > MAX_ADDRESSES && oldest !== undefined) this.#clients.delete(oldest);
    return clients;
  }
}
