// `signet doctor`: whether the machine, the clone, the repository and its clusters are ready for work.
// SPEC.md, "Command line".

import type { Command } from "commander";
import { SignetError } from "../../../shared/errors.ts";
import type { GivenClusterOptions } from "../../cluster/clusteroptions.ts";
import {
  clusterOption,
  type Connected,
  connection,
  flag,
  jsonOption,
  withConnection,
} from "../../options.ts";
import { clusterNamed, findProject, needProject } from "../../repository/project.ts";
import type { Project } from "../../repository/projectfile.ts";
import { count } from "../../terminal/counts.ts";
import { type Line, type Style, styled } from "../../terminal/line.ts";
import { say } from "../../terminal/messages.ts";
import { printJson, printLines } from "../../terminal/results.ts";
import { checkCluster, checkKubeconfig } from "./clusterchecks.ts";
import type { Diagnosis } from "./diagnosis.ts";
import { checkMachine } from "./machinechecks.ts";
import { checkCertificate, checkPlaintext } from "./repositorychecks.ts";

const HELP = `
This checks:
- the machine: versions, the editor, Git, the pre-commit hook and Git's drivers;
- the repository: signet.yaml, the age of each cluster's certificate, and Secrets in plain text;
- the clusters of signet.yaml: the kubeconfig and its contexts, the API server, the controller and its keys.

All clusters are checked at once, each within --request-timeout (here 10s by default). Nothing is changed, and
no values are read from a cluster.

It also lists what it did not check. Run \`signet verify\` to check the sealed files, and \`signet explain
CODE\` for details on a problem.

Exit status: 0 no problems found, or only warnings, 3 problems found, 1 the check could not run.

Examples:
  $ signet doctor
  $ signet doctor --offline
  $ signet doctor --json | jq -r '.checks[] | select(.state == "problem") | .code'`;

export function define(command: Command): void {
  withConnection(
    command
      .usage("[OPTION...]")
      .description("Check whether this machine, the repository and its clusters are ready.")
      .addOption(flag("--offline", "do not ask the clusters"))
      .addOption(clusterOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((flags: Connected<DoctorOptions>) => runDoctor(connection(flags)));
}

interface DoctorOptions extends GivenClusterOptions {
  readonly offline: boolean;
  readonly cluster?: string;
  readonly json: boolean;
}

const DEADLINE_MS = 10_000;

/** @throws SignetError check-found where there is a problem; usage */
async function runDoctor(options: DoctorOptions): Promise<void> {
  if (options.cluster !== undefined) clusterNamed(needProject(), options.cluster);
  const found: Diagnosis[] = [];
  let printed = Promise.resolve();
  const tell = (diagnosis: Diagnosis): void => {
    found.push(diagnosis);
    if (!options.json) printed = printed.then(() => printLines(linesOf(diagnosis)));
  };
  checkMachine(tell);
  const project = projectToCheck(tell);
  const clusters = [...(project?.clusters.values() ?? [])].filter(
    ({ name }) => options.cluster === undefined || options.cluster === name,
  );
  tell(checkKubeconfig(clusters, options));
  const deadlineMs = options.requestTimeoutMs || DEADLINE_MS;
  const given = { ...options, requestTimeoutMs: deadlineMs };
  const asked = clusters.map(async (cluster) => {
    if (project === null) return;
    checkCertificate(project, cluster, tell);
    if (!options.offline) await checkCluster(project, cluster, given, deadlineMs, tell);
  });
  tell(await checkPlaintext(project));
  await Promise.all(asked);
  await printed;
  const unchecked = notChecked(found, options, project);
  if (options.json) await printJson({ checks: found, notChecked: unchecked });
  else for (const each of unchecked) say(`not checked: ${each}`);
  const problems = found.filter(({ state }) => state === "problem").length;
  if (problems > 0) throw new SignetError("check-found", `${count(problems, "problem")} found`);
}

function projectToCheck(tell: (diagnosis: Diagnosis) => void): Project | null {
  const check = "signet.yaml";
  try {
    const project = findProject();
    if (project === null) {
      const hint = "run `signet init` to create it, for a repository with several clusters";
      tell({ check, state: "skipped", message: "not found", hint });
    } else {
      const message = `${count(project.clusters.size, "cluster")} in ${project.root}`;
      tell({ check, state: "ok", message });
    }
    return project;
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    tell({ check, state: "problem", code: "bad-project", message: error.message });
    return null;
  }
}

/** What a reader might believe was checked. */
function notChecked(
  found: readonly Diagnosis[],
  { offline }: DoctorOptions,
  project: Project | null,
): string[] {
  const skipped = found
    .filter(({ state }) => state === "skipped")
    .map(({ check, cluster, message }) => `${placed({ check, cluster })}: ${message}`);
  return [
    ...skipped,
    ...(offline && project !== null ? ["the clusters, because of --offline"] : []),
    "whether values open, and sealed files: `signet verify --live`",
    "older commits: `signet scan --range`",
  ];
}

const placed = ({ check, cluster }: { check: string; cluster?: string | undefined }): string =>
  cluster === undefined ? check : `${cluster}: ${check}`;

const STYLES: Readonly<Record<Diagnosis["state"], Style>> = {
  ok: "green",
  warning: "yellow",
  problem: "red",
  skipped: "dim",
};

function linesOf({ check, cluster, state, message, code, hint }: Diagnosis): Line[] {
  const lines: Line[] = [
    [
      styled(state.padEnd(8), STYLES[state]),
      ` ${placed({ check, cluster })}: ${message}`,
      code === undefined ? "" : styled(` [${code}]`, "dim"),
    ],
  ];
  if (hint !== undefined) lines.push([" ".repeat(9), styled("hint:", "cyan"), ` ${hint}`]);
  return lines;
}
