// `signet init`: creates signet.yaml, or adds clusters and rules to it.
// SPEC.md, "Projects".

import type { Command } from "commander";
import {
  type Connected,
  connection,
  dryRunOption,
  jsonOption,
  list,
  withConnection,
} from "../options.ts";
import { join, relative, resolve } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { editManifest } from "../../shared/manifest/edit.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import {
  certificateOutput,
  fetchClusterCertificate,
  withNewest,
} from "../repository/clustercertificates.ts";
import { fetchPublished, recoveryFolder, recoveryOutputs } from "../repository/recoveryfolder.ts";
import { readProjectText } from "../repository/project.ts";
import { rootOf } from "../../host/rootedfiles.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import { statIfThere } from "../../host/readfile.ts";
import { workTree } from "../git/gitprocess.ts";
import { currentContext, namesCluster } from "../../host/kubernetes/kubeconfigfiles.ts";
import type { GivenClusterOptions } from "../cluster/clusteroptions.ts";
import {
  ADDRESS,
  DEFAULT_NEW_FILE,
  parseProject,
  type Project,
  type ProjectCluster,
} from "../repository/projectfile.ts";
import { findProjectFolder, PROJECT_FILE } from "../repository/projectfolder.ts";
import { printJson } from "../terminal/results.ts";
import { say, warn } from "../terminal/messages.ts";

const HELP = `
signet.yaml is at the root of a repository, and commands find it from any folder below. If it already
exists, the clusters and rules that you name are added, and everything else stays unchanged. A new cluster
without a rule gets one for the files that \`signet new\` creates, such as NAME/**.

The fields of signet.yaml:
  clusters:
    prod:
      certificate: certificates/prod.pem   # the public certificate, and former ones
      context: prod                        # fetched with this kubeconfig context, or
      url: https://seal.example.org/v1/cert.pem    # from this address
      controller: { name: sealed-secrets-controller, namespace: kube-system }
      recovery: certificates/prod/recovery # verify fails if a key has no recovery file here
  paths:                                   # the first pattern that matches a path sets its cluster
    "prod/{namespace}/{name}.yaml": prod   # {namespace} and {name} are checked by \`signet verify\`
    "**/prod/**": prod
  newFile: "{cluster}/{namespace}/{name}.yaml"     # where \`signet new\` writes
  scope: strict                            # default scope
  maxKeyAge: 180d                          # \`signet verify\` fails for older keys
  maxDrillAge: 30d                         # it warns if the last \`signet keys drill --record\` is older
  rotation:                                # maximum age of values, by the first pattern that matches
    "prod/**": 90d
  scan:
    allow:                                 # plaintext that is allowed, and why
      - { files: "test/fixtures/**", reason: made up for tests }

Examples:
  $ signet init
  $ signet init --cluster dev=kind-dev --cluster prod=https://seal.example.org/v1/cert.pem
  $ signet init --cluster prod --path 'apps/*/prod/**=prod'`;

