// A collection held in memory, over a real socket: pages, watches and all the ways in which they end.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Cache, type Collection } from "../../controller/cache.ts";
import { createLog } from "../../controller/log.ts";
import { ApiError, type KubernetesClient } from "../../host/kubernetes/apiclient.ts";
import { metadataOf } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer, watchLine } from "./apiserver.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const SECRETS = "/api/v1/namespaces/demo/secrets";
const at = (name: string): string => `${SECRETS}/${name}`;

let server: ApiServer;
let client: KubernetesClient;
let stop: AbortController;
beforeEach(async () => {
  stopClocks(new Date(0));
  // The middle of the jitter: a delay is then as long as it is meant to be.
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = await startApiServer();
  client = server.client();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  vi.useRealTimers();
  vi.restoreAllMocks();
  await server.close();
});

/** A cache, what it told of, and how long it waited after each failure. */
function hold(collection: Partial<Collection> = {}) {
  const changes: string[] = [];
  const waits: number[] = [];
  const cache = new Cache<string>(
    client,
    { path: SECRETS, ...collection },
    {
      keep: (object) => metadataOf(object)["resourceVersion"] as string,
      onChange: (key, version) => changes.push(`${key}: ${version ?? "gone"}`),
      log: createLog("WARN", "json", (line) =>
        waits.push((JSON.parse(line) as { inMs: number }).inMs),
      ),
    },
  );
  return { cache, changes, waits };
}

/** A cache that has listed and watches. */
async function following(collection: Partial<Collection> = {}) {
  const held = hold(collection);
  await held.cache.start(stop.signal);
  await until(() => server.watches.size === 1);
  return held;
}

/** In these tests a version is all that is kept. */
const itself = (version: string): string => version;

const asked = (verb: "list" | "watch"): (string | undefined)[] =>
  server.seen
    .filter(({ query }) => (query["watch"] === "true") === (verb === "watch"))
    .map(({ query }) => (verb === "watch" ? query["resourceVersion"] : (query["continue"] ?? "")));

/** Ends the watch that is open. */
function endWatch(lastLine = ""): void {
  const [{ response } = {}] = server.watches;
  response?.end(lastLine);
}

