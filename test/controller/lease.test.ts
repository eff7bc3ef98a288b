// Replicas and their Lease over a real socket, on clocks that only the test moves.
// SPEC.md, "Replicas".
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Lease } from "../../controller/lease.ts";
import { createLog } from "../../controller/log.ts";
import { type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/signet/leases";
const LEADER = `${LEASES}/leader`;
const START = new Date("2026-11-24T12:00:00Z");
const LOOK_MS = 1_500;

let server: ApiServer;
beforeEach(async () => {
  stopClocks(START);
  // The middle of the jitter: looks are then a quarter of the duration apart.
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = await startApiServer();
});
const running: AbortController[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) each.abort();
  vi.useRealTimers();
  vi.restoreAllMocks();
  await server.close();
});

/** A replica that takes part, with its turns and what it logged. */
function replica(identity = "me") {
  const turns: string[] = [];
  const missing: boolean[] = [];
  const lines: string[] = [];
  /** The key that it says seals. */
  const sealing: { key: string | undefined } = { key: undefined };
  /** How far each of its clocks is ahead of the test's. */
  const ahead = { clock: 0, wall: 0 };
  const options = { namespace: "signet", name: "leader", identity, durationMs: 6_000 };
  const lease = new Lease(options, {
    client: server.client(),
    log: createLog("INFO", "json", (line) => {
      const { level, msg } = JSON.parse(line) as Record<string, string>;
      lines.push(`${level ?? ""} ${msg ?? ""}`);
    }),
    now: () => new Date(Date.now() + ahead.wall),
    clock: () => Date.now() + ahead.clock,
    sealingKey: () => sealing.key,
    onLead: () => turns.push("lead"),
    onFollow: () => turns.push("follow"),
    onForbidden: () => missing.push(lease.held),
  });
  const stop = new AbortController();
  running.push(stop);
  const ended = lease.run(stop.signal);
  return { lease, turns, missing, lines, ahead, sealing, stop, ended };
}

/** Until so many replicas have looked and wait for their next look. */
const looked = (replicas = 1): Promise<void> => until(() => vi.getTimerCount() === replicas);

/** Lets the time of so many looks pass, and each be done. */
async function looks(count: number, replicas = 1): Promise<void> {
  for (let look = 0; look < count; look++) {
    await vi.advanceTimersByTimeAsync(LOOK_MS);
    await looked(replicas);
  }
}

const record = (): JsonObject => server.objects.get(LEADER)?.["spec"] as JsonObject;

/** A record that another replica wrote just now; what it says of time is nothing to go by. */
function heldByOther(holderIdentity = "other"): void {
  const renewTime = "1970-01-01T00:00:00.000000Z";
  server.put(LEADER, { spec: { holderIdentity, renewTime, leaseTransitions: 4, extra: "kept" } });
}

const writes = (): string[] => server.seen.map(({ method }) => method).filter((m) => m !== "GET");

