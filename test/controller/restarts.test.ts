// Restarts of workloads over a world in memory, with a stopped clock: when, which one, and how often.
import { beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../controller/log.ts";
import { digestOf, type WorkloadKind } from "../../controller/restartrules.ts";
import { Restarts, type Workload, type WorkloadWorld } from "../../controller/restarts.ts";
import { SecretDigests } from "../../controller/secretdigests.ts";
import type { Event } from "../../controller/world.ts";
import { ApiError } from "../../host/kubernetes/apiclient.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { testKey } from "../vectors/fixtures.ts";

const START = Date.parse("2026-11-24T12:00:00Z");
const MINUTE = 60_000;
const ON = "kube-signet/restart-on";
const SEEN = "kube-signet/restart-seen";

let nowMs: number;
let objects: Map<string, JsonObject>;
/** The data of Secrets that are as the controller left them, by `NAMESPACE/NAME`. */
let values: Map<string, string>;
let events: Event[];
let lines: string[];
let unfinished: string[];
/** Fails the next calls: by call and id, such as `patch Deployment shop/web`. */
let failures: Map<string, Error>;
let keyring: Keyring;
let restarts: Restarts;
let seenVersions: Map<string, string>;
let version: number;

beforeEach(() => {
  nowMs = START;
  objects = new Map();
  values = new Map();
  failures = new Map();
  seenVersions = new Map();
  [events, lines, unfinished] = [[], [], []];
  version = 0;
  keyring = new Keyring([testKey("first")]);
  restarts = start();
  restarts.lead();
});

const world: WorkloadWorld = {
  watch: () => Promise.resolve(),
  read: async (id) => {
    await fails(`read ${id}`);
    return objects.get(id) ?? null;
  },
  patch: async (id, patch) => {
    await fails(`patch ${id}`);
    const object = objects.get(id);
    if (object === undefined) throw new ApiError(404, "NotFound", "gone");
    put(id, merge(object, patch));
  },
  recordEvent: (_workload, event) => {
    events.push(event);
    return Promise.resolve();
  },
};

async function fails(call: string): Promise<void> {
  await Promise.resolve();
  const failure = failures.get(call);
  failures.delete(call);
  if (failure !== undefined) throw failure;
}

/** As the API server: a changed spec is a new generation. */
function put(id: string, object: JsonObject): void {
  const before = objects.get(id);
  const isSame = JSON.stringify(before?.["spec"]) === JSON.stringify(object["spec"]);
  const generation = Number(metadataOf(before ?? {})["generation"] ?? 0) + (isSame ? 0 : 1);
  const metadata = { ...metadataOf(object), generation, resourceVersion: String(++version) };
  objects.set(id, { ...object, metadata });
}

function merge(object: JsonObject, patch: JsonObject): JsonObject {
  const merged = { ...object };
  for (const [field, value] of Object.entries(patch)) {
    const inner = asObject(value);
    merged[field] = inner === null ? value : merge(asObject(merged[field] ?? null) ?? {}, inner);
  }
  return merged;
}

/** A controller that starts: it knows nothing but what the objects say. */
function start(): Restarts {
  seenVersions.clear();
  return new Restarts({
    world,
    digests: {
      of: (key) => {
        const value = values.get(key);
        return Promise.resolve(value === undefined ? undefined : digestOf({ data: { value } }));
      },
    },
    keyring,
    holdOffMs: MINUTE,
    log: createLog("INFO", "json", (line) => lines.push(line)),
    now: () => new Date(nowMs),
    clock: () => nowMs,
    onRestart: () => undefined,
    onUnfinished: ({ namespace }) => unfinished.push(namespace),
  });
}

/** Whoever declares a workload; the watch tells of it with the next step. */
function declare(
  id: string,
  on: string,
  { spec = { replicas: 0 } }: { spec?: JsonObject } = {},
): void {
  const [kind = "", key = ""] = id.split(" ");
  const [namespace = "", name = ""] = key.split("/");
  const metadata = { namespace, name, uid: `uid-${id}`, annotations: { [ON]: on } };
  put(id, { apiVersion: "apps/v1", kind, metadata, spec });
}

/** What the watch tells since the last time; false if nothing changed. */
function tellChanges(): boolean {
  let isChanged = false;
  for (const [id, object] of objects) {
    const { resourceVersion, generation, namespace, name, uid, annotations } = metadataOf(object);
    if (seenVersions.get(id) === resourceVersion) continue;
    seenVersions.set(id, resourceVersion as string);
    isChanged = true;
    const texts = asObject(annotations ?? null) ?? {};
    restarts.observed(id, {
      kind: id.split(" ")[0] as WorkloadKind,
      namespace: namespace as string,
      name: name as string,
      uid: uid as string,
      restartOn: texts[ON] as string,
      restarted: (texts["kube-signet/restarted"] ?? "") as string,
      signature: JSON.stringify([generation, texts[ON], texts[SEEN] === undefined]),
    } satisfies Workload);
  }
  return isChanged;
}

/** Time passes, in which the controller does what is due. */
async function pass(ms: number): Promise<void> {
  const untilMs = nowMs + ms;
  tellChanges();
  for (;;) {
    const waitMs = await restarts.tick();
    if (tellChanges()) continue;
    if (nowMs + waitMs > untilMs) break;
    nowMs += Math.max(1, waitMs);
  }
  nowMs = untilMs;
}

/** The declared value becomes another, and the controller writes the Secret. */
function change(key: string, value: string): void {
  values.set(key, value);
  restarts.reconciled(key);
}

const annotationsOf = (id: string): JsonObject =>
  asObject(metadataOf(objects.get(id) ?? {})["annotations"] ?? null) ?? {};
const restartedAt = (id: string): string | undefined => {
  const template = asObject(asObject(objects.get(id)?.["spec"] ?? null)?.["template"] ?? null);
  const { annotations = null } = metadataOf(template ?? {});
  return asObject(annotations)?.["kube-signet/restarted-at"] as string | undefined;
};
const generationOf = (id: string): number =>
  Number(metadataOf(objects.get(id) ?? {})["generation"]);

/** What the cluster does: it sees the template, and replaces the pods. */
function rollOut(id: string, replicas = 1): void {
  const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas };
  const status = { observedGeneration: generationOf(id), ...counts, availableReplicas: replicas };
  put(id, { ...objects.get(id), status });
}

