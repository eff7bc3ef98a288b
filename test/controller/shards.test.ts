// Replicas that share shards of namespaces, on clocks that only the test moves.
// SPEC.md, "Shards".
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Lease } from "../../controller/lease.ts";
import { createLog } from "../../controller/log.ts";
import { nextStep, shardOf, Shards, sharingIdentity } from "../../controller/shards.ts";
import { ApiError, type KubernetesClient } from "../../host/kubernetes/apiclient.ts";
import { type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

describe("the shard of a namespace", () => {
  it("is the same in every version: another one would let two replicas write", () => {
    const names = ["default", "kube-system", "shop", "team-a", "team-b", ""];
    expect(names.map((name) => shardOf(name, 3))).toEqual([0, 0, 2, 0, 0, 2]);
    expect(names.map((name) => shardOf(name, 1))).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("is spread evenly", () => {
    const counts = Array.from({ length: 5 }, () => 0);
    for (let index = 0; index < 10_000; index++) {
      const shard = shardOf(`namespace-${index}`, counts.length);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(1_850);
    expect(Math.max(...counts)).toBeLessThan(2_150);
  });
});

describe("the next step of replica a", () => {
  it.each([
    ["takes what is free while nobody else is there", ["", "", ""], "", "take"],
    ["goes on taking while alone", ["a", "a", ""], "", "take"],
    ["takes a free one where it has no more than any other", ["a", "b", ""], "", "take"],
    ["leaves a free one to those that have fewer", ["a", "a", "b", ""], "", "stay"],
    ["leaves a free one to one that waits", ["a", ""], "c", "stay"],
    ["waits where all are taken", ["b", "c"], "", "wait"],
    ["goes on waiting", ["b", "c"], "a", "wait"],
    ["gives where one waits and it has two", ["a", "a", "b"], "c", "give"],
    ["gives where another has two fewer", ["a", "a", "a", "b"], "", "give"],
    ["gives nothing while one is free", ["a", "a", "a", "b", ""], "", "stay"],
    ["gives nothing where a difference of one must remain", ["a", "a", "b"], "", "stay"],
    ["keeps its only one from one that waits", ["a", "b"], "c", "stay"],
    ["gives before another that has as many", ["a", "a", "b", "b"], "c", "give"],
    ["lets the one give that has most", ["a", "a", "b", "b", "b"], "c", "stay"],
    ["stays with all while alone", ["a", "a", "a"], "", "stay"],
  ] as const)("%s", (_name, holders, waiting, step) => {
    expect(nextStep({ identity: "a", holders, waiting })).toBe(step);
  });

  it("of two with as many is to wait for the other to give", () => {
    const view = { holders: ["a", "a", "b", "b"], waiting: "c" };
    expect(nextStep({ ...view, identity: "b" })).toBe("stay");
  });

  it("never undoes a step: from any spread, steps end, and evenly", () => {
    for (let seed = 0; seed < 500; seed++) {
      const names = ["a", "b", "c", "d", "e"].slice(0, 1 + (seed % 5));
      const count = 1 + (seed % 8);
      const pick = (index: number): string =>
        ["", ...names][(seed * 7 + index * (1 + (seed % 11))) % (names.length + 1)] ?? "";
      const holders = Array.from({ length: count }, (_, index) => pick(index));
      let waiting = "";
      let steps = 0;
      for (let isMoving = true; isMoving; steps++) {
        isMoving = false;
        for (const identity of names) {
          const step = nextStep({ identity, holders, waiting });
          if (step === "take") holders[holders.indexOf("")] = identity;
          if (step === "give") holders[holders.lastIndexOf(identity)] = "";
          if (step === "take" || step === "give") isMoving = true;
          if (step === "wait" && waiting === "") [waiting, isMoving] = [identity, true];
          if (step !== "wait" && waiting === identity) [waiting, isMoving] = ["", true];
        }
        expect(steps, JSON.stringify({ holders, waiting })).toBeLessThan(50);
      }
      const has = names.map((name) => holders.filter((holder) => holder === name).length);
      expect(holders).not.toContain("");
      expect(Math.max(...has) - Math.min(...has), JSON.stringify(holders)).toBeLessThan(2);
    }
  });
});

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/signet/leases";
const LOOK_MS = 1_500;
const COUNT = 3;
/** One namespace of each shard. */
const NAMESPACES = Array.from({ length: COUNT }, (_, shard) => {
  let index = 0;
  while (shardOf(`ns-${index}`, COUNT) !== shard) index++;
  return `ns-${index}`;
});

/** The Leases that the API server has, by name. */
const leases = new Map<string, JsonObject>();
/** The status with which calls fail, such as `PUT main`. */
const failing = new Map<string, number>();
/** Calls under way. */
let calls = 0;
let version = 0;

/** An API server's side of a call. Each takes a moment, so that others come between. */
async function answer(method: string, path: string, body: JsonObject = {}): Promise<JsonObject> {
  await new Promise((resolve) => later(resolve));
  const name =
    method === "POST" ? (metadataOf(body)["name"] as string) : path.slice(LEASES.length + 1);
  const found = leases.get(name);
  const fail = (status: number): never => {
    throw new ApiError(status, "Refused", "refused");
  };
  const status = failing.get(`${method} ${name}`);
  if (status !== undefined) fail(status);
  if (method === "GET") return found ?? fail(404);
  if (method === "POST" && found !== undefined) fail(409);
  if (method === "PUT" && found === undefined) fail(404);
  const given = metadataOf(body)["resourceVersion"];
  if (method === "PUT" && given !== metadataOf(found ?? {})["resourceVersion"]) fail(409);
  const resourceVersion = String(++version);
  const stored = { ...body, metadata: { ...metadataOf(body), resourceVersion } };
  leases.set(name, stored);
  return stored;
}

// Taken before any clock is replaced.
const later = setImmediate;

const running: AbortController[] = [];
beforeEach(() => {
  stopClocks(new Date("2026-11-24T12:00:00Z"));
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(async () => {
  for (const each of running.splice(0)) each.abort();
  await until(() => calls === 0);
  vi.useRealTimers();
  vi.restoreAllMocks();
  leases.clear();
  failing.clear();
});

/** A replica that takes part, with what it was told and logged. */
function replica(name: string, count = COUNT) {
  const told: string[] = [];
  const lines: string[] = [];
  const busy = new Set<number>();
  const state = { isReady: true, isCutOff: false };
  const identity = count === 1 ? name : sharingIdentity(name, count);
  const common = { namespace: "signet", durationMs: 6_000, identity };
  const call: KubernetesClient["call"] = async (method, path, options) => {
    // Nothing that it sends arrives.
    if (state.isCutOff) return new Promise(() => undefined);
    calls++;
    try {
      return await answer(method, path, options?.body as JsonObject | undefined);
    } finally {
      calls--;
    }
  };
  const wiring = {
    client: { call },
    log: createLog("INFO", "json", (line) => {
      const { level, msg } = JSON.parse(line) as Record<string, string>;
      lines.push(`${level ?? ""} ${msg ?? ""}`);
    }),
    now: () => new Date(),
    clock: () => Date.now(),
  };
  const none = (): void => undefined;
  const successor = (): string | undefined => shards?.peer();
  const main = new Lease(
    { ...common, name: "main", ...(count === 1 ? {} : { successor }) },
    { ...wiring, sealingKey: () => undefined, onLead: none, onFollow: none, onForbidden: none },
  );
  const shards =
    count === 1
      ? undefined
      : new Shards(
          { ...common, count, leaseName: "main" },
          {
            ...wiring,
            main,
            isReady: () => state.isReady,
            isBusy: (shard) => busy.has(shard),
            onGain: (shard) => told.push(`gain ${shard}`),
            onLose: (shard) => told.push(`lose ${shard}`),
          },
        );
  const stop = new AbortController();
  running.push(stop);
  const ended = Promise.all([main.run(stop.signal), shards?.run(stop.signal)]);
  const mayWrite = (namespace: string): boolean => {
    if (shards === undefined) return main.held;
    try {
      shards.guard(namespace);
      return true;
    } catch {
      return false;
    }
  };
  return { name, main, shards, told, lines, busy, state, stop, ended, mayWrite };
}
type Replica = ReturnType<typeof replica>;

/** Lets the time of so many looks pass, and each be done. At no time may two write for a namespace. */
async function looks(count: number, replicas: readonly Replica[]): Promise<void> {
  await until(() => calls === 0);
  // In small steps, in which leases run out.
  for (let part = 0; part < count * 10; part++) {
    await vi.advanceTimersByTimeAsync(LOOK_MS / 10);
    expectOneWriter(replicas);
    await until(() => calls === 0);
    expectOneWriter(replicas);
  }
}

function expectOneWriter(replicas: readonly Replica[]): void {
  for (const namespace of NAMESPACES) {
    const writers = replicas.filter(({ mayWrite }) => mayWrite(namespace));
    expect(writers.map(({ name }) => name).length, namespace).toBeLessThan(2);
  }
}

const held = (replicas: readonly Replica[]): number[] =>
  replicas.map(({ shards }) => shards?.held ?? 0);

const holderOf = (lease: string): unknown =>
  (leases.get(lease)?.["spec"] as JsonObject | undefined)?.["holderIdentity"];

async function three(): Promise<[Replica, Replica, Replica]> {
  const all: [Replica, Replica, Replica] = [replica("a"), replica("b"), replica("c")];
  await looks(10, all);
  expect(held(all)).toEqual([1, 1, 1]);
  return all;
}

describe("replicas", () => {
  it("that come one after another share the shards evenly, and none moves then", async () => {
    const all = [replica("a")];
    await looks(2, all);
    expect(held(all)).toEqual([3]);
    all.push(replica("b"));
    await looks(6, all);
    expect(held(all)).toEqual([2, 1]);
    all.push(replica("c"));
    await looks(6, all);
    expect(held(all)).toEqual([1, 1, 1]);
    // One more than there are shards waits.
    all.push(replica("d"));
    await looks(6, all);
    expect(held(all)).toEqual([1, 1, 1, 0]);
    const told = all.map((each) => each.told.length);
    await looks(20, all);
    expect(all.map((each) => each.told.length)).toEqual(told);
    expect(held(all)).toEqual([1, 1, 1, 0]);
    expect([1, 2, 3].map((shard) => holderOf(`main-shard-${shard}-of-3`)).sort()).toEqual([
      "a/3",
      "b/3",
      "c/3",
    ]);
    expect(holderOf("main-waiting-of-3")).toBe("d/3");
  });

  it("that come at the same time share them evenly too", async () => {
    await three();
  });

  it("take over the shard of one that stops with the next looks, and its part of leading", async () => {
    const all = await three();
    const [leader, ...others] = all;
    expect(leader.main.held).toBe(true);
    leader.stop.abort();
    await leader.ended;
    // Handed over, and so never free for a replica that does not share.
    expect(["b/3", "c/3"]).toContain(holderOf("main"));
    expect(held(all).slice(1)).toEqual([1, 1]);
    await looks(2, all);
    expect(held(others).sort()).toEqual([1, 2]);
    expect(others.filter(({ main }) => main.held).length).toBe(1);
    // What the others had, they kept throughout.
    expect(others.flatMap(({ told }) => told.filter((each) => each.startsWith("lose")))).toEqual(
      [],
    );
  });

  it("release a shard only when what runs for it has ended", async () => {
    const first = replica("a");
    await looks(3, [first]);
    first.busy.add(2);
    const all = [first, replica("b")];
    await looks(6, all);
    expect(held(all)).toEqual([3, 0]);
    // Nothing else of that shard begins, and what runs may end.
    expect(NAMESPACES.map((each) => first.shards?.holds(each))).toEqual([true, true, false]);
    expect(first.mayWrite(NAMESPACES[2] ?? "")).toBe(true);
    first.busy.clear();
    await looks(3, all);
    expect(held(all)).toEqual([2, 1]);
    expect(first.told).toEqual(["gain 0", "gain 1", "gain 2", "lose 2"]);
    expect(all[1]?.told).toEqual(["gain 2"]);
  });

  it("take nothing before they are ready", async () => {
    const first = replica("a");
    first.state.isReady = false;
    await looks(4, [first]);
    expect([held([first]), first.main.held, holderOf("main-waiting-of-3")]).toEqual([
      [0],
      true,
      undefined,
    ]);
    first.state.isReady = true;
    await looks(1, [first]);
    expect(held([first])).toEqual([3]);
  });

  it("go on after a renewal that was late, and take up again what was lost meanwhile", async () => {
    const [first] = [replica("a")];
    await looks(2, [first]);
    failing.set("PUT main-shard-1-of-3", 500);
    await looks(5, [first]);
    expect([held([first]), first.mayWrite(NAMESPACES[0] ?? "")]).toEqual([[2], false]);
    failing.clear();
    await looks(2, [first]);
    expect(held([first])).toEqual([3]);
    expect(first.told).toEqual(["gain 0", "gain 1", "gain 2", "lose 0", "gain 0"]);
  });
});

describe("a replica that is cut off", () => {
  it("loses its shard to the others within the duration, the leader too", async () => {
    const all = await three();
    for (const victim of [all[2], all[0]]) {
      victim.state.isCutOff = true;
      const others = all.filter(({ state }) => !state.isCutOff);
      await looks(7, all);
      expect(held(others).reduce((sum, each) => sum + each, 0)).toBe(3);
      expect(others.filter(({ main }) => main.held).length).toBe(1);
    }
  });
});

describe("replicas with another number of shards", () => {
  it("write nothing while one leads that does all the work, and share when it has ended", async () => {
    const single = replica("old", 1);
    await looks(1, [single]);
    const all = [single, replica("a"), replica("b")];
    await looks(10, all);
    expect([single.main.held, held(all)]).toEqual([true, [0, 0, 0]]);
    single.stop.abort();
    await single.ended;
    await looks(8, all);
    expect(held(all).slice(1).sort()).toEqual([1, 2]);
  });

  it("let one do all the work only when none of them can write any more", async () => {
    const sharing = [replica("a"), replica("b")];
    await looks(8, sharing);
    const all = [...sharing, replica("single", 1)];
    const [first, second, single] = all as [Replica, Replica, Replica];
    await looks(3, all);
    for (const each of [first, second]) {
      expect(single.main.held).toBe(false);
      each.stop.abort();
      await each.ended;
      // It was handed over, or runs out.
      expect(holderOf("main")).toMatch(/\/3$/);
    }
    await looks(6, all);
    expect(single.main.held).toBe(true);
  });

  it("let one do all the work where the leader is cut off and the rest are not", async () => {
    const all = [replica("a"), replica("b")];
    await looks(8, all);
    const leader = all.find(({ main }) => main.held);
    const other = all.find(({ main }) => !main.held);
    const single = replica("single", 1);
    all.push(single);
    await looks(2, all);
    if (leader !== undefined) leader.state.isCutOff = true;
    await looks(8, all);
    const leads = [single, other].map((each) => each?.main.held);
    expect(leads.filter(Boolean).length).toBe(1);
    const work = single.main.held ? 0 : 3;
    expect(other?.shards?.held).toBe(work);
  });

  it("do not share between them: those of the leader's number work", async () => {
    const all = [replica("a", 3), replica("b", 2), replica("c", 2)];
    await looks(10, all);
    const groups = [held(all.slice(0, 1)), held(all.slice(1))];
    const leader = all.find(({ main }) => main.held)?.name;
    expect(groups).toEqual(leader === "a" ? [[3], [0, 0]] : [[0], [1, 1]]);
  });

  it("end with the same pod: one that was started again without sharing waits", async () => {
    const before = replica("pod-0");
    await looks(2, [before]);
    before.state.isCutOff = true;
    const after = replica("pod-0", 1);
    await looks(3, [before, after]);
    expect(after.main.held).toBe(false);
    await looks(2, [before, after]);
    expect(after.main.held).toBe(true);
  });
});

describe("without the right to Leases", () => {
  it("a replica that shares never works, and says once what to grant", async () => {
    failing.set("GET main", 403);
    const alone = replica("a");
    await looks(20, [alone]);
    expect([alone.main.held, held([alone])]).toEqual([false, [0]]);
    expect(alone.lines.length).toBe(1);
    expect(alone.lines[0]).toMatch(/^ERROR no permission to use a Lease: with --shards/);
  });

  it("of one shard it leaves that one alone", async () => {
    failing.set("GET main-shard-2-of-3", 403);
    const first = replica("a");
    await looks(20, [first]);
    expect(held([first])).toEqual([2]);
  });
});
