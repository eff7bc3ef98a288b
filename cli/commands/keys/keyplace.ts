// The cluster that a command of `signet keys` works on: who chose it, and a question where it was not
// the person.
// SPEC.md, "Retirement of keys", "Backups".

import { currentContext } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import {
  clusterOptions,
  type ClusterOptions,
  type GivenClusterOptions,
} from "../../cluster/clusteroptions.ts";
import { type Connected, connection } from "../../options.ts";
import { projectClusterOptions } from "../../repository/clustercertificates.ts";
import { clusterNamed, findProject } from "../../repository/project.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import { PROJECT_FILE } from "../../repository/projectfolder.ts";
import { say } from "../../terminal/messages.ts";

export interface KeyFlags {
  readonly cluster?: string;
  readonly json: boolean;
}

/** A part of the place that signet.yaml chose, and the flag that would have chosen it. */
interface ProjectChoice {
  readonly flag: string;
  readonly value: string;
}

export interface KeyPlace extends ClusterOptions {
  readonly projectCluster: ProjectCluster | null;
  /** What signet.yaml chose and neither the command line nor the kubeconfig would have. */
  readonly chosenByProject: readonly ProjectChoice[];
}

/** The cluster of signet.yaml that --cluster names, or else that of the kubeconfig. */
export function keyPlace(flags: Connected<KeyFlags>): KeyPlace {
  const given = connection(flags);
  const project = findProject();
  if (flags.cluster === undefined) {
    checkUnambiguous(project, given);
    return { ...clusterOptions(given), projectCluster: null, chosenByProject: [] };
  }
  if (project === null) {
    throw new SignetError("usage", "--cluster names one of signet.yaml, and there is none", {
      hint: "for a context of the kubeconfig say --context",
    });
  }
  const projectCluster = clusterNamed(project, flags.cluster);
  const options = projectClusterOptions(projectCluster, given);
  return { ...options, projectCluster, chosenByProject: choicesOf(options, clusterOptions(given)) };
}

/**
 * The kubeconfig's current context changes unnoticed, so it does not choose between the clusters of
 * a repository.
 * @throws SignetError usage
 */
function checkUnambiguous(project: Project | null, given: GivenClusterOptions): void {
  const clusters = [...(project?.clusters.values() ?? [])];
  if (given.context !== undefined || given.kubeconfig !== undefined || clusters.length === 0)
    return;
  const [only] = clusters;
  const current = currentContext(given)?.name;
  const isMeant = only?.context === undefined || only.context === current;
  if (clusters.length === 1 && isMeant) return;
  const names = clusters.map(({ name }) => name).join(", ");
  throw new SignetError("usage", "no cluster was named", {
    hint:
      `use --cluster to name one of ${PROJECT_FILE}: ${names}; ` +
      `or --context${current === undefined ? "" : ` (the current one is ${quoted(current)})`}`,
  });
}

/** `options`: with signet.yaml; `without`: what the same command line means without it. */
function choicesOf(options: ClusterOptions, without: ClusterOptions): ProjectChoice[] {
  const choices: (ProjectChoice & { readonly otherwise: string | undefined })[] = [
    {
      flag: "--context",
      value: options.context ?? "",
      otherwise: without.context ?? currentContext(without)?.name,
    },
    {
      flag: "--controller-namespace",
      value: options.controllerNamespace,
      otherwise: without.controllerNamespace,
    },
    {
      flag: "--controller-name",
      value: options.controllerName,
      otherwise: without.controllerName,
    },
  ];
  return choices
    .filter(({ value, otherwise }) => value !== "" && value !== otherwise)
    .map(({ flag, value }) => ({ flag, value }));
}

/**
 * Says where keys are read, written or changed. Asks whether it is right where signet.yaml chose any
 * part of it: anyone who writes to the repository can write that file. `dryRun`: nothing moves, so
 * that nothing is asked.
 * @throws SignetError usage where there is nobody to ask; cancelled, io
 */
export async function confirmPlace(place: KeyPlace & { readonly dryRun: boolean }): Promise<void> {
  await sayPlace(place);
  const { chosenByProject, dryRun } = place;
  if (chosenByProject.length === 0 || dryRun) return;
  const words = chosenByProject.map(({ flag, value }) => `${flag} ${quoted(value)}`).join(" ");
  await confirm(`${PROJECT_FILE} chose ${words}: is that the right place?`, {
    message: `${PROJECT_FILE} chose the place: ${words}`,
    hint: "if it is right, say so with these flags",
  });
}

/**
 * Asks a question that only a clear yes answers.
 * @throws SignetError usage where there is nobody to ask; cancelled where the answer is no
 */
export async function confirm(
  question: string,
  unasked: { readonly message: string; readonly hint: string },
): Promise<void> {
  const { askYesNo, canAsk } = await import("../../terminal/prompts.ts");
  if (!canAsk()) throw new SignetError("usage", unasked.message, { hint: unasked.hint });
  if (await askYesNo(question, false)) return;
  throw new SignetError("cancelled", "cancelled; no changes made");
}

/** Names the cluster and the context that a command works on. */
export async function sayPlace(place: ClusterOptions): Promise<void> {
  const { loadKubeconfig, shownServer } = await import("../../../host/kubernetes/kubeconfig.ts");
  const address = shownServer(loadKubeconfig(place));
  const context = place.context ?? currentContext(place)?.name;
  const { controllerNamespace: namespace, controllerName: name } = place;
  const named = context === undefined ? "" : ` (context ${context})`;
  say(`cluster ${address}${named}, namespace ${namespace}, controller ${name}`);
}

/** For a shell, to copy from a message. */
function quoted(word: string): string {
  return /^[\w.@:/+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
