// Log lines that are written together.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LogLines } from "../../controller/loglines.ts";

let written: string[];
let lines: LogLines;

beforeEach(() => {
  vi.useFakeTimers();
  written = [];
  lines = new LogLines((text) => written.push(text));
});
afterEach(() => {
  vi.useRealTimers();
});

it("are written together after a tenth of a second, in their order", () => {
  for (const line of ["a", "b", "c"]) lines.add(line);
  vi.advanceTimersByTime(99);
  expect(written).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(written).toEqual(["a\nb\nc\n"]);
  lines.add("d");
  vi.advanceTimersByTime(100);
  expect(written).toEqual(["a\nb\nc\n", "d\n"]);
});

it("are written at once where there are many, or somebody says so", () => {
  const long = "x".repeat(20_000);
  lines.add("a");
  lines.add(long);
  expect(written).toEqual([`a\n${long}\n`]);
  lines.add("b");
  lines.flush();
  lines.flush();
  expect(written.slice(1)).toEqual(["b\n"]);
});

it("are written before the process exits", () => {
  lines.add("last");
  process.emit("exit", 0);
  expect(written).toEqual(["last\n"]);
});
