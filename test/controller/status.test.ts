// The status that a verdict makes, and what is read back from it.
import { describe, expect, it } from "vitest";
import { keyUse } from "../../controller/keyreport.ts";
import { keyRecordOf } from "../../controller/keyrecord.ts";
import { summaryOf } from "../../controller/summary.ts";
import { formatLeft, leftOf } from "../../controller/record.ts";
import { nextStatus } from "../../controller/status.ts";
import { type Verdict, verdicts } from "../../controller/verdict.ts";
import { WorldError } from "../../controller/world.ts";
import { SignetError } from "../../shared/errors.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";

const NOW = new Date("2026-11-24T12:00:00.500Z");
const LEFT = { uid: "u", resourceVersion: "7", source: "s", patched: false };
const KEYRING = keyringOf(["first"]);
const FIRST = testKey("first").fingerprint;
const SECOND = testKey("second").fingerprint;
const BOTH = keyringOf(["first", "second"]);
const STAMP = new Map([
  ["b", SECOND],
  ["a", SECOND],
  ["old", FIRST],
]);
const SEALED: JsonObject = {
  metadata: { name: "db", namespace: "demo", uid: "owner", generation: 3 },
  spec: { encryptedData: { a: "x", b: "x", old: "x" } },
};

function after(
  sealed: JsonObject,
  verdict: Verdict,
  compromised: string[] = [],
  now = NOW,
): JsonObject {
  const facts = {
    now,
    left: formatLeft(SEALED, LEFT, KEYRING),
    stamp: STAMP,
    keyring: BOTH,
    compromised: new Set(compromised),
  };
  const status = nextStatus(sealed, verdict, facts);
  return status === null ? sealed : { ...sealed, status };
}

function conditions(sealed: JsonObject): Record<string, JsonObject> {
  const { conditions = [] } = sealed["status"] as { conditions?: JsonObject[] };
  return Object.fromEntries(
    conditions.map((condition) => [condition["type"] as string, condition]),
  );
}

const DAMAGED = verdicts.unsealFailed(new SignetError("decrypt-failed", "no key could"));

const LONG = "x".repeat(600_000);

it.each<[string, Verdict]>([
  [
    "DecryptFailed",
    verdicts.unsealFailed(new SignetError("template-failed", `function "${LONG}" not defined`)),
  ],
  ["NotManaged", verdicts.notManaged(LONG)],
  ["TypeChanged", verdicts.typeChanged("db", LONG, LONG)],
  ["TypeNotAllowed", verdicts.typeNotAllowed(LONG)],
  ["Immutable", verdicts.immutable(LONG)],
  ["KeySecret", verdicts.keySecret(LONG)],
  ["WriteFailed", verdicts.writeFailed(new WorldError("refused", LONG))],
  ["DriftContested", verdicts.contested([LONG])],
])("has a message of bounded length, whatever names are in it: %s", (_reason, verdict) => {
  const status = JSON.stringify(after(SEALED, verdict)["status"]);
  expect(status).toContain("xxx…");
  expect(status.length).toBeLessThan(10_000);
});

it("keeps what a type is to become, however long the type was", () => {
  const { message } = verdicts.typeChanged("db", LONG, "Opaque");
  expect(message).toContain("… and cannot become Opaque: delete the Secret");
});

it("has a bounded length, whatever others wrote into it", () => {
  const time = "2026-11-24T12:00:00Z";
  const forged: JsonObject = {
    others: LONG,
    secret: { uid: LONG },
    sealedUnder: { [FIRST]: [LONG] },
    conditions: [
      { type: "Synced", status: "True", reason: "Unsealed", message: "", lastTransitionTime: LONG },
      { type: "Theirs", status: "True", message: LONG },
    ],
  };
  const facts = { now: NOW, stamp: undefined, keyring: BOTH, compromised: new Set([FIRST]) };
  const status = nextStatus({ ...SEALED, status: forged }, verdicts.unsealed(), facts);
  expect(JSON.stringify(status).length).toBeLessThan(10_000);
  expect(conditions({ status })["Synced"]).toMatchObject({ lastTransitionTime: time });
});