const WEB = "Deployment shop/web";
const API = "StatefulSet shop/api";

/** A workload that has been seen with the value `one`. */
async function seenWithOne(id = WEB, spec: JsonObject = { replicas: 0 }): Promise<void> {
  values.set("shop/db", "one");
  declare(id, "db", { spec });
  await pass(MINUTE);
  rollOut(id, Number(spec["replicas"]));
  expect(annotationsOf(id)[SEEN]).toMatch(/^db=/);
  expect(generationOf(id)).toBe(1);
}

describe("a workload is restarted", () => {
  it("when a value changed: the template, the record and an Event say so, once", async () => {
    await seenWithOne();
    change("shop/db", "two");
    await pass(10_000);
    const at = restartedAt(WEB);
    expect(at).toMatch(/^2026-11-24T12:01:0\dZ$/);
    expect(annotationsOf(WEB)["kube-signet/restarted"]).toBe(`${at} db`);
    expect(events).toEqual([
      {
        type: "Normal",
        reason: "Restarted",
        message: "restarted, because values changed in Secret db",
      },
    ]);
    rollOut(WEB, 0);
    await pass(60 * MINUTE);
    expect(restartedAt(WEB)).toBe(at);
    expect(lines.join("")).toContain("workload restarted");
    expect(lines.join("")).not.toMatch(/two|retrying/);
  });

  it("when the value changed while the controller was away", async () => {
    await seenWithOne();
    values.set("shop/db", "two");
    restarts = start();
    restarts.lead();
    await pass(10_000);
    expect(generationOf(WEB)).toBe(2);
  });

  it("once for several Secrets that change within seconds", async () => {
    values.set("shop/db", "one").set("shop/api", "one");
    declare(WEB, "db, api");
    await pass(MINUTE);
    change("shop/db", "two");
    await pass(3_000);
    change("shop/api", "two");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(2);
    expect(annotationsOf(WEB)["kube-signet/restarted"]).toMatch(/Z api,db$/);
  });

  it("for every Secret that it references, with *", async () => {
    values.set("shop/db", "one").set("shop/other", "one");
    const spec = {
      replicas: 0,
      template: { spec: { volumes: [{ name: "v", secret: { secretName: "db" } }] } },
    };
    declare(WEB, "*", { spec });
    await pass(MINUTE);
    change("shop/other", "two");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(1);
    change("shop/db", "two");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(2);
  });

  it("of each kind", async () => {
    values.set("shop/db", "one");
    const ids = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"].map(
      (kind) => `${kind} shop/a`,
    );
    for (const id of ids) declare(id, "db");
    await pass(MINUTE);
    change("shop/db", "two");
    for (let round = 0; round < 4; round++) {
      await pass(10_000);
      for (const id of ids) rollOut(id, 0);
      const rollout = objects.get("Rollout shop/a") ?? {};
      const { restartAt = null } = asObject(rollout["spec"] ?? null) ?? {};
      put("Rollout shop/a", { ...rollout, status: { restartedAt: restartAt } });
    }
    expect(ids.map(generationOf)).toEqual([2, 2, 2, 2]);
    const { spec = null } = objects.get("Rollout shop/a") ?? {};
    expect(asObject(spec)?.["restartAt"]).toMatch(/^2026-11-24T12:0/);
  });
});

