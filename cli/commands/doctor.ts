// `signet doctor`: checks what signet needs of this machine, the repository and the clusters.
// SPEC.md, "Command line", "Doctor".

import type { Command } from "commander";
import { loadKubeconfig, shownServer } from "../../host/kubernetes/kubeconfig.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { BUILD } from "../../shared/version.ts";
import { daysLeft } from "../cluster/certificatesource.ts";
import { clusterOptions, type ClusterOptions } from "../cluster/clusteroptions.ts";
import { runGit, workTree } from "../git/gitprocess.ts";
import { type Connected, connection, flag, jsonOption, withConnection } from "../options.ts";
import {
  clusterKeys,
  type ClusterKeys,
  projectClusterOptions,
} from "../repository/clustercertificates.ts";
import { findProject } from "../repository/project.ts";
import type { Project, ProjectCluster } from "../repository/projectfile.ts";
import { count, shortFingerprint } from "../terminal/counts.ts";
import { printJson, printLines } from "../terminal/results.ts";
import type { GivenClusterOptions } from "../cluster/clusteroptions.ts";

const HELP = `
Looks at the versions, Git and its drivers, signet.yaml and its certificates, and in each cluster at
every way to the certificate and at your permissions. Changes nothing. Exit status 3 where there is a
problem.

Example:
  $ signet doctor --context prod`;

