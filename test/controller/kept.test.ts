// What is kept of a SealedSecret, and what is read again.
// SPEC.md, "Limits".
import { describe, expect, it } from "vitest";
import { Keeper, observedIn } from "../../controller/kept.ts";
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