describe("a workload is not restarted", () => {
  it("at first sight, nor for a Secret that it asks for from now on", async () => {
    await seenWithOne();
    values.set("shop/api", "one");
    put(WEB, merge(objects.get(WEB) ?? {}, { metadata: { annotations: { [ON]: "db,api" } } }));
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(1);
    expect(annotationsOf(WEB)[SEEN]).toMatch(/^api=.*,db=/);
  });

  it("when the same value is sealed again, or written again", async () => {
    await seenWithOne();
    for (let round = 0; round < 3; round++) change("shop/db", "one");
    await pass(10 * MINUTE);
    expect(generationOf(WEB)).toBe(1);
  });

  it("while somebody else's edit is not reverted yet, nor when it is", async () => {
    await seenWithOne();
    // Its data is not as the controller left it.
    values.delete("shop/db");
    restarts.reconciled("shop/db");
    await pass(MINUTE);
    change("shop/db", "one");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(1);
  });

  it("when the controller starts again, or another replica leads", async () => {
    await seenWithOne();
    const before = version;
    for (let round = 0; round < 3; round++) {
      restarts = start();
      restarts.lead();
      await pass(MINUTE);
      restarts.follow();
      restarts.lead();
      await pass(MINUTE);
    }
    expect(version).toBe(before);
  });

  it("when the sealing key is renewed, and is when a value changes then", async () => {
    await seenWithOne();
    const before = annotationsOf(WEB)[SEEN];
    keyring.replace([testKey("first"), { ...testKey("second"), orderedAt: new Date(nowMs) }]);
    restarts.reconciled("shop/db");
    await pass(MINUTE);
    expect(annotationsOf(WEB)[SEEN]).not.toBe(before);
    keyring.replace([testKey("second")]);
    restarts.reconciled("shop/db");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(1);
    change("shop/db", "two");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(2);
  });

  it("by a replica that does not lead", async () => {
    await seenWithOne();
    restarts.follow();
    change("shop/db", "two");
    await pass(10 * MINUTE);
    expect(generationOf(WEB)).toBe(1);
  });

  it("if its annotation is invalid: an Event says so once, without quoting it", async () => {
    declare(WEB, "db,NOT valid");
    await pass(MINUTE);
    put(WEB, { ...objects.get(WEB), spec: { replicas: 3 } });
    await pass(MINUTE);
    expect(events.map(({ reason }) => reason)).toEqual(["RestartInvalid"]);
    expect(JSON.stringify(events)).not.toContain("NOT");
  });

  it("while it is paused; and is when it is resumed", async () => {
    await seenWithOne(WEB, { replicas: 0, paused: true });
    change("shop/db", "two");
    await pass(MINUTE);
    expect(restartedAt(WEB)).toBeUndefined();
    put(WEB, { ...objects.get(WEB), spec: { replicas: 0, paused: false } });
    await pass(MINUTE);
    expect(restartedAt(WEB)).toBeDefined();
  });
});