it("does not tell the keys of values where their names would fill it", () => {
  const stamp = new Map(Array.from({ length: 900 }, (_, i) => [`${i}${"n".repeat(249)}`, SECOND]));
  const facts = { now: NOW, stamp, keyring: BOTH, compromised: new Set<string>() };
  expect(nextStatus(SEALED, verdicts.unsealed(), facts)).not.toHaveProperty("sealedUnder");
});

describe("the status", () => {
  it("tells success, the Secret as it was left, and the key of each value", () => {
    expect(after(SEALED, verdicts.unsealed())["status"]).toEqual({
      observedGeneration: 3,
      conditions: ["Synced", "Ready"].map((type) => ({
        type,
        status: "True",
        reason: "Unsealed",
        message: "",
        observedGeneration: 3,
        lastUpdateTime: "2026-11-24T12:00:00Z",
        lastTransitionTime: "2026-11-24T12:00:00Z",
      })),
      secret: { ...LEFT, tag: expect.stringMatching(/^[\w-]{43}$/) as string },
      sealedUnder: { [SECOND]: ["a", "b"], [FIRST]: ["old"] },
      sealedUnderTag: expect.stringMatching(/^[\w-]{43}$/) as string,
    });
  });

  it("is not written again where it would say the same", () => {
    const synced = after(SEALED, verdicts.unsealed());
    const later = new Date("2026-11-25T12:00:00Z");
    expect(after(synced, verdicts.unsealed(), [], later)).toBe(synced);
  });

  it("says Stalled where only a change mends the failure, and takes it back", () => {
    const failed = after(after(SEALED, verdicts.unsealed()), DAMAGED);
    expect(conditions(failed)).toMatchObject({
      Synced: { status: "False", reason: "DecryptFailed" },
      Ready: { status: "False" },
      Stalled: { status: "True", reason: "DecryptFailed" },
    });
    expect(Object.keys(conditions(after(failed, verdicts.unsealed())))).toEqual([
      "Synced",
      "Ready",
    ]);
    const passing = { ...DAMAGED, next: "retry" as const };
    expect(Object.keys(conditions(after(SEALED, passing)))).toEqual(["Synced", "Ready"]);
  });

  it("moves lastTransitionTime only when the status turns", () => {
    const later = new Date("2026-11-25T12:00:00Z");
    const failed = after(SEALED, DAMAGED);
    const otherwise = after(failed, verdicts.notManaged("db"), [], later);
    expect(conditions(otherwise)["Synced"]).toMatchObject({
      lastTransitionTime: "2026-11-24T12:00:00Z",
      lastUpdateTime: "2026-11-25T12:00:00Z",
    });
  });

  it("keeps what others wrote, behind ours", () => {
    const theirs = { type: "Theirs", status: "True" };
    const sealed = { ...SEALED, status: { conditions: [theirs], more: 1 } };
    const status = after(sealed, verdicts.unsealed())["status"] as JsonObject;
    expect(status["more"]).toBe(1);
    expect((status["conditions"] as JsonObject[]).map(({ type }) => type)).toEqual([
      "Synced",
      "Ready",
      "Theirs",
    ]);
  });

  it("names the values under a compromised key, until they are sealed anew", () => {
    const exposed = after(SEALED, verdicts.unsealed(), [FIRST]);
    expect(conditions(exposed)["KeyCompromised"]).toMatchObject({
      status: "True",
      message: "sealed with a compromised key: old; rotate these values and re-seal them",
    });
    expect(conditions(exposed)["Synced"]).toMatchObject({ status: "True" });
    expect(conditions(after(exposed, verdicts.unsealed()))["KeyCompromised"]).toBeUndefined();
  });

  it("gives back what it says of the Secret, and nothing where that is not whole", () => {
    const recorded = after(SEALED, verdicts.unsealed());
    expect(leftOf(recorded, KEYRING)).toEqual(LEFT);
    expect(leftOf(SEALED, KEYRING)).toBeNull();
    const { secret } = recorded["status"] as { secret: JsonObject };
    expect(
      leftOf({ ...SEALED, status: { secret: { ...secret, resourceVersion: 7 } } }, KEYRING),
    ).toBeNull();
  });

  it.each<[string, JsonObject]>([
    ["another uid", { uid: "v" }],
    ["another version", { resourceVersion: "8" }],
    ["another source", { source: "t" }],
    ["another owner", { patched: true }],
    ["no tag", { tag: null }],
    ["a tag of another record", { uid: "v", tag: formatLeft(SEALED, LEFT, KEYRING)["tag"] ?? "" }],
    ["a tag by another key", formatLeft(SEALED, LEFT, keyringOf(["second"]))],
  ])("is not believed where someone else wrote it: %s", (_what, forged) => {
    const secret = { ...formatLeft(SEALED, LEFT, KEYRING), ...forged };
    expect(leftOf({ ...SEALED, status: { secret } }, KEYRING)).toBeNull();
  });

  it("is believed under a former key, but not under one whose private half others know", () => {
    const sealed = { ...SEALED, status: { secret: formatLeft(SEALED, LEFT, KEYRING) } };
    expect(leftOf(sealed, keyringOf(["first", "second"]))).toEqual(LEFT);
    const next = { ...sealed, metadata: { name: "db", namespace: "demo", uid: "next" } };
    expect(leftOf(next, KEYRING)).toBeNull();
    const leaked = new Keyring([{ ...testKey("first"), compromised: true }, testKey("second")]);
    expect(leftOf(sealed, leaked)).toBeNull();
    const alone = new Keyring([{ ...testKey("first"), compromised: true }]);
    expect(formatLeft(SEALED, LEFT, alone)).toEqual(LEFT);
  });
});

