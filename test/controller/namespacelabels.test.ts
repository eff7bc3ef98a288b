// The labels of namespaces over a real socket: when they are watched, and how else they are read.
// SPEC.md, "Scopes".
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterWorld } from "../../controller/clusterworld.ts";
import { createLog } from "../../controller/log.ts";
import { WorldError } from "../../controller/world.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";
import { NO_DELIVERIES } from "./memoryworld.ts";

const NAMESPACES = "/api/v1/namespaces";

let server: ApiServer;
let stop: AbortController;
beforeEach(async () => {
  server = await startApiServer();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await server.close();
});

function worldOf(options: { namespaces?: string[]; selectorScope?: boolean } = {}) {
  const changed: string[] = [];
  const world = new ClusterWorld({
    client: server.client(),
    guard: () => undefined,
    namespaces: options.namespaces,
    labelSelector: undefined,
    namespaceSelector: undefined,
    selectorScope: options.selectorScope ?? true,
    plan: NO_DELIVERIES,
    onChange: (key) => changed.push(key),
    log: createLog("ERROR", "json", () => undefined),
    now: () => new Date(),
  });
  return { world, changed };
}

function label(name: string, labels: Record<string, string>, note = ""): void {
  server.put(`${NAMESPACES}/${name}`, { metadata: { labels, annotations: { note } } });
}

function declare(namespace: string, name: string, selector?: string): void {
  const annotations = selector === undefined ? {} : { "kube-signet/namespace-selector": selector };
  const path = `/apis/bitnami.com/v1alpha1/sealedsecrets/${namespace}-${name}`;
  const metadata = { namespace, name, annotations };
  server.put(path, { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", metadata });
}

const asked = (): string[] =>
  server.seen
    .filter(({ path }) => path.startsWith(NAMESPACES))
    .map(({ path, query }) => {
      const verb = query["watch"] === "true" ? "watch" : "get";
      return [verb, path, query["fieldSelector"]].filter(Boolean).join(" ");
    });

describe("where all namespaces are served", () => {
  it("nothing asks for them as long as no SealedSecret has a selector", async () => {
    label("shop", { team: "a" });
    declare("shop", "db");
    const { world } = worldOf();
    await world.start(stop.signal);
    expect(asked()).toEqual([]);
  });

  it("they are listed and watched from the first selector on, and changes of labels tell its names alone", async () => {
    label("shop", { team: "a" });
    declare("shop", "db");
    declare("shop", "wide", "team=a");
    const { world, changed } = worldOf();
    await world.start(stop.signal);
    expect(await world.namespaceLabels("shop", "seen")).toEqual({ team: "a" });
    expect(await world.namespaceLabels("gone", "seen")).toEqual({});
    await vi.waitFor(() => {
      expect(asked()).toEqual([`get ${NAMESPACES}`, `watch ${NAMESPACES}`]);
    });
    changed.length = 0;
    label("shop", { team: "a" }, "an annotation is not a label");
    label("other", { team: "a" });
    label("shop", { team: "b" });
    await vi.waitFor(() => {
      expect(changed).toEqual(["shop/wide"]);
    });
    expect(await world.namespaceLabels("shop", "seen")).toEqual({ team: "b" });
    server.remove(`${NAMESPACES}/shop`);
    await vi.waitFor(() => {
      expect(changed).toEqual(["shop/wide", "shop/wide"]);
    });
    expect(world.labelsPollMs).toBeUndefined();
  });

  it("they are read at once for the first selector that comes later, and as they are now when asked", async () => {
    label("shop", { team: "a" });
    const { world } = worldOf();
    await world.start(stop.signal);
    declare("shop", "wide", "team=a");
    await vi.waitFor(() => {
      expect(asked()).toContain(`watch ${NAMESPACES}`);
    });
    server.unheard(() => {
      label("shop", { team: "b" });
    });
    expect(await world.namespaceLabels("shop", "seen")).toEqual({ team: "a" });
    expect(await world.namespaceLabels("shop", "now")).toEqual({ team: "b" });
    expect(asked().at(-1)).toBe(`get ${NAMESPACES} metadata.name=shop`);
  });

  it("a right that is missing is said, and does not keep the controller from starting", async () => {
    server.always("GET", NAMESPACES, refuse(403, "Forbidden"));
    const { world } = worldOf();
    await world.start(stop.signal);
    declare("shop", "wide", "team=a");
    const failed: unknown = await world.namespaceLabels("shop", "seen").catch((e: unknown) => e);
    expect(failed).toBeInstanceOf(WorldError);
    expect(failed).toMatchObject({
      failure: "refused",
      message:
        "the API server returned 403 Forbidden; it takes permission to list and watch namespaces",
    });
  });
});

describe("where some namespaces are served", () => {
  it("each is read by its name, and for many at once only once", async () => {
    label("shop", { team: "a" });
    const { world } = worldOf({ namespaces: ["shop", "gone"] });
    expect(world.labelsPollMs).toBe(60_000);
    expect(await world.namespaceLabels("shop", "seen")).toEqual({ team: "a" });
    label("shop", { team: "b" });
    expect(await world.namespaceLabels("shop", "seen")).toEqual({ team: "a" });
    expect(await world.namespaceLabels("shop", "now")).toEqual({ team: "b" });
    expect(await world.namespaceLabels("gone", "now")).toEqual({});
    expect(asked()).toEqual([
      `get ${NAMESPACES}/shop`,
      `get ${NAMESPACES}/shop`,
      `get ${NAMESPACES}/gone`,
    ]);
  });
});

it("with --selector-scope=false, no labels are known and nothing is asked", async () => {
  declare("shop", "wide", "team=a");
  const { world } = worldOf({ selectorScope: false });
  await world.start(stop.signal);
  await expect(world.namespaceLabels("shop", "now")).rejects.toThrow("--selector-scope=false");
  expect(asked()).toEqual([]);
});