describe("a storm", () => {
  it("of changes restarts a workload once in the hold-off, also if the controller restarts", async () => {
    await seenWithOne();
    const times = new Set<string>();
    for (let second = 0; second < 300; second += 5) {
      change("shop/db", `value ${second}`);
      if (second % 50 === 0) {
        restarts = start();
        restarts.lead();
      }
      await pass(5_000);
      times.add(restartedAt(WEB) ?? "");
    }
    await pass(2 * MINUTE);
    times.add(restartedAt(WEB) ?? "");
    times.delete("");
    expect(times.size).toBeGreaterThanOrEqual(5);
    expect(times.size).toBeLessThanOrEqual(7);
    const sorted = [...times].map(Date.parse).sort((a, b) => a - b);
    for (const [at, time] of sorted.entries()) {
      if (at > 0) expect(time - (sorted[at - 1] ?? 0)).toBeGreaterThanOrEqual(MINUTE - 1_000);
    }
    // The last one has the last value.
    restarts = start();
    restarts.lead();
    const before = generationOf(WEB);
    await pass(5 * MINUTE);
    expect(generationOf(WEB)).toBe(before);
  });

  it("of a made-up time in the future holds nothing off", async () => {
    await seenWithOne();
    const annotations = { "kube-signet/restarted": "2099-01-01T00:00:00Z db" };
    put(WEB, merge(objects.get(WEB) ?? {}, { metadata: { annotations } }));
    change("shop/db", "two");
    await pass(10_000);
    expect(generationOf(WEB)).toBe(2);
  });
});

describe("one at a time in a namespace", () => {
  const spec = { replicas: 1 };

  beforeEach(async () => {
    await seenWithOne(WEB, spec);
    await seenWithOne(API, spec);
    await seenWithOne("Deployment shop/zoo", spec);
  });

  const restarted = (): string[] => [...objects.keys()].filter((id) => generationOf(id) > 1);

  it("the next waits until the one before has rolled out", async () => {
    change("shop/db", "two");
    await pass(MINUTE);
    expect(restarted()).toEqual([WEB]);
    expect(restarts.waiting).toBe(2);
    rollOut(WEB);
    await pass(MINUTE);
    expect(restarted()).toEqual([WEB, API]);
    rollOut(API);
    await pass(MINUTE);
    expect(restarted()).toHaveLength(3);
    expect(restarts.waiting).toBe(0);
    expect(unfinished).toEqual([]);
  });

  it("the next waits for 10 minutes at most, and the one before is counted", async () => {
    change("shop/db", "two");
    await pass(9 * MINUTE);
    expect(restarted()).toEqual([WEB]);
    await pass(2 * MINUTE);
    expect(restarted()).toEqual([WEB, API]);
    expect(unfinished).toEqual(["shop"]);
  });

  it("the next waits for what an earlier process restarted", async () => {
    change("shop/db", "two");
    await pass(10_000);
    restarts = start();
    restarts.lead();
    await pass(2 * MINUTE);
    expect(restarted()).toEqual([WEB]);
    rollOut(WEB);
    await pass(MINUTE);
    expect(restarted()).toEqual([WEB, API]);
  });

  it("a workload that a value broke is corrected without waiting for itself", async () => {
    change("shop/db", "broken");
    await pass(10_000);
    change("shop/db", "right");
    await pass(2 * MINUTE);
    expect(generationOf(WEB)).toBe(3);
    expect(restarted()).toEqual([WEB]);
  });

  it("a waiting workload whose value changed back is not restarted", async () => {
    change("shop/db", "two");
    await pass(10_000);
    change("shop/db", "one");
    await pass(2 * MINUTE);
    rollOut(WEB);
    await pass(5 * MINUTE);
    expect(restarted()).toEqual([WEB]);
    expect(restarts.waiting).toBe(0);
  });

  it("other namespaces do not wait, but for more than 8 in the cluster", async () => {
    const ids = Array.from({ length: 12 }, (_, at) => `Deployment ns${at}/web`);
    for (const [at, id] of ids.entries()) {
      values.set(`ns${at}/db`, "one");
      declare(id, "db", { spec });
    }
    await pass(MINUTE);
    for (const id of ids) rollOut(id);
    for (const at of ids.keys()) change(`ns${at}/db`, "two");
    await pass(MINUTE);
    expect(restarted()).toHaveLength(8);
    for (const id of restarted()) rollOut(id);
    await pass(MINUTE);
    expect(restarted()).toHaveLength(12);
  });

  it("workloads that never get ready hold up their own namespaces, and no others for long", async () => {
    const stuck = Array.from({ length: 16 }, (_, at) => `Deployment ns${at % 8}/web${at}`);
    for (const id of [...stuck, "Deployment other/web"]) {
      values.set(`${id.split(/[ /]/)[1] ?? ""}/db`, "one");
      declare(id, "db", { spec });
    }
    await pass(MINUTE);
    for (const id of [...stuck, "Deployment other/web"]) rollOut(id);
    for (const at of Array(8).keys()) change(`ns${at}/db`, "two");
    await pass(MINUTE / 2);
    expect(restarted()).toHaveLength(8);
    change("other/db", "two");
    await pass(3 * MINUTE);
    expect(restarted()).toContain("Deployment other/web");
    expect(restarted()).toHaveLength(9);
    for (const at of Array(8).keys()) change(`ns${at}/db`, "three");
    await pass(MINUTE);
    rollOut("Deployment other/web");
    change("other/db", "three");
    await pass(3 * MINUTE);
    expect(generationOf("Deployment other/web")).toBe(3);
  });
});

