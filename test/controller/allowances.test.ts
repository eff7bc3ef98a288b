// What each client, and each address with all its clients, may use.
// SPEC.md, "HTTP".
import { describe, expect, it } from "vitest";
import { Allowances } from "../../controller/allowances.ts";

function start(): { allowances: Allowances; time: { ms: number } } {
  const time = { ms: 0 };
  return { allowances: new Allowances({ rate: 1, burst: 10, clock: () => time.ms }), time };
}

const caller = (address: string, client: string): { address: string; client: string } => ({
  address,
  client,
});

describe("what a costly request uses", () => {
  it("makes its client wait for two bursts at most, and nobody else of its address", () => {
    const { allowances, time } = start();
    const isAllowed = (client: string): boolean =>
      allowances.take(caller("proxy", client)).retryAfterMs === 0;
    for (let bombs = 0; bombs < 20; bombs++) allowances.charge(caller("proxy", "bomb"), Infinity);
    expect([isAllowed("bomb"), isAllowed("honest")]).toEqual([false, true]);
    time.ms = 11_000;
    expect(isAllowed("bomb")).toBe(true);
  });

  it("counts for the address whatever clients it claims to be", () => {
    const { allowances } = start();
    const bombs = Array.from({ length: 20 }, (_, n) => caller("direct", `claimed-${n}`));
    const allowed = bombs.filter((bomb) => {
      const isAllowed = allowances.take(bomb).retryAfterMs === 0;
      if (isAllowed) allowances.charge(bomb, Infinity);
      return isAllowed;
    });
    expect(allowed).toHaveLength(3);
  });

  it("is not forgotten for names that somebody makes up", () => {
    const { allowances } = start();
    allowances.charge(caller("proxy", "bomb"), Infinity);
    for (let n = 0; n < 10_000; n++) allowances.take(caller("direct", `claimed-${n}`));
    for (let n = 0; n < 10_000; n++) allowances.charge(caller("direct", `charged-${n}`), 1);
    expect(allowances.take(caller("proxy", "bomb")).retryAfterMs).toBe(11_000);
  });
});
