// Keeps connections to the API server open between requests.

import { Agent, type RequestOptions } from "node:https";
import { isDeepStrictEqual } from "node:util";

/** One agent for many requests: the library makes a new one each time, which would reuse no connection. */
export class KeptConnections {
  #agent: Agent | undefined;

  /** A proxy's agent stays as it is. A login plugin may give another certificate after a while. */
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

  /** Closes idle connections. */
  close(): void {
    this.#agent?.destroy();
  }
}
