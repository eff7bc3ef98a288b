// When a sealing key is due, and what its Secret is called; whose turn it is to lead.
import { describe, expect, it } from "vitest";
import { keyDueInMs, keyName } from "../../controller/clusterkeys.ts";
import { leaseStep } from "../../controller/lease.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";

const HOUR_MS = 3_600_000;
const NOW = new Date("2026-11-24T12:00:00Z");
const at = (hours: number): Date => new Date(NOW.getTime() + hours * HOUR_MS);
const madeAt = (hours: number): SealingKey =>
  ({ orderedAt: at(hours), fingerprint: "SHA256:x" }) as SealingKey;

describe("a sealing key is due", () => {
  it.each<[string, SealingKey | null, number, Date | null, number]>([
    ["at once where there is none", null, 0, null, 0],
    ["never, without age and cutoff", madeAt(-9999), 0, null, Infinity],
    ["when the age is reached", madeAt(-1), 3, null, 2],
    ["at once when the age is passed", madeAt(-9), 3, null, 0],
    ["later where the clock went back", madeAt(5), 3, null, 8],
    ["at once for a cutoff that has passed", madeAt(-2), 0, at(-1), 0],
    ["at the cutoff, not before", madeAt(-2), 0, at(1), 1],
    ["never for a cutoff that the key is younger than", madeAt(-1), 0, at(-2), Infinity],
    ["at whichever comes first", madeAt(-1), 3, at(1), 1],
  ])("%s", (_what, newest, renewHours, cutoff, dueHours) => {
    const renewal = { renewAfterMs: renewHours * HOUR_MS, cutoff };
    expect(keyDueInMs(newest, NOW, renewal) / HOUR_MS).toBe(dueHours);
  });
});

describe("a new key Secret's name", () => {
  it("is the same for all who take over from the same key, and looks generated", () => {
    expect(keyName("sealed-secrets-key", null)).toMatch(
      /^sealed-secrets-key[b-df-hj-np-tv-z2-9]{5}$/,
    );
    // Replicas of one version and the next have to agree.
    expect(keyName("sealed-secrets-key", null)).toBe("sealed-secrets-keynv9lf");
    expect(keyName("p", madeAt(0))).toBe(keyName("p", madeAt(-5)));
    const names = [null, madeAt(0)].flatMap((key) => [0, 1, 2].map((n) => keyName("p", key, n)));
    expect(new Set(names).size).toBe(6);
  });

  it("is another in every cluster for the first key, whose name a wrapped key of a backup may have", () => {
    const [here, there] = ["one", "other"].map((uid) => keyName("p", null, 0, uid));
    expect(here).not.toBe(there);
    expect(keyName("p", madeAt(0), 0, "one")).toBe(keyName("p", madeAt(0), 0, "other"));
  });
});

describe("what a replica does about the Lease", () => {
  it.each<[string, string, number, string]>([
    ["renews its own", "me", 0, "renew"],
    ["takes one that nobody holds", "", 0, "acquire"],
    ["waits for another's", "other", 5_999, "wait"],
    ["takes another's that stands still", "other", 6_000, "acquire"],
  ])("%s", (_what, holder, unchangedMs, step) => {
    expect(leaseStep({ holder, identity: "me", unchangedMs, durationMs: 6_000 })).toBe(step);
  });
});
