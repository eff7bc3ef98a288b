// What is kept of a SealedSecret, and what is read again.
// SPEC.md, "Limits".
import { describe, expect, it } from "vitest";
import { objectKey } from "../../controller/cache.ts";
import { Keeper, type Kept, observedIn, pendingIn, summaryIn } from "../../controller/kept.ts";
import { claimOf } from "../../controller/keyrecord.ts";
import { leftClaimOf } from "../../controller/record.ts";
import { Resting } from "../../controller/resting.ts";
import { sourceOf } from "../../controller/sourceof.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";

const small = (name: string, spec: JsonObject = {}): JsonObject => ({
  apiVersion: "bitnami.com/v1alpha1",
  kind: "SealedSecret",
  metadata: { namespace: "demo", name, uid: "uid", annotations: { note: "kept" } },
  spec: { encryptedData: { a: "x", b: "y" }, ...spec },
});

const keep = (keeper: Keeper, object: JsonObject): Kept => keeper.keep(object, objectKey(object));

const textOf = (kept: Kept): string | undefined => pendingIn(kept)?.text;

describe("a SealedSecret", () => {
  it("is kept whole if it is small", () => {
    const kept = keep(new Keeper(10_000), small("db"));
    expect(observedIn(kept)).toEqual({ object: small("db"), excess: null });
    expect(summaryIn(kept)).toMatchObject({ namespace: "demo", name: "db", values: 2 });
  });

  it("is read again if it is large, or if others fill the memory", () => {
    const keeper = new Keeper(1_000);
    expect(textOf(keep(keeper, small("large", { data: "x".repeat(40_000) })))).toBeUndefined();
    const kept = Array.from({ length: 10 }, (_, n) => {
      const each = keep(keeper, small(`db${n}`));
      keeper.count(each, undefined);
      return each;
    });
    expect(kept.map((each) => textOf(each) !== undefined)).toEqual(
      Array.from({ length: 10 }, (_, n) => n < 5),
    );
    expect(kept.map(summaryIn)[9]).toMatchObject({ name: "db9", values: 2 });
    // One that goes makes room.
    keeper.count(undefined, kept[0]);
    expect(textOf(keep(keeper, small("db0")))).toBeDefined();
  });

  const LONG = "x".repeat(1_000_000);

  it.each([
    ["tag", { sealedUnderTag: LONG, sealedUnder: { [LONG]: ["a"] }, conditions: [LONG] }],
    ["fingerprint", { sealedUnderTag: "short", sealedUnder: { [LONG]: ["a"] } }],
  ])("keeps nothing long that others wrote into its status: %s", (_, status) => {
    const kept = keep(new Keeper(), { ...small("db"), status });
    expect(textOf(kept)).toBeUndefined();
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
    const kept = keep(new Keeper(), inSync("db"));
    expect(kept).toBeInstanceOf(Resting);
    expect(observedIn(kept)).toBeUndefined();
    expect(textOf(kept)).toBeUndefined();
  });

  it("at rest is kept with all that its status claims", () => {
    const object = inSync("db");
    const kept = keep(new Keeper(), object) as Resting;
    expect(kept.written).toEqual(leftClaimOf(object));
    const { namespace, name, uid, ciphertexts, under, tag } = kept;
    expect({ namespace, name, uid, ciphertexts, under, tag }).toEqual(claimOf(object));
    expect(kept).toMatchObject({ instance: "", synced: true, values: 2, hybridValues: 0 });
  });

  it.each(["sealedUnderTag", "secret"] as const)(
    "is not at rest if its status has a text of two lines: %s",
    (field) => {
      const object = inSync("db");
      const status = object["status"] as JsonObject;
      const changed =
        field === "secret"
          ? { ...(status["secret"] as JsonObject), tag: "tag\nmore" }
          : "tag\nmore";
      const kept = keep(new Keeper(), { ...object, status: { ...status, [field]: changed } });
      expect(kept).not.toBeInstanceOf(Resting);
    },
  );

  it("shares with others what says that they are under the same key", () => {
    const keeper = new Keeper();
    const [one, other] = ["db", "cache"].map(
      (name) => summaryIn(keep(keeper, inSync(name))).record,
    );
    expect(other?.under).toBe(one?.under);
    expect(other?.ciphertexts).toBe(one?.ciphertexts);
    expect(other?.name).toBe("cache");
  });

  it("of too many parts is kept as its name and version", () => {
    const parts = Array.from({ length: 60_000 }, () => ({}));
    const kept = keep(new Keeper(), small("db", { template: { metadata: { parts } } }));
    expect(pendingIn(kept)?.excess?.message).toBe("the object has too many parts");
    expect(observedIn(kept)?.object).toEqual({
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { namespace: "demo", name: "db", uid: "uid" },
    });
  });
});
