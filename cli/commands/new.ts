// `signet new`: a Secret made from answers or flags and sealed for one cluster or several.
// SPEC.md, "Command line".

import { type Command, Option } from "commander";
import { type Scope, SCOPES } from "../../shared/sealing/scope.ts";
import { type Connected, connection, dryRunOption, flag, jsonOption, list, pinOption, scopeWords, withConnection, withSecretForms } from "../options.ts";
import { extname } from "node:path";
import type { Certificate } from "../../shared/keys/certificate.ts";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { isItemName, type Secret } from "../../shared/kubernetes/secret.ts";
import { parseMetadata } from "../../shared/kubernetes/object.ts";
import { Certificates, type GivenCertificate } from "../repository/clustercertificates.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import { readBytes, statIfThere } from "../../host/readfile.ts";
import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { clusterNamed, findProject, newFilePath, type Project, type ProjectCluster } from "../repository/project.ts";
import type * as prompts from "../terminal/prompts.ts";
import { checkType } from "../sealing/secretcheck.ts";
import { printJson } from "../terminal/results.ts";
import { say } from "../terminal/messages.ts";
import { shortFingerprint } from "../terminal/words.ts";
import { checkItem, generatePassword, hasValues, readClusterValues, type ValueFlags, type Values } from "../sealing/values.ts";

const HELP = `
On a terminal, and without a value by flags, everything that is not said is asked for. Values are
typed without being shown, read from files, or generated; none is ever on the command line.

With --cluster all, or several, each cluster gets a file of its own, where newFile of signet.yaml
says; a value is asked for or generated once, or with --per-cluster once for each.

Examples:
  $ signet new
  $ signet new db -n shop --cluster prod --from-literal password < password.txt
  $ signet new db -n shop --cluster all --per-cluster --generate password=40 --from-file ca.crt
  $ signet new web-tls -n shop --cluster prod --tls-cert tls.crt --tls-key tls.key
  $ signet new registry -n shop --cluster prod --docker-username robot < token.txt`;

export function define(command: Command): void {
  withConnection(
    withSecretForms(
      command
        .argument("[NAME]")
        .usage("[OPTION...] [NAME]")
        .description("Makes a Secret from answers or flags, and writes it sealed.")
        .option("-n, --namespace <NAMESPACE>", "its namespace")
        .addOption(
          list(
            "--cluster <NAME|all>",
            "the cluster of signet.yaml; several may be named",
          ).conflicts("cert"),
        )
        .addOption(new Option("--scope <SCOPE>", scopeWords).choices(SCOPES))
        .option("-w, --output <FILE>", "write there (default: as newFile of signet.yaml says)")
        .addOption(flag("--per-cluster", "ask for, or generate, another value for each cluster"))
        .addOption(new Option("--cert <FILE|URL>", "the certificate to seal with"))
        .addOption(pinOption())
        .addOption(dryRunOption())
        .addOption(jsonOption()),
    ),
  )
    .addHelpText("after", HELP)
    .action(
      (
        name: string | undefined,
        { cluster, ...flags }: Connected<Omit<NewOptions, "clusters"> & { cluster: string[] }>,
      ) => runNew(name, { ...connection(flags), clusters: cluster }),
    );
}

export interface NewOptions extends Omit<GivenCertificate, "cluster">, ValueFlags {
  readonly clusters: readonly string[];
  readonly namespace?: string;
  readonly type?: string;
  readonly scope?: Scope;
  readonly output?: string;
  /** Asks for each literal, and generates each password, once a cluster. */
  readonly perCluster: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

type Prompts = typeof prompts;

interface Plan {
  readonly name: string;
  readonly namespace: string;
  readonly type: string;
  readonly scope: Scope;
  readonly clusters: readonly ProjectCluster[];
  /** The values of every cluster. */
  readonly shared: Values;
  /** Those that differ, by the cluster's name. */
  readonly own: ReadonlyMap<string, Values>;
}

/** @throws SignetError; then nothing was written */
export async function runNew(name: string | undefined, options: NewOptions): Promise<void> {
  const project = findProject();
  const places = new Places(options, project);
  const plan = hasValues(options)
    ? await planFromFlags(name, options, project)
    : await planFromAnswers(name, options, project, places);
  const targets = plan.clusters.length === 0 ? [null] : plan.clusters;
  if (targets.length > 1 && options.output !== undefined) {
    throw new SignetError("usage", "--output names one file, but there are several clusters", {
      hint: "leave it out: newFile of signet.yaml says where each cluster's file goes",
    });
  }
  const outputs = new Map<string, Output>();
  const facts: object[] = [];
  const lines: string[] = [];
  for (const cluster of targets) {
    const { path, certificate } = await places.for(plan, cluster);
    if (outputs.has(path)) {
      throw new SignetError("usage", "several clusters would have this file", {
        hint: "newFile of signet.yaml needs {cluster} in it",
        place: { file: path },
      });
    }
    const data = new Map([...plan.shared, ...(plan.own.get(cluster?.name ?? "") ?? [])]);
    const secret = secretOf(plan, data);
    const sealed = await seal(secret, certificate, plan.scope);
    const format = extname(path).toLowerCase() === ".json" ? "json" : "yaml";
    outputs.set(path, { path, text: formatManifests([formatSealedSecret(sealed)], format) });
    facts.push({
      file: path,
      cluster: cluster?.name ?? null,
      fingerprint: certificate.fingerprint,
    });
    const where = cluster === null ? "" : ` for ${cluster.name}`;
    lines.push(`${path}: sealed${where} under ${shortFingerprint(certificate.fingerprint)}`);
  }
  if (!options.dryRun) await writeFiles([...outputs.values()]);
  if (options.json) await printJson({ dryRun: options.dryRun, files: facts });
  else for (const line of lines) say(options.dryRun ? `would write ${line}` : line);
}

interface Place {
  readonly path: string;
  readonly certificate: Certificate;
}

/** Where each cluster's file goes, and what it is sealed with; looked for once. */
class Places {
  readonly #options: NewOptions;
  readonly #project: Project | null;
  readonly #found = new Map<ProjectCluster | null, Promise<Place>>();

