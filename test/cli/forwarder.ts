// The side of a port-forward that a kubelet has: it takes the subprotocol off a WebSocket and passes
// the bytes on to a port of this machine.
import type { Server } from "node:http";
import { connect } from "node:net";
import { WebSocketServer } from "ws";

const SUBPROTOCOL = "v4.channel.k8s.io";

export interface Forwarder {
  /** Paths with queries of the forwards that were asked for. */
  readonly asked: string[];
  readonly close: () => void;
}

/** Answers each request for a port-forward at `server` with a connection to `host:port`. */
export function forwardAt(
  server: Pick<Server, "on">,
  target: () => { host: string; port: number },
): Forwarder {
  const asked: string[] = [];
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => protocols.has(SUBPROTOCOL) && SUBPROTOCOL,
  });
  server.on("upgrade", (request, socket, head) => {
    asked.push(request.url ?? "");
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const { host, port } = target();
      const number = Buffer.alloc(2);
      number.writeUInt16LE(port);
      for (const channel of [0, 1]) webSocket.send(Buffer.concat([Buffer.of(channel), number]));
      const connection = connect(port, host);
      connection.on("data", (data) => {
        webSocket.send(Buffer.concat([Buffer.of(0), data]));
      });
      connection.on("error", (error) => {
        const words = `error forwarding port ${port}: ${error.message}`;
        webSocket.send(Buffer.concat([Buffer.of(1), Buffer.from(words)]));
      });
      connection.on("close", () => {
        webSocket.close();
      });
      webSocket.on("message", (message: Buffer) => {
        if (message[0] === 0) connection.write(message.subarray(1));
      });
      webSocket.on("close", () => connection.destroy());
      webSocket.on("error", () => connection.destroy());
    });
  });
  return {
    asked,
    close: () => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
}
