// SealedSecrets that are gone while Secrets of theirs are left, over a world in memory.
// SPEC.md, "Deliveries".
import { expect, it } from "vitest";
import { DeliveryPlan } from "../../controller/deliveryplan.ts";
import { GoneSources } from "../../controller/gonesources.ts";
import { MemoryWorld } from "./memoryworld.ts";

function bench() {
  const world = new MemoryWorld();
  const time = { ms: 0 };
  const plan = new DeliveryPlan({
    ...{ from: new Set(["shared"]), own: "signet", onWork: () => undefined },
    clock: () => time.ms,
  });
  const gone = new GoneSources(world, plan, () => time.ms);
  const mark = (from: string) => ({ from, source: "s", tag: "t" });
  return {
    ...{ world, time, plan, gone },
    /** A Secret of it is there, or not. */
    has: (name: string, isThere: boolean) => {
      const now = mark(`shared/${name}`);
      plan.indexSecret(`a/${name}`, isThere ? now : null, isThere ? null : now);
    },
  };
}

it("remembers only those that Secrets are left of, however many there are", async () => {
  const { time, gone, has } = bench();
  const names = Array.from({ length: 12_000 }, (_, index) => `n${index}`);
  for (const name of names) has(name, true);
  for (const name of names) {
    expect(await gone.look(`shared/${name}`)).toEqual({ waitMs: 3_000 });
  }
  expect(gone.size).toBe(12_000);
  time.ms += 3_000;
  // None of them has to wait again.
  for (const name of names) {
    expect(await gone.look(`shared/${name}`)).toEqual({ source: undefined });
    has(name, false);
  }
  has("another", true);
  await gone.look("shared/another");
  expect(gone.size).toBe(1);
});

it("looks again after a second, after a failure, and at once where it was found", async () => {
  const { world, time, gone, has } = bench();
  has("db", true);
  const looks = (): number => world.calls.length;
  await gone.look("shared/db");
  time.ms += 3_000;
  await Promise.all([gone.look("shared/db"), gone.look("shared/db")]);
  expect(looks()).toBe(2);
  time.ms += 1_001;
  world.fail("source", "transient");
  await expect(gone.look("shared/db")).rejects.toThrow("out of order");
  expect(await gone.look("shared/db")).toEqual({ source: undefined });
  expect(looks()).toBe(4);
  world.put("sealed", { metadata: { namespace: "shared", name: "db" } });
  time.ms += 1_001;
  for (let look = 0; look < 2; look++) {
    expect(await gone.look("shared/db")).toMatchObject({ source: { excess: null } });
  }
  expect(looks()).toBe(6);
  world.remove("sealed", "shared/db");
  expect(await gone.look("shared/db")).toEqual({ waitMs: 3_000 });
});
