// The demo where it cannot run.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findProgram } from "../../host/findprogram.ts";
import { runToEnd } from "../cluster/program.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "demo-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

it("says that there is no POSIX shell, as on Windows, and asks for no report of a fault", async () => {
  symlinkSync(findProgram("git") ?? "", join(folder, "git"));
  const command = [process.execPath, resolve("dist/signet.cjs"), "demo"];
  const { status, stderr } = await runToEnd(command, { cwd: folder, env: { PATH: folder } });
  expect([status, stderr]).toEqual([
    1,
    "signet: error: cannot run the commands of the demo: no POSIX shell (sh) found\n" +
      "signet: hint: on Windows, run it in WSL\n",
  ]);
});
