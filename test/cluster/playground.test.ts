// `npm run cluster`: that the lines which it prints do what they say, from the first to the last.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cleanEnvironment, type Program, startProgram, waitFor } from "./program.ts";

let folder = "";
let playground: Program;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "signet-playground-"));
  playground = startProgram(
    [process.execPath, "build.mjs", "--run", "test/cluster/playground.ts"],
    { env: { ...process.env, ...cleanEnvironment() } },
  );
  await waitFor("the playground's guide", () => /Press Ctrl-C/.test(playground.logs()));
});

afterAll(async () => {
  await playground.stop();
  rmSync(folder, { recursive: true, force: true });
});

it("does the whole daily job through the API server, as its guide says", async () => {
  const [, guide = ""] =
    /The cluster is ready\..*\n([^]*)\nThere are no nodes/.exec(playground.logs()) ?? [];
  const script = `set -e\n${guide.replaceAll(/^ {2}/gm, "")}`;
  const output = await new Promise<string>((done, fail) => {
    const options = { cwd: folder, env: cleanEnvironment({ HOME: folder }) };
    execFile("bash", ["-c", `{ ${script}\n} 2>&1`], options, (error, text) => {
      if (error === null) done(text);
      else fail(new Error(text, { cause: error }));
    });
  });
  expect(output).toContain("seals from now on");
  expect(output).toMatch(/^Keys of play \(certificate valid/m);
  expect(output).toMatch(/secret\/db patched/);
});
