// Proofs about one request: what becomes of it on a connection that was kept.
import { Agent, createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { send } from "../../host/http.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** How a request fails whose connection was closed under it. */
const CLOSED = { code: "ECONNRESET" };

/** Its address, and the number of connections that were made to it. */
async function serve(listener: RequestListener): Promise<{ url: URL; connections: () => number }> {
  let connections = 0;
  const server = createServer(listener).on("connection", () => connections++);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return { url, connections: () => connections };
}

describe("a connection that was kept", () => {
  const kept = (): Agent => {
    const agent = new Agent({ keepAlive: true });
    closers.push(() => {
      agent.destroy();
    });
    return agent;
  };

  test("is used again", async () => {
    const { url, connections } = await serve((_, response) => response.end("ok"));
    const agent = kept();
    for (const _ of [1, 2, 3]) expect((await send(url, { agent }, "")).text).toBe("ok");
    expect(connections()).toBe(1);
  });

  /** A server that answers once on each connection and cuts it when it is used again. */
  async function serveOnce(): Promise<{ url: URL; bodies: string[]; connections: () => number }> {
    const bodies: string[] = [];
    const seen = new WeakSet();
    const { url, connections } = await serve((request, response) => {
      if (seen.has(request.socket)) {
        request.socket.destroy();
        return;
      }
      seen.add(request.socket);
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => {
        bodies.push(body);
        response.end("ok");
      });
    });
    return { url, bodies, connections };
  }

  test.for([
    { method: "GET", bodies: ["", ""], rules: {} },
    { method: "POST", bodies: ["first", "second"], rules: { isRepeatable: true } },
  ])(
    "is made anew where the server closed it meanwhile, and a repeatable $method is sent again",
    async ({ method, bodies: sent, rules }) => {
      const { url, bodies, connections } = await serveOnce();
      const agent = kept();
      for (const body of sent) {
        expect((await send(url, { agent, method }, body || undefined, rules)).text).toBe("ok");
      }
      expect(bodies).toEqual(sent);
      expect(connections()).toBe(2);
    },
  );

  test.for(["POST", "PATCH"])(
    "that the server closed meanwhile fails a %s, which may have been done",
    async (method) => {
      const { url, bodies, connections } = await serveOnce();
      const agent = kept();
      expect((await send(url, { agent, method }, "first")).text).toBe("ok");
      await expect(send(url, { agent, method }, "second")).rejects.toMatchObject(CLOSED);
      expect(bodies).toEqual(["first"]);
      expect(connections()).toBe(1);
    },
  );

  test("is not made anew where a fresh one is closed too", async () => {
    const { url, connections } = await serve((request) => request.socket.destroy());
    await expect(send(url, { agent: kept() }, "")).rejects.toMatchObject(CLOSED);
    expect(connections()).toBe(1);
  });
});
