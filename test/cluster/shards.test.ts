// Replicas that share the SealedSecrets, on a real API server: the work is shared, what a lost replica
// held moves, and by the server's own log no Secret is ever written by two.
// SPEC.md, "Shards".
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { shardOf } from "../../controller/shards.ts";
import { randomNumbers } from "./churn.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { certificateOf, metricOf, sealed, untilData } from "./objects.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";
import { slowness } from "./slowness.ts";

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const COUNT = 3;
const FLAGS = ["--key-size=2048", "--leader-elect-lease-duration=4s"];
const KILLS = Number(process.env["SHARD_KILLS"] ?? 5);
const SEED = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000);
const NAMESPACES = Array.from({ length: 9 }, (_, index) => `team-${index}`);

let plane: ControlPlane;
let certificate: string;
let random: () => number;
let since = 0;
let started = 0;
const running = new Map<string, RunningController>();
/** How many shards each replica knows, those that ended too. */
const counts = new Map<string, number>();

beforeAll(async () => {
  plane = await startControlPlane({ auditLog: true });
  await installSignet(plane);
  for (const object of chartObjects("rbac-reconcile.yaml", "restarts.enabled=true")) {
    await plane.apply(object);
  }
  for (const name of NAMESPACES) await ensureNamespace(plane, name);
  console.log(`the seed of this run is ${SEED}; CHAOS_SEED repeats it, SHARD_KILLS makes more`);
  random = randomNumbers(SEED);
});

beforeEach(async () => {
  since = (await plane.auditEvents()).length;
});

afterEach(async () => {
  await Promise.all([...running.keys()].map(stop));
  const { body } = await plane.request("GET", LEASES);
  for (const { metadata } of body.items ?? []) {
    await plane.request("DELETE", `${LEASES}/${metadata?.name ?? ""}`);
  }
});

afterAll(async () => {
  await plane.stop();
});

async function start(shards: number, flags: string[] = []): Promise<string> {
  const name = `replica-${++started}`;
  counts.set(name, shards);
  const sharing = shards === 1 ? [] : [`--shards=${shards}`];
  const replica = await startSignet(plane, {
    flags: [...FLAGS, ...sharing, ...flags],
    env: { POD_NAME: name },
  });
  running.set(name, replica);
  certificate = await certificateOf(replica);
  return name;
}

async function stop(name: string): Promise<void> {
  const replica = running.get(name);
  running.delete(name);
  replica?.kill("SIGCONT");
  await replica?.stop();
}

/** How many shards each of the running replicas works on. */
async function held(): Promise<number[]> {
  return Promise.all([...running.values()].map((replica) => metricOf(replica, "shards")));
}

async function untilEven(count = COUNT): Promise<void> {
  await plane.waitFor("the shards to be spread evenly", async () => {
    const found = await held();
    const sum = found.reduce((all, each) => all + each, 0);
    return sum === count && Math.max(...found) - Math.min(...found) < 2;
  });
}

async function declare(name: string, value: string): Promise<void> {
  for (const namespace of NAMESPACES) {
    await plane.apply(await sealed(certificate, { namespace, name, stringData: { value } }));
  }
}

async function untilMade(name: string, value: string): Promise<void> {
  for (const namespace of NAMESPACES) await untilData(plane, namespace, name, { value });
}

interface Write {
  readonly replica: string;
  readonly verb: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Every write of a replica that succeeded since the test began, in the server's order. */
async function writes(): Promise<Write[]> {
  const events = (await plane.auditEvents()).slice(since);
  return events.flatMap(({ verb, user, userAgent, objectRef, responseStatus }) => {
    const isWrite = !["get", "list", "watch"].includes(verb) && (responseStatus?.code ?? 0) < 300;
    if (!isWrite || !user.username.includes("signet")) return [];
    const replica = /\(([^)]*)\)/.exec(userAgent ?? "")?.[1] ?? "";
    const { resource = "", namespace = "", name = "" } = objectRef ?? {};
    return [{ replica, verb, resource, namespace, name }];
  });
}

