// The options and help of `signet diff` and `signet log`.
// SPEC.md, "Whole repositories".

import type { Command } from "commander";
import type { DiffOptions } from "./diff.ts";
import type { LogOptions } from "./log.ts";
import { clusterOption, type Connected, connection, flag, jsonOption, recoveryKeyOption, withConnection } from "../options.ts";

const DIFF_HELP = `
Without --revisions: what the files declare against what the clusters have. The same ciphertext is the
same value; for another one --recovery-key tells whether the value differs as well, by a keyed hash.
No value is ever shown.

Examples:
  $ signet diff
  $ signet diff prod/shop --recovery-key backup.age
  $ signet diff --revisions main..HEAD
  $ signet diff --revisions HEAD --exit-code`;

const LOG_HELP = `
Of a file: who changed which item, when, and under which sealing key, the newest first.

With --key, for a key that leaked: every value that was ever sealed under it in any branch, which is
the list of what must be changed. --recovery-key finds those without a stamp too, by opening them.

Examples:
  $ signet log prod/shop/db.yaml
  $ signet log --key SHA256:pV1EkPSm
  $ signet log --recovery-key leaked.key --json`;

export function defineDiff(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Compares sealed files with the clusters, or two revisions.")
      .option("--revisions <A[..B]>", "compare two revisions, or one with the files as they are")
      .addOption(recoveryKeyOption("private key to compare the values with"))
      .addOption(clusterOption())
      .addOption(flag("--exit-code", "end with 3 where there is a difference"))
      .addOption(jsonOption()),
  )
    .addHelpText("after", DIFF_HELP)
    .action(async (paths: string[], flags: Connected<DiffOptions>) => {
      const { runDiff } = await import("./diff.ts");
      await runDiff(paths, connection(flags));
    });
}

export function defineLog(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("[OPTION...] FILE | --key FINGERPRINT | --recovery-key FILE")
    .description("Tells the history of a sealed file, or of a sealing key, from Git.")
    .option("--key <FINGERPRINT>", "a sealing key, or the beginning of its fingerprint")
    .addOption(recoveryKeyOption("the sealing key itself"))
    .addOption(jsonOption())
    .addHelpText("after", LOG_HELP)
    .action(async (paths: string[], flags: LogOptions) => {
      const { runLog } = await import("./log.ts");
      await runLog(paths, flags);
    });
}
