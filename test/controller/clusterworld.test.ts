// What the API server's refusals mean for a Secret that is to be written, over a real socket.
// SPEC.md, "Reconciling".
import { afterEach, beforeEach, expect, it } from "vitest";
import { ClusterWorld } from "../../controller/clusterworld.ts";
import { SECRET_LABEL } from "../../controller/decide.ts";
import { createLog } from "../../controller/log.ts";
import { sourceOf } from "../../controller/sourceof.ts";
import { verdicts } from "../../controller/verdict.ts";
import { WorldError } from "../../controller/world.ts";
import { type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { until } from "./waiting.ts";
import { NO_DELIVERIES } from "./memoryworld.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";

const SECRETS = "/api/v1/namespaces/demo/secrets";
const SECRET = parseSecret({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { namespace: "demo", name: "db", resourceVersion: "1" },
});

let server: ApiServer;
let world: ClusterWorld;
const worldOf = (namespaces: readonly string[] | undefined): ClusterWorld =>
  new ClusterWorld({
    client: server.client(),
    guard: () => undefined,
    namespaces,
    labelSelector: undefined,
    namespaceSelector: undefined,
    selectorScope: true,
    plan: NO_DELIVERIES,
    onChange: () => undefined,
    log: createLog("INFO", "json", () => undefined),
    now: () => new Date(),
  });
beforeEach(async () => {
  server = await startApiServer();
  world = worldOf(undefined);
});
afterEach(() => server.close());

const field = { field: "metadata.labels", message: "a value that nobody may quote" };

it.each<[string, JsonObject, "invalid" | "refused", "wait" | "retry"]>([
  ["with an invalid field", { causes: [field] }, "invalid", "wait"],
  ["with a field among other causes", { causes: [{ message: "m" }, field] }, "invalid", "wait"],
  ["of a policy, which names no field", { causes: [{ message: "m" }] }, "refused", "retry"],
  ["without causes", { causes: [] }, "refused", "retry"],
  ["without details", {}, "refused", "retry"],
])(
  "a 422 %s gives a verdict that is final or tried again",
  async (_what, details, failure, next) => {
    const answer = refuse(422, "Invalid", { details });
    server.once("POST", SECRETS, answer);
    server.once("PUT", `${SECRETS}/db`, answer);
    for (const write of [
      world.createSecret("demo/db", SECRET, "demo/db"),
      world.replaceSecret("demo/db", SECRET, "demo/db"),
    ]) {
      const error: unknown = await write.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(WorldError);
      expect(error).toMatchObject({ failure });
      expect((error as Error).message).not.toContain("quote");
      expect(verdicts.writeFailed(error as WorldError).next).toBe(next);
    }
  },
);

it("records a hundred Events of a namespace at once, and those of other namespaces besides", async () => {
  const sealed = (namespace: string) => ({ metadata: { namespace, name: "db" } });
  const event = { type: "Normal", reason: "Unsealed", message: "m" } as const;
  const record = (namespace: string) =>
    world.recordEvent(sealed(namespace), event).catch(() => undefined);
  for (let made = 0; made < 150; made++) await record("flood");
  await record("demo");
  const ofNamespace = (name: string) =>
    server.seen.filter(({ path }) => path === `/api/v1/namespaces/${name}/events`).length;
  expect(ofNamespace("flood")).toBeGreaterThanOrEqual(100);
  expect(ofNamespace("flood")).toBeLessThan(150);
  expect(ofNamespace("demo")).toBe(1);
});

it("counts a SealedSecret that a finalizer holds as unknown while its definition is being deleted", async () => {
  const metadata = {
    ...{ namespace: "demo", name: "db", uid: "u", finalizers: ["example.com/f"] },
    deletionTimestamp: "2026-11-24T12:00:00Z",
  };
  const found = { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", metadata };
  const answer = (path: string, body: JsonObject): void => {
    server.always("GET", path, (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    });
  };
  answer("/apis/bitnami.com/v1alpha1/namespaces/demo/sealedsecrets", { items: [found] });
  const verbs = ["delete", "get", "list", "watch"];
  answer("/apis/bitnami.com/v1alpha1", { resources: [{ name: "sealedsecrets", verbs }] });
  const now = await world.sourceNow("demo/db");
  expect(now).toEqual({ unknownForMs: expect.closeTo(600_000, -4) as number });
});

it("reads a SealedSecret again only while its Secret is not as the status says it was left", async () => {
  const sealedSecret = "/apis/bitnami.com/v1alpha1/namespaces/demo/sealedsecrets/db";
  const labels = { [SECRET_LABEL]: "" };
  const secret = server.put(`${SECRETS}/db`, { kind: "Secret", metadata: { labels } });
  const object = server.put(sealedSecret, { spec: { encryptedData: { a: "x" } } });
  const { uid = "", resourceVersion = "" } = metadataOf(secret) as Record<string, string>;
  const left = { uid, resourceVersion, source: sourceOf(object), patched: false, tag: "t" };
  const condition = { status: "True", reason: "Unsealed", message: "" };
  const status = {
    conditions: ["Synced", "Ready"].map((type) => ({ type, ...condition })),
    ...{ secret: left, sealedUnder: {}, sealedUnderTag: "t" },
  };
  server.put(sealedSecret, { ...object, status });
  const readings = (): number =>
    server.seen.filter(({ query }) => query["fieldSelector"] === "metadata.name=db").length;
  const ending = new AbortController();
  world = worldOf(["demo"]);
  try {
    await world.start(ending.signal);
    expect(world.resting("demo/db")?.written).toEqual({
      left: { uid, resourceVersion, source: left.source, patched: false },
      owner: metadataOf(object)["uid"],
      tag: "t",
    });
    expect([...world.sealedSecrets()]).toMatchObject([{ name: "db", values: 1 }]);
    expect((await world.sealedSecret("demo/db"))?.object["spec"]).toEqual(object["spec"]);
    expect(readings()).toBe(1);
    // While there may be something to do, it is at hand.
    server.put(sealedSecret, { ...object, status: { ...status, secret: null } });
    await until(() => world.resting("demo/db") === undefined);
    expect((await world.sealedSecret("demo/db"))?.object["spec"]).toEqual(object["spec"]);
    expect(readings()).toBe(1);
    // Its text goes as well where the Secret is seen last.
    const changed = metadataOf(server.put(`${SECRETS}/db`, secret)) as Record<string, string>;
    const leftNow = { ...left, resourceVersion: changed["resourceVersion"] ?? "" };
    server.put(sealedSecret, { ...object, status: { ...status, secret: leftNow } });
    await until(() => world.resting("demo/db") !== undefined);
    await until(() => world.secretMark("demo/db")?.resourceVersion === leftNow.resourceVersion);
    await world.sealedSecret("demo/db");
    expect(readings()).toBe(2);
  } finally {
    ending.abort();
  }
});

it("forgets a Secret of someone else, which is not watched, once its SealedSecret is gone", async () => {
  const written = (labels: JsonObject) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace: "demo", name: "db", uid: "u", resourceVersion: "2", labels },
  });
  for (const [labels, isKept] of [
    [{}, false],
    [{ [SECRET_LABEL]: "owned" }, true],
  ] as const) {
    server.once("PUT", `${SECRETS}/db`, (response) => {
      response.end(JSON.stringify(written(labels)));
    });
    await world.replaceSecret("demo/db", SECRET, "demo/db");
    expect(world.secretMark("demo/db")?.resourceVersion).toBe("2");
    expect(await world.sealedSecret("demo/db")).toBeUndefined();
    expect(world.secretMark("demo/db") !== undefined).toBe(isKept);
  }
});

it("keeps of a status what the API server stored, which may have pruned it", async () => {
  const sealed = {
    apiVersion: "bitnami.com/v1alpha1",
    kind: "SealedSecret",
    metadata: { namespace: "demo", name: "db", uid: "u", resourceVersion: "1", generation: 1 },
    spec: { encryptedData: { a: "AgA=" } },
  };
  const path = "/apis/bitnami.com/v1alpha1/namespaces/demo/sealedsecrets/db/status";
  const metadata = { ...sealed.metadata, resourceVersion: "2" };
  const sent = { observedGeneration: 1, sealedUnder: { key: ["a"] } };
  // Also where an earlier version is known.
  for (let round = 0; round < 2; round++) {
    server.once("PUT", path, (response) => {
      response.end(JSON.stringify({ ...sealed, metadata, status: { observedGeneration: 1 } }));
    });
    await world.writeStatus("demo/db", sealed, sent);
  }
  expect((await world.sealedSecret("demo/db"))?.object).toEqual({
    ...sealed,
    metadata,
    status: { observedGeneration: 1 },
  });
});
