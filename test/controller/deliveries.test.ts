// Secrets that are delivered to other namespaces, over a world in memory: where they go, what is theirs,
// when they are deleted, and what a stranger gains by writing any of the fields.
// SPEC.md, "Deliveries".
import { describe, expect, it } from "vitest";
import { MANAGED_ANNOTATION, PATCH_ANNOTATION, SECRET_LABEL } from "../../controller/decide.ts";
import { Deliveries, type DeliveriesOptions } from "../../controller/deliveries.ts";
import { deliveryIn, DeliveryPlan } from "../../controller/deliveryplan.ts";
import { deliveryCondition } from "../../controller/deliveryreport.ts";
import { createLog } from "../../controller/log.ts";
import type { Outcome } from "../../controller/queue.ts";
import { Reconciler } from "../../controller/reconcile.ts";
import { JobLost } from "../../controller/sandbox.ts";
import { formatDrift } from "../../controller/verdict.ts";
import { WorldError } from "../../controller/world.ts";
import {
  asObject,
  type JsonObject,
  metadataOf,
  objectsIn,
} from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";
import { MemoryWorld } from "./memoryworld.ts";

const TO = "kube-signet/deliver-to";
const FROM = "kube-signet/delivered-from";
const TAG = "kube-signet/delivered-tag";

interface Declared {
  readonly value?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** The selector; null for none. */
  readonly to?: string | null;
  readonly scope?: Scope;
  readonly annotations?: Record<string, string>;
  readonly type?: string;
  readonly immutable?: boolean;
  readonly uid?: string;
  /** Of the template. */
  readonly template?: JsonObject;
}

