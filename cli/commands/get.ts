// `signet get`: prints one value.
// SPEC.md, "Values".

import type { Command } from "commander";
import { SignetError } from "../../shared/errors.ts";
import {
  type Connected,
  connection,
  flag,
  recoveryIdentityOption,
  recoveryKeyOption,
  withConnection,
} from "../options.ts";
import { plainValuesFrom, textOfValue, type ValueSource } from "../repository/plainvalues.ts";
import { findProject } from "../repository/project.ts";
import { chooseObject, readSealedFile } from "../repository/sealedfiles.ts";
import { printBytes, printResult } from "../terminal/results.ts";

const HELP = `
The value is printed byte for byte, followed by a line break if standard output is a terminal.
--from-cluster reads the Secret with the permissions of your kubeconfig's user, from the cluster that
signet.yaml names for the file.

Examples:
  $ signet get prod/shop/db.yaml password --from-cluster
  $ signet get prod/shop/db.yaml tls.key --recovery-key backup.age > tls.key`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("<FILE>")
      .argument("<ITEM>")
      .usage("--from-cluster|--recovery-key FILE [OPTION...] FILE ITEM")
      .description("Print the value of one item of a sealed file, in plain text.")
      .addOption(flag("--from-cluster", "read the value from the Secret in the cluster"))
      .addOption(recoveryKeyOption("private key to open the value with; may be repeated"))
      .addOption(recoveryIdentityOption())
      .option("--name <NAME>", "SealedSecret to read, if the file has several"),
  )
    .addHelpText("after", HELP)
    .action((file: string, item: string, flags: Connected<GetOptions>) =>
      runGet(file, item, connection(flags)),
    );
}

interface GetOptions extends ValueSource {
  readonly name?: string;
}

/** @throws SignetError */
async function runGet(path: string, item: string, options: GetOptions): Promise<void> {
  const object = chooseObject(readSealedFile(path, findProject()), options.name);
  const values = await (await plainValuesFrom(options))(object);
  const value = values.get(item);
  if (value === undefined) {
    throw new SignetError("usage", `item ${JSON.stringify(item)} not found`, {
      hint: `its items are ${[...values.keys()].join(", ")}`,
      place: { file: path },
    });
  }
  if (!process.stdout.isTTY) {
    await printBytes(value);
    return;
  }
  const text = textOfValue(value);
  // A terminal would interpret control characters.
  if (text === undefined || /[^\P{Cc}\n\t]/u.test(text)) {
    throw new SignetError("usage", "the value is not text, so it is not printed on a terminal", {
      hint: "redirect standard output to a file or a program",
      place: { file: path },
    });
  }
  await printResult(text.endsWith("\n") ? text : `${text}\n`);
}
