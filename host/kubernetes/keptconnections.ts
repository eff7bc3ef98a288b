// Keeps connections to the API server open between requests.

import { Agent, type RequestOptions } from "node:https";
import { isDeepStrictEqual } from "node:util";

/** Reuses one agent, because the library creates a new one, with no connections, per request. */
export class KeptConnections {
  #agent: Agent | undefined;

  /** The agent to use for `given`: a proxy's stays; a new client certificate needs a new one. */
  agentLike(given: RequestOptions["agent"]): RequestOptions["agent"] {
    if (!(given instanceof Agent) || given.constructor !== Agent) return given;
    const isSame = (["cert", "key"] as const).every((field) =>
      isDeepStrictEqual(this.#agent?.options[field], given.options[field]),
    );
    if (this.#agent === undefined || !isSame) {
      this.#agent = new Agent({ ...given.options, keepAlive: true });
    }
    return this.#agent;
  }

  /** Closes every connection, also one that a request is using. */
  close(): void {
    this.#agent?.destroy();
  }
}