/**
 * Each write for a SealedSecret is by the replica that last wrote the Lease of the namespace's shard, and
 * while a replica that shares as it does last wrote the main Lease; or by the leader, where that one does
 * all the work. Returns how many Secrets each replica wrote.
 */
async function expectOneWriter(): Promise<Map<string, number>> {
  const strangers: string[] = [];
  const writers = new Map<string, number>();
  const holders = new Map<string, string>();
  for (const { replica, verb, resource, namespace, name } of await writes()) {
    expect(replica).not.toBe("");
    if (resource === "leases") {
      holders.set(name, replica);
      continue;
    }
    const leader = holders.get("signet-controller") ?? "";
    const count = counts.get(replica) ?? 0;
    const shard = `signet-controller-shard-${shardOf(namespace, count) + 1}-of-${count}`;
    const isMain = count === 1 || namespace === "kube-system" || resource === "deployments";
    const holder = isMain ? leader : holders.get(shard);
    // What the leader does with a workload, it tells in an Event.
    const isLeaders = resource === "events" && replica === leader;
    if ((holder !== replica && !isLeaders) || counts.get(leader) !== count) {
      strangers.push(`${verb} ${resource} ${namespace}/${name} by ${replica}, not ${holder}`);
    }
    if (resource === "secrets") writers.set(replica, (writers.get(replica) ?? 0) + 1);
  }
  expect(strangers).toEqual([]);
  return writers;
}

describe("three replicas with three shards", () => {
  it("share the work", async () => {
    for (let replica = 0; replica < 3; replica++) await start(COUNT);
    await untilEven();
    await declare("shared", "one");
    await untilMade("shared", "one");
    const writers = await expectOneWriter();
    expect([...writers.keys()].sort()).toEqual([...running.keys()].sort());
    const leaders = await Promise.all(
      [...running.values()].map((replica) => metricOf(replica, "leader")),
    );
    expect(leaders.sort()).toEqual([0, 0, 1]);
    // Nothing moves, and nothing is done again.
    const before = await writes();
    await pause(8_000);
    const after = (await writes()).slice(before.length);
    expect(after.filter(({ resource }) => resource !== "leases")).toEqual([]);
    expect(await held()).toEqual([1, 1, 1]);
  });

  it(`survive ${KILLS} deaths, with never two of them writing a Secret`, async () => {
    for (let replica = 0; replica < 3; replica++) await start(COUNT);
    await untilEven();
    const tookMs: number[] = [];
    let slowest = 1;
    for (let kill = 1; kill <= KILLS; kill++) {
      await declare("mortal", `before-${kill}`);
      const names = [...running.keys()];
      const victim = names[Math.floor(random() * names.length)] ?? "";
      const replica = running.get(victim);
      running.delete(victim);
      const killedMs = performance.now();
      // In the midst of the work.
      replica?.kill("SIGKILL");
      await declare("mortal", `after-${kill}`);
      await untilMade("mortal", `after-${kill}`);
      tookMs.push(Math.round(performance.now() - killedMs));
      slowest = Math.max(slowest, await slowness());
      await start(COUNT);
      await untilEven();
    }
    tookMs.sort((a, b) => a - b);
    console.log(
      `${KILLS} deaths with leases of 4 s, from kill to all Secrets: ${tookMs[0]} ms at least, ` +
        `${tookMs[Math.floor(KILLS / 2)]} ms median, ${tookMs.at(-1)} ms at most`,
    );
    expect(tookMs.at(-1)).toBeLessThan(15_000 * slowest);
    const writers = await expectOneWriter();
    expect(writers.size).toBeGreaterThan(2);
  });

  it("take over at once from one that stops, and no shard of the others is left meanwhile", async () => {
    const flags = ["--leader-elect-lease-duration=40s"];
    for (let replica = 0; replica < 2; replica++) await start(2, flags);
    await plane.waitFor("both to work", async () => (await held()).every((each) => each === 1));
    const leads = await Promise.all(
      [...running].map(
        async ([name, replica]) => [name, await metricOf(replica, "leader")] as const,
      ),
    );
    const leader = leads.find(([, is]) => is === 1)?.[0] ?? "";
    const stoppedMs = performance.now();
    await stop(leader);
    const [rest] = [...running.values()] as [RunningController];
    await plane.waitFor(
      "the other to have all",
      async () => (await metricOf(rest, "shards")) === 2,
    );
    await plane.waitFor("the other to lead", async () => (await metricOf(rest, "leader")) === 1);
    expect(performance.now() - stoppedMs).toBeLessThan(30_000);
    expect(rest.logs()).not.toContain("left a shard");
    await expectOneWriter();
  });

  it("let one that was frozen write nothing stale when it wakes", async () => {
    for (let replica = 0; replica < 3; replica++) await start(COUNT);
    await untilEven();
    await declare("frozen", "old");
    await untilMade("frozen", "old");
    const [sleeper = ""] = running.keys();
    const replica = running.get(sleeper);
    await declare("frozen", "older");
    replica?.kill("SIGSTOP");
    await declare("frozen", "new");
    await untilMade("frozen", "new");
    const before = (await writes()).length;
    replica?.kill("SIGCONT");
    await pause(3_000);
    await untilMade("frozen", "new");
    const stale = (await writes())
      .slice(before)
      .filter((write) => write.replica === sleeper && !/leases|events/.test(write.resource));
    expect(stale).toEqual([]);
  });
});