describe("failures", () => {
  it.each([
    ["a conflict", new ApiError(409, "Conflict", "changed")],
    ["a server that is away", new ApiError(0, "Unreachable", "away")],
    ["a refusal", new ApiError(403, "Forbidden", "no")],
  ])("%s is retried, and restarts once", async (_, failure) => {
    await seenWithOne();
    failures.set(`patch ${WEB}`, failure);
    change("shop/db", "two");
    await pass(MINUTE);
    expect(generationOf(WEB)).toBe(2);
  });

  it("a workload that is gone is forgotten", async () => {
    await seenWithOne();
    change("shop/db", "two");
    objects.delete(WEB);
    await pass(MINUTE);
    restarts.observed(WEB, undefined);
    expect(await restarts.tick()).toBe(Infinity);
    expect(lines.join("")).not.toContain("retrying");
  });

  it("a namespace with a flood of workloads has 1000 looked at, and delays no other", async () => {
    values.set("flood/db", "one");
    for (let at = 0; at < 1_100; at++) declare(`Deployment flood/w${at}`, "db");
    await seenWithOne();
    const recorded = [...objects.keys()].filter((id) => annotationsOf(id)[SEEN] !== undefined);
    expect(recorded).toHaveLength(1_001);
    expect(lines.filter((line) => line.includes("too many workloads"))).toHaveLength(1);
  });
});

describe("the data of Secrets", () => {
  const mark = { uid: "u", resourceVersion: "1" };
  const secret = { metadata: mark, data: { value: "b25l" } };

  it("is read once for each version, and only if it is settled", async () => {
    let [reads, isSettled] = [0, false];
    const digests = new SecretDigests({
      secretMark: () => mark,
      isSettled: () => Promise.resolve(isSettled),
      readSecret: () => {
        reads++;
        return Promise.resolve(secret);
      },
    });
    expect([await digests.of("shop/db"), reads]).toEqual([undefined, 0]);
    isSettled = true;
    for (let round = 0; round < 3; round++) {
      expect(await digests.of("shop/db")).toBe(digestOf(secret));
    }
    expect(reads).toBe(1);
  });

  it("is not known if the Secret is not ours, or changed since the watch told of it", async () => {
    const read = (found: JsonObject | null) =>
      new SecretDigests({
        secretMark: (key) => (key === "shop/db" ? mark : undefined),
        isSettled: () => Promise.resolve(true),
        readSecret: () => Promise.resolve(found),
      });
    expect(await read(secret).of("shop/other")).toBeUndefined();
    expect(await read(null).of("shop/db")).toBeUndefined();
    const newer = { ...secret, metadata: { ...mark, resourceVersion: "2" } };
    expect(await read(newer).of("shop/db")).toBeUndefined();
  });
});
