// Several replicas: one leads, another takes over, and the one that lost its turn writes nothing.
// SPEC.md, "Replicas".
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ControlPlane, MERGE, startControlPlane } from "./controlplane.ts";
import { certificateOf, metricOf, readSecret, sealed, untilData, untilVerdict } from "./objects.ts";
import { startProxiedPlane } from "./proxy.ts";
import { ensureNamespace, installSignet, type RunningController, startSignet } from "./signet.ts";
import { slowness } from "./slowness.ts";

const LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/signet-controller";
const KEYS = "/api/v1/namespaces/kube-system/secrets";
const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";
const FLAGS = ["--key-size=2048", "--leader-elect-lease-duration=2s"];

let plane: ControlPlane;
let certificate: string;
const running = new Map<string, RunningController>();

beforeAll(async () => {
  plane = await startControlPlane({ auditLog: true });
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
});

beforeEach(async () => {
  await plane.request("DELETE", LEASE);
});

afterEach(async () => {
  for (const replica of running.values()) {
    replica.kill("SIGCONT");
    await replica.stop();
  }
  running.clear();
});

afterAll(async () => {
  await plane.stop();
});

async function start(
  name: string,
  options: { flags?: string[]; through?: ControlPlane } = {},
): Promise<RunningController> {
  const replica = await startSignet(options.through ?? plane, {
    flags: [...FLAGS, ...(options.flags ?? [])],
    env: { POD_NAME: name },
  });
  running.set(name, replica);
  certificate = await certificateOf(replica);
  return replica;
}

async function holder(): Promise<string> {
  const { body } = await plane.request("GET", LEASE);
  return (body as { spec?: { holderIdentity?: string } }).spec?.holderIdentity ?? "";
}

async function untilHolder(probe: (name: string) => boolean): Promise<string> {
  return plane.waitFor("a leader", async () => {
    const name = await holder();
    return name !== "" && probe(name) ? name : undefined;
  });
}

async function declare(name: string, value: string): Promise<void> {
  const stringData = { value };
  await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
}

async function keySecrets(): Promise<string[]> {
  const { body } = await plane.request("GET", `${KEYS}?labelSelector=${KEY_LABEL}=active`);
  return (body.items ?? []).map(({ metadata }) => metadata?.name ?? "");
}

