// The workflows as actionlint reads them, and the rules for what they may do and what they run.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";

const FOLDER = ".github/workflows";
const FILES = readdirSync(FOLDER).map((name) => `${FOLDER}/${name}`);

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, string>>;
}

interface Job {
  readonly uses?: string;
  readonly "timeout-minutes"?: number;
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const workflow = (path: string): Workflow => load(readFileSync(path, "utf8")) as Workflow;

/** Without shellcheck and pyflakes, so that the answer is the same on every machine. */
function actionlint(...files: string[]): { status: number | null; output: string } {
  const args = ["-no-color", "-shellcheck=", "-pyflakes=", ...files];
  const { status, stdout, stderr } = spawnSync(partPath("actionlint"), args, { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

describe("the workflows", () => {
  it("are there", () => {
    expect(FILES).toContain(`${FOLDER}/ci.yaml`);
  });

  it("have no findings of actionlint", () => {
    expect(actionlint(...FILES)).toEqual({ status: 0, output: "" });
  });

  it("run what a person runs", () => {
    const steps = Object.values(workflow(`${FOLDER}/ci.yaml`).jobs).flatMap(
      ({ steps = [] }) => steps,
    );
    const commands = steps.map(({ run }) => run);
    // Nodes and images take root.
    expect(commands.filter((command) => command?.includes(".ci/run"))).toHaveLength(1);
    expect(commands).toContain("npm run test:unit");
  });

  it("publish the image that the chart installs", () => {
    const { image } = load(readFileSync("charts/signet/values.yaml", "utf8")) as {
      image: { registry: string; repository: string };
    };
    const { env } = workflow(`${FOLDER}/release.yaml`);
    expect(env?.["IMAGE"]).toBe(`${image.registry}/${image.repository}`);
    expect(env?.["CHARTS"]).toBe(`${image.registry}/${image.repository.replace(/\/.*/, "")}`);
  });

  it("have examples in docs/ci.md that have no findings either", () => {
    const folder = mkdtempSync(join(tmpdir(), "signet-workflows-"));
    try {
      const blocks = [...readFileSync("docs/ci.md", "utf8").matchAll(/^```yaml\n([^]*?)^```$/gm)];
      const examples = blocks.map(([, text = ""]) => text).filter((text) => /^jobs:$/m.test(text));
      expect(examples.length).toBeGreaterThan(1);
      const { inputs } = load(readFileSync("action.yml", "utf8")) as { inputs: object };
      for (const [index, text] of examples.entries()) {
        writeFileSync(join(folder, `${index}.yaml`), text);
        expect(actionlint(join(folder, `${index}.yaml`)), text).toEqual({ status: 0, output: "" });
        const { jobs, permissions } = load(text) as Workflow;
        expect(permissions).toEqual({ contents: "read" });
        const steps = Object.values(jobs).flatMap((job) => job.steps ?? []);
        const ours = steps.filter(({ uses = "" }) => uses.startsWith("OWNER/NAME@"));
        expect(ours.length).toBeGreaterThan(0);
        for (const step of ours) {
          expect(Object.keys(inputs)).toEqual(expect.arrayContaining(Object.keys(step.with ?? {})));
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.each(FILES)("%s starts with the permission to read only", (path) => {
    expect(workflow(path).permissions).toEqual({ contents: "read" });
  });

  it.each(FILES)("%s names actions by commit, and bounds the time of each job", (path) => {
    for (const [name, job] of Object.entries(workflow(path).jobs)) {
      const used = [job.uses, ...(job.steps ?? []).map(({ uses }) => uses)];
      for (const action of used) {
        if (action === undefined || action.startsWith("./")) continue;
        expect(action, name).toMatch(/^[\w./-]+@[0-9a-f]{40}$/);
      }
      if (job.uses === undefined) expect(job["timeout-minutes"], name).toBeGreaterThan(0);
    }
  });
});
