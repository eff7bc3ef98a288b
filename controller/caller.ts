// Identifies who sends a request: an address, and the client that a proxy at this address acts for.
// SPEC.md, "HTTP".

import type { IncomingMessage } from "node:http";

/** Many clients may share an address, and a direct caller can claim to be any client. */
export interface Caller {
  readonly address: string;
  readonly client: string;
}

/**
 * The client is the one that the last proxy names, because the API server's proxy appends its own
 * client.
 */
export function callerOf(request: IncomingMessage): Caller {
  const header = request.headers["x-forwarded-for"];
  const text = Array.isArray(header) ? header.join() : (header ?? "");
  const client = text.split(",").at(-1)?.trim().slice(0, 64) ?? "";
  return { address: request.socket.remoteAddress ?? "", client };
}
