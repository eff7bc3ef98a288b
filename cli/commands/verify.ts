// The options and help of `signet verify`.
// SPEC.md, "Whole repositories".

import { type Command, Option } from "commander";
import { FINDING_FORMATS } from "../checks/findings.ts";
import { runVerify, type VerifyOptions } from "../checks/verifyrules.ts";
import { clusterOption, type Connected, connection, flag, jsonOption, withConnection } from "../options.ts";

const HELP = `
Without key or cluster: whether each value is a well-formed ciphertext of the right size, under a key of
the cluster that its path is for, still where it was sealed for, not declared twice, and not under a
key that is older than policy allows. --live asks the controllers whether each opens as well.

Exit status: 0 nothing wrong, 3 something found (with --strict, a warning too), 1 it could not run.

Examples:
  $ signet verify
  $ signet verify --staged
  $ signet verify --max-key-age 180d --format sarif > verify.sarif`;

export function findingFormatOption(): Option {
  return new Option("--format <FORMAT>", "form of the report")
    .choices(FINDING_FORMATS)
    .default("text");
}

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Checks sealed files without any key: for continuous integration.")
      .option("--max-key-age <DAYS>", "such as 180d (default: maxKeyAge of signet.yaml)")
      .addOption(flag("--staged", "check what is about to be committed"))
      .addOption(flag("--live", "ask the clusters' controllers as well"))
      .addOption(clusterOption())
      .addOption(flag("--strict", "fail on warnings too"))
      .addOption(findingFormatOption())
      .addOption(jsonOption().implies({ format: "json" })),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<VerifyOptions>) =>
      runVerify(paths, connection(flags)),
    );
}
