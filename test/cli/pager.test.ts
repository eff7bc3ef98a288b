// What a person sees in terminals of several widths: color, and a pager for long results.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { signetInTerminal, type Terminal } from "./terminal.ts";
import { Workplace } from "./workplace.ts";

let place: Workplace;
let terminals: Terminal[];

beforeEach(() => {
  place = new Workplace();
  terminals = [];
});
afterEach(async () => {
  for (const terminal of terminals) terminal.close();
  await Promise.all(terminals.map(({ exited }) => exited));
  place.remove();
});

function start(
  args: readonly string[],
  columns: number,
  env: Record<string, string> = {},
): Terminal {
  const terminal = signetInTerminal(args, {
    cwd: place.folder,
    env: { ...place.env, ...env },
    columns,
  });
  terminals.push(terminal);
  return terminal;
}

describe.each([60, 80, 200])("in %i columns", (columns) => {
  it("status shows problems in color", async () => {
    mkdirSync(join(place.folder, "prod/shop"), { recursive: true });
    writeFileSync(join(place.folder, "prod/shop/broken.yaml"), "kind: SealedSecret\na: b: c\n");
    const terminal = start(["status", "prod", "--no-pager"], columns);
    expect(await terminal.exited).toBe(3);
    expect(terminal.written()).toContain("\u001b[31mProblems:\u001b[39m");
    expect(terminal.written()).toContain("\u001b[31merror:\u001b[39m");
  });

  it("pages what is longer than the screen, and only that", async () => {
    const env = { PAGER: "echo paged $(wc -l) lines" };
    const terminal = start(["explain"], columns, env);
    expect(await terminal.exited).toBe(0);
    expect(terminal.screen()).toMatch(/^paged \d+ lines$/);
    const short = start(["explain", "drill"], columns, env);
    expect(await short.exited).toBe(0);
    expect(short.screen()).toContain("What to do:");
    const unpaged = start(["--no-pager", "explain"], columns, env);
    expect(await unpaged.exited).toBe(0);
    expect(unpaged.screen()).not.toContain("paged");
  });
});

it("prints by itself where the pager is not there", async () => {
  const terminal = start(["explain"], 80, { PAGER: "no-such-pager" });
  expect(await terminal.exited).toBe(0);
  expect(terminal.screen()).toContain("does-not-open");
});

it("is done when a pager is left before its end", async () => {
  const terminal = start(["explain"], 80, { PAGER: "head -1" });
  expect(await terminal.exited).toBe(0);
  expect(terminal.screen()).toMatch(/^.*CODE/);
});
