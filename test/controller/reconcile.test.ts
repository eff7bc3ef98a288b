// The reconciler over a world in memory: what it writes, what it leaves alone, what it tells.
// SPEC.md, "Reconciling", "Drift", "Status".
import { describe, expect, it } from "vitest";
import { MANAGED_ANNOTATION, PATCH_ANNOTATION, SECRET_LABEL } from "../../controller/decide.ts";
import { createLog } from "../../controller/log.ts";
import { Reconciler, type ReconcilerOptions } from "../../controller/reconcile.ts";
import { DRIFT_ANNOTATION, sourceOf } from "../../controller/sourceof.ts";
import { keyRecordOf } from "../../controller/keyrecord.ts";
import { JobLost } from "../../controller/sandbox.ts";
import { currentVerdict } from "../../controller/status.ts";
import { formatDrift, verdicts } from "../../controller/verdict.ts";
import { WorldError } from "../../controller/world.ts";
import { SignetError } from "../../shared/errors.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { countingKeys, valuesUnder } from "../shared/countingkeys.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";
import type { KeyName } from "../vectors/vectors.ts";
import { MemoryWorld } from "./memoryworld.ts";

const NAME = "demo/db";
const VALUE = "hunter2-plain";
const OTHER_VALUE = "letmein-plain";
const NOW = new Date("2026-11-24T12:00:00Z");

interface Declared {
  readonly data?: Record<string, string>;
  /** Of the SealedSecret itself. */
  readonly annotations?: Record<string, string>;
  readonly immutable?: boolean;
  readonly type?: string;
  readonly key?: KeyName;
  /** Items that are rendered. */
  readonly templates?: Record<string, string>;
}

async function sealed({
  data = { password: VALUE },
  annotations = {},
  immutable,
  type,
  key = "first",
  templates,
}: Declared = {}): Promise<JsonObject> {
  const secret = parseSecret({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "db", namespace: "demo" },
    stringData: data,
    ...(immutable === undefined ? {} : { immutable }),
    ...(type === undefined ? {} : { type }),
  });
  const object = formatSealedSecret(await seal(secret, testKey(key).certificate, "strict"));
  const spec = object["spec"] as JsonObject;
  const template = { ...(spec["template"] as JsonObject), ...(templates && { data: templates }) };
  return {
    ...object,
    metadata: { ...metadataOf(object), annotations, uid: "owner-uid", generation: 1 },
    spec: { ...spec, template },
  };
}

/** A Secret as someone else makes it. */
function theirs(metadata: JsonObject = {}, data: Record<string, string> = {}): JsonObject {
  const encoded = Object.entries(data).map(([item, text]) => [item, base64(text)]);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "db", namespace: "demo", ...metadata },
    type: "Opaque",
    data: Object.fromEntries(encoded) as JsonObject,
  };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A reconciler over a world of its own, and all that it tells. */
function bench(options: Partial<ReconcilerOptions> = {}) {
  const world = new MemoryWorld();
  const time = { ms: 0 };
  const told = { lines: [] as string[], verdicts: [] as string[], repairs: [] as string[] };
  const counts = { unsealed: 0 };
  const keyring = keyringOf(["first"]);
  const all: ReconcilerOptions = {
    world,
    keyring,
    render: (templates, values) =>
      new Map(
        [...templates].map(([item, source]) => {
          if (source === "fail") {
            throw new SignetError("template-failed", "line 1: no such function", {
              place: { field: `spec.template.data.${item}` },
            });
          }
          return [item, Buffer.concat([Buffer.from(source), values.get("password") ?? bytes("")])];
        }),
      ),
    acceptLegacy: true,
    allowedTypes: new Set(),
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log: createLog(
      "DEBUG",
      "text",
      (line) => told.lines.push(line),
      () => NOW,
    ),
    now: () => new Date(NOW.getTime() + time.ms),
    clock: () => time.ms,
    onUnseal: () => counts.unsealed++,
    onVerdict: (_key, verdict) => told.verdicts.push(verdict.reason),
    onRepair: (_key, drift) => told.repairs.push(formatDrift(drift)),
    ...options,
  };
  const start = (): Reconciler => new Reconciler(all);
  return { world, time, told, counts, keyring, start, reconciler: start() };
}

/** The calls since the last asking. */
function newCalls({ calls }: MemoryWorld): string[] {
  return calls.splice(0);
}

/** What the Secret holds, as text; undefined where there is none. */
function held(world: MemoryWorld): Record<string, string> | undefined {
  const secret = world.secrets.get(NAME);
  if (secret === undefined) return undefined;
  const { data } = parseSecret(secret);
  return Object.fromEntries(
    [...data].map(([item, bytes]) => [item, Buffer.from(bytes).toString()]),
  );
}

/** The Secret with other content, under the same name and marks, as someone's edit leaves it. */
function edit(world: MemoryWorld, change: JsonObject): void {
  const secret = world.secrets.get(NAME);
  if (secret === undefined) throw new Error("there is no Secret to edit");
  world.put("secrets", { ...secret, ...change });
}

const vandalise = (world: MemoryWorld): void => {
  edit(world, { data: { password: base64(OTHER_VALUE) } });
};

/** Reason of the status, and nothing where there is none. */
function reason(world: MemoryWorld): string | undefined {
  return currentVerdict(world.sealed.get(NAME) ?? {})?.reason;
}

function condition(world: MemoryWorld, type: string): Json | undefined {
  const { conditions } = world.statuses.at(-1) as { conditions: JsonObject[] };
  return conditions.find((each) => each["type"] === type)?.["status"];
}

/** A bench whose SealedSecret has been reconciled once. */
async function settled(declared: Declared = {}, options: Partial<ReconcilerOptions> = {}) {
  const given = bench(options);
  given.world.put("sealed", await sealed(declared));
  expect(await given.reconciler.reconcile(NAME)).toEqual({ kind: "done" });
  given.world.calls.length = 0;
  return given;
}

describe("values under many keys", () => {
  const metadata = { name: "db", namespace: "demo", uid: "owner-uid", generation: 1 };

  it("get a verdict once, after a bounded number of tries", async () => {
    const { world, keyring, reconciler } = bench();
    const counting = countingKeys(24);
    keyring.replace(counting.keys);
    world.put(
      "sealed",
      valuesUnder(2400, (index) => index % 24, metadata),
    );
    for (let looks = 0; looks < 3; looks++) {
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    }
    expect(counting.count()).toBe(10_000);
    expect(currentVerdict(world.sealed.get(NAME) ?? {})).toMatchObject({
      reason: "Invalid",
      message: "opening its values takes more than 10000 attempts with sealing keys",
    });
    expect(held(world)).toBeUndefined();
  });

  it("open, as many as an object can have, under two old keys in turn", async () => {
    const { world, keyring, reconciler } = bench();
    const counting = countingKeys(60);
    keyring.replace(counting.keys);
    world.put(
      "sealed",
      valuesUnder(4000, (index) => 58 + (index % 2), metadata),
    );
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(counting.count()).toBeLessThanOrEqual(9_000);
  });

  it("are tried where the objects of the namespace are", async () => {
    const tried: string[] = [];
    const { world, keyring, reconciler } = bench({
      openIn: (namespace) => (operation) => {
        tried.push(namespace);
        return operation();
      },
    });
    keyring.replace(countingKeys(3).keys);
    world.put(
      "sealed",
      valuesUnder(1, () => 2, metadata),
    );
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(tried).toEqual(["demo", "demo", "demo"]);
  });
});

