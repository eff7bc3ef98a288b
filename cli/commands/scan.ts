// Owns: the options and help of `signet scan`.
// Does not own: what it does (check/scan.ts). SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { runScan, type ScanOptions } from "../check/scan.ts";
import { flag, jsonOption } from "./options.ts";
import { findingFormatOption } from "./verify.ts";

const HELP = `
YAML and JSON are looked through, with Lists, several documents, charts' templates, literals of a
Kustomization, and Secrets that kubectl quotes in an annotation. SealedSecrets, empty values and
placeholders are no findings. Plaintext that may be there is allowed in signet.yaml, with a reason.

Exit status: 0 nothing found, 3 plaintext found, 1 it could not run.

Examples:
  $ signet scan
  $ signet scan --staged
  $ signet scan --range origin/main..HEAD --format github
  $ helm template charts/shop | signet scan -`;

export function define(command: Command): void {
  command
    .argument("[FILE|FOLDER...]")
    .usage("[OPTION...] [FILE|FOLDER...]")
    .description("Finds Secrets in plain text: in the tree, the index or a range of commits.")
    .addOption(flag("--staged", "look at what is about to be committed"))
    .option("--range <COMMITS>", "look at what these commits brought, such as main..HEAD")
    .addOption(findingFormatOption())
    .addOption(jsonOption().implies({ format: "json" }))
    .addHelpText("after", HELP)
    .action((paths: string[], flags: ScanOptions) => runScan(paths, flags));
}
