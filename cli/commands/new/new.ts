// `signet new`: creates a Secret from answers or flags, sealed for one or several clusters.
// SPEC.md, "Command line".

import { extname } from "node:path";
import { type Command, Option } from "commander";
import { type Output, writeFiles } from "../../../host/writefiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { parseMetadata } from "../../../shared/kubernetes/object.ts";
import type { Secret } from "../../../shared/kubernetes/secret.ts";
import { formatManifests } from "../../../shared/manifest/manifest.ts";
import { seal } from "../../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../../shared/sealing/sealedsecret.ts";
import {
  askedScope,
  type Connected,
  connection,
  dryRunOption,
  flag,
  jsonOption,
  list,
  pinOption,
  type ScopeFlags,
  sealingAlgorithmOption,
  withConnection,
  withScopeOptions,
  withSecretForms,
} from "../../options.ts";
import { findProject } from "../../repository/project.ts";
import { checkType } from "../../../shared/kubernetes/typeditems.ts";
import { hasValues, type Values } from "../../sealing/values.ts";
import { say } from "../../terminal/messages.ts";
import { printJson } from "../../terminal/results.ts";
import { shortFingerprint } from "../../terminal/counts.ts";
import { Places } from "./newfiles.ts";
import { type NewOptions, type Plan, planFromFlags } from "./newplan.ts";

const HELP = `
On a terminal, if no flag gives a value, you are prompted for everything that is missing. Values are typed
(and not shown), read from files, or generated. They are never on the command line.

With --cluster all, or several clusters, each cluster gets its own file, at the path that newFile of
signet.yaml sets. You are prompted for each value once, or with --per-cluster once for each cluster; likewise
for generated values.

Examples:
  $ signet new
  $ signet new db -n shop --cluster prod --from-literal password < password.txt
  $ signet new db -n shop --cluster all --per-cluster --generate password=40 --from-file ca.crt
  $ signet new web-tls -n shop --cluster prod --tls-cert tls.crt --tls-key tls.key
  $ signet new registry -n shop --cluster prod --docker-username robot < token.txt`;

export function define(command: Command): void {
  withConnection(
    withSecretForms(
      withScopeOptions(
        command
          .argument("[NAME]")
          .usage("[OPTION...] [NAME]")
          .description("Create a Secret from prompts or flags, and write it sealed.")
          .option("-n, --namespace <NAMESPACE>", "namespace of the Secret")
          .addOption(
            list(
              "--cluster <NAME|all>",
              "cluster of signet.yaml to seal for; may be repeated",
            ).conflicts("cert"),
          ),
      )
        .option("-w, --output <FILE>", "write to this file (default: newFile of signet.yaml)")
        .addOption(
          flag("--per-cluster", "prompt for, or generate, a different value for each cluster"),
        )
        .addOption(new Option("--cert <FILE|URL>", "certificate to seal with"))
        .addOption(pinOption())
        .addOption(sealingAlgorithmOption())
        .addOption(dryRunOption())
        .addOption(jsonOption()),
    ),
  )
    .addHelpText("after", HELP)
    .action((name: string | undefined, { cluster, ...flags }: NewFlags) =>
      runNew(name, { ...askedScope(connection(flags)), clusters: cluster }),
    );
}

type NewFlags = Connected<
  Omit<NewOptions, "clusters" | "scope"> & ScopeFlags & { cluster: string[] }
>;

/** @throws SignetError; then nothing was written */
async function runNew(name: string | undefined, options: NewOptions): Promise<void> {
  const project = findProject();
  const places = new Places(options, project);
  const plan = hasValues(options)
    ? await planFromFlags(name, options, project)
    : await (await import("./newanswers.ts")).planFromAnswers(name, options, project, places);
  const targets = plan.clusters.length === 0 ? [null] : plan.clusters;
  if (targets.length > 1 && options.output !== undefined) {
    throw new SignetError("usage", "--output names only one file, but there are several clusters", {
      hint: "leave it out: newFile of signet.yaml sets the path of each cluster's file",
    });
  }
  const outputs = new Map<string, Output>();
  const facts: object[] = [];
  const lines: string[] = [];
  for (const cluster of targets) {
    const { path, root, certificate } = await places.for(plan, cluster);
    if (outputs.has(path)) {
      throw new SignetError("usage", "several clusters would write to this file", {
        hint: "add {cluster} to newFile of signet.yaml",
        place: { file: path },
      });
    }
    const data = new Map([...plan.shared, ...(plan.own.get(cluster?.name ?? "") ?? [])]);
    const secret = secretOf(plan, data);
    const sealed = await seal(secret, certificate, plan.scope);
    const format = extname(path).toLowerCase() === ".json" ? "json" : "yaml";
    const text = formatManifests([formatSealedSecret(sealed)], format);
    outputs.set(path, { path, root, text });
    facts.push({
      file: path,
      cluster: cluster?.name ?? null,
      fingerprint: certificate.fingerprint,
    });
    const where = cluster === null ? "" : ` for ${cluster.name}`;
    lines.push(`${path}: sealed${where} with key ${shortFingerprint(certificate.fingerprint)}`);
  }
  if (!options.dryRun) await writeFiles([...outputs.values()]);
  if (options.json) await printJson({ dryRun: options.dryRun, files: facts });
  else for (const line of lines) say(options.dryRun ? `would write ${line}` : line);
}

function secretOf({ name, namespace, type }: Plan, data: Values): Secret {
  const metadata = parseMetadata({ name, namespace }, "secret-invalid");
  const secret = { metadata, type, immutable: undefined, data };
  if (data.size === 0) {
    throw new SignetError("secret-invalid", "no values found", {
      hint: "the folder or file that --from-file or --from-env-file names is empty",
    });
  }
  checkType(secret);
  return secret;
}