describe("a change of the number of shards", () => {
  it.each([
    [1, 3],
    [3, 1],
    [3, 2],
  ])("from %i to %i, one replica after another: two never write", async (from, to) => {
    const old: string[] = [];
    for (let replica = 0; replica < 3; replica++) old.push(await start(from));
    if (from > 1) await untilEven(from);
    const stopping = new AbortController();
    let round = 0;
    const churning = (async () => {
      while (!stopping.signal.aborted) await declare("rolling", `round-${++round}`);
    })();
    for (const name of old) {
      await start(to);
      await stop(name);
    }
    if (to > 1) await untilEven(to);
    await pause(2_000);
    stopping.abort();
    await churning;
    await untilMade("rolling", `round-${round}`);
    const writers = await expectOneWriter();
    const last = [...running.keys()].filter((name) => writers.has(name));
    expect(last.length).toBe(to);
  });
});

describe("a workload", () => {
  it("is restarted by the leader, whoever wrote the Secret", async () => {
    const flags = ["--restart-workloads", "--restart-hold-off=1s"];
    for (let replica = 0; replica < 3; replica++) await start(COUNT, flags);
    await untilEven();
    await declare("db", "one");
    await untilMade("db", "one");
    const path = (namespace: string): string =>
      `/apis/apps/v1/namespaces/${namespace}/deployments/app`;
    for (const namespace of NAMESPACES) {
      const labels = { app: "app" };
      await plane.apply({
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { namespace, name: "app", annotations: { "kube-signet/restart-on": "db" } },
        spec: {
          replicas: 0,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { containers: [{ name: "main", image: "none" }] },
          },
        },
      });
    }
    const annotation = async (namespace: string, name: string): Promise<string | undefined> =>
      (await plane.request("GET", path(namespace))).body.metadata?.annotations?.[name];
    for (const namespace of NAMESPACES) {
      await plane.waitFor(`the record of ${namespace}`, () =>
        annotation(namespace, "kube-signet/restart-seen"),
      );
    }
    await declare("db", "two");
    // One of each shard: no more than eight are restarted at the same time, and nobody replaces pods.
    for (const namespace of NAMESPACES.slice(0, 6)) {
      await plane.waitFor(`the restart in ${namespace}`, () =>
        annotation(namespace, "kube-signet/restarted"),
      );
    }
    const writers = await expectOneWriter();
    expect(writers.size).toBe(3);
  });
});
