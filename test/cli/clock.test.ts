// That a shifted clock (test/clock.cjs) reaches what tests start: else nothing would be shown by it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseOffset } from "../clock.ts";
import { cleanEnvironment } from "../cluster/program.ts";

const NEAR_MS = 3_600_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-clock-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function output(program: string, ...args: string[]): string {
  const options = { cwd: folder, encoding: "utf8" as const, env: cleanEnvironment() };
  return execFileSync(program, args, options).trim();
}

it("is off by what was asked for, and by nothing else", () => {
  const offsetMs = Number(process.env["CLOCK_OFFSET_MS"] ?? 0);
  // The kernel's clock, which nobody shifts.
  const kernelMs = statSync(folder).ctimeMs;
  expect(Math.abs(Date.now() - kernelMs - offsetMs)).toBeLessThan(NEAR_MS);
  expect(Math.abs(performance.timeOrigin - kernelMs - offsetMs)).toBeLessThan(NEAR_MS);
  expect(new Date()).toBeInstanceOf(Date);
  expect(statSync(folder).mtime).toBeInstanceOf(Date);
  expect(new Date(0).toISOString()).toBe("1970-01-01T00:00:00.000Z");
});

it("is the same for a Node program, one that it starts, and a commit", () => {
  const near = (ms: number): void => {
    expect(Math.abs(Date.now() - ms)).toBeLessThan(NEAR_MS);
  };
  near(Number(output(process.execPath, "-p", "Date.now()")));
  const inner = 'execFileSync(process.execPath, ["-p", "Date.now()"], {encoding: "utf8"})';
  near(Number(output(process.execPath, "-p", `child_process.${inner}`)));
  output("git", "init", "-q", ".");
  const person = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"];
  output("git", ...person, "commit", "-q", "--allow-empty", "-m", "empty");
  near(Date.parse(output("git", "log", "-1", "--format=%cI")));
});

it.for([
  ["400d", 34_560_000_000],
  ["+1d", 86_400_000],
  ["-30d", -2_592_000_000],
  ["-12h", -43_200_000],
] as const)("an offset of %s is %i ms", ([text, milliseconds]) => {
  expect(parseOffset(text)).toBe(milliseconds);
});

it.for(["", "400", "d", "1.5d", "1w", "d1", "--1d", "1d "])("%j is no offset", (text) => {
  expect(parseOffset(text)).toBeUndefined();
});
