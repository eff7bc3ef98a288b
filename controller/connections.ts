// Limits the connections of a server, for each address and in total.
// SPEC.md, "HTTP".

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as TlsServer } from "node:https";
import type { Socket } from "node:net";

export interface ConnectionLimits {
  readonly perAddress: number;
  readonly total: number;
}

interface Connection {
  readonly address: string;
  readonly socket: Socket;
  readonly exchanges: Set<{ readonly request: IncomingMessage; readonly response: ServerResponse }>;
}

/**
 * Keeps the connections of `server` within the limits. A new connection above a limit replaces the
 * one that has been quiet the longest and has no request in progress: it is idle, its request has
 * not arrived, or its client does not read the response. For the total limit, it is one of the
 * address with the most connections. If no connection can give way, the new one is closed.
 */
export function limitConnections(server: Server | TlsServer, limits: ConnectionLimits): void {
  // The connection that was active last comes last.
  const open = new Map<string, Connection>();
  const counts = new Map<string, number>();

  const forget = (key: string, connection: Connection): void => {
    if (open.get(key) !== connection) return;
    open.delete(key);
    const left = (counts.get(connection.address) ?? 0) - 1;
    if (left > 0) counts.set(connection.address, left);
    else counts.delete(connection.address);
  };
  const closeOneOf = (address: string): void => {
    for (const [key, connection] of open) {
      if (connection.address !== address || isAtWork(connection)) continue;
      forget(key, connection);
      connection.socket.destroy();
      return;
    }
  };
  const touch = (key: string, connection: Connection): void => {
    if (!open.delete(key)) return;
    open.set(key, connection);
  };

  server.prependListener("connection", (socket: Socket) => {
    const key = keyOf(socket);
    const address = socket.remoteAddress ?? "";
    const connection: Connection = { address, socket, exchanges: new Set() };
    if ((counts.get(address) ?? 0) >= limits.perAddress) closeOneOf(address);
    if (open.size >= limits.total) closeOneOf(largest(counts));
    if ((counts.get(address) ?? 0) >= limits.perAddress || open.size >= limits.total) {
      socket.destroy();
      return;
    }
    open.set(key, connection);
    counts.set(address, (counts.get(address) ?? 0) + 1);
    socket.once("close", () => {
      forget(key, connection);
    });
  });

  server.prependListener("request", (request: IncomingMessage, response: ServerResponse) => {
    // With TLS, the request's socket is not the connection's, but has the same addresses and ports.
    const key = keyOf(request.socket);
    const connection = open.get(key);
    if (connection === undefined) return;
    const exchange = { request, response };
    connection.exchanges.add(exchange);
    touch(key, connection);
    response.once("close", () => {
      connection.exchanges.delete(exchange);
      touch(key, connection);
    });
  });
}

function keyOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

function isAtWork({ exchanges }: Connection): boolean {
  for (const { request, response } of exchanges) {
    if (request.complete && !response.writableEnded) return true;
  }
  return false;
}

function largest(counts: ReadonlyMap<string, number>): string {
  let found = "";
  let most = 0;
  for (const [address, count] of counts) if (count > most) [found, most] = [address, count];
  return found;
}
