// The plan of `signet new` from flags: the Secret's name, values and clusters.

import { currentContext } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { bindsNamespace, type Scope } from "../../../shared/sealing/scope.ts";
import type { GivenCertificate } from "../../repository/clustercertificates.ts";
import { clusterNamed } from "../../repository/project.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import { checkItem } from "../../sealing/itemnames.ts";
import { readClusterValues, type ValueFlags, type Values } from "../../sealing/values.ts";
import { say } from "../../terminal/messages.ts";

export interface NewOptions extends Omit<GivenCertificate, "cluster">, ValueFlags {
  readonly clusters: readonly string[];
  readonly namespace?: string;
  readonly type?: string;
  readonly scope?: Scope;
  readonly output?: string;
  /** Prompts for each literal, and generates each password, once for each cluster. */
  readonly perCluster: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

export interface Plan {
  readonly name: string;
  readonly namespace: string;
  readonly type: string;
  readonly scope: Scope;
  readonly clusters: readonly ProjectCluster[];
  /** Values for every cluster. */
  readonly shared: Values;
  /** Values that differ between clusters, by the cluster's name. */
  readonly own: ReadonlyMap<string, Values>;
}

export function chosenClusters(options: NewOptions, project: Project | null): ProjectCluster[] {
  if (project === null) {
    if (options.clusters.length === 0) return [];
    throw new SignetError("usage", "--cluster requires signet.yaml, which was not found", {
      hint: "run `signet init` to create it",
    });
  }
  if (options.clusters.includes("all")) {
    if (project.clusters.size > 0) return [...project.clusters.values()];
    throw new SignetError("usage", "signet.yaml has no clusters yet", {
      hint: "run `signet init --cluster NAME` to add one",
    });
  }
  return [...new Set(options.clusters)].map((name) => clusterNamed(project, name));
}

export async function planFromFlags(
  name: string | undefined,
  options: NewOptions,
  project: Project | null,
): Promise<Plan> {
  if (name === undefined || name === "") {
    throw new SignetError("usage", "the name of the Secret is missing", {
      hint: "use `signet new NAME`",
    });
  }
  const scope = options.scope ?? project?.scope ?? "strict";
  const namespace = options.namespace ?? namespaceOfContext(name, scope, options);
  if (namespace === "" && bindsNamespace(scope)) {
    throw new SignetError("usage", "the namespace is missing", { hint: "use --namespace" });
  }
  let clusters = chosenClusters(options, project);
  if (clusters.length === 0 && project !== null && options.cert === undefined) {
    clusters = [...project.clusters.values()];
    if (clusters.length > 1) {
      throw new SignetError("usage", "no cluster was named", {
        hint: "use --cluster NAME for each cluster, or --cluster all",
      });
    }
  }
  (options.fromLiteral ?? []).forEach(checkItem);
  const isOwn = options.perCluster && clusters.length > 1;
  const { shared, own, type } = await readClusterValues(options, isOwn ? namesOf(clusters) : []);
  return { name, namespace, type: options.type ?? type ?? "Opaque", scope, clusters, shared, own };
}

export function namesOf(clusters: readonly ProjectCluster[]): string[] {
  return clusters.map(({ name }) => name);
}

/** Prints the namespace, as it is not on the command line. */
function namespaceOfContext(name: string, scope: Scope, options: NewOptions): string {
  if (!bindsNamespace(scope)) return "";
  const context = currentContext(options);
  if (context === null || context.namespace === "") return "";
  say(
    `note: ${name} is sealed for the namespace "${context.namespace}", that of the kubeconfig's ` +
      `context "${context.name}"`,
  );
  return context.namespace;
}
