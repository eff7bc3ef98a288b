// What is kept of a SealedSecret, and what is read again.
// SPEC.md, "Limits".
import { describe, expect, it } from "vitest";
import { Keeper, observedIn } from "../../controller/kept.ts";
import { sourceOf } from "../../controller/sourceof.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";

const small = (name: string, spec: JsonObject = {}): JsonObject => ({
  apiVersion: "bitnami.com/v1alpha1",
  kind: "SealedSecret",
  metadata: { namespace: "demo", name, uid: "uid", annotations: { note: "kept" } },
  spec: { encryptedData: { a: "x", b: "y" }, ...spec },
});

describe("a SealedSecret", () => {
  it("is kept whole if it is small", () => {
    const kept = new Keeper(10_000).keep(small("db"));
    expect(observedIn(kept)).toEqual({ object: small("db"), excess: null });
    expect(kept.summary).toMatchObject({ namespace: "demo", name: "db", values: 2 });
  });

  it("is read again if it is large, or if others fill the memory", () => {
    const keeper = new Keeper(1_000);
    expect(keeper.keep(small("large", { data: "x".repeat(40_000) })).text).toBeUndefined();
    const kept = Array.from({ length: 10 }, (_, n) => {
      const each = keeper.keep(small(`db${n}`));
      keeper.count(each, undefined);
      return each;
    });
    expect(kept.map(({ text }) => text !== undefined)).toEqual(
      Array.from({ length: 10 }, (_, n) => n < 5),
    );
    expect(kept[9]?.summary).toMatchObject({ name: "db9", values: 2 });
    // One that goes makes room.
    keeper.count(undefined, kept[0]);
    expect(keeper.keep(small("db0")).text).toBeDefined();
  });

  const LONG = "x".repeat(1_000_000);

  it.each([
    ["tag", { sealedUnderTag: LONG, sealedUnder: { [LONG]: ["a"] }, conditions: [LONG] }],
    ["fingerprint", { sealedUnderTag: "short", sealedUnder: { [LONG]: ["a"] } }],
  ])("keeps nothing long that others wrote into its status: %s", (_, status) => {
    const kept = new Keeper().keep({ ...small("db"), status });
    expect(kept.text).toBeUndefined();
    // JSON leaves out what is in a map.
    const written = JSON.stringify(kept, (__, value: unknown) =>
      value instanceof Map ? [...(value as Map<unknown, unknown>)] : value,
    );
    expect(written.length).toBeLessThan(1_000);
  });

  const inSync = (name: string): JsonObject => {
    const object = {
      ...small(name),
      metadata: { ...(small(name)["metadata"] as object), generation: 1 },
    };
    const condition = { status: "True", reason: "Unsealed", message: "", observedGeneration: 1 };
    const status = {
      observedGeneration: 1,
      conditions: ["Synced", "Ready"].map((type) => ({ type, ...condition })),
      sealedUnder: { [`SHA256:${"a".repeat(43)}`]: ["a", "b"] },
      sealedUnderTag: "tag",
      secret: { uid: "other", resourceVersion: "7", source: sourceOf(object), tag: "tag" },
    };
    return { ...object, status };
  };

  it("is read again where its status says that nothing is to be done", () => {
    const kept = new Keeper().keep(inSync("db"));
    expect(kept.resting).not.toBeNull();
    expect(kept.text).toBeUndefined();
  });

  it("shares with others what says that they are under the same key", () => {
    const keeper = new Keeper();
    const [one, other] = ["db", "cache"].map((name) => keeper.keep(inSync(name)).summary.record);
    expect(other?.under).toBe(one?.under);
    expect(other?.ciphertexts).toBe(one?.ciphertexts);
    expect(other?.name).toBe("cache");
  });

  it("of too many parts is kept as its name and version", () => {
    const parts = Array.from({ length: 60_000 }, () => ({}));
    const kept = new Keeper().keep(small("db", { template: { metadata: { parts } } }));
    expect(kept.excess?.message).toBe("the object has too many parts");
    expect(observedIn(kept)?.object).toEqual({
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { namespace: "demo", name: "db", uid: "uid" },
    });
  });
});
