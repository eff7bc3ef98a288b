// The pull model of GitOps, for real: a bare repository, a developer's clone of it, and Argo CD's
// engine on its own clone.
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { partPath } from "../parts/parts.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import {
  cleanEnvironment,
  type Finished,
  freePort,
  runToEnd,
  startProgram,
  untilReady,
} from "./program.ts";

export interface Repository {
  /** The developer's clone. */
  readonly folder: string;
  /** What the agent's clone is made from. */
  readonly origin: string;
  /** Runs a shell line in the developer's clone; its output. @throws Error where it fails */
  sh: (line: string, stdin?: string) => Promise<string>;
  /** The same for one that need not succeed. */
  attempt: (line: string, stdin?: string) => Promise<Finished>;
  commit: (subject: string) => Promise<void>;
  remove: () => Promise<void>;
}

const IDENTITY = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "A Developer",
  GIT_AUTHOR_EMAIL: "developer@example.org",
  GIT_COMMITTER_NAME: "A Developer",
  GIT_COMMITTER_EMAIL: "developer@example.org",
};

/** A bare repository with one branch, `main`, and a clone in which `signet` is on the PATH. */
export async function makeRepository(env: Record<string, string>): Promise<Repository> {
  const base = await mkdtemp(join(tmpdir(), "gitops-"));
  const [origin, folder, bin] = ["origin.git", "work", "bin"].map((name) => join(base, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(bin);
  for (const [name, file] of [
    ["signet", "signet.cjs"],
    ["kubeseal", "kubeseal.cjs"],
  ] as const) {
    const shim = `#!/bin/sh\nexec "${process.execPath}" "${resolve("dist", file)}" "$@"\n`;
    await writeFile(join(bin, name), shim);
    await chmod(join(bin, name), 0o755);
  }
  const path = `${bin}:${process.env["PATH"] ?? ""}`;
  const all = { ...IDENTITY, HOME: base, PATH: path, ...env };
  const attempt: Repository["attempt"] = (line, stdin = "") =>
    runToEnd(["sh", "-c", line], { cwd: folder, env: all, stdin });
  const sh = async (line: string, stdin?: string): Promise<string> => {
    const { status, stdout, stderr } = await attempt(line, stdin);
    if (status !== 0) throw new Error(`\`${line}\` ended with ${status}:\n${stdout}${stderr}`);
    return stdout;
  };
  await mkdir(folder);
  await sh(`git init -q --bare -b main "${origin}" && git init -q -b main .`);
  await sh(`git remote add origin "${origin}"`);
  await sh("git config branch.main.remote origin && git config branch.main.merge refs/heads/main");
  return {
    folder,
    origin,
    sh,
    attempt,
    commit: async (subject) => {
      await sh(`git add -A && git commit -q -m "${subject}" && git push -q origin main`);
    },
    remove: () => rm(base, { recursive: true, force: true }),
  };
}

export interface Agent {
  /** Pulls, and has the engine sync what it pulled. */
  sync: () => Promise<void>;
  logs: () => string;
  stop: () => Promise<unknown>;
}

/** Argo CD's engine on one folder of the repository, pruning, as an administrator of the cluster. */
export async function startAgent(
  plane: ControlPlane,
  { origin, folder }: Pick<Repository, "origin" | "folder">,
  path: string,
): Promise<Agent> {
  const clone = await mkdtemp(join(folder, "..", "agent-"));
  const git = async (...args: string[]): Promise<void> => {
    const { status, stderr } = await runToEnd(["git", ...args], { cwd: clone });
    if (status !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
  };
  await git("clone", "-q", "-b", "main", origin, ".");
  const port = await freePort("127.0.0.1");
  const program = startProgram(
    [
      partPath("gitops-agent"),
      clone,
      ...[`--path=${path}`, `--kubeconfig=${await plane.kubeconfig()}`, `--port=${port}`],
      ...["--default-namespace=default", "--resync-seconds=3600"],
    ],
    { env: cleanEnvironment() },
  );
  const isUp = (): Promise<boolean> => Promise.resolve(program.logs().includes("RESOURCE"));
  await untilReady("the GitOps agent", program, isUp);
  return {
    sync: async () => {
      await git("pull", "-q");
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/sync`);
      await answer.arrayBuffer();
    },
    logs: program.logs,
    stop: () => program.stop(),
  };
}

/** What an engine does with manifests: compares them with the cluster, or applies them. */
export type EngineMode =
  | "kustomize-apply"
  | "kustomize-diff"
  | "helm-diff"
  | `argo-diff${"" | " structured" | " server-side"}`
  | `argo-sync${"" | " server-side" | " replace"}`;

/**
 * Has the code of Argo CD or Flux compare or apply manifests, as an administrator of the cluster. Returns
 * what it says of each kind.
 */
export async function askEngine(
  plane: ControlPlane,
  mode: EngineMode,
  manifests: readonly KubeObject[],
): Promise<Record<string, string>> {
  const command = [partPath("gitops-drift"), await plane.kubeconfig(), mode];
  const stdin = JSON.stringify(manifests);
  const { status, stdout, stderr } = await runToEnd(command, { stdin });
  if (status !== 0) throw new Error(`${mode}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, string>;
}
