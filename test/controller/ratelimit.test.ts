// Allowances of requests.
// SPEC.md, "HTTP".
import { describe, expect, it } from "vitest";
import { RateLimit } from "../../controller/ratelimit.ts";

describe("an allowance", () => {
  it("allows a burst, then as many as come back with time, and says when", () => {
    const limit = new RateLimit(2, 3);
    expect([0, 0, 0].map((ms) => limit.take("a", ms).allowed)).toEqual([true, true, true]);
    expect(limit.take("a", 0)).toEqual({
      allowed: false,
      remaining: 0,
      retryAfterMs: 500,
      resetMs: 1500,
    });
    expect(limit.take("a", 499).allowed).toBe(false);
    expect(limit.take("a", 500).allowed).toBe(true);
    expect(limit.take("a", 60_000).remaining).toBe(2);
  });

  it("is each client's own", () => {
    const limit = new RateLimit(1, 1);
    expect(["a", "a", "b"].map((who) => limit.take(who, 0).allowed)).toEqual([true, false, true]);
  });

  it("is used up by work that turned out large", () => {
    const limit = new RateLimit(1, 2);
    limit.take("a", 0);
    expect(limit.charge("a", 2, 0)).toBe(2);
    expect(limit.take("a", 0)).toMatchObject({ allowed: false, retryAfterMs: 2_000 });
    expect(limit.take("a", 2_000).allowed).toBe(true);
  });

  it("owes one burst at most", () => {
    const limit = new RateLimit(1, 2);
    limit.take("a", 0);
    expect([limit.charge("a", 100, 0), limit.charge("a", 1, 0)]).toEqual([3, 0]);
    expect(limit.look("a", 0)).toMatchObject({ allowed: false, retryAfterMs: 3_000 });
  });

  it("is not used up by a look", () => {
    const limit = new RateLimit(1, 1);
    for (let count = 0; count < 3; count++) expect(limit.look("a", 0).allowed).toBe(true);
  });

  it("is forgotten for the client that was quiet for longest, where there are very many", () => {
    const limit = new RateLimit(0.001, 1);
    limit.take("first", 0);
    limit.take("second", 0);
    for (let client = 0; client < 4095; client++) limit.take(`client-${client}`, 0);
    expect(limit.take("second", 0).allowed).toBe(false);
    expect(limit.take("first", 0).allowed).toBe(true);
  });
});