describe("the list", () => {
  it("comes in pages, with the same selectors on each", async () => {
    for (let n = 1000; n < 1501; n++)
      server.put(at(`s${n}`), { metadata: { labels: { held: "" } } });
    server.put(at("other"), {});
    const { cache, changes } = await following({ labelSelector: "held" });
    expect(asked("list")).toEqual(["", "500"]);
    expect(new Set(server.seen.map(({ query }) => query["labelSelector"]))).toEqual(
      new Set(["held"]),
    );
    expect([...cache.keys()].length).toBe(501);
    expect([cache.get("demo/s1000"), cache.get("demo/s1500"), cache.get("demo/other")]).toEqual([
      "1",
      "501",
      undefined,
    ]);
    expect(changes.length).toBe(501);
    // The watch goes on from the list's own version.
    expect(asked("watch")).toEqual(["502"]);
  });

  it("comes in smaller pages where objects are large or have many parts, then in larger ones again", async () => {
    const large = "x".repeat(1_000_000);
    const parts = Array.from({ length: 400_000 }, () => ({}));
    for (let n = 10; n < 30; n++) server.put(at(`a${n}`), { large });
    for (let n = 10; n < 30; n++) server.put(at(`b${n}`), { parts });
    for (let n = 1000; n < 1100; n++) server.put(at(`c${n}`), {});
    const { cache, changes } = await following();
    expect([changes.length, [...cache.keys()].length]).toEqual([140, 140]);
    const limits = server.seen.map(({ query }) => Number(query["limit"] ?? 0));
    expect([limits[0], Math.min(...limits.filter((limit) => limit > 0))]).toEqual([500, 1]);
    expect(limits.at(-2)).toBeGreaterThan(8);
  });

  it("may be empty, and ask for metadata alone", async () => {
    const { cache } = await following({ metadataOnly: true, fieldSelector: "metadata.name=a" });
    expect([...cache.entries()]).toEqual([]);
    const [list, watch] = server.seen;
    expect(list?.headers.accept).toContain("as=PartialObjectMetadataList;");
    expect(watch?.headers.accept).toContain("as=PartialObjectMetadata;");
    expect(server.seen.map(({ query }) => query["fieldSelector"])).toEqual(
      Array.from({ length: 2 }, () => "metadata.name=a"),
    );
  });

  it("is tried again later and later, without end", async () => {
    server.put(at("a"), {});
    server.always("GET", SECRETS, refuse(500, "InternalError"));
    const { cache, waits } = hold();
    const started = cache.start(stop.signal);
    for (const [index, wait] of [200, 400, 800, 1_600, 3_200, 5_000, 5_000].entries()) {
      await until(() => waits.length === index + 1);
      expect(waits[index]).toBe(wait);
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(server.seen.length).toBe(index + 1);
      await vi.advanceTimersByTimeAsync(1);
    }
    server.always("GET", SECRETS, undefined);
    await until(() => waits.length === 8);
    await vi.advanceTimersByTimeAsync(5_000);
    await started;
    expect(cache.get("demo/a")).toBe("1");
  });

  it("is tried again when the server asks for it", async () => {
    server.once(
      "GET",
      SECRETS,
      refuse(429, "TooManyRequests", { headers: { "retry-after": "30" } }),
    );
    const { cache, waits } = hold();
    const started = cache.start(stop.signal);
    await until(() => waits.length === 1);
    expect(waits).toEqual([30_000]);
    await vi.advanceTimersByTimeAsync(29_999);
    expect(server.seen.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await started;
  });

  it("begins again where its pages are too old to go on", async () => {
    for (let n = 1000; n < 1501; n++) server.put(at(`s${n}`), {});
    server.once("GET", SECRETS, (response) => {
      const items = [{ metadata: { namespace: "demo", name: "gone", resourceVersion: "1" } }];
      const metadata = { resourceVersion: "1", continue: "500" };
      response.end(JSON.stringify({ metadata, items }));
    });
    server.once("GET", SECRETS, refuse(410, "Expired"));
    const { cache, changes, waits } = hold();
    const started = cache.start(stop.signal);
    await until(() => waits.length === 1);
    await vi.advanceTimersByTimeAsync(200);
    await started;
    expect(asked("list")).toEqual(["", "500", "", "500"]);
    expect([[...cache.keys()].length, cache.get("demo/gone")]).toEqual([501, undefined]);
    expect(changes.at(-1)).toBe("demo/gone: gone");
  });
});

describe("the watch", () => {
  it("tells of what is new, changed and gone", async () => {
    server.put(at("a"), {});
    const { cache, changes } = await following();
    server.put(at("b"), {});
    server.put(at("a"), {});
    server.remove(at("b"));
    await until(() => changes.length === 4);
    expect(changes).toEqual(["demo/a: 1", "demo/b: 2", "demo/a: 3", "demo/b: gone"]);
    expect([...cache.entries()]).toEqual([["demo/a", "3"]]);
    const [, { query } = { query: {} }] = server.seen;
    expect(query).toEqual({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: "1",
      timeoutSeconds: "290",
    });
  });

  it("goes on where it ended, by event and by bookmark, without another list", async () => {
    const { cache, changes } = await following();
    server.put(at("a"), {});
    await until(() => changes.length === 1);
    endWatch();
    await until(() => asked("watch").length === 2);
    await until(() => server.watches.size === 1);
    endWatch(watchLine("BOOKMARK", { metadata: { resourceVersion: "7" } }));
    await until(() => asked("watch").length === 3);
    expect(asked("watch")).toEqual(["0", "1", "7"]);
    expect(asked("list")).toEqual([""]);
    // A bookmark is no object.
    expect([[...cache.entries()], changes.length]).toEqual([[["demo/a", "1"]], 1]);
  });

  it.each<[string, () => void]>([
    [
      "an event of the watch",
      () => {
        server.compact();
        endWatch();
      },
    ],
    [
      "the answer to it",
      () => {
        server.once("watch", SECRETS, refuse(410, "Expired"));
        endWatch();
      },
    ],
  ])("lists again where its version is too old, by %s", async (_how, expire) => {
    server.put(at("a"), {});
    server.put(at("b"), {});
    const { cache, changes, waits } = await following();
    server.unheard(() => {
      server.remove(at("a"));
      server.put(at("c"), {});
    });
    expire();
    await until(() => waits.length === 1);
    await vi.advanceTimersByTimeAsync(200);
    await until(() => asked("watch").at(-1) === "4");
    expect(asked("list")).toEqual(["", ""]);
    expect([...cache.entries()]).toEqual([
      ["demo/b", "2"],
      ["demo/c", "4"],
    ]);
    expect(changes.slice(-3)).toEqual(["demo/b: 2", "demo/c: 4", "demo/a: gone"]);
  });

  it("lists again from the first page where a list broke off after its version was too old", async () => {
    server.put(at("a"), {});
    const { cache, waits } = await following();
    server.unheard(() => {
      for (let n = 1000; n < 1501; n++) server.put(at(`s${n}`), {});
      server.remove(at("a"));
    });
    server.compact();
    // The first page of the list after it, and no second one.
    server.once("GET", SECRETS, (response) => {
      const items = [{ metadata: { namespace: "demo", name: "s1000", resourceVersion: "2" } }];
      response.end(JSON.stringify({ metadata: { resourceVersion: "9", continue: "1" }, items }));
    });
    server.once("GET", SECRETS, refuse(500, "InternalError"));
    endWatch();
    for (let failures = 1; failures <= 2; failures++) {
      await until(() => waits.length === failures);
      await vi.advanceTimersByTimeAsync(400);
    }
    await until(() => server.watches.size === 1);
    expect([[...cache.keys()].length, cache.get("demo/a")]).toEqual([501, undefined]);
  });

  it("tries again from the same version after another error, with no list", async () => {
    server.put(at("a"), {});
    const { waits } = await following();
    endWatch(watchLine("ERROR", { kind: "Status", code: 500, reason: "InternalError" }));
    await until(() => waits.length === 1);
    await vi.advanceTimersByTimeAsync(200);
    await until(() => asked("watch").length === 2);
    expect([asked("list"), asked("watch")]).toEqual([[""], ["1", "1"]]);
  });

  it("loses and repeats nothing when it is cut within a line", async () => {
    const { cache, changes, waits } = await following();
    server.put(at("a"), {});
    await until(() => changes.length === 1);
    const [{ response } = {}] = server.watches;
    server.unheard(() => {
      const line = watchLine("ADDED", server.put(at("b"), {}));
      response?.write(line.slice(0, 20), () => response.socket?.destroy());
    });
    await until(() => waits.length === 1);
    await vi.advanceTimersByTimeAsync(200);
    await until(() => changes.length === 2);
    expect(changes).toEqual(["demo/a: 1", "demo/b: 2"]);
    expect([cache.get("demo/b"), asked("watch")]).toEqual(["2", ["0", "1"]]);
  });

  it("is given up when it is silent for longer than bookmarks are apart, and taken up again", async () => {
    const watch = vi.spyOn(client, "watch");
    watch.mockRejectedValueOnce(new ApiError(0, "Silent", "the watch stopped sending events"));
    const { cache, waits, changes } = hold();
    await cache.start(stop.signal);
    await until(() => waits.length === 1);
    expect(watch.mock.calls[0]?.[2]).toBe(100_000);
    server.put(at("a"), {});
    await vi.advanceTimersByTimeAsync(200);
    await until(() => changes.length === 1);
    expect(cache.get("demo/a")).toBe("1");
  });

  it("ends when told to, and nothing is asked after that", async () => {
    const { changes } = await following();
    stop.abort();
    await until(() => server.watches.size === 0);
    server.put(at("a"), {});
    await vi.advanceTimersByTimeAsync(60_000);
    expect([server.seen.length, changes]).toEqual([2, []]);
  });
});

describe("an answer to our own call", () => {
  /** An answer that comes when the test says. */
  function slowAnswer() {
    let give: (version: string) => void = () => undefined;
    const answer = new Promise<string>((resolve) => {
      give = resolve;
    });
    return {
      answer,
      give: (version: string) => {
        give(version);
      },
    };
  }

  it("is held at once", async () => {
    const { cache } = hold();
    expect(await cache.observe("demo/a", () => Promise.resolve("9"))).toBe("9");
    expect(cache.get("demo/a")).toBe("9");
  });

  it("that holds nothing, or fails, changes nothing", async () => {
    const { cache } = hold();
    await cache.observe("demo/a", () => Promise.resolve("9"));
    await cache.observe("demo/a", () => Promise.resolve(undefined));
    const failed = cache.observe("demo/a", () => Promise.reject(new Error("conflict")));
    await expect(failed).rejects.toThrow("conflict");
    expect(cache.get("demo/a")).toBe("9");
  });

  it("gives way to what the watch told of the object meanwhile, for it may be newer", async () => {
    const { cache, changes } = await following();
    const { answer, give } = slowAnswer();
    const observed = cache.observe("demo/a", () => answer, itself);
    // Our write, and someone else's after it: the watch tells of both before our answer is there.
    server.put(at("a"), {});
    server.put(at("a"), {});
    await until(() => cache.get("demo/a") === "2");
    expect(changes).toEqual([]);
    give("1");
    expect(await observed).toBe("1");
    expect([cache.get("demo/a"), changes]).toEqual(["2", ["demo/a: 2"]]);
    // The next call stands for itself.
    await cache.observe("demo/a", () => Promise.resolve("3"));
    expect(cache.get("demo/a")).toBe("3");
  });

  it("does not bring back what was deleted meanwhile; what is said of others does not count", async () => {
    server.put(at("gone"), {});
    const { cache, changes } = await following();
    const [gone, other] = [slowAnswer(), slowAnswer()];
    const observed = [
      cache.observe("demo/gone", () => gone.answer, itself),
      cache.observe("demo/other", () => other.answer, itself),
    ];
    server.remove(at("gone"));
    await until(() => cache.get("demo/gone") === undefined);
    gone.give("1");
    other.give("9");
    await Promise.all(observed);
    expect([cache.get("demo/gone"), cache.get("demo/other")]).toEqual([undefined, "9"]);
    expect(changes).toEqual(["demo/gone: 1", "demo/gone: gone"]);
  });

  it("is no change when the watch reports it, before or after the answer; the next one is", async () => {
    const { cache, changes } = await following();
    const { answer, give } = slowAnswer();
    const observed = cache.observe("demo/before", () => answer, itself);
    server.put(at("before"), {});
    await until(() => cache.get("demo/before") === "1");
    give("1");
    await observed;
    await cache.observe("demo/after", () => Promise.resolve("2"), itself);
    server.put(at("after"), {});
    server.put(at("last"), {});
    await until(() => changes.length > 0);
    expect(changes).toEqual(["demo/last: 3"]);
    server.put(at("before"), {});
    server.put(at("after"), {});
    server.remove(at("after"));
    await until(() => changes.length === 4);
    expect(changes.slice(1)).toEqual(["demo/before: 4", "demo/after: 5", "demo/after: gone"]);
  });

  it("is a change where the call failed, or somebody wrote a version that we did not read", async () => {
    const { cache, changes } = await following();
    const failing = slowAnswer();
    const observed = cache.observe(
      "demo/a",
      () => failing.answer.then(() => Promise.reject(new Error("lost"))),
      itself,
    );
    server.put(at("a"), {});
    await until(() => cache.get("demo/a") === "1");
    failing.give("1");
    await expect(observed).rejects.toThrow("lost");
    expect(changes).toEqual(["demo/a: 1"]);
    // Ours was version 7; what the watch brings is another one.
    await cache.observe("demo/b", () => Promise.resolve("7"), itself);
    server.put(at("b"), {});
    await until(() => changes.length === 2);
    expect([changes[1], cache.get("demo/b")]).toEqual(["demo/b: 2", "2"]);
  });
});
