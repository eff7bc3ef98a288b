// An access token of a key service, which is reused until it is about to expire.

import type { Reply, RestClient } from "./restclient.ts";

/** A fetched token and its lifetime. */
export interface FetchedToken {
  readonly text: string;
  readonly goodForMs: number;
}

export class AccessToken {
  readonly #fetch: () => Promise<FetchedToken>;
  #kept: { readonly text: string; readonly untilMs: number } | undefined;

  constructor(fetch: () => Promise<FetchedToken>) {
    this.#fetch = fetch;
  }

  /** Whether there is a cached token; the service may already refuse it. */
  get isKept(): boolean {
    return this.#kept !== undefined;
  }

  /** @throws SignetError as `fetch` does */
  async get(): Promise<string> {
    if (this.#kept !== undefined && performance.now() < this.#kept.untilMs) return this.#kept.text;
    const { text, goodForMs } = await this.#fetch();
    this.#kept = { text, untilMs: performance.now() + goodForMs };
    return text;
  }

  /** Call this when the service rejects the token. */
  forget(): void {
    this.#kept = undefined;
  }
}

/** A new token is fetched when less than this remains of its lifetime. */
const LEAST_LIFE_MS = 120_000;

/** The token in an OAuth 2.0 response (RFC 6749, section 5.1). @throws SignetError network */
export function tokenIn(reply: Reply, client: RestClient): FetchedToken {
  if (reply.status !== 200)
    throw client.failed(reply, `no token in the response: status ${reply.status}`);
  const { access_token: text, expires_in: seconds } = reply.body;
  if (typeof text !== "string" || typeof seconds !== "number") throw client.unexpected("no token");
  return { text, goodForMs: seconds * 1000 - LEAST_LIFE_MS };
}