export function define(command: Command): void {
  withConnection(
    command
      .usage("[OPTION...]")
      .description("Checks the setup: Git, certificates, clusters and permissions.")
      .addOption(flag("--offline", "ask no cluster"))
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((flags: Connected<DoctorOptions>) => runDoctor(connection(flags)));
}

interface DoctorOptions extends GivenClusterOptions {
  readonly offline: boolean;
  readonly json: boolean;
}

/** `note`: worth to know, and nothing is wrong. `skipped`: it was not looked at. */
type State = "ok" | "note" | "problem" | "skipped";

interface Check {
  readonly about: string;
  readonly state: State;
  readonly message: string;
}

/** @throws SignetError check-found where there is a problem */
async function runDoctor(options: DoctorOptions): Promise<void> {
  const checks: Check[] = [
    { about: "versions", state: "ok", message: `signet ${BUILD}, Node ${process.versions.node}` },
    ...gitChecks(),
  ];
  const { project, check } = projectCheck();
  checks.push(check);
  if (project === null || project.clusters.size === 0 || options.context !== undefined) {
    checks.push(...(await clusterChecks("the cluster", options, () => clusterOptions(options))));
  } else {
    for (const cluster of project.clusters.values()) {
      checks.push(...(await projectClusterChecks(project, cluster, options)));
    }
  }
  if (options.json) await printJson({ checks });
  else await printLines(checks.map(formatCheck));
  const problems = checks.filter(({ state }) => state === "problem").length;
  if (problems > 0) throw new SignetError("check-found", `${count(problems, "problem")} found`);
}

function formatCheck({ about, state, message }: Check): string {
  return `${state.padEnd(7)}  ${about}: ${message}`;
}

function gitChecks(): Check[] {
  const about = "git";
  let version: string;
  try {
    version = runGit(["--version"]).stdout.toString().trim();
  } catch (error) {
    return [{ about, state: "problem", message: wordsOf(error) }];
  }
  const top = workTree();
  if (top === null) {
    return [{ about, state: "note", message: `${version}; this folder is in no repository` }];
  }
  const driver = runGit(["config", "--get", "merge.signet.driver"]).status === 0;
  return [
    { about, state: "ok", message: version },
    driver
      ? { about, state: "ok", message: "the diff and merge drivers are installed" }
      : { about, state: "note", message: "no hook and drivers; `signet git install` adds them" },
  ];
}

function projectCheck(): { project: Project | null; check: Check } {
  const about = "signet.yaml";
  try {
    const project = findProject();
    if (project === null) {
      const message = "not found; `signet init` makes one";
      return { project, check: { about, state: "note", message } };
    }
    const message = count(project.clusters.size, "cluster");
    return { project, check: { about, state: "ok", message } };
  } catch (error) {
    return { project: null, check: { about, state: "problem", message: wordsOf(error) } };
  }
}

async function projectClusterChecks(
  project: Project,
  cluster: ProjectCluster,
  options: DoctorOptions,
): Promise<Check[]> {
  const about = cluster.name;
  let keys: ClusterKeys;
  try {
    keys = clusterKeys(project, cluster);
  } catch (error) {
    return [{ about, state: "problem", message: wordsOf(error) }];
  }
  const { current, file } = keys;
  const refresh = `\`signet cert refresh ${about}\``;
  const left = current === null ? 0 : daysLeft(current, new Date());
  const certificate: Check =
    current === null
      ? { about, state: "problem", message: `no certificate in ${file}; ${refresh} fetches it` }
      : left < 0
        ? { about, state: "problem", message: `${file} has expired; ${refresh} fetches the next` }
        : {
            about,
            state: "ok",
            message: `${file}: ${shortFingerprint(current.fingerprint)}, ${count(left, "day")} left`,
          };
  if (cluster.url !== undefined && cluster.context === undefined) {
    const message = "no context in signet.yaml: only the address of its certificate is known";
    return [certificate, { about, state: "skipped", message }];
  }
  const connect = (): ClusterOptions => projectClusterOptions(cluster, options);
  return [certificate, ...(await clusterChecks(about, options, connect, current?.fingerprint))];
}

/** `known`: the fingerprint of the repository's certificate. */
async function clusterChecks(
  about: string,
  { offline }: DoctorOptions,
  connect: () => ClusterOptions,
  known?: string,
): Promise<Check[]> {
  if (offline) return [{ about, state: "skipped", message: "not asked (--offline)" }];
  const checks: Check[] = [];
  try {
    const options = connect();
    const server = loadKubeconfig(options);
    checks.push({ about, state: "ok", message: `${shownServer(server)}, ${server.words}` });
    checks.push(...(await wayChecks(about, options, known)));
    checks.push(...(await permissionChecks(about, options)));
  } catch (error) {
    checks.push({ about, state: "problem", message: wordsOf(error) });
  }
  return checks;
}

/** Every way to the certificate, and whether it is the one of the repository. */
async function wayChecks(
  about: string,
  options: ClusterOptions,
  known: string | undefined,
): Promise<Check[]> {
  const { findPublished } = await import("../cluster/publishedcertificate.ts");
  const { tryEveryWay } = await import("../cluster/controller.ts");
  const published = await findPublished(options);
  const results: { way: string; result: { text: string } | string }[] = [
    {
      way: "published certificate",
      result: published ?? "the cluster does not know you: renew your login",
    },
  ];
  try {
    results.push(...(await tryEveryWay(options)));
  } catch (error) {
    results.push({ way: "controller", result: wordsOf(error) });
  }
  const found = new Set<string>();
  const checks = results.map(({ way, result }): Check => {
    if (typeof result === "string") return { about, state: "note", message: `${way}: ${result}` };
    try {
      const { fingerprint } = parseCertificate(result.text);
      found.add(fingerprint);
      return { about, state: "ok", message: `${way}: ${shortFingerprint(fingerprint)}` };
    } catch (error) {
      return { about, state: "problem", message: `${way}: ${wordsOf(error)}` };
    }
  });
  const problem = (message: string): Check => ({ about, state: "problem", message });
  if (found.size === 0) checks.push(problem("no way leads to the certificate"));
  if (found.size > 1) checks.push(problem("the ways lead to different certificates"));
  if (known !== undefined && found.size === 1 && !found.has(known)) {
    const refresh = `\`signet cert refresh ${about}\``;
    checks.push(problem(`the cluster seals with another key than the repository; ${refresh}`));
  }
  return checks;
}

async function permissionChecks(about: string, options: ClusterOptions): Promise<Check[]> {
  const { isAllowed } = await import("../cluster/permissions.ts");
  const { controllerName: name, controllerNamespace: namespace } = options;
  const proxied = { resource: "services", subresource: "proxy", namespace };
  const wanted = [
    [
      "verify and rotate by the service proxy",
      { ...proxied, verb: "create", name: `http:${name}:http` },
    ],
    [
      "port-forwards to the controller",
      { verb: "create", resource: "pods", subresource: "portforward", namespace },
    ],
    [
      "the sealing keys (keys backup, adopt, retire)",
      { verb: "list", resource: "secrets", namespace },
    ],
    [
      "SealedSecrets (status --live, diff)",
      { verb: "list", resource: "sealedsecrets", group: "bitnami.com" },
    ],
  ] as const;
  const checks: Check[] = [];
  for (const [what, permission] of wanted) {
    const allowed = await isAllowed(options, permission);
    const message = `${allowed ? "you have" : "you have no"} permission for ${what}`;
    checks.push({ about, state: allowed ? "ok" : "note", message });
  }
  return checks;
}

function wordsOf(error: unknown): string {
  if (!(error instanceof SignetError)) throw error;
  return error.place.file === undefined ? error.message : `${error.place.file}: ${error.message}`;
}
