// Owns: the options and help of `signet new`.
// Does not own: what it does (seal/new.ts). SPEC.md, "Command line", "Values".

import { type Command, Option } from "commander";
import { SCOPES } from "../../shared/scope.ts";
import { type NewOptions, runNew } from "../seal/new.ts";
import {
  type Connected,
  connection,
  dryRunOption,
  flag,
  jsonOption,
  list,
  pinOption,
  scopeWords,
  withConnection,
  withSecretForms,
} from "./options.ts";

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
