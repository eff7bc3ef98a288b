// Owns: the options and help of `signet seal`.
// Does not own: what it does (seal/seal.ts). SPEC.md, "Command line", "Sealing".

import { type Command, Option } from "commander";
import { SCOPES } from "../../shared/scope.ts";
import { runSeal, type SealOptions } from "../seal/seal.ts";
import {
  type Connected,
  connection,
  flag,
  formatOption,
  scopeWords,
  withCertificate,
  withSecretForms,
} from "./options.ts";

const HELP = `
Without FILE, or where it is -, standard input is read. A folder is searched for *.yaml, *.yml and
*.json files; those without a Secret stay as they are. If anything is wrong, nothing is written.
Instead of a manifest, values may be named: --from-literal asks for one, or reads standard input.

Who seals needs the certificate only: --cert, else that of the cluster which signet.yaml says the
path is for, else $SIGNET_CERT or $SEALED_SECRETS_CERT, else the cluster's controller is asked.

A value opens only in the place that it is sealed for. Its scope says how narrow that is: strict,
the same namespace and name (the default); namespace-wide, any name in it; cluster-wide, anywhere.
The manifest may say it with an annotation; --scope overrides that.

Example:
  $ signet cert fetch > cert.pem
  $ kubectl create secret generic db --namespace demo --dry-run=client --output yaml \\
      --from-file password | signet seal --cert cert.pem --output db.yaml
  $ git add db.yaml

  $ signet seal --cert cert.pem secrets/ --output sealed/
  $ signet seal --cert cert.pem --merge-into db.yaml --from-literal token
  $ signet seal --cert cert.pem --name tls -n demo --tls-cert tls.crt --tls-key tls.key`;

export function define(command: Command): void {
  withCertificate(
    withSecretForms(
      command
        .argument("[FILE|FOLDER...]")
        .usage("[OPTION...] [FILE|FOLDER...]")
        .description(
          "Seals Secrets into SealedSecrets, which only the cluster's controller can open.",
        )
        .addOption(new Option("--scope <SCOPE>", scopeWords).choices(SCOPES))
        .option("-n, --namespace <NAMESPACE>", "the namespace of Secrets that declare none")
        .option("--name <NAME>", "the name of a Secret that declares none")
        .addOption(formatOption("format of the result (default: that of the input)"))
        .option("-w, --output <FILE|FOLDER>", "write there instead of standard output")
        .addOption(flag("--in-place", "replace each plaintext file by its sealed form"))
        .option(
          "--merge-into <FILE>",
          "add the values to the SealedSecret in FILE, or replace them",
        )
        .addOption(flag("--allow-empty", "seal a Secret that holds no value")),
    ),
  )
    .addHelpText("after", HELP)
    .action((names: string[], flags: Connected<SealOptions>) => runSeal(names, connection(flags)));
}