async function sealed({
  value = "one",
  namespace = "shared",
  name = "db",
  to = "team",
  scope = "cluster-wide",
  annotations = {},
  type,
  immutable,
  uid = `uid-of-${namespace}-${name}`,
  template = {},
}: Declared = {}): Promise<JsonObject> {
  const secret = parseSecret({
    ...{ apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, stringData: { value } },
    ...(type === undefined ? {} : { type }),
    ...(immutable === undefined ? {} : { immutable }),
  });
  const object = formatSealedSecret(await seal(secret, testKey("first").certificate, scope));
  const metadata = metadataOf(object);
  const own = asObject(metadata["annotations"] ?? null) ?? {};
  const asked = to === null ? {} : { [TO]: to };
  const spec = object["spec"] as JsonObject;
  return {
    ...object,
    metadata: {
      ...metadata,
      annotations: { ...own, ...asked, ...annotations },
      uid,
      generation: 1,
    },
    spec: { ...spec, template: { ...(spec["template"] as JsonObject), ...template } },
  };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function theirs(namespace: string, metadata: JsonObject = {}, name = "db"): JsonObject {
  return {
    ...{ apiVersion: "v1", kind: "Secret", type: "Opaque", data: { value: base64("theirs") } },
    metadata: { name, namespace, ...metadata },
  };
}

/** A world with deliveries, and a queue that runs what is in it until nothing is. */
function bench(options: Partial<DeliveriesOptions> = {}, from = ["shared"]) {
  const world = new MemoryWorld();
  const time = { ms: 0 };
  const queue = new Set<string>();
  const told = { verdicts: [] as string[], repairs: [] as string[], removals: [] as string[] };
  const counts = { unsealed: 0 };
  const keyring = keyringOf(["first"]);
  const outcomes = new Map<string, Outcome | Error>();
  /** Names that are to be looked at again soon. */
  const waiting = new Set<string>();
  const newPlan = () =>
    new DeliveryPlan({
      from: new Set(from),
      own: "signet",
      onWork: (name) => queue.add(name),
      clock: () => time.ms,
    });
  const common = {
    ...{ world, keyring, render: () => new Map<string, Uint8Array>(), acceptLegacy: true },
    allowedTypes: new Set<string>(),
    repair: { changed: true, deleted: true },
    log: createLog("ERROR", "text", () => undefined),
    clock: () => time.ms,
    ...options,
  };
  const start = () => {
    const plan = newPlan();
    world.plan = plan;
    const deliveries = new Deliveries({
      ...common,
      plan,
      onUnseal: () => counts.unsealed++,
      onReport: (key) => queue.add(key),
      onVerdict: (name, { reason }) => told.verdicts.push(`${name} ${reason}`),
      onRepair: (key, drift) => told.repairs.push(`${key} ${formatDrift(drift)}`),
      onRemoval: (key, _from, why) => told.removals.push(`${key}: ${why}`),
    });
    const reconciler = new Reconciler({
      ...common,
      updateStatus: true,
      now: () => new Date("2026-11-24T12:00:00Z"),
      onVerdict: () => undefined,
      delivery: (key, object) => {
        const report = deliveries.reportOf(key, object);
        return report === null ? null : deliveryCondition(report);
      },
    });
    return { plan, deliveries, reconciler };
  };
  let parts = start();
  world.onChange = (key) => queue.add(key);
  const one = async (name: string): Promise<Outcome> => {
    if (deliveryIn(name) !== null) return parts.deliveries.reconcile(name);
    const swept = await parts.deliveries.sweep(name);
    const outcome = await parts.reconciler.reconcile(name);
    return swept ?? outcome;
  };
  const run = async (): Promise<void> => {
    for (let runs = 0; queue.size > 0; runs++) {
      if (runs > 2_000) throw new Error(`it never ends: ${[...queue].join(", ")}`);
      const [name = ""] = queue;
      queue.delete(name);
      const outcome = await one(name).catch((error: unknown) => error as Error);
      outcomes.set(name, outcome);
      const isLater = "kind" in outcome && outcome.kind === "later";
      // Of the Secrets that may have to go.
      if (isLater && deliveryIn(name) === null) waiting.add(name);
      if (queue.size > 0 || waiting.size === 0) continue;
      time.ms += 3_001;
      for (const each of waiting) queue.add(each);
      waiting.clear();
    }
  };
  /** As another process that starts, from what the cluster holds. */
  const restart = async (): Promise<void> => {
    parts = start();
    world.replay();
    for (const key of world.secrets.keys()) queue.add(key);
    await run();
  };
  const put = async (declared: Declared = {}): Promise<void> => {
    world.put("sealed", await sealed(declared));
    await run();
  };
  const change = async (work: () => unknown): Promise<void> => {
    work();
    await run();
  };
  const again = async (name: string): Promise<Outcome> => {
    const outcome = await one(name);
    await run();
    return outcome;
  };
  const counted = () => parts.deliveries.counts();
  return {
    ...{ world, time, queue, told, counts, keyring, outcomes, run, restart, put, change, again },
    ...{ counted, plan: () => parts.plan, deliveries: () => parts.deliveries },
  };
}

/** The value of each Secret, by `NAMESPACE/NAME`. */
function held({ secrets }: MemoryWorld): Record<string, string> {
  return Object.fromEntries(
    [...secrets].map(([key, secret]) => {
      const value = parseSecret(secret).data.get("value");
      return [key, Buffer.from(value ?? []).toString()];
    }),
  );
}

function edit(world: MemoryWorld, key: string, change: JsonObject): void {
  const secret = world.secrets.get(key);
  if (secret === undefined) throw new Error(`there is no Secret ${key}`);
  world.put("secrets", { ...secret, ...change });
}

function delivered(world: MemoryWorld, key = "shared/db"): JsonObject | undefined {
  const { conditions } = (world.sealed.get(key)?.["status"] ?? {}) as JsonObject;
  return objectsIn(conditions).find(({ type }) => type === "Delivered");
}

const message = (world: MemoryWorld, key?: string) => delivered(world, key)?.["message"];

/** One SealedSecret, two namespaces that match, and one that does not. */
async function settled(declared: Declared = {}, options: Partial<DeliveriesOptions> = {}) {
  const given = bench(options);
  given.world.namespace("shared", {});
  given.world.namespace("a", { team: "x" });
  given.world.namespace("b", { team: "y" });
  given.world.namespace("other", {});
  await given.put(declared);
  return given;
}

const EVERYWHERE = { "shared/db": "one", "a/db": "one", "b/db": "one" };

describe("a Secret that is delivered", () => {
  it("is made in each namespace that matches, and the status and an Event say so", async () => {
    const { world, counts, counted } = await settled();
    expect(held(world)).toEqual(EVERYWHERE);
    expect(counts.unsealed).toBe(1);
    expect(counted()).toEqual({ delivered: 2, failed: 0, waiting: 0 });
    const { labels, annotations, ownerReferences } = metadataOf(world.secrets.get("a/db") ?? {});
    expect(labels).toEqual({ [SECRET_LABEL]: "delivered" });
    expect(ownerReferences).toBeUndefined();
    expect(annotations).toEqual({
      // Of the template, as in every Secret.
      "sealedsecrets.bitnami.com/cluster-wide": "true",
      [FROM]: "shared/db",
      [TAG]: expect.stringMatching(/^[\w-]{22}\.[\w+/=-]{20,}$/) as string,
    });
    expect(delivered(world)).toMatchObject({
      ...{ status: "True", reason: "Delivered", message: "delivered to 2 namespaces" },
    });
    expect(world.events).toContainEqual({
      ...{ type: "Normal", reason: "Delivered", message: "delivered to 2 namespaces" },
    });
  });

  it("follows its values, its selector, and the labels of namespaces", async () => {
    const { world, put, change, told } = await settled();
    await put({ value: "two" });
    expect(held(world)).toEqual({ "shared/db": "two", "a/db": "two", "b/db": "two" });
    await change(() => {
      world.namespace("other", { team: "z" });
    });
    expect(held(world)["other/db"]).toBe("two");
    await put({ value: "two", to: "team=y" });
    expect(Object.keys(held(world)).sort()).toEqual(["b/db", "shared/db"]);
    await change(() => {
      world.namespace("b", { team: "x" });
    });
    expect(Object.keys(held(world))).toEqual(["shared/db"]);
    expect(told.removals).toEqual([
      "a/db: its namespace does not match, or refuses deliveries",
      "other/db: its namespace does not match, or refuses deliveries",
      "b/db: its namespace does not match, or refuses deliveries",
    ]);
    expect(message(world)).toBe("no other namespace matches");
    await put({ to: null });
    expect(delivered(world)).toBeUndefined();
  });

  it("costs no call where nothing changed, and one read each after a start", async () => {
    const { world, queue, plan, run, restart, counts } = await settled();
    world.calls.length = 0;
    for (const name of plan().names()) queue.add(name);
    queue.add("a/db").add("shared/db");
    await run();
    expect(world.calls).toEqual([]);
    await restart();
    expect(world.calls.filter((call) => !call.startsWith("labels"))).toEqual([
      "read a/db",
      "read b/db",
    ]);
    expect(counts.unsealed).toBe(2);
    expect(held(world)).toEqual(EVERYWHERE);
  });

  it.each([
    ["a namespace that refuses", "a", { accepts: "false" }],
    ["a namespace that says anything but true", "a", { accepts: "no" }],
    ["a namespace that is being deleted", "a", { isEnding: true }],
    ["a namespace of the cluster itself", "kube-public", {}],
    ["the controller's own namespace", "signet", {}],
  ])("does not go to %s", async (_what, name, facts) => {
    const { world, put } = bench();
    world.namespace("shared", { team: "s" });
    world.namespace(name, { team: "x" }, facts);
    await put();
    expect(Object.keys(held(world))).toEqual(["shared/db"]);
    expect(message(world)).toBe("no other namespace matches");
  });

  it("goes to a namespace of the cluster that asks for it, and goes again when one refuses", async () => {
    const { world, put, change } = bench();
    world.namespace("kube-public", { team: "x" }, { accepts: "true" });
    world.namespace("a", { team: "x" });
    await put();
    expect(Object.keys(held(world)).sort()).toEqual(["a/db", "kube-public/db", "shared/db"]);
    await change(() => {
      world.namespace("a", { team: "x" }, { accepts: "false" });
    });
    expect(Object.keys(held(world)).sort()).toEqual(["kube-public/db", "shared/db"]);
  });

  it("has no finalizers, no owner, and nothing that hands it over", async () => {
    const annotations = { [MANAGED_ANNOTATION]: "true", [PATCH_ANNOTATION]: "true", kept: "yes" };
    const metadata = { annotations, labels: { app: "x" }, finalizers: ["example.com/hold"] };
    const { world } = await settled({ template: { metadata } });
    const found = metadataOf(world.secrets.get("a/db") ?? {});
    expect(found["finalizers"]).toBeUndefined();
    expect(found["labels"]).toEqual({ app: "x", [SECRET_LABEL]: "delivered" });
    expect(Object.keys(found["annotations"] as JsonObject).sort()).toEqual(["kept", FROM, TAG]);
  });

  it("is tagged again with a new key, which is no drift", async () => {
    const { world, keyring, queue, plan, run, told } = await settled();
    const before = metadataOf(world.secrets.get("a/db") ?? {})["annotations"] as JsonObject;
    keyring.replace(keyringOf(["first", "second"]).keys);
    for (const name of plan().names()) queue.add(name);
    await run();
    const after = metadataOf(world.secrets.get("a/db") ?? {})["annotations"] as JsonObject;
    expect(after[TAG]).not.toBe(before[TAG]);
    expect(told.repairs).toEqual([]);
    // The former key may go now.
    keyring.replace(keyringOf(["second"]).keys);
    world.remove("sealed", "shared/db");
    await run();
    expect(Object.keys(held(world))).toEqual(["shared/db"]);
  });
});

describe("the scope", () => {
  it.each(["strict", "namespace-wide"] as const)(
    "%s binds values to one namespace, so an annotation delivers them nowhere",
    async (scope) => {
      const { world, put } = await settled({ scope });
      expect(Object.keys(held(world))).toEqual(["shared/db"]);
      expect(delivered(world)).toMatchObject({ status: "False", reason: "DeliveryRefused" });
      expect(message(world)).toContain(`sealed with scope ${scope}`);
      // What was delivered before stays as it is.
      await put();
      expect(held(world)).toEqual(EVERYWHERE);
      await put({ scope, value: "two" });
      expect(held(world)).toEqual({ ...EVERYWHERE, "shared/db": "two" });
    },
  );

  it("of a selector delivers only where that matches too", async () => {
    const { world, change } = await settled({ scope: "selector team=x" });
    expect(Object.keys(held(world))).toEqual(["a/db"]);
    expect(message(world)).toBe(
      "delivered to 1 of 2 namespaces, not to b; b: NamespaceNotSelected: the labels of " +
        'namespace b do not match "team=x", which the values are sealed for',
    );
    await change(() => {
      world.namespace("b", { team: "x" });
    });
    expect(held(world)["b/db"]).toBe("one");
  });

  it("and the selector go by labels that are read after the values", async () => {
    const { world, put, outcomes, change } = await settled();
    // The watch has not told yet.
    world.newLabels.set("a", {});
    await put({ value: "two" });
    expect(held(world)).toEqual({ "shared/db": "two", "a/db": "one", "b/db": "two" });
    expect(outcomes.get("shared/db>a")).toEqual({ kind: "later", afterMs: 5_001 });
    await change(() => {
      world.namespace("a", {});
    });
    expect(Object.keys(held(world)).sort()).toEqual(["b/db", "shared/db"]);
  });
});

describe("what others do to a delivered Secret", () => {
  it("is reverted, whether they change, unmark or delete it", async () => {
    const { world, change, told } = await settled();
    await change(() => {
      edit(world, "a/db", { data: { value: base64("evil") } });
    });
    expect(held(world)).toEqual(EVERYWHERE);
    await change(() => {
      edit(world, "a/db", { metadata: { ...metadataOf(theirs("a")), ...idOf(world, "a/db") } });
    });
    expect(metadataOf(world.secrets.get("a/db") ?? {})["labels"]).toEqual({
      [SECRET_LABEL]: "delivered",
    });
    await change(() => {
      world.remove("secrets", "a/db");
    });
    expect(held(world)).toEqual(EVERYWHERE);
    expect(told.repairs).toEqual([
      "a/db changed (data.value)",
      expect.stringMatching(/^a\/db changed \(metadata.labels/) as string,
      "a/db deleted",
    ]);
    expect(world.events.map((event) => event.message)).toContain(
      "in namespace a: the Secret was changed (data.value) and has been restored",
    );
  });

  it("is no new value of it: only what the controller left counts", async () => {
    const { world, change, deliveries, restart, run } = await settled();
    const counts = (key: string): boolean => {
      const mark = world.secretMark(key);
      return mark !== undefined && deliveries().isSettled(key, mark);
    };
    expect([counts("a/db"), counts("shared/db")]).toEqual([true, false]);
    edit(world, "a/db", { data: { value: base64("evil") } });
    expect(counts("a/db")).toBe(false);
    await run();
    expect(counts("a/db")).toBe(true);
    await restart();
    expect(counts("a/db")).toBe(true);
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(counts("a/db")).toBe(false);
  });

  it("is reverted after a start too, and counted as drift", async () => {
    const { world, restart, told } = await settled();
    edit(world, "a/db", { data: { value: base64("evil") } });
    await restart();
    expect(held(world)).toEqual(EVERYWHERE);
    expect(told.repairs).toEqual(["a/db changed (data.value)"]);
  });

  it("is a new Secret where it was immutable", async () => {
    const { world, change } = await settled({ immutable: true });
    await change(() => {
      world.remove("secrets", "a/db");
      world.put("secrets", { ...theirs("a", marksOf(world, "b/db")), immutable: true });
    });
    // The tag of another namespace says nothing here.
    expect(held(world)["a/db"]).toBe("theirs");
  });

  it("slows down a fight, and the status says who fights", async () => {
    const { world, time, change, outcomes, again } = await settled();
    for (let turn = 0; turn < 6; turn++) {
      await change(() => {
        edit(world, "a/db", { data: { value: base64(`evil ${turn}`) } });
      });
      time.ms += 10;
    }
    expect(held(world)["a/db"]).toBe("evil 5");
    expect(outcomes.get("shared/db>a")).toMatchObject({ kind: "later" });
    expect(message(world)).toContain("a: DriftContested: someone keeps changing the Secret");
    time.ms += 2_000;
    await again("shared/db>a");
    expect(held(world)["a/db"]).toBe("one");
    time.ms += 130_000;
    await again("shared/db>a");
    expect(message(world)).toBe("delivered to 2 namespaces");
  });

  it("stays where the SealedSecret says so", async () => {
    const { world, change } = await settled({ annotations: { "kube-signet/drift": "ignore" } });
    await change(() => {
      edit(world, "a/db", { data: { value: base64("kept") } });
    });
    expect(held(world)["a/db"]).toBe("kept");
    expect(message(world)).toBe("delivered to 2 namespaces");
  });

  it("is its value where the SealedSecret says so, also after a start", async () => {
    const given = await settled({ annotations: { "kube-signet/drift": "ignore" } });
    const { world, change, deliveries, restart } = given;
    const counts = (key: string): boolean => {
      const mark = world.secretMark(key);
      return mark !== undefined && deliveries().isSettled(key, mark);
    };
    await restart();
    expect([counts("a/db"), counts("b/db")]).toEqual([true, true]);
    await change(() => {
      edit(world, "a/db", { data: { value: base64("kept") } });
      world.remove("secrets", "b/db");
    });
    expect(counts("a/db")).toBe(true);
    expect(held(world)).toEqual({ "shared/db": "one", "a/db": "kept" });
  });
});

const idOf = (world: MemoryWorld, key: string): JsonObject => {
  const { uid, resourceVersion } = metadataOf(world.secrets.get(key) ?? {});
  return { uid: uid ?? "", resourceVersion: resourceVersion ?? "" };
};

/** The marks of a delivered Secret, to copy. */
function marksOf(world: MemoryWorld, key: string): JsonObject {
  const { labels = null, annotations = null } = metadataOf(world.secrets.get(key) ?? {});
  return { labels, annotations };
}

describe("a Secret of somebody else", () => {
  it("is never overwritten, whatever marks it has that are not from us", async () => {
    const { world, put } = bench();
    world.namespace("a", { team: "x" });
    world.namespace("b", { team: "x" });
    const tag = `${"x".repeat(22)}.${"y".repeat(43)}`;
    const foreign: Record<string, JsonObject> = {
      plain: {},
      labelled: { labels: { [SECRET_LABEL]: "delivered" } },
      owned: { labels: { [SECRET_LABEL]: "owned" } },
      forged: {
        labels: { [SECRET_LABEL]: "delivered" },
        annotations: { [FROM]: "shared/forged", [TAG]: tag },
      },
      controlled: { ownerReferences: [{ kind: "Certificate", name: "c", controller: true }] },
    };
    for (const [name, metadata] of Object.entries(foreign)) {
      world.put("secrets", theirs("a", metadata, name));
      await put({ name });
      expect([name, held(world)[`a/${name}`]]).toEqual([name, "theirs"]);
      expect([name, held(world)[`b/${name}`]]).toEqual([name, "one"]);
      expect(message(world, `shared/${name}`)).toBe(
        `delivered to 1 of 2 namespaces, not to a; a: NotManaged: Resource "${name}" already ` +
          "exists and is not managed by SealedSecret",
      );
    }
    for (const name of Object.keys(foreign)) {
      world.remove("sealed", `shared/${name}`);
    }
  });

  it("is never deleted when the source goes", async () => {
    const { world, change } = await settled();
    await change(() => {
      world.put("secrets", theirs("c", marksOf(world, "a/db")));
      world.put("secrets", theirs("a", marksOf(world, "a/db"), "copy"));
      world.put("secrets", theirs("other", { labels: { [SECRET_LABEL]: "delivered" } }));
    });
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(Object.keys(held(world)).sort()).toEqual(["a/copy", "c/db", "other/db", "shared/db"]);
  });

  it("is taken over once its owner hands it over, and goes with the source", async () => {
    const { world, put, change, again } = bench();
    world.namespace("a", { team: "x" });
    world.put("secrets", theirs("a"));
    await put();
    expect(held(world)["a/db"]).toBe("theirs");
    edit(world, "a/db", {
      metadata: { ...metadataOf(theirs("a")), annotations: { [MANAGED_ANNOTATION]: "true" } },
    });
    await again("shared/db>a");
    expect(held(world)["a/db"]).toBe("one");
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(held(world)["a/db"]).toBeUndefined();
  });

  it("of a SealedSecret of that namespace comes first, or after the source is gone", async () => {
    const { world, put, change } = bench();
    world.namespace("a", { team: "x" });
    world.namespace("b", { team: "x" });
    await put({ namespace: "a", to: null, value: "own" });
    await put();
    expect(held(world)).toEqual({ "a/db": "own", "b/db": "one", "shared/db": "one" });
    await put({ namespace: "b", to: null, value: "own" });
    expect(held(world)["b/db"]).toBe("one");
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(held(world)["b/db"]).toBe("own");
  });

  it.each([
    [MANAGED_ANNOTATION, "sets its owner", false],
    [MANAGED_ANNOTATION, "sets no owner", true],
    [PATCH_ANNOTATION, "sets its owner", false],
    [PATCH_ANNOTATION, "sets no owner", true],
  ])("is not handed over by %s to a SealedSecret that %s", async (handing, _what, setsNone) => {
    const { world, put, change } = bench();
    world.namespace("a", { team: "x" });
    await put();
    const skip = { "sealedsecrets.bitnami.com/skip-set-owner-references": "true" };
    const template = setsNone ? { metadata: { annotations: skip } } : {};
    await put({ namespace: "a", to: null, value: "own", template });
    world.calls.length = 0;
    await change(() => {
      const metadata = metadataOf(world.secrets.get("a/db") ?? {});
      const annotations = asObject(metadata["annotations"] ?? null) ?? {};
      edit(world, "a/db", {
        metadata: { ...metadata, annotations: { ...annotations, [handing]: "true" } },
      });
    });
    expect(held(world)["a/db"]).toBe("one");
    expect(message(world)).toBe("delivered to 1 namespace");
    expect(world.calls.filter((call) => call.startsWith("replace")).length).toBeLessThan(2);
  });

  it("of another source has its name until that source goes", async () => {
    const { world, put, change } = bench({}, ["shared", "infra"]);
    world.namespace("a", { team: "x" });
    await put({ value: "first" });
    await put({ namespace: "infra", value: "second" });
    expect(held(world)["a/db"]).toBe("first");
    expect(message(world, "infra/db")).toContain("not to a; a: NotManaged");
    await put({ value: "third" });
    expect(held(world)["a/db"]).toBe("third");
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(held(world)["a/db"]).toBe("second");
    expect(message(world, "infra/db")).toBe("delivered to 1 namespace");
  });
});

describe("when the source goes", () => {
  it.each<[string, (given: Awaited<ReturnType<typeof settled>>) => Promise<void> | void]>([
    [
      "it is deleted",
      ({ world }) => {
        world.remove("sealed", "shared/db");
      },
    ],
    [
      "it is being deleted",
      async ({ world }) => {
        const object = await sealed();
        const metadata = { ...metadataOf(object), deletionTimestamp: "2026-11-24T12:00:00Z" };
        world.put("sealed", { ...object, metadata });
      },
    ],
    [
      "it asks for nothing any more",
      async ({ world }) => void world.put("sealed", await sealed({ to: null })),
    ],
    [
      "it asks for other namespaces",
      async ({ world }) => void world.put("sealed", await sealed({ to: "squad" })),
    ],
  ])("%s: its Secrets go, at once and after a start", async (_what, work) => {
    for (const isAway of [false, true]) {
      const given = await settled();
      if (isAway) given.world.plan = undefined;
      await work(given);
      if (isAway) {
        given.queue.clear();
        await given.restart();
      } else {
        await given.run();
      }
      expect(Object.keys(held(given.world))).toEqual(["shared/db"]);
      expect(given.told.removals.length).toBe(2);
    }
  });

  it("and comes back as another object, its Secrets follow", async () => {
    const { world, restart } = await settled();
    world.put("sealed", await sealed({ uid: "another", value: "two" }));
    await restart();
    expect(held(world)).toEqual({ "shared/db": "two", "a/db": "two", "b/db": "two" });
  });

  it("and had many Secrets, two looks at it are enough", async () => {
    const { world, change } = await settled();
    await change(() => {
      for (let made = 0; made < 40; made++) world.namespace(`n${made}`, { team: "x" });
    });
    world.calls.length = 0;
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(Object.keys(held(world))).toEqual(["shared/db"]);
    const called = (call: string): number =>
      world.calls.filter((each) => each.startsWith(`${call} `)).length;
    expect([called("source"), called("read"), called("delete")]).toEqual([2, 42, 42]);
  });

  it("and nobody can tell whether it was deleted, its Secrets wait without a failure", async () => {
    const { world, queue, again } = await settled();
    world.remove("sealed", "shared/db");
    queue.clear();
    world.unknownForMs = 600_000;
    for (let look = 0; look < 3; look++) {
      expect(await again("a/db")).toMatchObject({ kind: "later", afterMs: 60_001 });
    }
    expect(held(world)).toEqual(EVERYWHERE);
    world.unknownForMs = 0;
    await again("a/db");
    queue.add("a/db").add("b/db");
    await again("a/db");
    expect(Object.keys(held(world))).toEqual(["shared/db"]);
  });

  it("and is delivered again while it is looked at, that Secret stays", async () => {
    const { world, run, queue, told } = await settled();
    const object = world.sealed.get("shared/db") ?? {};
    world.remove("sealed", "shared/db");
    queue.clear();
    // After the look that finds it gone.
    world.meanwhile.set("read", () => {
      world.put("sealed", object);
    });
    queue.add("a/db");
    await run();
    expect(held(world)).toEqual(EVERYWHERE);
    expect(told.removals).toEqual([]);
  });

  it("and somebody's finalizer holds a Secret, it is deleted once, and counted once", async () => {
    const { world, change, told } = await settled();
    const hold = { finalizers: ["tenant.example.com/hold"] };
    const metadata = () => metadataOf(world.secrets.get("a/db") ?? {});
    await change(() => {
      edit(world, "a/db", { metadata: { ...metadata(), ...hold } });
    });
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    for (const turn of ["1", "2", "3"]) {
      await change(() => {
        edit(world, "a/db", {
          metadata: { ...metadata(), annotations: { ...annotations(), turn } },
        });
      });
    }
    expect(world.calls.filter((call) => call === "delete a/db").length).toBe(1);
    expect(told.removals.length).toBe(2);

    function annotations(): JsonObject {
      return asObject(metadata()["annotations"] ?? null) ?? {};
    }
  });

  it("and how often it was tried is forgotten", async () => {
    const template = { data: { url: "x" } };
    const render = () => Promise.reject(new JobLost("deadline"));
    const { world, outcomes, again, put, change } = await settled({ template }, { render });
    expect(outcomes.get("shared/db>a")).toEqual({ kind: "retry", afterMs: 60_000 });
    expect(await again("shared/db>a")).toEqual({ kind: "retry", afterMs: 240_000 });
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    await put({ template });
    expect(outcomes.get("shared/db>a")).toEqual({ kind: "retry", afterMs: 60_000 });
  });

  it("and is back soon, as when it is replaced, nothing is deleted", async () => {
    const { world, again, run, told, queue } = await settled();
    world.remove("sealed", "shared/db");
    queue.clear();
    expect(await again("a/db")).toMatchObject({ kind: "later", afterMs: 3_001 });
    world.put("sealed", await sealed({ uid: "another" }));
    await run();
    expect(held(world)).toEqual(EVERYWHERE);
    expect(told.removals).toEqual([]);
  });

  it("and it is only being deleted, that counts after 3 seconds as well", async () => {
    const { world, deliveries, run } = await settled();
    const object = world.sealed.get("shared/db") ?? {};
    const metadata = { ...metadataOf(object), deletionTimestamp: "2026-11-24T12:00:00Z" };
    world.put("sealed", { ...object, metadata });
    expect(await deliveries().sweep("a/db")).toMatchObject({ kind: "later" });
    expect(Object.keys(held(world))).toContain("a/db");
    await run();
    expect(Object.keys(held(world))).not.toContain("a/db");
  });

  it("nothing is deleted by a cache that is behind", async () => {
    const { world, change, told } = await settled();
    // The cache has lost the source and the labels; the cluster has them.
    await change(() => world.plan?.observeSource("shared/db", null));
    expect(held(world)).toEqual(EVERYWHERE);
    await change(() => world.plan?.observeNamespace("a", undefined));
    expect(held(world)).toEqual(EVERYWHERE);
    expect(told.removals).toEqual([]);
  });

  it.each(["source", "labels", "read", "delete"] as const)(
    "nothing is deleted while a call fails: %s",
    async (call) => {
      const { world, outcomes, queue, run } = await settled();
      for (const failure of ["transient", "refused"] as const) {
        queue.clear();
        world.put("sealed", await sealed({ to: "squad" }));
        queue.clear();
        world.fail(call, failure);
        queue.add("a/db");
        await run();
        expect(outcomes.get("a/db")).toBeInstanceOf(WorldError);
        expect(held(world)).toEqual(EVERYWHERE);
      }
      queue.add("a/db").add("b/db");
      await run();
      expect(Object.keys(held(world))).toEqual(["shared/db"]);
    },
  );

  it("a Secret that somebody writes between the look and the deletion stays", async () => {
    const { world, queue, run, outcomes } = await settled();
    world.put("sealed", await sealed({ to: null }));
    queue.clear();
    world.meanwhile.set("delete", () => {
      world.put("secrets", { ...theirs("a"), metadata: { name: "db", namespace: "a" } });
      queue.clear();
    });
    queue.add("a/db");
    await run();
    expect(outcomes.get("a/db")).toBeInstanceOf(WorldError);
    expect(held(world)["a/db"]).toBe("theirs");
  });

  it("a selector that cannot be read deletes nothing, and is told of", async () => {
    const { world, put } = await settled();
    for (const to of ["team in", "", "!team", "team>3"]) {
      await put({ to });
      expect(held(world)).toEqual(EVERYWHERE);
      expect(delivered(world)).toMatchObject({ status: "False", reason: "DeliveryRefused" });
    }
  });

  it("no key is held, nothing is deleted", async () => {
    const { world, keyring, change } = await settled();
    keyring.replace([]);
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(held(world)).toEqual(EVERYWHERE);
  });
});

describe("where replicas share the work", () => {
  it("another replica's delivery counts by its marks, and is neither swept nor counted", async () => {
    let isMine = true;
    const { world, change, counted, deliveries } = await settled(
      {},
      { holds: (namespace) => namespace === "shared" && isMine },
    );
    const counts = (key = "a/db"): boolean => {
      const mark = world.secretMark(key);
      return mark !== undefined && deliveries().isSettled(key, mark);
    };
    expect([counts(), counted()]).toEqual([true, { delivered: 2, failed: 0, waiting: 0 }]);
    isMine = false;
    deliveries().forgetOf((from) => from.startsWith("shared/"));
    expect([counts(), counted()]).toEqual([true, { delivered: 0, failed: 0, waiting: 0 }]);
    // Declared otherwise, and not delivered yet.
    world.put("sealed", await sealed({ value: "two" }));
    expect(counts()).toBe(false);
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(Object.keys(held(world)).sort()).toEqual(["a/db", "b/db", "shared/db"]);
    isMine = true;
    await change(() => {
      for (const key of ["a/db", "b/db"]) world.onChange?.(key);
    });
    expect(Object.keys(held(world)).sort()).toEqual(["shared/db"]);
  });

  it("what was forgotten is looked at again, and costs one read each", async () => {
    const { world, again, deliveries } = await settled();
    deliveries().forgetOf((from) => from === "shared/else");
    const before = world.calls.length;
    await again("shared/db>a");
    expect(world.calls.length).toBe(before);
    deliveries().forgetOf((from) => from === "shared/db");
    await again("shared/db>a");
    const calls = world.calls.slice(before).filter((call) => !call.startsWith("labels"));
    expect(calls).toEqual(["read a/db"]);
    expect(held(world)).toEqual(EVERYWHERE);
  });
});

describe("a stranger", () => {
  it("delivers nothing from a namespace that is not listed", async () => {
    const { world, put } = bench();
    world.namespace("a", { team: "x" });
    await put({ namespace: "tenant" });
    expect(Object.keys(held(world))).toEqual(["tenant/db"]);
    expect(delivered(world, "tenant/db")).toMatchObject({
      status: "False",
      reason: "DeliveryRefused",
      message: "namespace tenant is not one of --deliver-from, so its Secrets are not delivered",
    });
  });

  it("keeps what was delivered when the namespace is no longer listed, and it ends with its source", async () => {
    const given = await settled();
    const { world } = given;
    const later = bench({}, ["elsewhere"]);
    for (const [key, object] of world.secrets) later.world.secrets.set(key, object);
    for (const [key, object] of world.sealed) later.world.sealed.set(key, object);
    for (const name of ["a", "b"]) later.world.namespace(name, { team: "x" });
    await later.restart();
    expect(held(later.world)).toEqual(EVERYWHERE);
    expect(delivered(later.world)).toMatchObject({ reason: "DeliveryRefused" });
    later.world.remove("sealed", "shared/db");
    await later.restart();
    expect(Object.keys(held(later.world))).toEqual(["shared/db"]);
  });

  it("makes no marks of a delivery by a template", async () => {
    const { world, change, put } = await settled();
    const metadata = marksOf(world, "a/db");
    await put({ namespace: "tenant", to: null, template: { metadata } });
    expect(metadataOf(world.secrets.get("tenant/db") ?? {})["labels"]).toEqual({
      [SECRET_LABEL]: "owned",
    });
    await change(() => {
      world.remove("sealed", "shared/db");
    });
    expect(held(world)["tenant/db"]).toBe("one");
  });

  it("gets a Secret of a refused type or of a sealing key nowhere", async () => {
    for (const declared of [
      { type: "kubernetes.io/service-account-token" },
      {
        template: { metadata: { labels: { "sealedsecrets.bitnami.com/sealed-secrets-key": "x" } } },
      },
    ]) {
      const { world } = await settled(declared);
      expect(held(world)).toEqual({});
      expect(message(world)).toMatch(/not to a, b; a: (TypeNotAllowed|KeySecret)/);
    }
  });

  it("gains by a copied tag what is delivered there anyway", async () => {
    const { world, change } = await settled();
    const marks = marksOf(world, "a/db");
    await change(() => {
      world.remove("secrets", "a/db");
      world.put("secrets", theirs("a", marks));
    });
    expect(held(world)).toEqual(EVERYWHERE);
  });
});

describe("kills", () => {
  it("between deleting and creating leave no namespace without its Secret", async () => {
    const { world, queue, change, restart, outcomes } = await settled();
    const killed = new Error("killed");
    world.meanwhile.set("create", () => {
      queue.clear();
      throw killed;
    });
    await change(() => {
      edit(world, "a/db", { immutable: true, data: { value: base64("evil") } });
    });
    expect(outcomes.get("shared/db>a")).toBe(killed);
    expect(held(world)["a/db"]).toBeUndefined();
    await restart();
    expect(held(world)).toEqual(EVERYWHERE);
  });

  it("and missed events at any point of any churn end in what is declared", async () => {
    for (let seed = 1; seed <= 12; seed++) await churn(seed);
  });
});

/** Changes of everything at random, with kills and lost events; then one start, and all is right. */
async function churn(seed: number): Promise<void> {
  const { world, run, restart, queue, plan } = bench({}, ["shared", "infra"]);
  let state = seed * 7919;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  const pick = <T>(all: readonly T[]): T => all[random(all.length)] as T;
  const namespaces = ["a", "b", "c", "shared", "infra"];
  const sources = ["shared/db", "shared/web", "infra/db"] as const;
  const texts = new Map<string, JsonObject>();
  for (const from of sources) {
    const [namespace = "", name = ""] = from.split("/");
    for (const to of ["team=x", "team", null]) {
      texts.set(`${from} ${to}`, await sealed({ namespace, name, to, value: from }));
    }
  }
  for (const name of namespaces) world.namespace(name, { team: "x" });
  const foreign = "c/web";
  world.put("secrets", theirs("c", {}, "web"));
  const step = (): void => {
    const from = pick(sources);
    switch (random(8)) {
      case 0:
        world.remove("sealed", from);
        return;
      case 1:
      case 2:
      case 3:
        world.put("sealed", texts.get(`${from} ${pick(["team=x", "team", null])}`) ?? {});
        return;
      case 4:
        world.namespace(pick(namespaces), pick([{}, { team: "x" }, { team: "y" }] as const));
        return;
      case 5:
        world.namespace(pick(namespaces), { team: "x" }, { accepts: pick(["false", "true"]) });
        return;
      case 6: {
        const key = pick([...world.secrets.keys()]);
        if (key !== foreign) world.remove("secrets", key);
        return;
      }
      default: {
        const key = pick([...world.secrets.keys()]);
        if (key !== foreign) edit(world, key, { data: { value: base64("evil") } });
      }
    }
  };
  for (let turn = 0; turn < 40; turn++) {
    step();
    if (random(4) === 0) queue.clear();
    const call = pick(["create", "replace", "delete", "read", "source"] as const);
    if (random(3) === 0) world.fail(call, "transient");
    if (random(2) === 0) await run();
    if (random(8) === 0) await restart();
  }
  world.meanwhile.clear();
  // Two sources of one name may take turns for one more round.
  for (let starts = 0; starts < 3; starts++) await restart();
  const found = [...world.secrets].filter(([key]) => {
    const [namespace = "", name = ""] = key.split("/");
    return key !== foreign && !sources.some((each) => each === `${namespace}/${name}`);
  });
  const wanted = new Map<string, string[]>();
  for (const name of plan().names()) {
    const { from, to } = deliveryIn(name) ?? { from: "", to: "" };
    const key = `${to}/${from.split("/")[1]}`;
    // A SealedSecret of that namespace has its own Secret there.
    if (sources.some((each) => each === key) || key === foreign) continue;
    wanted.set(key, [...(wanted.get(key) ?? []), from]);
  }
  expect([seed, found.map(([key]) => key).sort()]).toEqual([seed, [...wanted.keys()].sort()]);
  for (const [key, value] of Object.entries(held(world))) {
    if (wanted.has(key)) expect(wanted.get(key)).toContain(value);
  }
  expect(held(world)[foreign]).toBe("theirs");
}