describe("a declared Secret", () => {
  it("is created with our label and its owner, then the status and an Event say so", async () => {
    const { world, told, reconciler } = bench();
    world.put("sealed", await sealed());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual(["create demo/db", "status demo/db", "event db"]);
    expect(held(world)).toEqual({ password: VALUE });
    expect(metadataOf(world.secrets.get(NAME) ?? {})).toMatchObject({
      labels: { [SECRET_LABEL]: "owned" },
      ownerReferences: [{ kind: "SealedSecret", name: "db", uid: "owner-uid", controller: true }],
    });
    const { uid, resourceVersion } = metadataOf(world.secrets.get(NAME) ?? {});
    expect(world.statuses[0]).toMatchObject({ secret: { uid, resourceVersion, patched: false } });
    expect(world.statuses[0]?.["sealedUnder"]).toEqual({
      [testKey("first").certificate.fingerprint]: ["password"],
    });
    expect(world.events).toEqual([
      { type: "Normal", reason: "Unsealed", message: "SealedSecret unsealed successfully" },
    ]);
    expect(told.verdicts).toEqual(["Unsealed"]);
  });

  it("is reported after others have their Secrets, and opened and written once", async () => {
    let busy = true;
    const { world, counts, told, reconciler } = bench({ isBusy: () => busy });
    world.put("sealed", await sealed());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "last" });
    expect([newCalls(world), held(world), reason(world)]).toEqual([
      ["create demo/db"],
      { password: VALUE },
      undefined,
    ]);
    // Now it is its turn, though others wait.
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual(["status demo/db", "event db"]);
    expect([reason(world), told.verdicts, counts.unsealed]).toEqual(["Unsealed", ["Unsealed"], 1]);
    busy = false;
    world.put("sealed", await sealed({ data: { password: OTHER_VALUE } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([held(world), told.verdicts.length]).toEqual([{ password: OTHER_VALUE }, 2]);
  });

  it("is opened again if it changed before the report, and reported as it is then", async () => {
    const { world, counts, told, reconciler } = bench({ isBusy: () => true });
    world.put("sealed", await sealed());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "last" });
    vandalise(world);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([held(world), counts.unsealed]).toEqual([{ password: VALUE }, 2]);
    expect([told.repairs.length, reason(world)]).toEqual([1, "Unsealed"]);
  });

  it("is left as it is after a kill before the report, which the next start makes", async () => {
    const { world, counts, reconciler, start } = bench({ isBusy: () => true });
    world.put("sealed", await sealed());
    await reconciler.reconcile(NAME);
    newCalls(world);
    expect(await start().reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world).filter((call) => /^(create|replace) /.test(call))).toEqual([]);
    expect([reason(world), counts.unsealed]).toEqual(["Unsealed", 2]);
  });

  it("is replaced when the SealedSecret changes, and others' labels stay", async () => {
    const { world, told, reconciler } = await settled();
    const { labels } = metadataOf(world.secrets.get(NAME) ?? {}) as { labels: JsonObject };
    const metadata = metadataOf(world.secrets.get(NAME) ?? {});
    edit(world, { metadata: { ...metadata, labels: { ...labels, team: "a" } } });
    world.put("sealed", await sealed({ data: { password: OTHER_VALUE, user: "u" } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual([
      "read demo/db",
      "replace demo/db",
      "status demo/db",
      "event db",
    ]);
    expect(held(world)).toEqual({ password: OTHER_VALUE, user: "u" });
    expect(metadataOf(world.secrets.get(NAME) ?? {})["labels"]).toMatchObject({ team: "a" });
    // A change of the declaration is no drift.
    expect(told.repairs).toEqual([]);
  });

  describe("that nobody else has a part in", () => {
    /** A Secret whose managed fields are all ours, and a SealedSecret that declares another value. */
    async function changed() {
      const given = bench();
      given.world.managesFields = true;
      given.world.put("sealed", await sealed());
      await given.reconciler.reconcile(NAME);
      given.world.put("sealed", await sealed({ data: { user: OTHER_VALUE } }));
      given.world.calls.length = 0;
      return given;
    }
    const UNREAD = ["replace demo/db", "status demo/db", "event db"];
    const READ = ["read demo/db", ...UNREAD];

    it("is replaced without being read", async () => {
      const { world, told, reconciler } = await changed();
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(newCalls(world)).toEqual(UNREAD);
      expect(held(world)).toEqual({ user: OTHER_VALUE });
      const { uid, resourceVersion } = metadataOf(world.secrets.get(NAME) ?? {});
      expect(world.statuses.at(-1)).toMatchObject({ secret: { uid, resourceVersion } });
      expect(told.repairs).toEqual([]);
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(newCalls(world)).toEqual([]);
    });

    it("is read after a change, even under our name", async () => {
      const { world, reconciler } = await changed();
      const metadata = metadataOf(world.secrets.get(NAME) ?? {});
      const { labels } = metadata as { labels: JsonObject };
      edit(world, { metadata: { ...metadata, labels: { ...labels, team: "a" } } });
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(newCalls(world)).toEqual(READ);
    });

    it("is read once others have a part in it, a finalizer, or began to delete it", async () => {
      const manager = "signet-controller";
      for (const part of [
        { managedFields: [{ manager }, { manager: "kubectl" }] },
        { managedFields: [] },
        { managedFields: [{ manager }], finalizers: ["a/b"] },
        { managedFields: [{ manager }], deletionTimestamp: "2026-11-24T12:00:00Z" },
      ]) {
        const { world, reconciler } = await changed();
        const secret = world.secrets.get(NAME) ?? {};
        // Not a version that others wrote: the parts alone decide.
        world.secrets.set(NAME, { ...secret, metadata: { ...metadataOf(secret), ...part } });
        await reconciler.reconcile(NAME);
        expect(newCalls(world)[0], JSON.stringify(part)).toBe("read demo/db");
      }
    });

    it("is read if it cannot be replaced as it is", async () => {
      const { world, reconciler } = await changed();
      world.fail("replace", "invalid");
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(newCalls(world)).toEqual(["replace demo/db: invalid", ...READ]);
    });

    it("is not replaced if others changed it meanwhile: it is looked at again", async () => {
      const { world, reconciler } = await changed();
      world.meanwhile.set("replace", () => {
        edit(world, { data: { theirs: base64("x") } });
      });
      await expect(reconciler.reconcile(NAME)).rejects.toThrow("it is no longer the one");
      expect(held(world)).toEqual({ theirs: "x" });
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(newCalls(world)).toEqual(["replace demo/db: transient", ...READ]);
      expect(held(world)).toEqual({ user: OTHER_VALUE });
    });
  });

  it("holds what templates render", async () => {
    const { world } = await settled({ templates: { url: "db://" } });
    expect(held(world)).toEqual({ password: VALUE, url: `db://${VALUE}` });
  });

  it("costs neither a call nor a decryption while it is in sync", async () => {
    const { world, told, counts, reconciler } = await settled();
    // The watch tells of our own writes, too.
    for (let run = 0; run < 3; run++) {
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    }
    expect(newCalls(world)).toEqual([]);
    expect([counts.unsealed, told.verdicts.length]).toEqual([1, 1]);
  });

  it("costs neither of them after a restart, since the status says how it was left", async () => {
    const { world, told, counts, start } = await settled();
    const restarted = start();
    // Nor is the SealedSecret itself read.
    world.sealedSecret = () => Promise.reject(new Error("read"));
    expect(await restarted.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual([]);
    expect([counts.unsealed, told.verdicts.length]).toEqual([1, 1]);
    // Everything may be forgotten as well: the status still says it.
    restarted.forgetAll();
    expect(await restarted.reconcile(NAME)).toEqual({ kind: "done" });
    expect([newCalls(world), counts.unsealed]).toEqual([[], 1]);
  });

  it("is forgotten alone where another replica took over some", async () => {
    const { world, counts, reconciler } = await settled({}, { updateStatus: false });
    reconciler.forgetAll((key) => key !== NAME);
    world.calls.length = 0;
    await reconciler.reconcile(NAME);
    expect([world.calls, counts.unsealed]).toEqual([[], 1]);
    reconciler.forgetAll((key) => key === NAME);
    await reconciler.reconcile(NAME);
    expect(counts.unsealed).toBe(2);
  });

  it("is read and compared after a restart where no status may be written", async () => {
    const { world, counts, start, reconciler } = await settled({}, { updateStatus: false });
    expect(world.statuses).toEqual([]);
    await reconciler.reconcile(NAME);
    expect(counts.unsealed).toBe(1);
    world.calls.length = 0;
    expect(await start().reconcile(NAME)).toEqual({ kind: "done" });
    expect(counts.unsealed).toBe(2);
    expect(newCalls(world)).toEqual(["read demo/db", "event db"]);
  });

  it("is left to its owner when the SealedSecret goes, and made again when it comes back", async () => {
    const { world, reconciler } = await settled();
    const object = world.sealed.get(NAME) ?? {};
    world.put("sealed", {
      ...object,
      metadata: { ...metadataOf(object), deletionTimestamp: "2026-11-24T12:00:00Z" },
    });
    world.secrets.delete(NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    world.sealed.delete(NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([newCalls(world), held(world)]).toEqual([[], undefined]);
    world.put("sealed", await sealed());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
  });
});

describe("drift", () => {
  it.each<[string, (world: MemoryWorld) => void, string[], string]>([
    ["a changed value", vandalise, ["read demo/db", "replace demo/db"], "changed (data.password)"],
    [
      "an item too many",
      (world) => {
        edit(world, { data: { password: base64(VALUE), more: base64("x") } });
      },
      ["read demo/db", "replace demo/db"],
      "changed (data.more)",
    ],
    [
      "a deletion",
      (world) => {
        world.secrets.delete(NAME);
      },
      ["create demo/db"],
      "deleted",
    ],
    [
      "an edit that made it immutable",
      (world) => {
        edit(world, { immutable: true, data: { password: base64(OTHER_VALUE) } });
      },
      ["read demo/db", "delete demo/db", "create demo/db"],
      "changed (data.password, immutable)",
    ],
  ])("is put back: %s", async (_what, disturb, writes, drift) => {
    const { world, told, start, reconciler } = await settled();
    const { uid } = metadataOf(world.secrets.get(NAME) ?? {});
    disturb(world);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual([...writes, "status demo/db", "event db"]);
    expect(held(world)).toEqual({ password: VALUE });
    expect(world.secrets.get(NAME)?.["immutable"]).toBeUndefined();
    expect(told.repairs).toEqual([drift]);
    expect(world.events.at(-1)).toEqual({
      type: "Normal",
      reason: "DriftCorrected",
      message: `the Secret was ${drift} and has been restored`,
    });
    const remade = metadataOf(world.secrets.get(NAME) ?? {})["uid"] !== uid;
    expect(remade).toBe(writes.includes("create demo/db"));
    // The next process sees that it is right.
    expect(await start().reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual([]);
  });

  it("of before a restart is put back as well", async () => {
    const { world, told, start } = await settled();
    vandalise(world);
    expect(await start().reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
    expect(told.repairs).toEqual(["changed (data.password)"]);
  });

  it("that comes while a run is about to end is not taken for what it ended with", async () => {
    const { world, told, reconciler } = bench();
    world.put("sealed", await sealed());
    world.meanwhile.set("status", () => {
      vandalise(world);
    });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: OTHER_VALUE });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([held(world), told.repairs]).toEqual([{ password: VALUE }, ["changed (data.password)"]]);
  });

  it("which changed nothing that is ours only renews what the status says", async () => {
    const { world, told, reconciler } = await settled();
    const metadata = metadataOf(world.secrets.get(NAME) ?? {});
    const { annotations } = metadata as { annotations: JsonObject };
    edit(world, { metadata: { ...metadata, annotations: { ...annotations, note: "theirs" } } });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual(["read demo/db", "status demo/db"]);
    expect(told.repairs).toEqual([]);
  });

  it.each<[string, Declared, Partial<ReconcilerOptions>, boolean, boolean]>([
    ["by its annotation", { annotations: { [DRIFT_ANNOTATION]: "ignore" } }, {}, false, false],
    [
      "for all, changes and deletions",
      {},
      { repair: { changed: false, deleted: false } },
      false,
      false,
    ],
    ["for all, deletions alone", {}, { repair: { changed: true, deleted: false } }, true, false],
  ])(
    "is left alone where that is asked for %s",
    async (_how, declared, options, mends, remakes) => {
      const { world, counts, reconciler } = await settled(declared, options);
      vandalise(world);
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(held(world)).toEqual({ password: mends ? VALUE : OTHER_VALUE });
      expect(reason(world)).toBe(mends ? "Unsealed" : "DriftIgnored");
      world.secrets.delete(NAME);
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(held(world)).toEqual(remakes ? { password: VALUE } : undefined);
      expect(world.statuses.at(-1)?.["conditions"]).toMatchObject([
        { message: "the Secret was deleted by someone else and is left that way, as configured" },
        { status: "True" },
      ]);
      expect(counts.unsealed).toBe(mends ? 2 : 1);
      // What is declared anew is done all the same.
      world.put("sealed", await sealed({ ...declared, data: { password: "changed" } }));
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(held(world)).toEqual({ password: "changed" });
    },
  );

  it("without end is put back ever more slowly, said so once, and forgotten when it is over", async () => {
    const { world, time, reconciler } = await settled();
    for (let turn = 1; turn <= 4; turn++) {
      vandalise(world);
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(reason(world)).toBe("Unsealed");
    }
    vandalise(world);
    // From here on the clock has to tell when it is over.
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 60_001 });
    expect([held(world), reason(world)]).toEqual([{ password: VALUE }, "DriftContested"]);
    expect(reconciler.contested).toBe(1);

    vandalise(world);
    newCalls(world);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 1_001 });
    expect([newCalls(world), held(world)]).toEqual([[], { password: OTHER_VALUE }]);
    time.ms += 1_000;
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 60_001 });
    expect(held(world)).toEqual({ password: VALUE });
    vandalise(world);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 2_001 });
    time.ms += 2_000;
    await reconciler.reconcile(NAME);

    // In peace, but not for long enough: nothing is written and nothing said again.
    newCalls(world);
    time.ms += 59_999;
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 2 });
    expect([newCalls(world), reason(world)]).toEqual([[], "DriftContested"]);
    time.ms += 1;
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([newCalls(world), reason(world)]).toEqual([["status demo/db", "event db"], "Unsealed"]);
    expect(reconciler.contested).toBe(0);
  });

  it("is reported if a finalizer holds the Secret, retried with backoff, and reverted once it is gone", async () => {
    const { world, time, reconciler } = await settled();
    const metadata = () => metadataOf(world.secrets.get(NAME) ?? {});
    const vandal = { immutable: true, data: { password: base64(OTHER_VALUE) } };
    edit(world, { ...vandal, metadata: { ...metadata(), finalizers: ["example.com/hold"] } });
    await expect(reconciler.reconcile(NAME)).rejects.toThrow("there is one");
    for (let turn = 1; turn <= 5; turn++) {
      edit(world, { metadata: metadata() });
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "retry" });
      expect([held(world), reason(world)]).toEqual([{ password: OTHER_VALUE }, "WriteFailed"]);
    }
    newCalls(world);
    edit(world, { metadata: metadata() });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "later", afterMs: 1_001 });
    expect(newCalls(world)).toEqual([]);
    time.ms += 1_000;
    world.remove("secrets", NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([held(world), reason(world)]).toEqual([{ password: VALUE }, "Unsealed"]);
  });

  it("of an immutable Secret that is declared otherwise is for people to solve", async () => {
    const { world, reconciler } = await settled({ immutable: true });
    const before = world.secrets.get(NAME);
    world.put("sealed", await sealed({ immutable: true, data: { password: OTHER_VALUE } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([world.secrets.get(NAME), reason(world)]).toEqual([before, "Immutable"]);
    // The way that the message tells.
    world.secrets.delete(NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([held(world), reason(world)]).toEqual([{ password: OTHER_VALUE }, "Unsealed"]);
  });

  it("that is left alone changes nothing in the record of the last write", async () => {
    const { world, reconciler } = await settled();
    const object = world.sealed.get(NAME) ?? {};
    const recorded = (): unknown =>
      asObject(world.sealed.get(NAME)?.["status"] ?? null)?.["secret"];
    const before = recorded();
    const annotations = { [DRIFT_ANNOTATION]: "ignore" };
    world.put("sealed", { ...object, metadata: { ...metadataOf(object), annotations } });
    vandalise(world);
    await reconciler.reconcile(NAME);
    expect(reason(world)).toBe("DriftIgnored");
    expect(recorded()).toEqual(before);
  });
});

describe("the data of a Secret counts as its value", () => {
  const counts = (reconciler: Reconciler, world: MemoryWorld): Promise<boolean> => {
    const mark = world.secretMark(NAME);
    if (mark === undefined) throw new Error("there is no Secret");
    return reconciler.isSettled(NAME, mark);
  };

  it("as the controller left it, also after a restart, and not while it is edited", async () => {
    const { world, reconciler, start } = await settled();
    expect(await counts(reconciler, world)).toBe(true);
    expect(await counts(start(), world)).toBe(true);
    vandalise(world);
    expect(await counts(reconciler, world)).toBe(false);
    expect(await counts(start(), world)).toBe(false);
    await reconciler.reconcile(NAME);
    expect(await counts(reconciler, world)).toBe(true);
  });

  it("in any version where drift is ignored", async () => {
    const ignoring = await settled({ annotations: { [DRIFT_ANNOTATION]: "ignore" } });
    vandalise(ignoring.world);
    expect(await counts(ignoring.reconciler, ignoring.world)).toBe(true);
    const never = await settled({}, { repair: { changed: false, deleted: false } });
    vandalise(never.world);
    expect(await counts(never.reconciler, never.world)).toBe(true);
  });

  it("while a changed SealedSecret does not open, and not once it is gone", async () => {
    const { world, reconciler } = await settled();
    world.put("sealed", { ...world.sealed.get(NAME), spec: { encryptedData: { a: "x" } } });
    await reconciler.reconcile(NAME);
    expect(await counts(reconciler, world)).toBe(true);
    world.sealed.delete(NAME);
    expect(await counts(reconciler, world)).toBe(false);
  });

  it("not by a record that somebody else wrote", async () => {
    const { world, start } = await settled();
    vandalise(world);
    const { uid, resourceVersion } = world.secretMark(NAME) ?? {};
    const sealed = world.sealed.get(NAME) ?? {};
    const status = asObject(sealed["status"] ?? null) ?? {};
    const left = asObject(status["secret"] ?? null) ?? {};
    const forged = { ...left, uid: uid ?? "", resourceVersion: resourceVersion ?? "" };
    world.put("sealed", { ...sealed, status: { ...status, secret: forged } });
    expect(await counts(start(), world)).toBe(false);
  });
});

describe("a Secret that was there before", () => {
  const DEPLOYMENT = { apiVersion: "apps/v1", kind: "Deployment", name: "db", uid: "d" };

  it.each<[string, JsonObject, string, Record<string, string>]>([
    ["is refused", {}, "NotManaged", { a: "1" }],
    [
      "is taken over where it says managed",
      { annotations: { [MANAGED_ANNOTATION]: "true" } },
      "Unsealed",
      { password: VALUE },
    ],
    [
      "is added to where it says patch",
      { annotations: { [PATCH_ANNOTATION]: "true" } },
      "Unsealed",
      { a: "1", password: VALUE },
    ],
    [
      "is refused where another controller owns it, whatever its label",
      {
        labels: { [SECRET_LABEL]: "owned" },
        ownerReferences: [{ ...DEPLOYMENT, controller: true }],
      },
      "NotManaged",
      { a: "1" },
    ],
  ])("%s", async (_what, metadata, expected, holds) => {
    const { world, reconciler } = bench();
    world.put("secrets", theirs(metadata, { a: "1" }));
    const before = world.secrets.get(NAME);
    world.put("sealed", await sealed());
    const outcome = await reconciler.reconcile(NAME);
    expect([reason(world), held(world)]).toEqual([expected, holds]);
    if (expected !== "NotManaged") {
      expect(outcome).toEqual({ kind: "done" });
      return;
    }
    expect(world.secrets.get(NAME)).toBe(before);
    // What carries our label is watched; of another nobody would tell.
    expect(outcome).toEqual({ kind: "labels" in metadata ? "terminal" : "retry" });
    world.secrets.delete(NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([reason(world), held(world)]).toEqual(["Unsealed", { password: VALUE }]);
  });

  it("and came between our look and our write is refused like any other", async () => {
    const { world, reconciler } = bench();
    world.put("sealed", await sealed());
    world.meanwhile.set("create", () => world.put("secrets", theirs({}, { a: "1" })));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "retry" });
    expect([reason(world), held(world)]).toEqual(["NotManaged", { a: "1" }]);
  });

  it("and may only be added to is not made when its owner deletes it, and added to once it is back", async () => {
    const { world, reconciler } = bench();
    const mayBeAddedTo = theirs({ annotations: { [PATCH_ANNOTATION]: "true" } }, { a: "1" });
    world.put("secrets", mayBeAddedTo);
    world.put("sealed", await sealed());
    await reconciler.reconcile(NAME);
    expect(world.statuses.at(-1)).toMatchObject({ secret: { patched: true } });
    world.secrets.delete(NAME);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "retry" });
    expect([reason(world), world.secrets.has(NAME)]).toEqual(["NotManaged", false]);
    world.put("secrets", mayBeAddedTo);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([reason(world), held(world)]).toEqual(["Unsealed", { a: "1", password: VALUE }]);
  });
});

