// Owns: the options and help of `signet status`.
// Does not own: what it does (project/status.ts). SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { runStatus, type StatusOptions } from "../project/status.ts";
import {
  clusterOption,
  type Connected,
  connection,
  flag,
  jsonOption,
  withConnection,
} from "./options.ts";

const HELP = `
Which key a value is under is told by the stamp that sealing leaves in an annotation, by the
repository's certificates, and with --live by each cluster's controller. States: current, stale (under
an older key), unknown (no stamp, or no cluster to compare with), wrong (something is to be mended,
told below the table).

At the end stand each cluster's keys: whether one is safe to retire, or what still needs it.
Exit status: 0 where nothing is to be done, else 3.

Examples:
  $ signet status
  $ signet status --live --cluster prod
  $ signet status --json | jq -r '.sealedSecrets[] | select(.state == "stale") | .file'`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Shows every sealed file: its cluster, scope and keys, and what is stale.")
      .addOption(flag("--live", "ask the clusters as well"))
      .addOption(clusterOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<StatusOptions>) =>
      runStatus(paths, connection(flags)),
    );
}