function median(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

describe("two replicas", () => {
  it("survive the leader's death 20 times, with never two of them writing", async () => {
    let spares = 2;
    const since = (await plane.auditEvents()).length;
    await start("replica-1");
    await start("replica-2");
    const tookMs: number[] = [];
    let slowest = 1;
    const turns: string[] = [];
    for (let turn = 1; turn <= 20; turn++) {
      const leader = await untilHolder((name) => running.has(name));
      turns.push(leader);
      const name = `turn-${turn}`;
      await declare(name, `before-${turn}`);
      await untilData(plane, "demo", name, { value: `before-${turn}` });
      const victim = running.get(leader);
      running.delete(leader);
      const killedMs = performance.now();
      victim?.kill("SIGKILL");
      await declare(name, `after-${turn}`);
      await untilData(plane, "demo", name, { value: `after-${turn}` });
      tookMs.push(performance.now() - killedMs);
      slowest = Math.max(slowest, await slowness());
      await start(`replica-${++spares}`);
    }
    const sorted = tookMs.map(Math.round).sort((a, b) => a - b);
    console.log(
      `20 take-overs with a lease of 2 s, from kill to Secret: ${sorted[0]} ms at least, ` +
        `${median(sorted)} ms median, ${sorted.at(-1)} ms at most`,
    );
    expect(sorted.at(-1)).toBeLessThan(10_000 * slowest);
    await expectOneWriterAtATime(since);
  });

  /** Each write lies within a turn of its replica, and turns do not overlap, by the server's own log. */
  async function expectOneWriterAtATime(since: number): Promise<void> {
    const events = (await plane.auditEvents()).slice(since);
    let leader = "";
    const strangers: string[] = [];
    let writes = 0;
    for (const { verb, user, userAgent, objectRef, responseStatus } of events) {
      if (!user.username.includes("signet") || ["get", "list", "watch"].includes(verb)) continue;
      if ((responseStatus?.code ?? 0) >= 300) continue;
      const replica = /\(([^)]*)\)/.exec(userAgent ?? "")?.[1] ?? "";
      expect(replica, `the replica's name in ${userAgent}`).not.toBe("");
      if (objectRef?.resource === "leases") {
        leader = replica;
      } else {
        writes++;
        if (replica !== leader) {
          strangers.push(`${verb} ${objectRef?.resource} by ${replica} while ${leader} led`);
        }
      }
    }
    expect(strangers).toEqual([]);
    expect(writes).toBeGreaterThan(20);
  }

  it("both serve, one leads, and a stopped one hands over at once", async () => {
    // The lease of the one that stops would run out half a minute later, at the soonest.
    const flags = ["--leader-elect-lease-duration=40s"];
    const first = await start("replica-1", { flags });
    const second = await start("replica-2", { flags });
    const leader = await untilHolder(() => true);
    const [leading, following] = leader === "replica-1" ? [first, second] : [second, first];
    expect(await metricOf(leading, "leader")).toBe(1);
    expect(await metricOf(following, "leader")).toBe(0);
    expect((await fetch(`${following.url}/readyz`)).status).toBe(200);
    expect(await certificateOf(following)).toBe(await certificateOf(leading));
    const stoppedMs = performance.now();
    await leading.stop();
    running.delete(leader);
    await untilHolder((name) => name !== leader);
    expect(performance.now() - stoppedMs).toBeLessThan(25_000);
    await declare("handed-over", "1");
    await untilVerdict(plane, "demo", "handed-over", "Unsealed");
  });

  it("told to stop, one hands over at once, and answers until clients are sent elsewhere", async () => {
    const first = await start("first", { flags: ["--shutdown-delay=8s"] });
    await untilHolder((name) => name.startsWith("first"));
    await start("second");
    let isRunning = true;
    void first.exited.then(() => (isRunning = false));
    first.kill("SIGTERM");
    await plane.waitFor("the end of being ready", async () => {
      const { status } = await fetch(`${first.url}/readyz`);
      return status === 503;
    });
    await untilHolder((name) => name.startsWith("second"));
    expect(await certificateOf(first)).toBe(certificate);
    expect(isRunning).toBe(true);
    expect(await first.exited).toBe(0);
  });

  it("a leader that was frozen writes nothing stale when it wakes", async () => {
    await start("replica-1");
    await declare("frozen", "old");
    await untilVerdict(plane, "demo", "frozen", "Unsealed");
    await start("replica-2");
    const leader = await untilHolder(() => true);
    const sleeper = running.get(leader);
    // It has work to do when it falls asleep: what it is to write is stale when it wakes.
    const names = Array.from({ length: 20 }, (_, index) => `frozen-${index}`);
    await Promise.all(names.map((name) => declare(name, "old")));
    sleeper?.kill("SIGSTOP");
    await untilHolder((name) => name !== leader);
    await Promise.all(names.map((name) => declare(name, "new")));
    for (const name of names) await untilData(plane, "demo", name, { value: "new" });
    const since = (await plane.auditEvents()).length;
    sleeper?.kill("SIGCONT");
    await new Promise((done) => setTimeout(done, 3_000));
    for (const name of names) {
      await untilData(plane, "demo", name, { value: "new" });
      expect((await untilVerdict(plane, "demo", name, "Unsealed")).synced?.status).toBe("True");
    }
    const stale = (await plane.auditEvents())
      .slice(since)
      .filter(({ verb, userAgent, responseStatus, objectRef }) => {
        // An Event that was on its way tells what was true when it led: it changes no state.
        const isWrite =
          !["get", "list", "watch"].includes(verb) && objectRef?.resource !== "events";
        return isWrite && userAgent?.includes(`(${leader})`) && (responseStatus?.code ?? 0) < 300;
      });
    expect(stale.map(({ requestURI }) => requestURI)).toEqual([]);
  });

  it("a leader that is cut off stops, and the other goes on", async () => {
    let cut = false;
    const proxied = await startProxiedPlane(plane, {
      before: () => Promise.resolve(cut ? "drop" : "pass"),
    });
    try {
      const lonely = await start("cut-off", { through: proxied.plane });
      await untilHolder((name) => name === "cut-off");
      await start("replica-2");
      cut = true;
      await untilHolder((name) => name === "replica-2");
      expect(await metricOf(lonely, "leader")).toBe(0);
      await declare("partition", "1");
      await untilData(plane, "demo", "partition", { value: "1" });
      cut = false;
      await declare("partition", "2");
      await untilData(plane, "demo", "partition", { value: "2" });
      expect(await holder()).toBe("replica-2");
    } finally {
      for (const replica of running.values()) await replica.stop();
      running.clear();
      await proxied.stop();
    }
  });

  it("a lease that is stolen is let go, and taken back when the thief does not renew it", async () => {
    const replica = await start("replica-1");
    await untilHolder((name) => name === "replica-1");
    const spec = { holderIdentity: "thief", leaseDurationSeconds: 2 };
    expect((await plane.request("PATCH", LEASE, { spec }, MERGE)).status).toBe(200);
    await plane.waitFor(
      "the loss to be seen",
      async () => (await metricOf(replica, "leader")) === 0,
    );
    await declare("stolen", "1");
    expect(await readSecret(plane, "demo", "stolen")).toBeUndefined();
    await untilHolder((name) => name === "replica-1");
    await untilData(plane, "demo", "stolen", { value: "1" });
  });
});