describe("a replica", () => {
  it("takes a Lease that is not there, and renews it in time", async () => {
    const { lease, turns } = replica();
    expect(lease.held).toBe(false);
    await looked();
    expect([lease.held, turns]).toEqual([true, ["lead"]]);
    lease.guard();
    const taken = {
      holderIdentity: "me",
      leaseDurationSeconds: 6,
      acquireTime: "2026-11-24T12:00:00.000000Z",
      renewTime: "2026-11-24T12:00:00.000000Z",
      leaseTransitions: 1,
    };
    expect(record()).toEqual(taken);
    await looks(8);
    expect(record()).toEqual({ ...taken, renewTime: "2026-11-24T12:00:12.000000Z" });
    expect([lease.held, turns, writes()]).toEqual([
      true,
      ["lead"],
      ["POST", ...Array.from({ length: 8 }, () => "PUT")],
    ]);
    // It knows its own last write, and need not read.
    expect(server.seen.filter(({ method }) => method === "GET").length).toBe(1);
  });

  it("waits for another until it has seen its record stand still for the whole duration", async () => {
    heldByOther();
    const { lease, turns } = replica();
    await looked();
    await looks(3);
    expect([lease.held, turns, writes()]).toEqual([false, [], []]);
    await looks(1);
    expect([lease.held, turns, writes()]).toEqual([true, ["lead"], ["PUT"]]);
    expect(record()).toMatchObject({ holderIdentity: "me", leaseTransitions: 5, extra: "kept" });
  });

  it("never takes it from one that renews", async () => {
    heldByOther();
    const { lease } = replica();
    await looked();
    for (let turn = 0; turn < 5; turn++) {
      await looks(3);
      heldByOther();
      await looks(1);
    }
    expect([lease.held, writes()]).toEqual([false, []]);
  });

  it("records the key that seals for the next leader, and keeps what the one before recorded", async () => {
    const [former, next] = ["a", "b"].map((letter) => `SHA256:${letter.repeat(43)}`);
    const annotations = { "kube-signet/sealing-key": former ?? "", theirs: "kept" };
    server.put(LEADER, { metadata: { annotations }, spec: { holderIdentity: "" } });
    const { lease, sealing } = replica();
    const recorded = (): unknown => metadataOf(server.objects.get(LEADER) ?? {})["annotations"];
    await looked();
    await looks(1);
    expect([lease.held, lease.sealedBefore, recorded()]).toEqual([true, former, annotations]);
    sealing.key = next;
    await looks(1);
    expect(recorded()).toEqual({ ...annotations, "kube-signet/sealing-key": next });
  });

  it("believes no record that is no fingerprint", async () => {
    const annotations = { "kube-signet/sealing-key": "x".repeat(10_000) };
    server.put(LEADER, { metadata: { annotations }, spec: { holderIdentity: "" } });
    const { lease } = replica();
    await looked();
    expect(lease.sealedBefore).toBeUndefined();
  });

  it("takes one that was given back at once", async () => {
    heldByOther("");
    const { lease } = replica();
    await looked();
    expect([lease.held, record()["holderIdentity"]]).toEqual([true, "me"]);
  });

  it("leads alone of several that come at the same time", async () => {
    const replicas = ["a", "b", "c"].map(replica);
    await looked(3);
    await looks(3, 3);
    const leading = replicas.filter(({ lease }) => lease.held);
    expect(leading.length).toBe(1);
    expect(replicas.flatMap(({ turns }) => turns)).toEqual(["lead"]);
    // To be second is nothing to worry about.
    expect(replicas.flatMap(({ lines }) => lines)).toEqual(["INFO this replica is the leader"]);
  });

  it("does not lead where another was quicker to write, and follows that one", async () => {
    heldByOther("");
    server.once("PUT", LEADER, (response, seen) => {
      heldByOther("quicker");
      refuse(409, "Conflict")(response, seen);
    });
    const { lease } = replica();
    await looked();
    expect(lease.held).toBe(false);
    await looks(4);
    expect([lease.held, record()["holderIdentity"]]).toEqual([false, "quicker"]);
  });
});

