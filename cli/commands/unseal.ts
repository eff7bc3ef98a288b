// `signet unseal`: recovers plaintext with private keys from files.
// SPEC.md, "Command line", "Recovery".

import type { Command } from "commander";
import { isReadableByOthers } from "../../host/keyfolder.ts";
import { statIfThere } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests, type ManifestFormat } from "../../shared/manifest/manifest.ts";
import { formatOption, recoveryIdentityOption, recoveryKeyOption } from "../options.ts";
import { openInputs } from "../recovery/openinputs.ts";
import { areKeysGiven, type GivenKeys, readGivenKeys } from "../repository/openingkeys.ts";
import { findProject, meaningOf } from "../repository/project.ts";
import { readInputs } from "../terminal/inputs.ts";
import { printResult } from "../terminal/results.ts";

const HELP = `
This is for recovery, when a cluster or its controller is lost: it needs the private key, which
should never leave the cluster but for a backup, and it writes secret values in plain text.

A key FILE is PEM, the YAML or JSON of sealing key Secrets, or a backup of \`signet keys backup\`; a
folder of them is read as well. --recovery-identity opens the recovery files that the repository itself
holds. What --output names is readable to you alone, and is refused where
others may read it already. Nothing else of it stays on the disk, also where signet is killed.

Example:
  $ signet keys backup --output keys.age
  $ signet unseal db.yaml --recovery-key keys.age | kubectl apply --filename -
  $ signet unseal prod/shop/db.yaml --recovery-identity recovery.key`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("--recovery-key FILE [OPTION...] [FILE...]")
    .description("Opens SealedSecrets with private keys from a backup. Prints plain text.")
    .addOption(recoveryKeyOption("private key to open with; may be given several times"))
    .addOption(recoveryIdentityOption())
    .option("-n, --namespace <NAMESPACE>", "the namespace of SealedSecrets that declare none")
    .addOption(formatOption("format of the result (default: that of the input)"))
    .option("-w, --output <FILE>", "write there, readable to you alone")
    .option("--no-accept-legacy", "refuse the form from before 2019 (spec.data)")
    .addHelpText("after", HELP)
    .action((names: string[], flags: UnsealOptions) => runUnseal(names, flags));
}

interface UnsealOptions extends GivenKeys {
  readonly acceptLegacy: boolean;
  readonly namespace?: string;
  readonly format?: ManifestFormat;
  readonly output?: string;
}

/** @throws SignetError, or an AggregateError of them; then nothing was printed or written */
async function runUnseal(names: readonly string[], options: UnsealOptions): Promise<void> {
  if (!areKeysGiven(options)) {
    throw new SignetError("usage", "unsealing needs the private key: give --recovery-key FILE", {
      hint: "the key is what a backup of the controller's sealing key Secrets holds; --recovery-identity opens those of the repository",
    });
  }
  if (options.output !== undefined) refuseReadable(options.output);
  const inputs = await readInputs(names, "a SealedSecret");
  const project = findProject();
  const { secrets, format } = await openInputs(inputs, await readGivenKeys(options), {
    ...options,
    namespaceOf: (path) => (project === null ? undefined : meaningOf(project, path)?.namespace),
  });
  const text = formatManifests(secrets, options.format ?? format);
  if (options.output === undefined) await printResult(text);
  else
    await writeFiles([{ path: options.output, root: undefined, text, mode: 0o600, isPlain: true }]);
}

/** @throws SignetError io where others may read the file that the plaintext would go to */
function refuseReadable(path: string): void {
  const existing = statIfThere(path);
  if (existing === undefined || !isReadableByOthers(existing)) return;
  if (!existing.isFile()) return;
  throw new SignetError(
    "io",
    "refused: others may read this file, and plain text would go into it",
    {
      hint: "name a new file; it is made readable to you alone",
      place: { file: path },
    },
  );
}
