// Proof that the tables of docs/benchmarks.md are those of the results that are kept.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { keptResults, PAGE, type Result, withResults } from "../../bench/results.ts";

const RESULT: Result = {
  date: "2026-11-30",
  commit: "abc1234",
  machine: "2 cores (some)",
  nodes: ["Node 24.21.0"],
  command: "npm run bench -- seal --record",
  figures: [{ task: "seal", program: "signet", unit: "ms", min: 1, median: 2, max: 30, runs: 5 }],
  checks: [{ task: "seal", program: "signet", found: "2 ms", target: "at most 3 ms", met: true }],
  tables: [],
  notes: ["Of one run."],
};
const PLACE = "<!-- results of seal: npm run bench:docs -->\n\nold\n\n<!-- end of results -->\n";

describe("the page of benchmarks", () => {
  test("has the tables of the results that are kept; run `npm run bench:docs` if not", () => {
    const page = readFileSync(PAGE, "utf8");
    expect(withResults(page, keptResults())).toBe(page);
  });

  test("gets what a run found in place of what was there, and keeps its own words", () => {
    const page = withResults(`before\n\n${PLACE}\nafter\n`, new Map([["seal", RESULT]]));
    expect(page).toBe(
      [
        "before",
        "<!-- results of seal: npm run bench:docs -->",
        "Recorded: 2026-11-30; commit abc1234; 2 cores (some); Node 24.21.0; `npm run bench -- seal --record`.",
        [
          "| task | program | median  | min     | max     | runs |",
          "| ---- | ------- | ------- | ------- | ------- | ---- |",
          "| seal | signet  | 2.00 ms | 1.00 ms | 30.0 ms | 5    |",
        ].join("\n"),
        [
          "| task | program | found | target       |       |",
          "| ---- | ------- | ----- | ------------ | ----- |",
          "| seal | signet  | 2 ms  | at most 3 ms | meets |",
        ].join("\n"),
        "- Of one run.",
        "<!-- end of results -->",
        "after\n",
      ].join("\n\n"),
    );
  });

  test("has a place for each result, and a result for each place", () => {
    expect(() => withResults("nothing\n", new Map([["seal", RESULT]]))).toThrow(
      /no place for seal/,
    );
    expect(() => withResults(PLACE, new Map())).toThrow(/seal\.json does not exist/);
  });
});