describe("a leader", () => {
  it("that cannot renew may not write before another may take over, and says so", async () => {
    const { lease, turns, lines } = replica();
    await looked();
    server.always("PUT", LEADER, refuse(500, "InternalError"));
    await looks(3);
    expect([lease.held, turns]).toEqual([true, ["lead"]]);
    await vi.advanceTimersByTimeAsync(899);
    expect(lease.held).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(lease.held).toBe(false);
    expect(lease.guard).toThrow("this replica is no longer the leader");
    await vi.advanceTimersByTimeAsync(600);
    await looked();
    expect(turns).toEqual(["lead", "follow"]);
    expect(lines.filter((line) => line === "WARN lease could not be renewed").length).toBe(4);
    // Nobody took over: it is the one that leads again.
    server.always("PUT", LEADER, undefined);
    await looks(1);
    expect([lease.held, turns]).toEqual([true, ["lead", "follow", "lead"]]);
    expect(record()["leaseTransitions"]).toBe(1);
  });

  it.each(["clock", "wall"] as const)(
    "may not write any more when the time is over by one of its clocks: %s",
    async (which) => {
      const { lease, ahead } = replica();
      await looked();
      ahead[which] = 5_399;
      expect(lease.held).toBe(true);
      ahead[which] = 5_400;
      expect(lease.guard).toThrow("this replica is no longer the leader");
    },
  );

  it("counts from when it asked, not from when it was answered", async () => {
    const { lease } = replica();
    await looked();
    let answer = (): void => undefined;
    server.once("PUT", LEADER, (response, { body }) => {
      answer = () => {
        response.end(JSON.stringify(server.put(LEADER, body)));
      };
    });
    await vi.advanceTimersByTimeAsync(LOOK_MS);
    await until(() => writes().length === 2);
    await vi.advanceTimersByTimeAsync(2_000);
    answer();
    await looked();
    await vi.advanceTimersByTimeAsync(1_499);
    // The next look comes first; it is not answered.
    server.always("PUT", LEADER, () => undefined);
    await vi.advanceTimersByTimeAsync(5_400 - 2_000 - 1_499 - 1);
    expect(lease.held).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(lease.held).toBe(false);
  });

  it("whose record is deleted or taken looks anew", async () => {
    const { lease, turns } = replica();
    await looked();
    server.remove(LEADER);
    await looks(2);
    expect([lease.held, turns, record()["leaseTransitions"]]).toEqual([true, ["lead"], 1]);
    heldByOther();
    await looks(5);
    expect([lease.held, turns, record()["holderIdentity"]]).toEqual([
      false,
      ["lead", "follow"],
      "other",
    ]);
  });

  it("gives the Lease back when it is told to stop, and another takes it with its next look", async () => {
    const leader = replica("first");
    await looked();
    const follower = replica("second");
    await looked(2);
    leader.stop.abort();
    await leader.ended;
    expect([leader.lease.held, record()["holderIdentity"]]).toEqual([false, ""]);
    await looks(1);
    expect([follower.lease.held, record()["holderIdentity"]]).toEqual([true, "second"]);
  });

  it("stops all the same where it cannot give it back", async () => {
    const { lease, stop, ended } = replica();
    await looked();
    server.always("PUT", LEADER, refuse(500, "InternalError"));
    stop.abort();
    await ended;
    expect(lease.held).toBe(false);
  });

  it("gives nothing back that is not its own", async () => {
    heldByOther();
    const { stop, ended } = replica();
    await looked();
    stop.abort();
    await ended;
    expect(writes()).toEqual([]);
  });
});

describe("without the right to a Lease", () => {
  const forbid = (is: boolean): void => {
    server.always("GET", LEADER, is ? refuse(403, "Forbidden") : undefined);
  };

  it("a replica works alone after 15 seconds, and says once what to grant", async () => {
    forbid(true);
    const { lease, turns, missing, lines, stop, ended } = replica();
    await looked();
    await looks(9);
    expect([lease.held, turns, missing]).toEqual([false, [], [false]]);
    await looks(1);
    expect([lease.held, turns]).toEqual([true, ["lead"]]);
    await looks(3);
    expect(lines.map((line) => line.slice(0, 31))).toEqual([
      "WARN no permission to use a Lea",
      "INFO this replica is the leader",
    ]);
    // There is no Lease to be given back.
    stop.abort();
    await ended;
    expect(writes()).toEqual([]);
  });

  it("and with it later, it takes part in the election again", async () => {
    forbid(true);
    const { lease, turns, lines } = replica();
    await looked();
    await looks(10);
    forbid(false);
    await looks(1);
    expect([lease.held, turns, record()["holderIdentity"]]).toEqual([true, ["lead"], "me"]);
    expect(lines.at(-1)).toMatch(/^INFO permission to use the Lease was granted/);
  });

  it("and with it later, it follows the one that holds it", async () => {
    heldByOther();
    forbid(true);
    const { lease, turns } = replica();
    await looked();
    await looks(10);
    forbid(false);
    await looks(1);
    expect([lease.held, turns]).toEqual([false, ["lead", "follow"]]);
  });

  it("for shorter than that, time and again, it goes on following", async () => {
    heldByOther();
    const { turns } = replica();
    await looked();
    for (let turn = 0; turn < 3; turn++) {
      forbid(true);
      await looks(9);
      forbid(false);
      heldByOther();
      await looks(1);
    }
    expect([turns, writes()]).toEqual([[], []]);
  });
});