  constructor(options: NewOptions, project: Project | null) {
    this.#options = options;
    this.#project = project;
  }

  /** @throws SignetError io where a file is there already; all that finding a certificate throws */
  for(plan: Pick<Plan, "name" | "namespace">, cluster: ProjectCluster | null): Promise<Place> {
    let found = this.#found.get(cluster);
    if (found === undefined) this.#found.set(cluster, (found = this.#find(plan, cluster)));
    return found;
  }

  async #find(
    plan: Pick<Plan, "name" | "namespace">,
    cluster: ProjectCluster | null,
  ): Promise<Place> {
    const path =
      this.#options.output ??
      (this.#project === null || cluster === null
        ? `${plan.name}.yaml`
        : newFilePath(this.#project, cluster, plan));
    if (statIfThere(path) !== undefined) {
      throw new SignetError("io", "is there already", {
        hint: `\`signet set ${path} ITEM\` changes what is in it`,
        place: { file: path },
      });
    }
    const given = { ...this.#options, ...(cluster === null ? {} : { cluster: cluster.name }) };
    return { path, certificate: await new Certificates(given, this.#project).for(path) };
  }
}

function secretOf({ name, namespace, type }: Plan, data: Values): Secret {
  const metadata = parseMetadata({ name, namespace }, "secret-invalid");
  const secret = { metadata, type, immutable: undefined, data };
  if (data.size === 0) {
    throw new SignetError("secret-invalid", "there is no value in what was named", {
      hint: "what --from-file and --from-env-file name is empty: see whether it is the right one",
    });
  }
  checkType(secret);
  return secret;
}

function chosenClusters(options: NewOptions, project: Project | null): ProjectCluster[] {
  if (project === null) {
    if (options.clusters.length === 0) return [];
    throw new SignetError("usage", "--cluster names one of signet.yaml, and there is none", {
      hint: "`signet init` makes one",
    });
  }
  if (options.clusters.includes("all")) {
    if (project.clusters.size > 0) return [...project.clusters.values()];
    throw new SignetError("usage", "signet.yaml has no cluster yet", {
      hint: "`signet init --cluster NAME` adds one",
    });
  }
  return [...new Set(options.clusters)].map((name) => clusterNamed(project, name));
}

async function planFromFlags(
  name: string | undefined,
  options: NewOptions,
  project: Project | null,
): Promise<Plan> {
  if (name === undefined || name === "") {
    throw new SignetError("usage", "what is the Secret's name?", { hint: "signet new NAME ..." });
  }
  const scope = options.scope ?? project?.scope ?? "strict";
  const namespace = options.namespace ?? namespaceOfContext(name, scope, options);
  if (namespace === "" && scope !== "cluster-wide") {
    throw new SignetError("usage", "which namespace is it for?", { hint: "say --namespace" });
  }
  let clusters = chosenClusters(options, project);
  if (clusters.length === 0 && project !== null && options.cert === undefined) {
    clusters = [...project.clusters.values()];
    if (clusters.length > 1) {
      throw new SignetError("usage", "which cluster is it for?", {
        hint: "say --cluster for each, or --cluster all",
      });
    }
  }
  (options.fromLiteral ?? []).forEach(checkItem);
  const isOwn = options.perCluster && clusters.length > 1;
  const { shared, own, type } = await readClusterValues(options, isOwn ? namesOf(clusters) : []);
  return { name, namespace, type: options.type ?? type ?? "Opaque", scope, clusters, shared, own };
}

function namesOf(clusters: readonly ProjectCluster[]): string[] {
  return clusters.map(({ name }) => name);
}

/** Said, as it is seen nowhere on the command line. */
function namespaceOfContext(name: string, scope: Scope, options: NewOptions): string {
  if (scope === "cluster-wide") return "";
  const context = currentContext(options);
  if (context === null || context.namespace === "") return "";
  say(
    `note: ${name} is sealed for the namespace "${context.namespace}", that of the kubeconfig's ` +
      `context "${context.name}"`,
  );
  return context.namespace;
}

const TYPES: readonly {
  readonly type: string;
  readonly words: string;
  readonly items: readonly string[];
}[] = [
  { type: "Opaque", words: "any values (Opaque)", items: [] },
  { type: "kubernetes.io/basic-auth", words: "user and password", items: ["username", "password"] },
  { type: "kubernetes.io/tls", words: "TLS certificate and key", items: ["tls.crt", "tls.key"] },
  { type: "kubernetes.io/ssh-auth", words: "SSH key", items: ["ssh-privatekey"] },
  { type: "kubernetes.io/dockerconfigjson", words: "registry login", items: [] },
];

async function planFromAnswers(
  given: string | undefined,
  options: NewOptions,
  project: Project | null,
  places: Places,
): Promise<Plan> {
  const ask = await import("../terminal/prompts.ts");
  if (!ask.canAsk()) {
    throw new SignetError("usage", "there is nobody to ask, and no value was named", {
      hint: "say --from-literal ITEM, --from-file, --from-env-file or --generate",
    });
  }
  const isName = (text: string): string | null =>
    /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text) ? null : "lower-case letters, digits and '-'";
  const name = given ?? (await ask.askText("Name of the Secret:", "", isName));
  const scope = options.scope ?? project?.scope ?? SCOPES[0];
  const namespace =
    options.namespace ??
    (scope === "cluster-wide"
      ? ""
      : await ask.askText("Namespace:", currentContext(options)?.namespace ?? "", isName));
  let clusters = chosenClusters(options, project);
  const all = [...(project?.clusters.values() ?? [])];
  if (clusters.length === 0 && options.cert === undefined) {
    clusters =
      all.length < 2
        ? all
        : await ask.askChoices(
            "Clusters:",
            all.map((cluster) => ({ name: cluster.name, value: cluster })),
          );
  }
  // What is wrong with it is better said before someone types.
  for (const cluster of clusters.length === 0 ? [null] : clusters) {
    await places.for({ name, namespace }, cluster);
  }
  const kind =
    options.type === undefined
      ? await ask.askChoice(
          "Type:",
          TYPES.map((each) => ({ name: each.words, value: each })),
        )
      : { type: options.type, items: [] };
  const isSame = async (what: string): Promise<boolean> =>
    clusters.length < 2 ||
    (!options.perCluster && (await ask.askYesNo(`Is ${what} the same in every cluster?`, true)));
  if (kind.type === "kubernetes.io/dockerconfigjson") {
    const dockerServer = await ask.askText("Registry:", "https://index.docker.io/v1/");
    const dockerUsername = await ask.askText("User:");
    const names = (await isSame("the password")) ? [] : namesOf(clusters);
    const values = await readClusterValues({ dockerServer, dockerUsername }, names);
    return { name, namespace, scope, clusters, ...values, type: kind.type };
  }
  const shared = new Map<string, Uint8Array>();
  const own = new Map<string, Map<string, Uint8Array>>();
  const take = async (item: string): Promise<void> => {
    if (await isSame(item)) {
      shared.set(item, await askValue(ask, item));
      return;
    }
    for (const cluster of clusters) {
      const values = own.get(cluster.name) ?? new Map<string, Uint8Array>();
      own.set(cluster.name, values.set(item, await askValue(ask, `${item} in ${cluster.name}`)));
    }
  };
  for (const item of kind.items) await take(item);
  while (kind.items.length === 0) {
    const isFirst = shared.size + own.size === 0;
    const isTaken = (text: string): boolean =>
      shared.has(text) || [...own.values()].some((values) => values.has(text));
    const isWrong = (text: string): string | null => {
      if (text === "" && !isFirst) return null;
      if (!isItemName(text)) return "letters, digits, '-', '_' and '.'";
      return isTaken(text) ? `${text} has a value already` : null;
    };
    const item = await ask.askText(
      isFirst ? "Name of a value:" : "Name of another value (none: done):",
      "",
      isWrong,
    );
    if (item === "") break;
    await take(item);
  }
  return { name, namespace, type: kind.type, scope, clusters, shared, own };
}

async function askValue(ask: Prompts, words: string): Promise<Uint8Array> {
  const from = await ask.askChoice(`Value of ${words}:`, [
    { name: "type it (it is not shown)", value: "typed" },
    { name: "read a file", value: "file" },
    { name: "generate a password", value: "generated" },
  ]);
  if (from === "generated") return new TextEncoder().encode(generatePassword());
  if (from === "typed") {
    const text = await ask.askHidden(`${words}:`, (value) => (value === "" ? "empty" : null));
    return new TextEncoder().encode(text);
  }
  const path = await ask.askText("File:", "", (file) =>
    statIfThere(file)?.isFile() === true ? null : "there is no such file",
  );
  return readBytes(path);
}
