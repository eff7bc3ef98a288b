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
Use this for recovery, when a cluster or its controller is lost. It requires the private key, which
should never leave the cluster except in a backup, and it writes secret values in plain text.

A key FILE is PEM, the YAML or JSON of sealing key Secrets, or a backup from \`signet keys backup\`. It
can also be a folder of such files. --recovery-identity opens the recovery files in the repository. The
file that --output names is readable only by you; an existing file that others can read is refused. Nothing
else remains on disk, even if signet is killed.

Example:
  $ signet keys backup --output keys.age
  $ signet unseal db.yaml --recovery-key keys.age | kubectl apply --filename -
  $ signet unseal prod/shop/db.yaml --recovery-identity recovery.key`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("--recovery-key FILE [OPTION...] [FILE...]")
    .description(
      "Open SealedSecrets with private keys from a backup, and print them in plain text.",
    )
    .addOption(recoveryKeyOption("private key to open values with; may be repeated"))
    .addOption(recoveryIdentityOption())
    .option("-n, --namespace <NAMESPACE>", "namespace for SealedSecrets that declare none")
    .addOption(formatOption("output format (default: that of the input)"))
    .option("-w, --output <FILE>", "write to this file, readable only by you")
    .option("--no-accept-legacy", "refuse the format from before 2019 (spec.data)")
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
    throw new SignetError("usage", "unsealing requires a private key: use --recovery-key FILE", {
      hint: "FILE is a backup of the controller's sealing keys; for recovery files in the repository, use --recovery-identity",
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

/** @throws SignetError io if others can read the file that the plaintext would go to */
function refuseReadable(path: string): void {
  const existing = statIfThere(path);
  if (existing === undefined || !isReadableByOthers(existing)) return;
  if (!existing.isFile()) return;
  throw new SignetError("io", "refusing to write plain text to a file that others can read", {
    hint: "name a new file, which will be readable only by you",
    place: { file: path },
  });
}