describe("the record of the key of each value", () => {
  const recorded = after(SEALED, verdicts.unsealed());
  const status = recorded["status"] as JsonObject;
  const { metadata, spec } = SEALED as Record<"metadata" | "spec", JsonObject>;
  const kept = { now: NOW, keyring: BOTH, compromised: new Set<string>() };

  it("is kept, with its tag, while it is about these values", () => {
    const later = keyringOf(["first", "second", "stranger"]);
    expect(keyRecordOf(recorded, later)).toEqual({ [SECOND]: ["a", "b"], [FIRST]: ["old"] });
    const { sealedUnder, sealedUnderTag } =
      nextStatus(recorded, DAMAGED, { ...kept, keyring: later }) ?? {};
    expect({ ...status, sealedUnder, sealedUnderTag }).toEqual(status);
  });

  it.each<[string, JsonObject]>([
    ["says nothing", { status: { ...status, sealedUnder: {} } }],
    ["is gone", { status: { ...status, sealedUnder: null } }],
    ["leaves out a value", { status: { ...status, sealedUnder: { [SECOND]: ["a", "b"] } } }],
    [
      "names another key",
      { status: { ...status, sealedUnder: { [SECOND]: ["a", "b", "old"], [FIRST]: [] } } },
    ],
    ["has no tag", { status: { ...status, sealedUnderTag: null } }],
    [
      "has the tag of the Secret's record",
      { status: { ...status, sealedUnderTag: tagOf(status) } },
    ],
    ["is of an earlier ciphertext", { spec: { encryptedData: { a: "x", b: "x", old: "y" } } }],
    ["is of fewer values", { spec: { encryptedData: { a: "x", b: "x", old: "x", new: "x" } } }],
    ["is of the form from before 2019", { spec: { ...spec, data: "x" } }],
    ["is of another object", { metadata: { ...metadata, uid: "another" } }],
    ["is of another name", { metadata: { ...metadata, name: "another" } }],
    ["is of another namespace", { metadata: { ...metadata, namespace: "another" } }],
  ])("counts for nothing where it %s, and goes with the next status", (_what, forged) => {
    const sealed = { ...recorded, ...forged };
    expect(keyRecordOf(sealed, BOTH)).toBeNull();
    const { byKey, unknown } = keyUse(
      BOTH,
      [sealed].map((each) => summaryOf(each)),
    );
    expect([byKey.size, unknown.values >= 3]).toEqual([0, true]);
    const next = nextStatus(sealed, verdicts.unsealed(), kept);
    expect(next).not.toHaveProperty("sealedUnder");
    expect(next).not.toHaveProperty("sealedUnderTag");
  });

  it("is not believed under a key whose private half others know", () => {
    const leaked = new Keyring([testKey("first"), { ...testKey("second"), compromised: true }]);
    expect(keyRecordOf(recorded, leaked)).toBeNull();
    const alone = new Keyring([{ ...testKey("second"), compromised: true }]);
    const facts = { ...kept, keyring: alone, stamp: STAMP };
    expect(nextStatus(SEALED, verdicts.unsealed(), facts)).not.toHaveProperty("sealedUnderTag");
  });
});

