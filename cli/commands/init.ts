// Owns: the options and help of `signet init`.
// Does not own: what it does (project/init.ts). SPEC.md, "Projects".

import type { Command } from "commander";
import { type InitOptions, runInit } from "../project/init.ts";
import {
  type Connected,
  connection,
  dryRunOption,
  jsonOption,
  list,
  withConnection,
} from "./options.ts";

const HELP = `
signet.yaml lies at the root of a repository; every command finds it from any folder below. In one
that is there already, the clusters and rules that are named are added, and all else stays. A new
cluster that no rule names gets one for the files that \`signet new\` makes, such as NAME/**.

Its fields:
  clusters:
    prod:
      certificate: certificates/prod.pem   # the public certificate, and those before it
      context: prod                        # fetched by this context of the kubeconfig, or
      url: https://seal.example.org/v1/cert.pem    # from this address
      controller: { name: sealed-secrets-controller, namespace: kube-system }
  paths:                                   # the first pattern that fits a path names its cluster
    "prod/{namespace}/{name}.yaml": prod   # {namespace} and {name} are checked by \`signet verify\`
    "**/prod/**": prod
  newFile: "{cluster}/{namespace}/{name}.yaml"     # where \`signet new\` writes
  scope: strict                            # of what is sealed, where nothing else says it
  maxKeyAge: 180d                          # older keys are refused by \`signet verify\`
  scan:
    allow:                                 # plaintext that may be there, and why
      - { files: "test/fixtures/**", reason: made up for tests }

Examples:
  $ signet init
  $ signet init --cluster dev=kind-dev --cluster prod=https://seal.example.org/v1/cert.pem
  $ signet init --cluster prod --path 'apps/*/prod/**=prod'`;

export function define(command: Command): void {
  withConnection(
    command
      .usage("[OPTION...]")
      .description("Makes signet.yaml: which clusters this repository is sealed for.")
      .addOption(list("--cluster <NAME[=CONTEXT|URL]>", "a cluster, and where its certificate is"))
      .addOption(list("--path <PATTERN=CLUSTER>", "the files that are for a cluster"))
      .option("--no-fetch", "do not fetch the certificates now")
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((flags: Connected<InitOptions>) => runInit(connection(flags)));
}
