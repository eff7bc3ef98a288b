// The scenarios beside it (README.md there tells their form), with the built program.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { installSignet, runScenario, scenarioNames } from "./scenario.ts";

/** Pinned, so that a loader that finds nothing does not pass. */
const SCENARIOS = 94;

let base = "";

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "signet-scenarios-"));
  installSignet(base, [process.execPath, resolve("dist/signet.cjs")]);
});

afterAll(() => {
  rmSync(base, { recursive: true, force: true });
});

it("finds every scenario", () => {
  expect(scenarioNames()).toHaveLength(SCENARIOS);
});

describe.concurrent("scenario", () => {
  it.for(scenarioNames())("%s", (name, { expect }) => runScenario(name, base, expect));
});
