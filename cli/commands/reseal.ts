// Owns: the options and help of `signet reseal`.
// Does not own: what it does (project/reseal.ts). SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { type ResealOptions, runReseal } from "../project/reseal.ts";
import {
  clusterOption,
  type Connected,
  connection,
  dryRunOption,
  jsonOption,
  recoveryKeyOption,
  withConnection,
} from "./options.ts";

const HELP = `
Each cluster's controller opens and seals: no plaintext leaves it, and no private key. With
--recovery-key it is done here, offline, for the certificate in the repository. Values that are under
the newest key already stay as they are, and so does every other line.

It may be ended at any time and run again: files are replaced whole, and what is done is not done twice.
Standard output is a summary in Markdown, for the text of a pull request.

Examples:
  $ signet reseal --dry-run
  $ signet reseal > summary.md
  $ signet reseal prod --recovery-key backup.age`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Seals a repository's stale values anew, under each cluster's newest key.")
      .addOption(recoveryKeyOption("private key to open with, here and offline"))
      .addOption(clusterOption())
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<ResealOptions>) =>
      runReseal(paths, connection(flags)),
    );
}
