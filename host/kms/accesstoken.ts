// A token of a key service, which is kept while enough of its life is left.

import type { Reply, RestClient } from "./restclient.ts";

/** A token as it was fetched, and for how long it is good. */
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

  /** Whether a token is at hand, which the service may refuse by now. */
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

  /** To be called when the service does not accept the token. */
  forget(): void {
    this.#kept = undefined;
  }
}

/** Another token is fetched when less than this of its life is left. */
const LEAST_LIFE_MS = 120_000;

/** The token in an answer of OAuth 2.0 (RFC 6749, section 5.1). @throws SignetError network */
export function tokenIn(reply: Reply, client: RestClient): FetchedToken {
  if (reply.status !== 200) throw client.failed(reply, `no token: status ${reply.status}`);
  const { access_token: text, expires_in: seconds } = reply.body;
  if (typeof text !== "string" || typeof seconds !== "number") throw client.unexpected("no token");
  return { text, goodForMs: seconds * 1000 - LEAST_LIFE_MS };
}
