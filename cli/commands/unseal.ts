// Owns: the options and help of `signet unseal`.
// Does not own: what it does (recovery/unseal.ts). SPEC.md, "Command line", "Recovery".

import type { Command } from "commander";
import { runUnseal, type UnsealOptions } from "../recovery/unseal.ts";
import { formatOption, recoveryKeyOption } from "./options.ts";

const HELP = `
This is for recovery, when a cluster or its controller is lost: it needs the private key, which
should never leave the cluster but for a backup, and it writes secret values in plain text.

A key FILE is PEM, the YAML or JSON of sealing key Secrets, or a backup of \`signet keys backup\`; a
folder of them is read as well. What --output names is readable to you alone, and is refused where
others may read it already. Nothing else of it stays on the disk, also where signet is killed.

Example:
  $ signet keys backup --output keys.age
  $ signet unseal db.yaml --recovery-key keys.age | kubectl apply --filename -`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("--recovery-key FILE [OPTION...] [FILE...]")
    .description("Opens SealedSecrets with private keys from a backup. Prints plain text.")
    .addOption(recoveryKeyOption("private key to open with; may be given several times"))
    .option("-n, --namespace <NAMESPACE>", "the namespace of SealedSecrets that declare none")
    .addOption(formatOption("format of the result (default: that of the input)"))
    .option("-w, --output <FILE>", "write there, readable to you alone")
    .option("--no-accept-legacy", "refuse the form from before 2019 (spec.data)")
    .addHelpText("after", HELP)
    .action((names: string[], flags: UnsealOptions) => runUnseal(names, flags));
}
