// How fast a name that others disturb is answered, on a clock of the test's.
import { describe, expect, it } from "vitest";
import { Contest } from "../../controller/contest.ts";

const NAME = "demo/db";

/** Disturbs at once after each answer; when each of `count` answers is given. */
function answers(contest: Contest, count: number, repaired: boolean): number[] {
  const times: number[] = [];
  for (let nowMs = 0; times.length < count;) {
    nowMs += contest.waitMs(NAME, nowMs);
    contest.answered(NAME, nowMs, repaired);
    times.push(nowMs);
  }
  return times;
}

describe("a name that is disturbed again and again", () => {
  it("is put back at once at first, then ever later, at most five minutes apart", () => {
    const times = answers(new Contest(), 17, true).map((ms) => ms / 1000);
    expect(times.slice(0, 5)).toEqual([0, 0, 0, 0, 0]);
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0)).slice(5);
    expect(gaps).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
  });

  it("is looked at every five seconds where nothing has to be put back", () => {
    const times = answers(new Contest(), 12, false);
    expect((times[11] ?? 0) - (times[10] ?? 0)).toBe(5_000);
  });

  it("counts as fought over from the fifth repair on, until it was quiet for long enough", () => {
    const contest = new Contest();
    for (let turn = 1; turn <= 5; turn++) {
      expect(contest.isContested(NAME, 0)).toBe(false);
      contest.answered(NAME, 0, true);
    }
    expect(contest.isContested(NAME, 0)).toBe(true);
    expect(contest.contestedCount(0)).toBe(1);
    expect(contest.quietInMs(NAME, 0)).toBe(60_000);
    expect(contest.isContested(NAME, 59_999)).toBe(true);
    expect(contest.isContested(NAME, 60_000)).toBe(false);
    expect(contest.contestedCount(60_000)).toBe(0);
    expect(contest.waitMs(NAME, 60_000)).toBe(0);
  });

  it("does not slow down another", () => {
    const contest = new Contest();
    answers(contest, 10, true);
    expect(contest.waitMs("demo/other", 0)).toBe(0);
  });
});