describe("sealing keys of two replicas", () => {
  async function deleteKeys(): Promise<void> {
    const { status } = await plane.request("DELETE", `${KEYS}?labelSelector=${KEY_LABEL}`);
    expect(status).toBe(200);
  }

  it("started at the same moment: the first key is made once", async () => {
    for (let round = 0; round < 5; round++) {
      await deleteKeys();
      await plane.request("DELETE", LEASE);
      const both = await Promise.all([start("replica-1"), start("replica-2")]);
      expect(await keySecrets()).toHaveLength(1);
      const [one, other] = await Promise.all(both.map(certificateOf));
      expect(one).toBe(other);
      await Promise.all(both.map((replica) => replica.stop()));
      running.clear();
    }
  });

  it("without an election: still once, since both choose the same name", async () => {
    for (let round = 0; round < 5; round++) {
      await deleteKeys();
      const flags = ["--leader-elect=false"];
      await Promise.all([start("replica-1", { flags }), start("replica-2", { flags })]);
      expect(await keySecrets()).toHaveLength(1);
      for (const replica of running.values()) await replica.stop();
      running.clear();
    }
  });

  it("renewed by age: one new key a period, which both use", async () => {
    await deleteKeys();
    const flags = ["--key-renew-period=6s"];
    const both = await Promise.all([start("replica-1", { flags }), start("replica-2", { flags })]);
    const before = certificate;
    await plane.waitFor("a second key", async () => (await keySecrets()).length === 2);
    await plane.waitFor("both to seal with it", async () => {
      const [one, other] = await Promise.all(both.map(certificateOf));
      return one === other && one !== before;
    });
    expect(await keySecrets()).toHaveLength(2);
  });
});

describe("a replica without the right to a Lease", () => {
  it("works alone after a while, says so, and elects once it has the right", async () => {
    const path =
      "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/signet-lease";
    const { body: binding } = await plane.request("GET", path);
    expect((await plane.request("DELETE", path)).status).toBe(200);
    const replica = await start("replica-1");
    await plane.waitFor("it to lead", async () => (await metricOf(replica, "leader")) === 1);
    expect(replica.logs()).toContain("no permission to use a Lease");
    await declare("alone", "1");
    await untilData(plane, "demo", "alone", { value: "1" });
    const metadata = { name: "signet-lease", namespace: "kube-system" };
    await plane.apply({ ...binding, metadata });
    await untilHolder((holding) => holding === "replica-1");
  });
});
