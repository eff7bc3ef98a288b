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
      withScopeOptions(
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
          ),
      )
        .option("-w, --output <FILE>", "write there (default: as newFile of signet.yaml says)")
        .addOption(flag("--per-cluster", "ask for, or generate, another value for each cluster"))
        .addOption(new Option("--cert <FILE|URL>", "the certificate to seal with"))
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
    throw new SignetError("usage", "--output names one file, but there are several clusters", {
      hint: "leave it out: newFile of signet.yaml says where each cluster's file goes",
    });
  }
  const outputs = new Map<string, Output>();
  const facts: object[] = [];
  const lines: string[] = [];
  for (const cluster of targets) {
    const { path, root, certificate } = await places.for(plan, cluster);
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
    throw new SignetError("secret-invalid", "there is no value in what was named", {
      hint: "what --from-file and --from-env-file name is empty: see whether it is the right one",
    });
  }
  checkType(secret);
  return secret;
}