function tagOf(status: JsonObject): string {
  return (status["secret"] as { tag: string }).tag;
}

describe("the count of values by key", () => {
  const synced = after(SEALED, verdicts.unsealed());

  it("adds up over SealedSecrets", () => {
    const { byKey, unknown } = keyUse(
      BOTH,
      [synced, synced].map((each) => summaryOf(each)),
    );
    expect(Object.fromEntries(byKey)).toEqual({
      [SECOND]: { values: 4, sealedSecrets: 2 },
      [FIRST]: { values: 2, sealedSecrets: 2 },
    });
    expect(unknown).toEqual({ values: 0, sealedSecrets: 0 });
  });

  it("takes values that were never looked at for unknown", () => {
    const { byKey, unknown } = keyUse(BOTH, [summaryOf(SEALED)]);
    expect(byKey.size).toBe(0);
    expect(unknown).toEqual({ values: 3, sealedSecrets: 1 });
  });

  it("takes values under a key that is not held any more for unknown", () => {
    const { byKey, unknown } = keyUse(keyringOf(["second"]), [summaryOf(synced)]);
    expect([...byKey]).toEqual([[SECOND, { values: 2, sealedSecrets: 1 }]]);
    expect(unknown).toEqual({ values: 1, sealedSecrets: 1 });
  });

  it("counts the form from before 2019 as one value", () => {
    const legacy = { ...SEALED, spec: { data: "x" } };
    expect(keyUse(BOTH, [summaryOf(legacy)]).unknown).toEqual({ values: 1, sealedSecrets: 1 });
    const facts = {
      now: NOW,
      stamp: new Map([["spec.data", FIRST]]),
      keyring: BOTH,
      compromised: new Set<string>(),
    };
    const opened = { ...legacy, status: nextStatus(legacy, verdicts.unsealed(), facts) };
    expect([...keyUse(BOTH, [summaryOf(opened)]).byKey]).toEqual([
      [FIRST, { values: 1, sealedSecrets: 1 }],
    ]);
  });
});

it("a summary counts values that begin as post-quantum ones do, in both forms", () => {
  const counts = (spec: JsonObject): number[] => {
    const { values, hybridValues } = summaryOf({ ...SEALED, spec });
    return [values, hybridValues];
  };
  expect(counts({ encryptedData: { a: "PQ1AAA", b: "AgBx", c: 1 } })).toEqual([3, 1]);
  expect(counts({ encryptedData: {}, data: "PQ1AAA" })).toEqual([1, 1]);
});