describe("a status that someone else wrote", () => {
  /** What anybody can compute who may read the SealedSecret and the Secret's metadata. */
  const forge = (world: MemoryWorld, more: JsonObject = {}): void => {
    const object = world.sealed.get(NAME) ?? {};
    const { uid, resourceVersion } = metadataOf(world.secrets.get(NAME) ?? {});
    const left = { uid, resourceVersion, source: sourceOf(object), patched: false } as JsonObject;
    const { secret = {} } = (object["status"] ?? {}) as { secret?: JsonObject };
    const status = { ...(object["status"] as JsonObject), secret: { ...secret, ...left, ...more } };
    world.put("sealed", { ...object, status });
  };

  it.each<[string, JsonObject]>([
    ["as if it were ours", {}],
    ["as if it were ours, of another version", { resourceVersion: "0" }],
  ])("makes us neither overwrite nor delete a Secret: %s", async (_what, more) => {
    for (const immutable of [false, true]) {
      const { world, start } = bench();
      world.put("secrets", { ...theirs({}, { a: "1" }), immutable });
      world.put("sealed", await sealed());
      forge(world, more);
      const before = world.secrets.get(NAME);
      for (let run = 0; run < 2; run++) await start().reconcile(NAME);
      expect([world.secrets.get(NAME), reason(world)]).toEqual([before, "NotManaged"]);
      expect(newCalls(world).filter((call) => /^(replace|delete)/.test(call))).toEqual([]);
    }
  });

  it("does not hide a changed Secret, neither at once nor after a restart", async () => {
    for (const restart of [false, true]) {
      const { world, reconciler, start } = await settled();
      vandalise(world);
      forge(world);
      await (restart ? start() : reconciler).reconcile(NAME);
      expect(held(world)).toEqual({ password: VALUE });
    }
  });

  it("does not keep a changed SealedSecret from its Secret", async () => {
    for (const restart of [false, true]) {
      const { world, reconciler, start } = await settled();
      const { status = {} } = world.sealed.get(NAME) ?? {};
      world.put("sealed", { ...(await sealed({ data: { password: OTHER_VALUE } })), status });
      forge(world);
      await (restart ? start() : reconciler).reconcile(NAME);
      expect(held(world)).toEqual({ password: OTHER_VALUE });
    }
  });

  it("deletes no Secret of ours that only people may delete", async () => {
    const { world, start } = await settled({ immutable: true });
    const before = world.secrets.get(NAME);
    const { status = {} } = world.sealed.get(NAME) ?? {};
    const changed = await sealed({ immutable: true, data: { password: OTHER_VALUE } });
    world.put("sealed", { ...changed, status });
    forge(world, { resourceVersion: "0" });
    expect(await start().reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([world.secrets.get(NAME), reason(world)]).toEqual([before, "Immutable"]);
  });

  it("of an earlier SealedSecret of its name says nothing of the next one's", async () => {
    const annotations = { "sealedsecrets.bitnami.com/skip-set-owner-references": "true" };
    const { world, start } = bench();
    const withSkip = async (uid: string, status: JsonObject = {}): Promise<void> => {
      const object = await sealed();
      const spec = object["spec"] as { template: JsonObject };
      const template = { ...spec.template, metadata: { annotations } };
      const metadata = { ...metadataOf(object), uid };
      world.put("sealed", { ...object, metadata, spec: { ...spec, template }, status });
    };
    await withSkip("first");
    await start().reconcile(NAME);
    const status = world.sealed.get(NAME)?.["status"] as JsonObject;
    vandalise(world);
    await withSkip("second", status);
    await start().reconcile(NAME);
    expect([held(world), reason(world)]).toEqual([{ password: OTHER_VALUE }, "NotManaged"]);
  });
});

describe("a Secret of a type that gives rights", () => {
  const type = "kubernetes.io/service-account-token";

  it("is not created, for good, and is with the flag that the verdict names", async () => {
    const { world, reconciler } = bench();
    world.put("sealed", await sealed({ type }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([world.secrets.size, reason(world)]).toEqual([0, "TypeNotAllowed"]);
    expect(condition(world, "Stalled")).toBe("True");
    const allowed = bench({ allowedTypes: new Set([type]) });
    allowed.world.put("sealed", await sealed({ type }));
    expect(await allowed.reconciler.reconcile(NAME)).toEqual({ kind: "done" });
  });

  it("that the original created stays as it is", async () => {
    const { world, reconciler } = bench();
    const owner = { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", name: "db" };
    const ownerReferences = [{ ...owner, uid: "owner-uid", controller: true }];
    world.put("secrets", { ...theirs({ ownerReferences }, { token: "t" }), type });
    const before = world.secrets.get(NAME);
    world.put("sealed", await sealed({ type }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([world.secrets.get(NAME), reason(world)]).toEqual([before, "TypeNotAllowed"]);
  });
});

describe("what cannot be opened", () => {
  it("ends the run for good, and leaves the Secret of before as it is", async () => {
    const { world, counts, reconciler } = await settled();
    const before = world.secrets.get(NAME);
    world.put("sealed", await sealed({ data: { password: OTHER_VALUE }, key: "second" }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(newCalls(world)).toEqual(["status demo/db", "event db"]);
    expect([world.secrets.get(NAME), reason(world)]).toEqual([before, "DecryptFailed"]);
    expect(["Synced", "Ready", "Stalled"].map((type) => condition(world, type))).toEqual([
      "False",
      "False",
      "True",
    ]);
    expect(world.events.at(-1)).toEqual({
      type: "Warning",
      reason: "ErrUnsealFailed",
      message: "Failed to unseal: no key could decrypt secret (password)",
    });
    // Nothing changed, so nothing is tried.
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([newCalls(world), counts.unsealed]).toEqual([[], 2]);
  });

  it("is opened again when there is another key", async () => {
    const { world, keyring, reconciler } = bench();
    world.put("sealed", await sealed({ key: "second" }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    keyring.replace([testKey("first"), testKey("second")]);
    expect(reconciler.forgetFailures()).toEqual([NAME]);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
    expect(condition(world, "Stalled")).toBeUndefined();
    // What is in sync has no failure to forget.
    expect(reconciler.forgetFailures()).toEqual([]);
  });

  it("is opened again when the key comes while others are tried on it", async () => {
    const { world, keyring, reconciler, told } = bench();
    world.put("sealed", await sealed({ key: "second" }));
    const counting = countingKeys(1);
    counting.onTrial = () => {
      keyring.replace([testKey("second")]);
      reconciler.forgetFailures();
      return Promise.resolve();
    };
    keyring.replace(counting.keys);
    // Nothing is told of a result that is outdated.
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "retry", afterMs: 0 });
    expect([newCalls(world), told.verdicts]).toEqual([[], []]);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
  });

  it.each(["written", "refused"])(
    "is opened again when the key comes while its status is %s",
    async (how) => {
      const { world, keyring, reconciler } = bench();
      world.put("sealed", await sealed({ key: "second" }));
      world.meanwhile.set("status", () => {
        keyring.replace([testKey("second")]);
        reconciler.forgetFailures();
        if (how === "refused") throw new WorldError("refused", "too large");
      });
      const first = reconciler.reconcile(NAME);
      if (how === "refused") await expect(first).rejects.toThrow(WorldError);
      else expect(await first).toEqual({ kind: "retry", afterMs: 0 });
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(held(world)).toEqual({ password: VALUE });
    },
  );

  it.each<[string, () => Promise<JsonObject>, string, string]>([
    [
      "a template that fails",
      () => sealed({ templates: { url: "fail" } }),
      "TemplateFailed",
      "spec.template.data.url: line 1: no such function",
    ],
    [
      "an object that is none",
      async () => ({ ...(await sealed()), spec: { encryptedData: [] } }),
      "Invalid",
      "spec.encryptedData: must be a mapping",
    ],
  ])("has its own reason and place: %s", async (_what, make, expected, message) => {
    const { world, reconciler } = bench();
    world.put("sealed", await make());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(currentVerdict(world.sealed.get(NAME) ?? {})).toEqual({
      synced: false,
      reason: expected,
      message,
    });
    expect(world.secrets.size).toBe(0);
  });
});

describe("a world that fails", () => {
  it.each(["create", "read", "replace"] as const)(
    "for a while is tried again, and nothing is said of it: %s",
    async (call) => {
      const { world, told, reconciler } = bench();
      if (call !== "create") {
        const metadata = { annotations: { [MANAGED_ANNOTATION]: "true" } };
        world.put("secrets", theirs(metadata, { a: "1" }));
      }
      world.put("sealed", await sealed());
      world.fail(call, "transient", "away", 7_000);
      const run = reconciler.reconcile(NAME);
      await expect(run).rejects.toMatchObject({ name: "WorldError", retryAfterMs: 7_000 });
      expect([world.statuses, world.events, told.verdicts]).toEqual([[], [], []]);
      expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
      expect(held(world)).toEqual({ password: VALUE });
    },
  );

  it("for good is reported, and tried again all the same: rights may be granted", async () => {
    const { world, reconciler } = bench();
    world.put("sealed", await sealed());
    world.fail("create", "refused", "the API server returned 403 Forbidden");
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "retry" });
    expect(currentVerdict(world.sealed.get(NAME) ?? {})).toMatchObject({
      reason: "WriteFailed",
      message: "the Secret cannot be written: the API server returned 403 Forbidden",
    });
    expect(condition(world, "Stalled")).toBeUndefined();
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(reason(world)).toBe("Unsealed");
  });

  it("because of a bug of ours hides nothing", async () => {
    const { world, reconciler } = bench();
    world.put("sealed", await sealed());
    world.meanwhile.set("create", () => {
      throw new TypeError("a bug");
    });
    await expect(reconciler.reconcile(NAME)).rejects.toThrow(new TypeError("a bug"));
  });

  it("by a change between our look and our write starts over from the change", async () => {
    const { world, told, reconciler } = await settled();
    vandalise(world);
    world.meanwhile.set("replace", () => {
      edit(world, { data: { password: base64("third"), more: base64("x") } });
    });
    await expect(reconciler.reconcile(NAME)).rejects.toMatchObject({ failure: "transient" });
    expect(held(world)).toEqual({ password: "third", more: "x" });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
    // Put back once, so counted once.
    expect(told.repairs).toEqual(["changed (data.password, data.more)"]);
  });

  it("while a Secret is made again ends with the Secret as declared", async () => {
    const { world, reconciler } = await settled();
    edit(world, { immutable: true, data: { password: base64(OTHER_VALUE) } });
    world.fail("create", "transient");
    await expect(reconciler.reconcile(NAME)).rejects.toBeInstanceOf(WorldError);
    expect(held(world)).toBeUndefined();
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
  });

  it("to take an Event costs a line in the log, no more", async () => {
    const { world, told, reconciler } = bench();
    world.put("sealed", await sealed());
    world.fail("event", "refused", "no right to Events");
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(reason(world)).toBe("Unsealed");
    expect(told.lines).toEqual([
      'time=2026-11-24T12:00:00.000Z level=WARN msg="event could not be recorded" ' +
        'object=demo/db error="no right to Events"',
    ]);
  });

  it("to take the status writes no Secret twice", async () => {
    const { world, counts, told, reconciler } = bench();
    const object = world.put("sealed", await sealed());
    world.meanwhile.set("status", () => {
      // Someone labels the SealedSecret; what it declares is the same.
      world.put("sealed", { ...object, metadata: { ...metadataOf(object), labels: { a: "b" } } });
    });
    await expect(reconciler.reconcile(NAME)).rejects.toMatchObject({ failure: "transient" });
    expect(newCalls(world)).toEqual(["create demo/db", "status demo/db: transient", "event db"]);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(newCalls(world)).toEqual(["status demo/db", "event db"]);
    expect(counts.unsealed).toBe(1);
    // Known from memory alone that first time, and told with the status now.
    expect(Object.keys(world.statuses[0]?.["sealedUnder"] ?? {})).toHaveLength(1);
    expect(told.repairs).toEqual([]);
    expect(metadataOf(world.sealed.get(NAME) ?? {})["labels"]).toEqual({ a: "b" });
  });
});

describe("an object whose status cannot be written", () => {
  it("costs its values once, however often the status is tried", async () => {
    const { world, reconciler, counts, told } = bench();
    world.put("sealed", await sealed({ data: { password: VALUE }, key: "second" }));
    for (let attempt = 0; attempt < 3; attempt++) {
      world.fail("status", "refused");
      await expect(reconciler.reconcile(NAME)).rejects.toThrow(WorldError);
    }
    expect([counts.unsealed, told.verdicts]).toEqual([1, Array(3).fill("DecryptFailed")]);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([counts.unsealed, reason(world)]).toEqual([1, "DecryptFailed"]);
  });

  it("is worked on again when it changes, or when there is another key", async () => {
    const { world, reconciler, counts, keyring } = bench();
    world.put("sealed", await sealed({ key: "second" }));
    world.fail("status", "refused");
    await expect(reconciler.reconcile(NAME)).rejects.toThrow(WorldError);
    keyring.replace(keyringOf(["first", "second"]).keys);
    reconciler.forgetFailures();
    world.fail("status", "refused");
    await expect(reconciler.reconcile(NAME)).rejects.toThrow(WorldError);
    expect([counts.unsealed, held(world)]).toEqual([2, { password: VALUE }]);
    world.put("sealed", await sealed({ data: { password: OTHER_VALUE } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect([counts.unsealed, held(world)]).toEqual([3, { password: OTHER_VALUE }]);
  });
});

describe("a key that is compromised", () => {
  it("still opens, and the values under it are named once", async () => {
    const { world, counts, keyring, reconciler } = await settled();
    keyring.replace([{ ...testKey("first"), compromised: true }]);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    // The record of its values' keys was made with that key, so the values are opened once more.
    expect(counts.unsealed).toBe(2);
    expect(newCalls(world)).toEqual(["status demo/db", "event db"]);
    expect(["Synced", "KeyCompromised"].map((type) => condition(world, type))).toEqual([
      "True",
      "True",
    ]);
    expect(world.events.at(-1)).toEqual({
      type: "Warning",
      reason: "KeyCompromised",
      message: "sealed with a compromised key: password; rotate these values and re-seal them",
    });
    await reconciler.reconcile(NAME);
    expect(newCalls(world)).toEqual([]);

    keyring.replace([{ ...testKey("first"), compromised: true }, testKey("second")]);
    world.put("sealed", {
      ...(await sealed({ key: "second", data: { password: OTHER_VALUE } })),
      status: world.statuses.at(-1) ?? {},
    });
    await reconciler.reconcile(NAME);
    expect(condition(world, "KeyCompromised")).toBeUndefined();
    expect(held(world)).toEqual({ password: OTHER_VALUE });
  });

  it("opens what was sealed under it, even where nobody saw it before", async () => {
    const { world, keyring, reconciler } = bench();
    keyring.replace([{ ...testKey("first"), compromised: true }]);
    world.put("sealed", await sealed());
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    expect(held(world)).toEqual({ password: VALUE });
    expect(world.events.map(({ reason }) => reason)).toEqual(["Unsealed", "KeyCompromised"]);
  });
});

describe("the record of the keys of its values", () => {
  const { fingerprint } = testKey("first").certificate;
  const under = { [fingerprint]: ["password"] };

  /** Someone writes this into the status, and the reconciler looks again until it has no more to do. */
  async function afterForgery(
    { world, reconciler }: Pick<ReturnType<typeof bench>, "world" | "reconciler">,
    forged: JsonObject,
  ): Promise<JsonObject> {
    const object = world.sealed.get(NAME) ?? {};
    world.put("sealed", {
      ...object,
      status: { ...asObject(object["status"] ?? null), ...forged },
    });
    for (let run = 0; run < 3; run++) await reconciler.reconcile(NAME);
    return (world.sealed.get(NAME)?.["status"] ?? {}) as JsonObject;
  }

  const forgeries: [string, JsonObject][] = [
    ["names no value", { sealedUnder: {} }],
    ["is gone", { sealedUnder: null, sealedUnderTag: null }],
    ["names another key", { sealedUnder: { "SHA256:other": ["password"] } }],
    ["has another tag", { sealedUnderTag: "forged" }],
    ["is gone with the rest of the status", { conditions: [], secret: null, sealedUnder: null }],
  ];

  it.each(forgeries)("is made again where it %s, and the Secret stays", async (_what, forged) => {
    const given = await settled({ templates: { url: "of-" } });
    const { world, counts, keyring } = given;
    const status = await afterForgery(given, forged);
    expect(status["sealedUnder"]).toEqual(under);
    expect(keyRecordOf(world.sealed.get(NAME) ?? {}, keyring)).toEqual(under);
    expect(newCalls(world).filter((call) => !call.startsWith("event"))).toEqual(["status demo/db"]);
    // Once for the Secret, and once for the record.
    expect(counts.unsealed).toBe(2);
  });

  it.each(forgeries)("is made again after a restart where it %s", async (_what, forged) => {
    const given = await settled();
    const status = await afterForgery({ ...given, reconciler: given.start() }, forged);
    expect(status["sealedUnder"]).toEqual(under);
    expect(keyRecordOf(given.world.sealed.get(NAME) ?? {}, given.keyring)).toEqual(under);
  });

  it("is looked at as soon as a key in it is compromised, also after a restart", async () => {
    const { world, keyring, start } = await settled();
    keyring.replace([{ ...testKey("first"), compromised: true }, testKey("second")]);
    await start().reconcile(NAME);
    expect(condition(world, "KeyCompromised")).toBe("True");
  });

  it("costs nothing at a restart while it is right", async () => {
    const { world, counts, start } = await settled();
    await start().reconcile(NAME);
    expect([newCalls(world), counts.unsealed]).toEqual([[], 1]);
  });

  it("is made again where others' changes of the Secret are left alone", async () => {
    const given = await settled({ annotations: { [DRIFT_ANNOTATION]: "ignore" } });
    vandalise(given.world);
    const status = await afterForgery(given, { sealedUnder: {} });
    expect(status["sealedUnder"]).toEqual(under);
    expect(reason(given.world)).toBe("DriftIgnored");
  });

  it("gets its tag once there is a key for it, and no value is opened for that", async () => {
    const given = await settled();
    const { world, counts, keyring, reconciler } = given;
    const leaked = { ...testKey("first"), compromised: true };
    keyring.replace([leaked]);
    await reconciler.reconcile(NAME);
    expect(keyRecordOf(world.sealed.get(NAME) ?? {}, keyring)).toBeNull();
    const opened = counts.unsealed;
    keyring.replace([leaked, testKey("second")]);
    await reconciler.reconcile(NAME);
    expect(keyRecordOf(world.sealed.get(NAME) ?? {}, keyring)).toEqual(under);
    expect(counts.unsealed).toBe(opened);
  });

  it("is left out, without a try at each look, where a value does not open any more", async () => {
    const given = await settled();
    const { world, counts, keyring, reconciler } = given;
    keyring.replace([testKey("second")]);
    await reconciler.reconcile(NAME);
    const opened = counts.unsealed;
    for (let look = 0; look < 3; look++) await reconciler.reconcile(NAME);
    expect(counts.unsealed).toBe(opened);
    expect(world.sealed.get(NAME)?.["status"]).not.toHaveProperty("sealedUnderTag");
  });
});

it("tells no value, whatever happens to it", async () => {
  const { world, told, keyring, reconciler } = bench();
  const errors: unknown[] = [];
  const run = async (): Promise<void> => {
    await reconciler.reconcile(NAME).catch((error: unknown) => errors.push(error));
  };
  world.put("secrets", theirs({}, { password: OTHER_VALUE }));
  for (const declared of [{}, { templates: { url: "fail" } }, { key: "second" as const }]) {
    world.put("sealed", await sealed(declared));
    await run();
  }
  world.secrets.delete(NAME);
  world.put("sealed", await sealed({ type: "a/b" }));
  for (const call of ["create", "event", "status"] as const) {
    world.fail(call, "transient");
    await run();
  }
  await run();
  for (let turn = 0; turn < 7; turn++) {
    vandalise(world);
    await run();
  }
  world.put("sealed", await sealed({ type: "c/d" }));
  await run();
  keyring.replace([{ ...testKey("first"), compromised: true }]);
  await run();

  expect(new Set(told.verdicts)).toEqual(
    new Set([
      "NotManaged",
      "TemplateFailed",
      "DecryptFailed",
      "Unsealed",
      "DriftContested",
      "TypeChanged",
    ]),
  );
  const messages = errors.map((error) => [String(error), (error as Error).stack]);
  const text = JSON.stringify([world.statuses, world.events, told, messages]);
  for (const value of [VALUE, OTHER_VALUE]) {
    for (const form of [value, base64(value)]) expect(text).not.toContain(form);
  }
});

describe("an object that costs too much", () => {
  const nested = (depth: number): JsonObject =>
    JSON.parse(`${'{"a":'.repeat(depth)}{}${"}".repeat(depth)}`) as JsonObject;

  it("gets a verdict for its depth, once", async () => {
    const { world, reconciler, counts } = bench();
    const object = await sealed();
    const spec = object["spec"] as JsonObject;
    const template = { ...(spec["template"] as JsonObject), metadata: { rest: nested(9000) } };
    world.put("sealed", { ...object, spec: { ...spec, template } });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(world.statuses.map((status) => currentVerdict({ status }))).toEqual([
      { synced: false, reason: "Invalid", message: "nested deeper than 200 levels" },
    ]);
    newCalls(world);
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect([newCalls(world), counts.unsealed]).toEqual([[], 0]);
  });

  it("gets a verdict for its parts, and what a stranger wrote into its status does not matter", async () => {
    const { world, reconciler } = bench();
    const object = await sealed();
    const many = Array.from({ length: 60_000 }, () => ({}));
    const spec = object["spec"] as JsonObject;
    world.put("sealed", { ...object, status: { many } });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "done" });
    const template = { ...(spec["template"] as JsonObject), metadata: { rest: many } };
    world.put("sealed", { ...object, spec: { ...spec, template } });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(world.statuses.map((status) => currentVerdict({ status })?.message)).toEqual([
      verdicts.unsealed().message,
      "the object has too many parts",
    ]);
  });

  it("gets a verdict for values that no Secret holds", async () => {
    const { world, reconciler } = bench({ maxSecretBytes: 10 });
    world.put("sealed", await sealed({ data: { a: "123456", b: "123456" } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(currentVerdict({ status: world.statuses[0] ?? null })).toMatchObject({
      reason: "Invalid",
      message: "the Secret would exceed 10 bytes",
    });
  });

  it("gets a verdict for a fault that is ours, without the fault's own message", async () => {
    const { world, reconciler, told } = bench({
      render: () => {
        throw new RangeError(`cannot repeat\n    at ${VALUE}`);
      },
    });
    world.put("sealed", await sealed({ templates: { url: "x" } }));
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(await reconciler.reconcile(NAME)).toEqual({ kind: "terminal" });
    expect(told.verdicts).toEqual(["Invalid"]);
    expect(told.lines.join()).toContain("RangeError");
    expect(JSON.stringify([told.lines, world.statuses, world.events])).not.toContain(VALUE);
  });

  it("is tried a few times, ever later, if time ran out, and then no more", async () => {
    let renders = 0;
    const { world, reconciler, told } = bench({
      render: () => {
        renders++;
        return Promise.reject(new JobLost("deadline"));
      },
    });
    world.put("sealed", await sealed({ templates: { url: "x" } }));
    const outcomes = [];
    for (let i = 0; i < 6; i++) outcomes.push(await reconciler.reconcile(NAME));
    expect(outcomes).toEqual([
      { kind: "retry", afterMs: 60_000 },
      { kind: "retry", afterMs: 120_000 },
      { kind: "retry", afterMs: 240_000 },
      { kind: "terminal" },
      { kind: "terminal" },
      { kind: "terminal" },
    ]);
    expect([renders, told.verdicts]).toEqual([4, ["TemplateFailed"]]);
  });

  it("is tried once if memory ran out, and again when it changes", async () => {
    let renders = 0;
    const { world, reconciler } = bench({
      render: () => {
        renders++;
        return Promise.reject(new JobLost("memory"));
      },
    });
    world.put("sealed", await sealed({ templates: { url: "x" } }));
    for (let i = 0; i < 3; i++) await reconciler.reconcile(NAME);
    expect(renders).toBe(1);
    world.put("sealed", await sealed({ templates: { url: "y" } }));
    await reconciler.reconcile(NAME);
    expect(renders).toBe(2);
  });

  it("is no verdict if the controller stops", async () => {
    const { world, reconciler } = bench({ render: () => Promise.reject(new JobLost("closed")) });
    world.put("sealed", await sealed({ templates: { url: "x" } }));
    await expect(reconciler.reconcile(NAME)).rejects.toThrow(JobLost);
    expect(world.statuses).toEqual([]);
  });
});
