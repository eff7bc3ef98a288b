// `npm run cluster`: that the lines which it prints do what they say, from the first to the last.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import {
  BED_VARIABLE,
  cleanEnvironment,
  type Program,
  startProgram,
  waitFor,
} from "../cluster/program.ts";
import { controllerImage, IMAGES_VARIABLE } from "./images.ts";

let folder = "";
let playground: Program | undefined;

beforeAll(async () => {
  // Made here, it is there for all of them.
  await controllerImage();
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-playground-"));
});

afterEach(async () => {
  await playground?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts it, and returns its guide up to the line that tells where the controller runs. */
async function start(before: readonly string[], end: string): Promise<string> {
  const program = [process.execPath, "build.mjs", "--run", "test/cluster/playground.ts"];
  const started = startProgram([...before, ...program], {
    env: { ...process.env, ...cleanEnvironment(), [IMAGES_VARIABLE]: tmpdir() },
  });
  playground = started;
  await waitFor("the playground's guide", () => {
    if (!started.running()) return true;
    return started.logs().includes("Press Ctrl-C");
  });
  const [, rest = ""] = started.logs().split(/The cluster is ready\..*\n/);
  const [guide = "", more] = rest.split(end);
  expect(more, started.logs()).toBeDefined();
  return guide;
}

/** Types the guide's lines. */
async function follow(guide: string): Promise<string> {
  const script = `set -e\n${guide.replaceAll(/^ {2}/gm, "")}`;
  return new Promise<string>((done, fail) => {
    const options = { cwd: folder, env: cleanEnvironment({ HOME: folder }) };
    execFile("bash", ["-c", `{ ${script}\n} 2>&1`], options, (error, text) => {
      if (error === null) done(text);
      else fail(new Error(text, { cause: error }));
    });
  });
}

it.each([
  { what: "a node", before: [], end: "The controller runs in pods" },
  // Root of a namespace of one user only.
  { what: "none", before: ["unshare", "--user", "--map-root-user"], end: "There are no nodes" },
])(
  "does the whole daily job on a cluster with $what, as its guide says",
  async ({ before, end }) => {
    const output = await follow(await start(before, end));
    expect(output).toContain("seals from now on");
    expect(output).toMatch(/^Keys of play \(certificate valid/m);
    expect(output).toMatch(/secret\/db patched/);
  },
);

it("can be reached from outside of its namespaces", async () => {
  // As from a machine: the test bed's own namespaces are nothing special to it then.
  const outside = ["env", "--unset", BED_VARIABLE];
  const guide = await start(outside, "The controller runs in pods");
  const [, kubeconfig = ""] = /KUBECONFIG=(\S+)/.exec(guide) ?? [];
  expect(readFileSync(kubeconfig, "utf8")).toContain("server: https://127.0.0.1:");
  const output = await follow(guide);
  expect(output).toContain("seals from now on");
});
