// Checks of the clusters of signet.yaml: their contexts, API servers and controllers. All clusters are
// checked at once, each with a deadline.

import { mergedKubeconfig, namedFiles } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { asObject } from "../../../shared/kubernetes/object.ts";
import { checkHeldKey } from "../../checks/certificaterules.ts";
import type { ClusterOptions, GivenClusterOptions } from "../../cluster/clusteroptions.ts";
import { clusterKeys, projectClusterOptions } from "../../repository/clustercertificates.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import { count } from "../../terminal/counts.ts";
import type { Diagnosis, Tell } from "./diagnosis.ts";

/** The kubeconfig, and whether it has the contexts that signet.yaml names. */
export function checkKubeconfig(
  clusters: readonly ProjectCluster[],
  { kubeconfig }: GivenClusterOptions,
): Diagnosis {
  const check = "kubeconfig";
  const files = kubeconfig === undefined ? namedFiles() : [kubeconfig];
  try {
    const { contexts, currentContext } = mergedKubeconfig(kubeconfig);
    const missing = clusters.flatMap(({ context }) =>
      context === undefined || contexts.has(context) ? [] : [context],
    );
    const message = `${files.join(", ")}: ${count(contexts.size, "context")}, current: ${currentContext || "none"}`;
    if (missing.length === 0) {
      return { check, state: contexts.size === 0 ? "skipped" : "ok", message };
    }
    return {
      check,
      state: "problem",
      code: "no-context",
      message: `${files.join(", ")}: no context ${missing.join(", ")}, which signet.yaml names`,
      hint: "see `kubectl config get-contexts`",
    };
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return { check, state: "problem", code: "no-context", message: error.message };
  }
}

/** Returns at the deadline, with what was found so far. */
export async function checkCluster(
  project: Project,
  cluster: ProjectCluster,
  given: GivenClusterOptions,
  deadlineMs: number,
  tell: Tell,
): Promise<void> {
  const about = { check: "controller", cluster: cluster.name };
  let options: ClusterOptions;
  try {
    options = projectClusterOptions(cluster, given);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    tell({ ...about, state: "skipped", message: error.message });
    return;
  }
  let isOver = false;
  const tellInTime: Tell = (diagnosis) => {
    if (!isOver) tell(diagnosis);
  };
  const work = askCluster(project, cluster, options, tellInTime).catch((error: unknown) => {
    if (!(error instanceof SignetError)) throw error;
    const { message, hint } = error;
    tellInTime({
      ...about,
      state: "problem",
      code: "unreachable",
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  });
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      const message = `no answer within ${deadlineMs / 1000} seconds`;
      tellInTime({ ...about, state: "problem", code: "unreachable", message });
      isOver = true;
      resolve();
    }, deadlineMs);
  });
  await Promise.race([work, deadline]);
  clearTimeout(timer);
}

async function askCluster(
  project: Project,
  cluster: ProjectCluster,
  options: ClusterOptions,
  tell: Tell,
): Promise<void> {
  const [{ connectApiServer, objectIn }, { fetchHeldKeys }] = await Promise.all([
    import("../../cluster/apiserver.ts"),
    import("../../cluster/reportedkeys.ts"),
  ]);
  const { name } = cluster;
  const server = connectApiServer(options);
  const answer = await server.request("GET", "/version");
  const version = objectIn(answer)?.["gitVersion"];
  const kubernetes = typeof version === "string" ? `Kubernetes ${version}` : "Kubernetes";
  tell({ check: "API server", cluster: name, state: "ok", message: kubernetes });
  const { controllerNamespace: namespace, controllerName } = options;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(controllerName)}`;
  const service = objectIn(await server.request("GET", path));
  const labels = asObject(asObject(service?.["metadata"] ?? null)?.["labels"] ?? null);
  const label = labels?.["app.kubernetes.io/version"];
  const held = await fetchHeldKeys(options);
  const running = typeof label === "string" ? `version ${label}` : "unknown version";
  tell({
    check: "controller",
    cluster: name,
    state: "ok",
    message: `${namespace}/${controllerName}: ${running}, ${count(held.states.size, "key")}${held.isComplete ? "" : " (older ones are not reported)"}`,
  });
  const keys = clusterKeys(project, cluster);
  const about = { check: "certificate", cluster: name };
  const findings = checkHeldKey(keys, held);
  for (const { severity, rule, message } of findings) {
    tell({ ...about, state: severity === "error" ? "problem" : "warning", code: rule, message });
  }
  if (findings.length === 0 && keys.current !== null) {
    tell({ ...about, state: "ok", message: "matches the key that the controller seals with" });
  }
}
