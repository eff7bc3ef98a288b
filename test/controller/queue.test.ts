// The queue: one run a name at a time, many names at once, back-off without end.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { backoffMs, type Outcome, Queue } from "../../controller/queue.ts";

const DONE: Outcome = { kind: "done" };

function queueOf(reconcile: (key: string) => Promise<Outcome>, workers = 2): Queue {
  const queue = new Queue({
    workers,
    reconcile,
    onOutcome: () => undefined,
    onError: () => undefined,
  });
  queue.start();
  return queue;
}

/** A reconcile that a test ends by hand. */
function held(): {
  runs: string[];
  end: (outcome?: Outcome) => void;
  run: (key: string) => Promise<Outcome>;
} {
  const runs: string[] = [];
  const waiting: ((outcome: Outcome) => void)[] = [];
  return {
    runs,
    end: (outcome = DONE) => waiting.shift()?.(outcome),
    run: (key) => {
      runs.push(key);
      return new Promise((done) => waiting.push(done));
    },
  };
}

describe("the queue", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("runs a name once for many askings, and once more for askings while it runs", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run);
    for (let i = 0; i < 3; i++) queue.add("a");
    expect(runs).toEqual(["a"]);
    queue.add("a");
    queue.add("a");
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toEqual(["a", "a"]);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect([runs.length, queue.depth]).toEqual([2, 0]);
  });

  it("runs work that can wait once no others wait, and now and then during a flood of others", async () => {
    const runs: string[] = [];
    const later = new Set<string>();
    const queue = queueOf(async (key) => {
      runs.push(key);
      await Promise.resolve();
      if (later.has(key)) return DONE;
      later.add(key);
      return { kind: "last" };
    }, 1);
    const names = ["a", "b", "c", "d", "e", "f"].map((name) => `demo/${name}`);
    for (const name of names) queue.add(name);
    await vi.advanceTimersByTimeAsync(0);
    expect([runs, queue.isBusy, queue.depth]).toEqual([[...names, ...names], false, 0]);
    runs.length = 0;
    later.clear();
    for (let i = 0; i < 20; i++) queue.add(`demo/${i}`);
    await vi.advanceTimersByTimeAsync(0);
    expect(runs.length).toBe(40);
    // Its second run, while others still wait for their first.
    expect(runs.slice(1, 10)).toContain("demo/0");
  });

  it("runs work that can wait at once if its name is added again, and not at all after a stop", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 1);
    for (const key of ["demo/a", "demo/b", "demo/c"]) queue.add(key);
    end({ kind: "last" });
    await vi.advanceTimersByTimeAsync(0);
    queue.add("demo/a");
    expect([queue.isBusy, queue.depth]).toEqual([true, 3]);
    for (let i = 0; i < 2; i++) {
      end();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(runs).toEqual(["demo/a", "demo/b", "demo/c", "demo/a"]);
    const stopped = queue.stop();
    end({ kind: "last" });
    await stopped;
    expect([runs.length, queue.depth]).toEqual([4, 0]);
  });

  it("runs as many names at once as it has workers", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 2);
    for (const key of ["a/1", "b/1", "c/1"]) queue.add(key);
    expect(runs).toEqual(["a/1", "b/1"]);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toEqual(["a/1", "b/1", "c/1"]);
  });

  it("keeps a worker free for other namespaces, however many names one has", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 4);
    for (let i = 0; i < 9; i++) queue.add(`flood/${i}`);
    expect(runs).toEqual(["flood/0", "flood/1", "flood/2"]);
    queue.add("honest/1");
    expect(runs.at(-1)).toBe("honest/1");
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs.at(-1)).toBe("flood/3");
  });

  it("lets a name wait for one slow run of others at most, however many namespaces have them", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 4);
    for (let round = 0; round < 9; round++) {
      for (const namespace of ["a", "b", "c", "d", "e", "f"]) queue.add(`${namespace}/${round}`);
    }
    await vi.advanceTimersByTimeAsync(2_000);
    queue.add("honest/1");
    if (!runs.includes("honest/1")) end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toContain("honest/1");
    expect(runs.length).toBeLessThanOrEqual(9);
  });

  it("gives no worker to namespaces of slow runs, while there are as many as may be", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 4);
    for (let index = 0; index < 9; index++) {
      queue.add(`a/${index}`);
      queue.add(`b/${index}`);
    }
    expect(runs).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(1_000);
    // One more, which came when only one run was known as slow.
    expect(runs).toHaveLength(5);
    for (let index = 0; index < 3; index++) queue.add(`honest/${index}`);
    expect(runs.slice(5)).toEqual(["honest/0", "honest/1", "honest/2"]);
    for (let ended = 0; ended < 40; ended++) {
      end();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect([new Set(runs).size, queue.depth]).toEqual([21, 0]);
  });

  it("lets namespaces take turns, so that a flood in one does not delay another", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 1);
    for (const key of ["flood/1", "flood/2", "flood/3", "calm/1", "flood/4"]) queue.add(key);
    for (let ended = 0; ended < 5; ended++) {
      end();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(runs).toEqual(["flood/1", "flood/2", "calm/1", "flood/3", "flood/4"]);
  });

  it("lets a namespace that used little time come before all that used much", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 1);
    const floods = ["a", "b", "c"].flatMap((name) => [1, 2, 3].map((n) => `flood-${name}/${n}`));
    for (const key of floods) queue.add(key);
    for (let ended = 0; ended < 3; ended++) {
      await vi.advanceTimersByTimeAsync(500);
      end();
    }
    for (const key of ["calm-a/1", "calm-b/1"]) queue.add(key);
    for (let ended = 0; ended < 3; ended++) {
      await vi.advanceTimersByTimeAsync(500);
      end();
    }
    await vi.advanceTimersByTimeAsync(0);
    expect(runs.slice(3, 6)).toEqual(["calm-a/1", "calm-b/1", "flood-a/2"]);
  });

  /** A queue of 8 workers in which `busy` used 20 s each, and `honest` as long as is given. */
  const usedQueue = async (busy: string[], honest: string[], honestMs: number) => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 8);
    for (const [names, ms] of [
      [honest, honestMs],
      [busy, 20_000],
    ] as const) {
      for (const name of names) queue.add(`${name}/first`);
      await vi.advanceTimersByTimeAsync(ms);
      for (const _ of names) end();
      await vi.advanceTimersByTimeAsync(0);
    }
    runs.length = 0;
    return { queue, runs, end };
  };
  const HONEST = ["h-1", "h-2", "h-3", "h-4", "h-5"];

  it.each([10, 5_000])(
    "gives namespaces that used far more than others a quarter of the workers (others: %i ms)",
    async (honestMs) => {
      const { queue, runs, end } = await usedQueue(["a", "b"], HONEST, honestMs);
      for (const name of ["a", "b"]) for (let i = 0; i < 9; i++) queue.add(`${name}/${i}`);
      expect(runs).toHaveLength(2);
      for (const name of HONEST) queue.add(`${name}/1`);
      expect(runs.slice(2)).toEqual(HONEST.map((name) => `${name}/1`));
      // Once their time is long ago, they are like others.
      await vi.advanceTimersByTimeAsync(300_000);
      end();
      await vi.advanceTimersByTimeAsync(0);
      expect(runs.length).toBeGreaterThan(8);
    },
  );

  it("gives namespaces that used far more than others a single worker while others have work", async () => {
    const { queue, runs, end } = await usedQueue(["a", "b"], HONEST, 10);
    queue.add("h-1/1");
    for (const name of ["a", "b"]) for (let i = 0; i < 9; i++) queue.add(`${name}/${i}`);
    expect(runs).toEqual(["h-1/1", "a/0"]);
    await vi.advanceTimersByTimeAsync(900);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toEqual(["h-1/1", "a/0"]);
    await vi.advanceTimersByTimeAsync(99);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs.slice(2)).toEqual(["b/0"]);
    await vi.advanceTimersByTimeAsync(10);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs.slice(3)).toHaveLength(2);
  });

  it("gives namespaces that all use much all workers", async () => {
    const { queue, runs } = await usedQueue(["a", "b", "c"], [], 0);
    for (const name of ["a", "b", "c"]) for (let i = 0; i < 5; i++) queue.add(`${name}/${i}`);
    expect(runs).toHaveLength(8);
  });

  it("tries again at once what failed, when told that the reason is gone", async () => {
    const runs: string[] = [];
    let outcome: Outcome = { kind: "retry", afterMs: 60_000 };
    const queue = queueOf((key) => {
      runs.push(key);
      return Promise.resolve(key === "a/later" ? { kind: "later", afterMs: 60_000 } : outcome);
    });
    queue.add("a/failed");
    queue.add("a/later");
    await vi.advanceTimersByTimeAsync(50);
    outcome = DONE;
    queue.retryNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toEqual(["a/failed", "a/later", "a/failed"]);
  });

  it("tries again later and later, for ever, at most five minutes apart", async () => {
    expect([1, 2, 3, 13, 1000].map(backoffMs)).toEqual([100, 200, 400, 300_000, 300_000]);
    let runs = 0;
    const queue = queueOf(() => {
      runs++;
      return Promise.resolve({ kind: "retry" });
    });
    queue.add("a");
    await vi.advanceTimersByTimeAsync(24 * 3_600_000);
    const afterOneDay = runs;
    expect(afterOneDay).toBeGreaterThan(24 * 10);
    await vi.advanceTimersByTimeAsync(24 * 3_600_000);
    expect(runs).toBeGreaterThan(afterOneDay + 24 * 10);
  });

  it("tries again after an exception", async () => {
    let runs = 0;
    const queue = queueOf(() => {
      runs++;
      return runs === 1 ? Promise.reject(new Error("x")) : Promise.resolve(DONE);
    });
    queue.add("a");
    await vi.advanceTimersByTimeAsync(200);
    expect(runs).toBe(2);
  });

  it("does not try again what only a change can mend, but does so on a change", async () => {
    let runs = 0;
    const queue = queueOf(() => {
      runs++;
      return Promise.resolve({ kind: "terminal" });
    });
    queue.add("a");
    await vi.advanceTimersByTimeAsync(24 * 3_600_000);
    expect(runs).toBe(1);
    queue.add("a");
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toBe(2);
  });

  it("cuts a back-off short on a change", async () => {
    let runs = 0;
    const queue = queueOf(() => {
      runs++;
      return Promise.resolve({ kind: "retry", afterMs: 60_000 });
    });
    queue.add("a");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(runs).toBe(1);
    queue.add("a");
    await vi.advanceTimersByTimeAsync(0);
    expect(runs).toBe(2);
  });

  it("says what is running, and not what waits", async () => {
    const { run, end } = held();
    const queue = queueOf(run, 1);
    queue.add("a/1");
    queue.add("b/1");
    const isRunning = (key: string): boolean => queue.isRunning((each) => each === key);
    expect(["a/1", "b/1"].map(isRunning)).toEqual([true, false]);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(["a/1", "b/1"].map(isRunning)).toEqual([false, true]);
  });

  it("stops when what runs has ended, and starts nothing more", async () => {
    const { runs, end, run } = held();
    const queue = queueOf(run, 1);
    queue.add("a");
    queue.add("b");
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    await vi.advanceTimersByTimeAsync(0);
    expect(stopped).toBe(false);
    end({ kind: "retry" });
    await stopping;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(runs).toEqual(["a"]);
  });
});