export function define(command: Command): void {
  withConnection(
    command
      .usage("[OPTION...]")
      .description(
        "Create signet.yaml, which says which cluster each file of this repository is for.",
      )
      .addOption(
        list("--cluster <NAME[=CONTEXT|URL]>", "add a cluster, and the source of its certificate"),
      )
      .addOption(list("--path <PATTERN=CLUSTER>", "add a rule: the files that are for a cluster"))
      .option("--no-fetch", "do not fetch the certificates now")
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((flags: Connected<InitOptions>) => runInit(connection(flags)));
}

interface InitOptions extends GivenClusterOptions {
  /** Clusters, each as `NAME` or `NAME=CONTEXT` or `NAME=https://...`. */
  readonly cluster: readonly string[];
  /** Rules, each as `PATTERN=CLUSTER`. */
  readonly path: readonly string[];
  readonly fetch: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const HEADER = `# Settings of \`signet\` for this repository; \`signet init --help\` describes every field.
`;

/** @throws SignetError; then nothing was written */
async function runInit(options: InitOptions): Promise<void> {
  const root = findProjectFolder() ?? workTree() ?? process.cwd();
  const path = join(root, PROJECT_FILE);
  const isNew = statIfThere(path) === undefined;
  const before = isNew
    ? `${HEADER}clusters: {}\npaths: {}\nnewFile: "${DEFAULT_NEW_FILE}"\n`
    : readProjectText(root);
  const given = await givenClusters(options, isNew);
  const names = Object.keys(given);
  const rules = saidRules(options);
  if (!isNew) checkNew(parseProject(before, root), given, rules);
  const asSaid = edited(before, given, rules);
  const further = furtherRules(parseProject(asSaid, root), Object.keys(given));
  const text = edited(asSaid, {}, further);
  const project = parseProject(text, root);
  const within = rootOf(root);
  const outputs: Output[] = [];
  const missing: string[] = [];
  const unreachable: ProjectCluster[] = [];
  const recoverable: ProjectCluster[] = [];
  const fetched: { readonly cluster: string; readonly fingerprint: string }[] = [];
  const canReach = namesCluster(options.kubeconfig);
  for (const name of names) {
    const cluster = project.clusters.get(name);
    if (cluster === undefined || !options.fetch) continue;
    const file = join(root, cluster.certificate);
    if (statIfThere(file) !== undefined) continue;
    if (cluster.url === undefined && !canReach) {
      missing.push(name);
      unreachable.push(cluster);
      continue;
    }
    try {
      const { certificate, source } = await fetchClusterCertificate(cluster, options);
      fetched.push({ cluster: name, fingerprint: certificate.fingerprint });
      if (!options.json) say(`${name}: the certificate of ${source} is ${certificate.fingerprint}`);
      const keys = { cluster, file, text: "", current: null, known: new Map() };
      outputs.push(certificateOutput(project, cluster, withNewest(certificate, keys)));
      const recovery = await fetchPublished(cluster, options);
      if (recovery === null) continue;
      recoverable.push(cluster);
      const known = new Map([[certificate.fingerprint, certificate]]);
      outputs.push(...recoveryOutputs(project, { cluster, known }, recovery));
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      missing.push(name);
      warn(`${name}: ${error.message}; run \`signet cert refresh ${name}\` later`);
    }
  }
  if (unreachable.length > 0) warn(withoutKubeconfig(unreachable));
  const said = withRecovery(text, recoverable);
  if (said !== before || isNew) outputs.unshift({ path, root: within, text: said });
  if (!options.dryRun) await writeFiles(outputs);
  const files = outputs.map((output) => relative(process.cwd(), resolve(output.path)));
  if (options.json) {
    await printJson({
      dryRun: options.dryRun,
      files,
      clusters: [...project.clusters.keys()],
      missing,
      certificates: fetched,
    });
    return;
  }
  if (files.length === 0) {
    say(`${relative(process.cwd(), path)}: already exists, with nothing to add`);
    return;
  }
  if (fetched.length > 0) {
    say("before you seal, check these fingerprints with the owner of each cluster");
  }
  for (const file of files) say(`${file}: ${options.dryRun ? "would be written" : "written"}`);
  if (!options.dryRun)
    say(
      "next: commit it, run `signet git install` to check commits, and `signet new` to seal the first Secret",
    );
}

function withoutKubeconfig(clusters: readonly ProjectCluster[]): string {
  const names = clusters.map(({ name }) => name);
  const files = clusters.map(({ certificate }) => certificate);
  return (
    `no kubeconfig found, so no certificate was fetched for ${names.join(", ")}: write the PEM to ` +
    `${files.join(", ")}, or run \`signet cert refresh ${names.join(" ")}\` later`
  );
}

/** The fields of each cluster, by its name. */
type Clusters = Record<string, { certificate: string; context?: string; url?: string }>;

async function givenClusters(options: InitOptions, isNew: boolean): Promise<Clusters> {
  const clusters: Clusters = {};
  for (const text of options.cluster) {
    const separator = text.indexOf("=");
    const name = separator === -1 ? text : text.slice(0, separator);
    const source = separator === -1 ? "" : text.slice(separator + 1);
    clusters[name] = clusterFrom(name, source);
  }
  if (options.cluster.length > 0 || !isNew) return clusters;
  const context = currentContext(options)?.name;
  const { askText, canAsk } = await import("../terminal/prompts.ts");
  if (!canAsk()) {
    throw new SignetError("usage", "no cluster was named", {
      hint: "use --cluster NAME=CONTEXT for each cluster of this repository",
    });
  }
  const names = await askText("Clusters of this repository, separated by spaces:", "prod");
  for (const name of names.trim().split(/[\s,]+/)) {
    const source = await askText(
      `Kubeconfig context, or address of the certificate, for ${name}:`,
      context ?? "",
    );
    clusters[name] = clusterFrom(name, source);
  }
  return clusters;
}

/** `source`: the address of its certificate, a context of the kubeconfig, or empty. */
function clusterFrom(name: string, source: string): Clusters[string] {
  return {
    certificate: `certificates/${name}.pem`,
    ...(ADDRESS.test(source) ? { url: source } : source === "" ? {} : { context: source }),
  };
}

function saidRules({ path }: InitOptions): Record<string, string> {
  const rules = path.map((text): [string, string] => {
    const separator = text.lastIndexOf("=");
    if (separator > 0) return [text.slice(0, separator), text.slice(separator + 1)];
    throw new SignetError("usage", "invalid rule: expected PATTERN=CLUSTER", {
      hint: "such as --path 'prod/**=prod'",
    });
  });
  return Object.fromEntries(rules);
}

/**
 * Rules for new clusters without one. They match the files that `signet new` creates, unless another
 * rule does.
 */
function furtherRules(
  { newFile, rules }: Project,
  names: readonly string[],
): Record<string, string> {
  const further = names.flatMap((name): [string, string][] => {
    const path = newFile.replaceAll("{cluster}", name);
    const pattern = newFile.startsWith("{cluster}/")
      ? `${name}/**`
      : path.replaceAll(/\{\w+\}/g, "*");
    const example = path.replaceAll(/\{\w+\}/g, "any");
    const isSaid = rules.some((rule) => rule.cluster === name || rule.match(example) !== null);
    return isSaid || !newFile.includes("{cluster}") ? [] : [[pattern, name]];
  });
  return Object.fromEntries(further);
}

/**
 * Removes clusters and rules that already exist from those to add.
 * @throws SignetError usage where an existing one differs, as it is never replaced
 */
function checkNew(project: Project, clusters: Clusters, rules: Record<string, string>): void {
  const there = (what: string): SignetError =>
    new SignetError("usage", `already has ${what}, which differs`, {
      hint: "edit the file by hand",
      place: { file: PROJECT_FILE },
    });
  for (const [name, { context, url }] of Object.entries(clusters)) {
    const old = project.clusters.get(name);
    if (old === undefined) continue;
    if ((url ?? old.url) !== old.url || (context ?? old.context) !== old.context) {
      throw there(`a cluster ${name}`);
    }
    Reflect.deleteProperty(clusters, name);
  }
  for (const [pattern, cluster] of Object.entries(rules)) {
    const old = project.rules.find((rule) => rule.pattern === pattern);
    if (old === undefined) continue;
    if (old.cluster !== cluster) throw there(`a rule ${pattern}`);
    Reflect.deleteProperty(rules, pattern);
  }
}

/** Requires recovery files for clusters whose controller publishes them. */
function withRecovery(text: string, clusters: readonly ProjectCluster[]): string {
  return clusters.reduce((result, cluster) => {
    const [document] = parseManifests(result, { file: PROJECT_FILE });
    if (document === undefined || cluster.recovery !== undefined) return result;
    const path = ["clusters", cluster.name, "recovery"];
    return editManifest(result, document, [{ path, value: recoveryFolder(cluster) }]);
  }, text);
}

/** Leaves every other line of the file unchanged. */
function edited(text: string, clusters: Clusters, rules: Record<string, string>): string {
  const additions: [readonly string[], Json][] = [
    ...Object.entries(clusters).map(([name, fields]): [string[], Json] => [
      ["clusters", name],
      fields,
    ]),
    ...Object.entries(rules).map(([pattern, cluster]): [string[], Json] => [
      ["paths", pattern],
      cluster,
    ]),
  ];
  let result = text;
  for (const [path, value] of additions) {
    const [document] = parseManifests(result, { file: PROJECT_FILE });
    if (document === undefined) {
      throw new SignetError("project-invalid", "is empty", {
        hint: "remove it, and run `signet init` again",
        place: { file: PROJECT_FILE },
      });
    }
    result = editManifest(result, document, [{ path, value }]);
  }
  return result;
}
