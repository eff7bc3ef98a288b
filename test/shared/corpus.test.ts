// Hostile inputs at every boundary, in short: each that ever broke a promise, and some new ones.
// `npm run fuzz` takes more time; CONTRIBUTING.md tells how.

import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { foundInputs } from "../fuzz/corpus.ts";
import { inputOf } from "../fuzz/mutate.ts";
import { Random } from "../fuzz/random.ts";
import { TARGETS } from "../fuzz/targets.ts";
import { CANARY, Find, type Target } from "../fuzz/target.ts";
import { tryInput } from "../fuzz/trial.ts";

describe.each(TARGETS.map((target) => [target.name, target] as const))("%s", (name, target) => {
  afterAll(() => target.close?.());

  it("keeps its promises for what was found before", async () => {
    await target.seeds();
    for (const input of foundInputs(name).values()) await tryInput(target, input);
  });

  it("keeps its promises for inputs that nobody wrote", async () => {
    const seeds = await target.seeds();
    const examples = (await target.examples?.()) ?? seeds.slice(0, 20);
    for (const input of examples) await tryInput(target, input);
    // fast-check says the seed and the number with which an input can be made once more.
    const number = fc.nat();
    await fc.assert(
      fc.asyncProperty(number, (index) => tryInput(target, inputOf(target, seeds, 0, index))),
      { numRuns: target.short, endOnFailure: true },
    );
  });
});

describe("a trial", () => {
  const target: Target = {
    name: "a",
    short: 1,
    seeds: () => [new Uint8Array()],
    run: () => undefined,
  };

  it("finds a prototype that got a property", async () => {
    const run = (): void => {
      Object.defineProperty(Object.prototype, "polluted", { value: 1, configurable: true });
    };
    await expect(tryInput({ ...target, run }, new Uint8Array())).rejects.toThrow(Find);
    Reflect.deleteProperty(Object.prototype, "polluted");
    await tryInput(target, new Uint8Array());
  });

  it("finds an error that nobody promised", async () => {
    const run = (): void => {
      throw new TypeError(CANARY);
    };
    await expect(tryInput({ ...target, run }, new Uint8Array())).rejects.toThrow(TypeError);
  });

  it("makes the same input of the same seed and number", () => {
    const seeds = [new TextEncoder().encode("a: [1, 2]\nb: text\n")];
    const made = [0, 1, 2, 3].map((index) => inputOf(target, seeds, 5, index));
    expect([0, 1, 2, 3].map((index) => inputOf(target, seeds, 5, index))).toEqual(made);
    expect(new Set(made.map(String)).size).toBeGreaterThan(2);
    expect(new Random(5, 0).fraction()).not.toBe(new Random(6, 0).fraction());
  });
});
