import { describe, expect, it } from "vitest";
import { table } from "../../cli/terminal/table.ts";

const ROWS = [
  ["NAME", "STATE", "FILE"],
  ["db", "current", "clusters/production/shop/db.yaml"],
  ["a-name-that-is-long", "stale", "prod/shop/other.yaml"],
];

describe("a table", () => {
  it("has columns as wide as their widest cell", () => {
    expect(table(ROWS, Infinity)).toEqual([
      "NAME                 STATE    FILE",
      "db                   current  clusters/production/shop/db.yaml",
      "a-name-that-is-long  stale    prod/shop/other.yaml",
    ]);
  });

  it("fits the terminal: of paths the end stays, of others the beginning", () => {
    expect(table(ROWS, 45)).toEqual([
      "NAME               STATE    FILE",
      "db                 current  …ion/shop/db.yaml",
      "a-name-that-is-l…  stale    …/shop/other.yaml",
    ]);
  });

  it.each([60, 50, 45, 40, 36])("is at most %i columns wide", (width) => {
    for (const line of table(ROWS, width)) expect(line.length).toBeLessThanOrEqual(width);
  });

  it("keeps something of every column where the terminal is narrower still", () => {
    for (const line of table(ROWS, 10)) expect(line.length).toBeLessThanOrEqual(12 + 7 + 12 + 4);
  });
});
