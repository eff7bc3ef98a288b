// The client of the API server over a real socket: answers, refusals, deadlines, watches, its rate.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  ApiError,
  type CallOptions,
  type KubernetesClient,
} from "../../host/kubernetes/apiclient.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer, watchLine } from "./apiserver.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const SECRETS = "/api/v1/namespaces/demo/secrets";
const DB = `${SECRETS}/db`;

let server: ApiServer;
let client: KubernetesClient;
beforeEach(async () => {
  server = await startApiServer();
  client = server.client();
});
afterEach(async () => {
  vi.useRealTimers();
  await server.close();
});

/** What a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<ApiError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a call", () => {
  it("carries query, body, types, the user's token and who calls", async () => {
    server.put(DB, { kind: "Secret" });
    const named = server.client(undefined, "replica-1");
    const found = await named.call("GET", DB, { query: { a: "b c&d" }, accept: "text/x" });
    expect(found).toMatchObject({ metadata: { name: "db", namespace: "demo" } });
    const body = { metadata: { name: "new" } };
    await client.call("POST", SECRETS, { body, contentType: "application/x" });
    const [get, post] = server.seen;
    expect(get).toMatchObject({
      method: "GET",
      path: DB,
      query: { a: "b c&d" },
      headers: { accept: "text/x", authorization: "Bearer token-of-the-test" },
      body: {},
    });
    expect(get?.headers["user-agent"]).toMatch(/^kube-signet\/\S+ \(replica-1\)$/);
    expect(get?.headers["content-type"]).toBeUndefined();
    expect(post).toMatchObject({
      body,
      headers: { "content-type": "application/x", "content-length": "27" },
    });
    expect(post?.headers["user-agent"]).toMatch(/^kube-signet\/\S+$/);
  });

  it("uses one connection after the other's end, not one each", async () => {
    for (let turn = 0; turn < 3; turn++) await refusal(client.call("GET", DB));
    expect([server.seen.length, server.connections]).toEqual([3, 1]);
  });

  it("answers an empty object where the server says nothing that is one", async () => {
    server.once("GET", DB, (response) => response.end("[1]"));
    expect(await client.call("GET", DB)).toEqual({});
    server.once("GET", DB, (response) => response.writeHead(204).end());
    expect(await client.call("GET", DB)).toEqual({});
  });

  it("tells a refusal's status, reason, fields and wait, and nothing that it quotes", async () => {
    const causes = [
      { field: "data.password", message: "hunter2 is too short" },
      { message: "no field" },
    ];
    const headers = { "retry-after": "3" };
    server.once("GET", DB, refuse(422, "Invalid", { details: { causes }, headers }));
    const error = await refusal(client.call("GET", DB));
    expect(error).toMatchObject({
      status: 422,
      reason: "Invalid",
      message: "the API server returned 422 Invalid (data.password)",
      retryAfterMs: 3_000,
    });
  });

  it("takes an answer that is no Status for what its code says", async () => {
    server.once("GET", DB, (response) => response.writeHead(502).end("<html>hunter2"));
    expect(await refusal(client.call("GET", DB))).toMatchObject({
      status: 502,
      reason: "HTTP502",
      message: "the API server returned 502 HTTP502",
      retryAfterMs: undefined,
    });
  });

  it("fails with status 0 where no answer comes: none in time, a cut one, no server", async () => {
    // A path of its own: on a busy machine, the call may be given up before the server has it.
    const never = `${DB}-never`;
    server.once("GET", never, () => undefined);
    expect(await refusal(client.call("GET", never, { timeoutMs: 30 }))).toMatchObject({
      status: 0,
      reason: "Timeout",
      message: `no response to GET ${never}`,
    });
    server.once("GET", DB, (response) => response.socket?.destroy());
    expect(await refusal(client.call("GET", DB))).toMatchObject({
      status: 0,
      reason: "Unreachable",
      message: "the API server is unreachable: ECONNRESET",
    });
    server.once("GET", DB, (response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write('{"a":', () => response.socket?.destroy());
    });
    expect(await refusal(client.call("GET", DB))).toMatchObject({
      status: 0,
      message: "the API server is unreachable: ECONNRESET",
    });
    await server.close();
    expect(await refusal(client.call("GET", DB))).toMatchObject({
      message: "the API server is unreachable: ECONNREFUSED",
    });
    server = await startApiServer();
  });

  it("is not sent where its guard throws", async () => {
    const back = vi.fn();
    client.onRecovered = back;
    const guard = (): void => {
      throw new ApiError(0, "NotLeader", "follows");
    };
    const error = await refusal(client.call("POST", SECRETS, { body: {}, guard }));
    expect(error.reason).toBe("NotLeader");
    await refusal(client.call("GET", DB));
    expect(server.seen.map(({ method }) => method)).toEqual(["GET"]);
    // The guard's word says nothing of the server.
    expect(back).not.toHaveBeenCalled();
  });

  it("tells when a server that was in trouble is back, but not at every flicker", async () => {
    const back = vi.fn();
    client.onRecovered = back;
    server.put(DB, {});
    const trouble = async (): Promise<void> => {
      server.once("GET", DB, refuse(503, "ServiceUnavailable"));
      await refusal(client.call("GET", DB));
    };
    await client.call("GET", DB);
    await trouble();
    expect(back).not.toHaveBeenCalled();
    await client.call("GET", DB);
    expect(back).toHaveBeenCalledTimes(1);
    await trouble();
    await client.call("GET", DB);
    expect(back).toHaveBeenCalledTimes(1);
  });

  it("waits for its turn, unless it is urgent, and is guarded when it is sent", async () => {
    stopClocks(new Date(0));
    const slow = server.client({ qps: 10, burst: 2 });
    const guarded: number[] = [];
    const call = (options: CallOptions = {}): Promise<JsonObject> =>
      slow.call("GET", DB, { guard: () => guarded.push(Date.now()), ...options });
    server.put(DB, {});
    const calls = [call(), call(), call(), call()];
    await call({ urgent: true });
    await Promise.all(calls.slice(0, 2));
    expect(server.seen).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(100);
    await calls[2];
    expect(server.seen).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(100);
    await calls[3];
    const [third = 0, fourth = 0] = guarded.slice(3);
    expect(guarded.slice(0, 3)).toEqual([0, 0, 0]);
    // The client's own clock does not stand still, so a little less is left to wait.
    expect([third > 50 && third <= 100, fourth > 150]).toEqual([true, true]);
  });
});

describe("a watch", () => {
  const event = (name: string): JsonObject => ({ metadata: { name, namespace: "demo" } });

  /** Follows the collection; `told` fills with `TYPE name`. */
  function follow(silenceMs = 5_000, onEvent?: (type: string) => void) {
    const told: string[] = [];
    const stop = new AbortController();
    const ended = client.watch(
      SECRETS,
      { query: { watch: "true", resourceVersion: "0" } },
      silenceMs,
      stop.signal,
      (type, object) => {
        const { name } = object["metadata"] as JsonObject;
        told.push(`${type} ${name as string}`);
        onEvent?.(type);
      },
    );
    return { told, ended, stop };
  }

  it("hands events over in order, in whatever pieces they come, and ends with the server", async () => {
    const text = Buffer.from(
      watchLine("ADDED", event("größe")) +
        "\n" +
        watchLine("BOOKMARK", event("")) +
        watchLine("DELETED", event("b")),
    );
    // Within the first letter that is two bytes, and within a line.
    const cuts = [text.indexOf("ö") + 1, text.indexOf("BOOKMARK") + 2, text.length];
    server.once("watch", SECRETS, (response) => {
      const next = (from: number): void => {
        const to = cuts.shift();
        if (to === undefined) response.end();
        else response.write(text.subarray(from, to), () => setImmediate(next, to));
      };
      next(0);
    });
    const { told, ended } = follow();
    await ended;
    expect(told).toEqual(["ADDED größe", "BOOKMARK ", "DELETED b"]);
  });

  it("is refused like a call", async () => {
    server.once(
      "watch",
      SECRETS,
      refuse(429, "TooManyRequests", { headers: { "retry-after": "2" } }),
    );
    const { ended } = follow();
    expect(await refusal(ended)).toMatchObject({ status: 429, retryAfterMs: 2_000 });
  });

  it.each(["not JSON", "{}", '{"type":"ADDED"}', '{"object":{}}', "[]"])(
    "ends at %s, so that all is listed again",
    async (line) => {
      server.once("watch", SECRETS, (response) => {
        response.write(
          `${watchLine("ADDED", event("a"))}${line}\n${watchLine("ADDED", event("b"))}`,
        );
      });
      const { told, ended } = follow();
      expect(await refusal(ended)).toMatchObject({ status: 410, reason: "Malformed" });
      expect(told).toEqual(["ADDED a"]);
    },
  );

  it.each([
    ["0", 1_000],
    ["-5", 1_000],
    ["99999999", 60_000],
  ])("waits no less than a second and no more than a minute: %s", async (said, waits) => {
    server.once(
      "watch",
      SECRETS,
      refuse(429, "TooManyRequests", { headers: { "retry-after": said } }),
    );
    const { ended } = follow();
    expect(await refusal(ended)).toMatchObject({ status: 429, retryAfterMs: waits });
  });

  it("fails when it is cut, with what came before handed over and half a line not", async () => {
    server.once("watch", SECRETS, (response) => {
      response.write(watchLine("ADDED", event("a")) + '{"type":"ADDED","obj', () =>
        response.socket?.destroy(),
      );
    });
    const { told, ended } = follow();
    expect(await refusal(ended)).toMatchObject({ status: 0, reason: "Unreachable" });
    expect(told).toEqual(["ADDED a"]);
  });

  it("fails when nothing comes any more, though the connection stands", async () => {
    server.put(DB, {});
    const { told, ended } = follow(100);
    expect(await refusal(ended)).toMatchObject({ status: 0, reason: "Silent" });
    expect(told).toEqual(["ADDED db"]);
    await until(() => server.watches.size === 0);
  });

  it("ends with what its reader throws, and hands over nothing more", async () => {
    const { told, ended } = follow(5_000, (type) => {
      if (type === "DELETED") throw new ApiError(410, "Expired", "too old");
    });
    await until(() => server.watches.size === 1);
    const [{ response } = {}] = server.watches;
    const lines = [watchLine("DELETED", event("a")), watchLine("ADDED", event("b"))];
    response?.write(lines.join(""));
    expect(await refusal(ended)).toMatchObject({ status: 410 });
    expect(told).toEqual(["DELETED a"]);
  });

  it("ends quietly when it is told to stop", async () => {
    const { ended, stop } = follow();
    await until(() => server.watches.size === 1);
    stop.abort();
    await ended;
    await until(() => server.watches.size === 0);
  });
});
