// The cluster that a command of `signet keys` works on. It asks for confirmation if the person did not
// choose the cluster.
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

/** A part of the place that signet.yaml chose, and the flag for it. */
interface ProjectChoice {
  readonly flag: string;
  readonly value: string;
}

export interface KeyPlace extends ClusterOptions {
  readonly projectCluster: ProjectCluster | null;
  /** The parts that come only from signet.yaml, not from the command line or the kubeconfig. */
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
    throw new SignetError("usage", "--cluster requires signet.yaml, which was not found", {
      hint: "for a context of the kubeconfig, use --context",
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
 * Prints where keys are read, written or changed. If signet.yaml chose any part of that, asks for
 * confirmation, as anyone with write access to the repository can change that file. `dryRun`: does not
 * ask, as nothing changes.
 * @throws SignetError usage if standard input is not a terminal; cancelled, io
 */
export async function confirmPlace(place: KeyPlace & { readonly dryRun: boolean }): Promise<void> {
  await sayPlace(place);
  const { chosenByProject, dryRun } = place;
  if (chosenByProject.length === 0 || dryRun) return;
  const words = chosenByProject.map(({ flag, value }) => `${flag} ${quoted(value)}`).join(" ");
  await confirm(`${PROJECT_FILE} sets ${words}: is that correct?`, {
    message: `${PROJECT_FILE} sets the cluster or controller, which must be confirmed: ${words}`,
    hint: "if this is correct, add these flags to the command",
  });
}

/**
 * Asks for confirmation, which only an explicit yes gives.
 * @throws SignetError usage if standard input is not a terminal; cancelled if the answer is no
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

/** Quoted for a shell, to copy from a message. */
function quoted(word: string): string {
  return /^[\w.@:/+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
