// Values that are sealed for labels of namespaces, over a world in memory: what opens, when, and what
// is said where nothing does.
// SPEC.md, "Scopes".
import { expect, it } from "vitest";
import { createLog } from "../../controller/log.ts";
import { Reconciler } from "../../controller/reconcile.ts";
import { sourceOf } from "../../controller/sourceof.ts";
import { currentVerdict } from "../../controller/status.ts";
import { type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";
import { MemoryWorld } from "./memoryworld.ts";

const NAME = "demo/db";
const SELECTOR = "kube-signet/namespace-selector";

async function sealed(
  value = "one",
  scope: Scope = "selector team=a",
  annotations?: Record<string, string>,
): Promise<JsonObject> {
  const metadata = { name: "db", namespace: "demo" };
  const secret = parseSecret({ apiVersion: "v1", kind: "Secret", metadata, stringData: { value } });
  const object = formatSealedSecret(await seal(secret, testKey("first").certificate, scope));
  const given = annotations === undefined ? {} : { annotations };
  return {
    ...object,
    metadata: { ...metadataOf(object), ...given, uid: "owner-uid", generation: 1 },
  };
}

function bench() {
  const world = new MemoryWorld();
  const counts = { unsealed: 0 };
  const reconciler = new Reconciler({
    world,
    keyring: keyringOf(["first"]),
    render: () => new Map(),
    acceptLegacy: true,
    allowedTypes: new Set(),
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log: createLog("ERROR", "text", () => undefined),
    now: () => new Date("2026-11-24T12:00:00Z"),
    clock: () => 0,
    onUnseal: () => counts.unsealed++,
    onVerdict: () => undefined,
  });
  const run = () => reconciler.reconcile(NAME);
  return { world, counts, run };
}

function held({ secrets }: MemoryWorld): string | undefined {
  const secret = secrets.get(NAME);
  return secret && Buffer.from(parseSecret(secret).data.get("value") ?? []).toString();
}

const verdict = (world: MemoryWorld) => currentVerdict(world.sealed.get(NAME) ?? {});

it("opens where the labels match, and says why not where they do not", async () => {
  const { world, counts, run } = bench();
  world.put("sealed", await sealed());
  expect(await run()).toEqual({ kind: "terminal" });
  expect(held(world)).toBeUndefined();
  expect(counts.unsealed).toBe(0);
  expect(verdict(world)).toEqual({
    synced: false,
    reason: "NamespaceNotSelected",
    message: 'the labels of namespace demo do not match "team=a", which the values are sealed for',
  });
  expect(world.events.map(({ type, reason }) => [type, reason])).toEqual([
    ["Warning", "NamespaceNotSelected"],
  ]);

  world.labels.set("demo", { team: "a" });
  expect(await run()).toEqual({ kind: "done" });
  expect(held(world)).toBe("one");
  expect(verdict(world)?.reason).toBe("Unsealed");
});

it("costs no write and no look at a key where nothing changes", async () => {
  const { world, counts, run } = bench();
  for (const labels of [{ team: "a" }, { team: "b" }]) {
    world.labels.set("demo", labels);
    world.put("sealed", await sealed());
    await run();
    const before = counts.unsealed;
    world.calls.length = 0;
    await run();
    expect(world.calls).toEqual(["labels demo seen"]);
    expect(counts.unsealed).toBe(before);
  }
});

it("leaves the Secret as it is when the labels no longer match, and gives it no new value", async () => {
  const { world, run } = bench();
  world.labels.set("demo", { team: "a" });
  world.put("sealed", await sealed());
  await run();
  const secret = world.secrets.get(NAME);

  world.labels.set("demo", {});
  expect(await run()).toEqual({ kind: "terminal" });
  expect(verdict(world)?.message).toContain("; the Secret stays as it is and gets no new values");
  world.put("sealed", {
    ...(await sealed("two")),
    status: world.sealed.get(NAME)?.["status"] ?? null,
  });
  await run();
  expect(world.secrets.get(NAME)).toBe(secret);
  expect(held(world)).toBe("one");
  world.secrets.delete(NAME);
  await run();
  expect(held(world)).toBeUndefined();

  world.labels.set("demo", { team: "a" });
  expect(await run()).toEqual({ kind: "done" });
  expect(held(world)).toBe("two");
});

it("does not open once a label is gone, even if the watch has not told yet", async () => {
  const { world, counts, run } = bench();
  world.labels.set("demo", { team: "a" });
  world.newLabels.set("demo", {});
  world.put("sealed", await sealed());
  expect(await run()).toEqual({ kind: "terminal" });
  expect(world.calls).toContain("labels demo now");
  expect([held(world), counts.unsealed]).toEqual([undefined, 0]);
  expect(verdict(world)?.reason).toBe("NamespaceNotSelected");
});

it.each([
  [
    "of another scope, with the annotation added",
    "strict",
    { [SELECTOR]: "team=a" },
    "DecryptFailed",
  ],
  ["of a selector, with another", "selector team=b", { [SELECTOR]: "team=a" }, "DecryptFailed"],
  ["of a selector, without it", "selector team=a", {}, "DecryptFailed"],
  ["of a selector, respelled", "selector team=a", { [SELECTOR]: "team in (a)" }, "Invalid"],
  ["of a selector, emptied", "selector team=a", { [SELECTOR]: "" }, "Invalid"],
  [
    "cluster-wide, beside a selector",
    "cluster-wide",
    { [SELECTOR]: "team=a", "sealedsecrets.bitnami.com/cluster-wide": "true" },
    "Invalid",
  ],
] as const)("gives nothing for a value %s", async (_what, scope, annotations, reason) => {
  const { world, run } = bench();
  world.labels.set("demo", { team: "a" });
  world.put("sealed", await sealed("one", scope, annotations));
  expect(await run()).toEqual({ kind: "terminal" });
  expect(held(world)).toBeUndefined();
  expect(verdict(world)?.reason).toBe(reason);
});

it("asks for no labels of other scopes", async () => {
  const { world, run } = bench();
  for (const scope of ["strict", "namespace-wide", "cluster-wide"] as const) {
    world.put("sealed", await sealed("one", scope));
    await run();
  }
  expect(world.calls.filter((call) => call.startsWith("labels"))).toEqual([]);
});

it("says that labels cannot be read, and tries again", async () => {
  const { world, run } = bench();
  world.labels.set("demo", { team: "a" });
  world.put("sealed", await sealed());
  world.fail("labels", "refused", "namespaces is forbidden");
  expect(await run()).toEqual({ kind: "retry" });
  expect(verdict(world)).toEqual({
    synced: false,
    reason: "NamespaceUnknown",
    message: "the labels of namespace demo cannot be read: namespaces is forbidden",
  });
  world.fail("labels", "transient");
  await expect(run()).rejects.toThrow("out of order");
  expect(await run()).toEqual({ kind: "done" });
  expect(held(world)).toBe("one");
});

it("looks again after a while where no watch tells of labels", async () => {
  const { world, run } = bench();
  world.labelsPollMs = 60_000;
  world.put("sealed", await sealed());
  expect(await run()).toEqual({ kind: "later", afterMs: 60_001 });
  world.labels.set("demo", { team: "a" });
  expect(await run()).toEqual({ kind: "later", afterMs: 60_001 });
  expect(held(world)).toBe("one");
  expect(await run()).toEqual({ kind: "later", afterMs: 60_001 });
});

it("takes an annotation that is no text for none until the object is checked", async () => {
  const { world, run } = bench();
  const object = await sealed();
  const nothing = Object.assign(Object.create(null) as JsonObject, { a: "b" });
  const metadata = { ...metadataOf(object), annotations: { [SELECTOR]: nothing } };
  world.put("sealed", { ...object, metadata });
  expect(await run()).toEqual({ kind: "terminal" });
  expect(verdict(world)?.reason).toBe("Invalid");
});

it("has another source with another selector, and with one beside another scope", async () => {
  const wide = { "sealedsecrets.bitnami.com/cluster-wide": "true" };
  const object = await sealed();
  const sources = [{ [SELECTOR]: "team=a" }, { [SELECTOR]: "team=b" }, {}, wide].flatMap(
    (annotations) => {
      const metadata = { ...metadataOf(object), annotations };
      const beside = { ...metadata, annotations: { ...wide, ...annotations } };
      return [sourceOf({ ...object, metadata }), sourceOf({ ...object, metadata: beside })];
    },
  );
  // Without a selector, cluster-wide is the same however it is written.
  expect(new Set(sources).size).toBe(6);
});
