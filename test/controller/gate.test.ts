// The gate in front of work: how much at once, and whose turn it is.
// SPEC.md, "HTTP".
import { describe, expect, it } from "vitest";
import { type Caller, Gate } from "../../controller/gate.ts";

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
    const gate = new Gate(1, 1);
    const first = held();
    const through = gate.run(from("a"), first.work);
    const inLine = gate.run(from("a"), () => Promise.resolve("second"));
    expect(await gate.run(from("a"), () => Promise.resolve("third"))).toBeUndefined();
    first.end();
    expect([await through, await inLine]).toEqual(["done", "second"]);
    expect(await gate.run(from("a"), () => Promise.resolve("fourth"))).toBe("fourth");
  });

  it("stays open after work that failed", async () => {
    const gate = new Gate(1, 0);
    await expect(gate.run(from("a"), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await gate.run(from("a"), () => Promise.resolve("next"))).toBe("next");
  });

  /** What ran, in order, of callers that all came while the gate was busy. */
  async function order(waiting: number, callers: readonly Caller[]): Promise<string[]> {
    const gate = new Gate(1, waiting);
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
    await Promise.all(all);
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
});
