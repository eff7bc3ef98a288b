// Owns: the options and help of `signet set`, `unset`, `rename` and `edit`.
// Does not own: what they do (edit/change.ts, edit/edit.ts). SPEC.md, "Changing values".

import type { Command } from "commander";
import { type ChangeOptions, runRename, runSet, runUnset } from "../edit/change.ts";
import type { EditOptions } from "../edit/edit.ts";
import type { ValueFlags } from "../seal/values.ts";
import {
  type Connected,
  connection,
  dryRunOption,
  flag,
  jsonOption,
  recoveryKeyOption,
  withCertificate,
  withValues,
} from "./options.ts";

const UNTOUCHED = `
Only the certificate is needed. Every other value keeps its ciphertext, and every other line of the
file stays as it is written: the diff is what changed.`;

const SET_HELP = `${UNTOUCHED}

The value is asked for and not shown, or read from standard input without its last line end.

Examples:
  $ signet set prod/shop/db.yaml password
  $ pwgen 32 1 | signet set prod/shop/db.yaml password
  $ signet set prod/shop/db.yaml --from-file ca.crt --generate token=40
  $ signet set prod/shop/db.yaml password --all-clusters
  $ signet set prod/shop/db.yaml --generate password --all-clusters --per-cluster`;

const UNSET_HELP = `${UNTOUCHED}

Example:
  $ signet unset prod/shop/db.yaml old-password`;

const RENAME_HELP = `${UNTOUCHED}
No key is needed at all: a sealed value is not bound to the name of its item.

Example:
  $ signet rename prod/shop/db.yaml pass password`;

const EDIT_HELP = `
$VISUAL, $EDITOR or vi opens with a line for each item, a placeholder in place of each value. What you
type is sealed with the certificate when you save; what stays a placeholder keeps its ciphertext. A
mistake is told above your text, and the editor opens again. To give up, leave the text as it is,
empty it, or end the editor with a failure, such as :cq.

The editor's file is in memory (a tmpfs), readable to you alone, and removed when you leave, also where
signet is killed; where a whole session is killed at once, by the next \`signet edit\`. --recovery-key
and --from-cluster show the values themselves. Vim's own copies (swap, undo, registers) are turned off;
of an editor that keeps a history of files on disk, as VS Code does, turn that off yourself.

Examples:
  $ signet edit prod/shop/db.yaml
  $ EDITOR=nano signet edit prod/shop/db.yaml --all-clusters
  $ signet edit prod/shop/db.yaml --from-cluster`;

function withChange(command: Command): Command {
  return withCertificate(
    command
      .addOption(
        flag("--all-clusters", "the same SealedSecret in the files of the other clusters as well"),
      )
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  );
}

const withName = (command: Command): Command =>
  command.option("--name <[NAMESPACE/]NAME>", "the SealedSecret, where FILE holds several");

type Flags<T = object> = Connected<ChangeOptions & T>;

export function defineSet(command: Command): void {
  withChange(
    withValues(
      withName(
        command
          .argument("<FILE>")
          .argument("[ITEM...]")
          .usage("[OPTION...] FILE [ITEM...]")
          .description("Sets items of a sealed file: new ones, or others' values.")
          .addOption(
            flag(
              "--per-cluster",
              "with --all-clusters: ask for, or generate, another value for each",
            ),
          ),
      ),
    ),
  )
    .addHelpText("after", SET_HELP)
    .action((file: string, items: string[], flags: Flags<ValueFlags & { perCluster: boolean }>) =>
      runSet(file, items, connection(flags)),
    );
}

export function defineUnset(command: Command): void {
  withChange(
    withName(
      command
        .argument("<FILE>")
        .argument("<ITEM...>")
        .usage("[OPTION...] FILE ITEM...")
        .description("Takes items out of a sealed file."),
    ),
  )
    .addHelpText("after", UNSET_HELP)
    .action((file: string, items: string[], flags: Flags) =>
      runUnset(file, items, connection(flags)),
    );
}

export function defineRename(command: Command): void {
  withChange(
    withName(
      command
        .argument("<FILE>")
        .argument("<ITEM>")
        .argument("<NEW-NAME>")
        .usage("[OPTION...] FILE ITEM NEW-NAME")
        .description("Gives an item of a sealed file another name."),
    ),
  )
    .addHelpText("after", RENAME_HELP)
    .action((file: string, item: string, newName: string, flags: Flags) =>
      runRename(file, item, newName, connection(flags)),
    );
}

export function defineEdit(command: Command): void {
  withChange(
    command
      .argument("<FILE>")
      .usage("[OPTION...] FILE")
      .description("Opens an editor on the items of a sealed file.")
      .addOption(recoveryKeyOption("private key to show the values with"))
      .addOption(flag("--from-cluster", "show the values of the Secret in the cluster"))
      .addOption(flag("--allow-disk", "take a file on disk where no folder in memory is found")),
  )
    .addHelpText("after", EDIT_HELP)
    .action(async (file: string, flags: Connected<EditOptions>) => {
      const { runEdit } = await import("../edit/edit.ts");
      await runEdit(file, connection(flags));
    });
}
