// The gate in front of work: how much at once, and whose turn it is.
// SPEC.md, "HTTP".
import { describe, expect, it, vi } from "vitest";
import type { Caller } from "../../controller/caller.ts";
import { Gate, GateFull } from "../../controller/gate.ts";

let nowMs = 0;
const clock = (): number => nowMs;

const from = (address: string, client = ""): Caller => ({ address, client });

describe("a gate", () => {
  const held = (): { work: () => Promise<string>; end: () => void } => {
    let end = (): void => undefined;
    const ended = new Promise<string>((resolve) => {
      end = () => {
        resolve("done");
      };
    });
    return { work: () => ended, end };
  };

  it("lets so many through, keeps so many in line, and turns the others away", async () => {
    const gate = new Gate(1, 1, clock);
    const first = held();
    const through = gate.run(from("a"), first.work);
    const inLine = gate.run(from("a"), () => Promise.resolve("second"));
    const third = gate.run(from("a"), () => Promise.resolve("third"));
    await expect(third).rejects.toThrow(GateFull);
    first.end();
    expect([await through, await inLine]).toEqual(["done", "second"]);
    expect(await gate.run(from("a"), () => Promise.resolve("fourth"))).toBe("fourth");
  });

  it("stays open after work that failed", async () => {
    const gate = new Gate(1, 0, clock);
    await expect(gate.run(from("a"), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await gate.run(from("a"), () => Promise.resolve("next"))).toBe("next");
  });

  /** What ran, in order, of callers that all came while the gate was busy. */
  async function order(waiting: number, callers: readonly Caller[]): Promise<string[]> {
    const gate = new Gate(1, waiting, clock);
    const first = held();
    const ran: string[] = [];
    const all: Promise<unknown>[] = [gate.run(from("first"), first.work)];
    for (const [index, each] of callers.entries()) {
      const work = (): Promise<void> => {
        ran.push(`${each.address}${each.client}${index}`);
        return Promise.resolve();
      };
      all.push(gate.run(each, work));
    }
    first.end();
    await Promise.allSettled(all);
    return ran;
  }

  it("lets addresses take turns, and the clients of an address", async () => {
    const a1 = from("a", "1");
    const a2 = from("a", "2");
    expect(await order(9, [a1, a1, a1, a2, from("b"), from("b")])).toEqual([
      ...["a10", "b4", "a23", "b5", "a11", "a12"],
    ]);
  });

  it("turns away who has the most in line, not who comes last", async () => {
    const names = Array.from({ length: 6 }, (_, index) => from("a", String(index)));
    expect(await order(4, [...names, from("b")])).toEqual(["a00", "b6", "a11", "a22"]);
    const a1 = from("a", "1");
    expect(await order(3, [a1, a1, a1, from("a", "2")])).toEqual(["a10", "a23", "a11"]);
  });

  it("prefers whoever used less time lately, not only those that wait", async () => {
    const gate = new Gate(1, 9, clock);
    const costly = async (): Promise<void> => {
      await gate.run(from("greedy"), () => {
        nowMs += 10_000;
        return Promise.resolve();
      });
    };
    await costly();
    for (let turns = 0; turns < 5; turns++) {
      await gate.run(from("honest"), () => Promise.resolve());
    }
    const first = held();
    const ran: string[] = [];
    const all: Promise<unknown>[] = [gate.run(from("first"), first.work)];
    for (const address of ["greedy", "greedy", "honest"]) {
      const work = (): Promise<number> => Promise.resolve(ran.push(address));
      all.push(gate.run(from(address), work));
    }
    first.end();
    await Promise.all(all);
    expect(ran).toEqual(["honest", "greedy", "greedy"]);
  });

  it("prefers what is quick to what may take long, of those that are as unknown", async () => {
    const gate = new Gate(1, 9, clock);
    const first = held();
    const ran: string[] = [];
    const run = (address: string, expectedMs: number): Promise<unknown> =>
      gate.run({ ...from(address), expectedMs }, () => Promise.resolve(ran.push(address)));
    const all = [
      gate.run(from("first"), first.work),
      run("a", 9_000),
      run("b", 9_000),
      run("c", 9),
    ];
    first.end();
    await Promise.all(all);
    expect(ran).toEqual(["c", "a", "b"]);
  });

  it("lets one leave that was cut off, and turns away all that a client has in line", async () => {
    const gate = new Gate(1, 9, clock);
    const first = held();
    const through = gate.run(from("a"), first.work);
    const controller = new AbortController();
    const run = (client: string, signal?: AbortSignal): Promise<string> =>
      gate.run({ ...from("a", client), ...(signal && { signal }) }, () => Promise.resolve(client));
    const cut = run("cut", controller.signal);
    const bombs = [run("bomb"), run("bomb")];
    const other = run("other");
    controller.abort(new Error("gone"));
    await expect(cut).rejects.toThrow("gone");
    gate.refuse(from("a", "bomb"));
    for (const bomb of bombs) await expect(bomb).rejects.toThrow(GateFull);
    first.end();
    expect([await through, await other]).toEqual(["done", "other"]);
    await expect(run("cut", controller.signal)).rejects.toThrow("gone");
  });

  it("turns away the request that came last, not one that was through before", async () => {
    const gate = new Gate(1, 2, clock);
    const first = held();
    const through = gate.run(from("a"), first.work);
    const outcome = async (client: string, since: number): Promise<string> =>
      gate.run({ ...from("b", client), since }, () => Promise.resolve(client)).catch(() => "full");
    const all = [outcome("1", 5), outcome("2", 9), outcome("3", 1)];
    first.end();
    await through;
    expect(await Promise.all(all)).toEqual(["1", "full", "3"]);
  });

  describe("with a share for busy addresses", () => {
    /** A gate for three at once, after an address used ten seconds of it. */
    async function used(): Promise<{
      gate: Gate;
      running: string[];
      start: (name: string) => () => void;
    }> {
      const gate = new Gate(3, Infinity, clock, { busyShare: 1 / 4 });
      for (const name of ["b", "c", "d"]) await gate.run(from(name), () => Promise.resolve());
      await gate.run(from("busy"), () => {
        nowMs += 10_000;
        return Promise.resolve();
      });
      const running: string[] = [];
      const start = (name: string): (() => void) => {
        const { work, end } = held();
        void gate.run(from(name), () => {
          running.push(name);
          return work();
        });
        return end;
      };
      return { gate, running, start };
    }
    const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

    it("lets one of theirs through at a time beside others, and none of them delays others", async () => {
      const { running, start } = await used();
      start("b");
      const ends = ["busy", "busy", "busy"].map(start);
      await settled();
      expect(running).toEqual(["b", "busy"]);
      start("c");
      await settled();
      expect(running).toEqual(["b", "busy", "c"]);
      nowMs += 10;
      ends[0]?.();
      await settled();
      // One took 10 ms: the next begins 30 ms later, a quarter of the time.
      nowMs += 29;
      start("d")();
      await settled();
      expect(running).toEqual(["b", "busy", "c", "d"]);
      nowMs += 1;
      await vi.waitFor(() => {
        expect(running).toEqual(["b", "busy", "c", "d", "busy"]);
      });
    });

    it("counts those as busy that used more than the given time, even if all used the same", async () => {
      const gate = new Gate(3, Infinity, clock, { busyShare: 1 / 4, busyFromMs: 1_000 });
      const took = (ms: number) => () => {
        nowMs += ms;
        return Promise.resolve();
      };
      for (const name of ["one", "two"]) await gate.run(from(name), took(2_000));
      await gate.run(from("other"), took(1));
      const { work, end } = held();
      const running: string[] = [];
      for (const name of ["one", "two", "other"]) {
        void gate.run(from(name), () => {
          running.push(name);
          return work();
        });
      }
      await settled();
      expect(running).toEqual(["one", "other"]);
      end();
    });

    it("counts work at another gate as work of others", async () => {
      const beside = new Gate(1, Infinity, clock);
      const gate = new Gate(3, Infinity, clock, { busyShare: 1 / 4, busyFromMs: 1_000, beside });
      await gate.run(from("busy"), () => {
        nowMs += 10_000;
        return Promise.resolve();
      });
      const { work, end } = held();
      let running = 0;
      const start = (): void => {
        void gate.run(from("busy"), () => {
          running++;
          return work();
        });
      };
      await beside.run(from("other"), () => Promise.resolve());
      start();
      start();
      await settled();
      expect(running).toBe(1);
      nowMs += 6_000;
      start();
      await settled();
      expect(running).toBe(2);
      end();
    });

    it("lets as many of theirs through as there are, once nobody else has work", async () => {
      const { running, start } = await used();
      const end = start("b");
      const ends = ["busy", "busy", "busy", "busy"].map(start);
      await settled();
      end();
      nowMs += 6_000;
      ends[0]?.();
      await settled();
      expect(running).toEqual(["b", "busy", "busy", "busy", "busy"]);
    });
  });
});
