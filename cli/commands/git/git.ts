// `signet git`: its subcommands, their options and help.
// SPEC.md, "Git".

import type { Command } from "commander";
import type { InstallOptions } from "./install.ts";
import { dryRunOption, flag, jsonOption } from "../../options.ts";

const INSTALL_HELP = `
This installs:
- A pre-commit hook: \`signet git check\`, which is \`signet scan --staged\` and \`signet verify --staged\`.
- A diff driver: \`git diff\` shows which items changed, and a short hash in place of each value.
- A merge driver: two branches that change different items of a file merge without a conflict.
- .gitattributes, which says which files the drivers are for. Commit it.

Run this once in each clone, as Git takes no settings from a repository. If you use pre-commit.com, use
the hooks signet-scan and signet-verify from this project's .pre-commit-hooks.yaml instead.

Examples:
  $ signet git install
  $ signet git uninstall`;

const CHECK_HELP = `
The pre-commit hook runs this: one program starts in half of the time of two.

Exit status: 0 no problems found, or no files to check, 3 problems found, 1 the check could not run.`;

/** `checkStaged`: runs two other commands. */
export function define(command: Command, checkStaged: () => Promise<void>): void {
  command
    .usage("COMMAND [OPTION...]")
    .description("Check commits, and let Git diff and merge sealed files by item.")
    .helpCommand(false)
    .addHelpText(
      "after",
      "\nStart with `signet git install`; its --help describes what it sets up.",
    );
  command
    .command("install")
    .usage("[OPTION...]")
    .summary("install the hook, the diff driver and the merge driver")
    .description("Install the hook, the diff driver and the merge driver in this clone.")
    .addOption(flag("--force", "replace an existing pre-commit hook"))
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .addHelpText("after", INSTALL_HELP)
    .action(async (flags: InstallOptions) => {
      const { runGitInstall } = await import("./install.ts");
      await runGitInstall(flags);
    });
  command
    .command("uninstall")
    .usage("[OPTION...]")
    .summary("remove them")
    .description("Remove what `signet git install` set up.")
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action(async (flags: InstallOptions) => {
      const { runGitUninstall } = await import("./install.ts");
      await runGitUninstall(flags);
    });
  command
    .command("check")
    .usage("[OPTION...]")
    .summary("check what is about to be committed, as the hook does")
    .description(
      "Check what is about to be committed: `signet scan --staged` and, if it finds nothing, `signet verify --staged`.",
    )
    .addHelpText("after", CHECK_HELP)
    .action(checkStaged);
  command
    .command("textconv")
    .argument("<FILE>")
    .usage("FILE")
    .summary("for Git: print a sealed file without its values")
    .description("Print a sealed file with a short hash in place of each value. Git runs this.")
    .action(async (file: string) => {
      const { runTextconv } = await import("./textconv.ts");
      await runTextconv(file);
    });
  command
    .command("merge")
    .argument("<BASE>")
    .argument("<OURS>")
    .argument("<THEIRS>")
    .argument("[PATH]")
    .usage("BASE OURS THEIRS [PATH]")
    .summary("for Git: merge sealed files item by item")
    .description("Merge sealed files item by item into OURS. Git runs this.")
    .action(async (base: string, ours: string, theirs: string, path: string = ours) => {
      const { runMergeDriver } = await import("./mergedriver.ts");
      await runMergeDriver(base, ours, theirs, path);
    });
}
