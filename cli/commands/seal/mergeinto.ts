// `signet seal --merge-into`: adds values to the SealedSecrets of a file.
// SPEC.md, "Command line", "Merging".

import { readNamed, stat } from "../../../host/readfile.ts";
import { writeFiles } from "../../../host/writefiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { parseSecret, type Secret } from "../../../shared/kubernetes/secret.ts";
import type { GivenCertificate } from "../../repository/clustercertificates.ts";
import { sealingDefaults } from "../../repository/sealingdefaults.ts";
import { type Prepare, secretsIn } from "../../sealing/gather.ts";
import {
  checkScope,
  chooseTarget,
  mergeSecrets,
  type MergeTarget,
  targetsIn,
} from "../../sealing/mergetargets.ts";
import { complete, type SecretOptions } from "../../sealing/preparesecret.ts";
import type { OutputOptions } from "../../sealing/sealedoutputs.ts";
import { checkFields, checkNotEmpty } from "../../sealing/secretcheck.ts";
import { gatherSecrets, type SecretSources } from "../../sealing/secretsources.ts";

type MergeOptions = GivenCertificate & SecretOptions & SecretSources & OutputOptions;

/** @throws SignetError, or an AggregateError of them; then the file is unchanged */
export async function runMerge(
  names: readonly string[],
  file: string,
  options: MergeOptions,
): Promise<void> {
  checkUsage(names, options);
  const text = readNamed(file);
  const targets = targetsIn(text, file, options);
  const { certificateFor } = await sealingDefaults(options);
  const chosen = new Map<Secret, MergeTarget>();
  const prepare = preparing(targets, chosen, file, options);
  const { files } = await gatherSecrets(names, options, prepare);
  const certificate = await certificateFor(file);
  const result = await mergeSecrets({ file, text }, secretsIn(files), chosen, certificate);
  await writeFiles([{ path: file, root: undefined, text: result }]);
}

function checkUsage(names: readonly string[], { inPlace, output, format }: MergeOptions): void {
  const other = inPlace
    ? "--in-place"
    : output !== undefined
      ? "--output"
      : format !== undefined
        ? "--format"
        : undefined;
  if (other !== undefined) {
    throw new SignetError("usage", `--merge-into and ${other} are mutually exclusive`, {
      hint: "--merge-into changes the file that it names, and keeps its format",
    });
  }
  const folder = names.find((name) => name !== "-" && stat(name).isDirectory());
  if (folder !== undefined) {
    throw new SignetError("usage", `--merge-into cannot merge a folder (${folder}) into a file`);
  }
}

/** Takes a missing name, namespace or scope of a Secret from its target. */
function preparing(
  targets: readonly MergeTarget[],
  chosen: Map<Secret, MergeTarget>,
  file: string,
  options: MergeOptions,
): Prepare {
  return (object, place) => {
    checkFields(object);
    const parsed = parseSecret(object);
    if (!options.allowEmpty) checkNotEmpty(parsed);
    const target = chooseTarget(parsed, targets, file);
    const { metadata } = target.sealed;
    const { name, namespace } = complete(parsed.metadata, {
      name: metadata.name === "" ? (options.name ?? "") : metadata.name,
      namespace: metadata.namespace === "" ? options.namespace : metadata.namespace,
    });
    checkScope(parsed, target, { scope: options.scope, file }, place);
    const type = parsed.type;
    if (type !== "" && type !== "Opaque" && type !== target.sealed.template.type) {
      throw new SignetError("secret-invalid", `its type differs from that of ${file}`, {
        hint: "types are not merged: leave it out, or change spec.template.type in that file",
        place: { field: "type" },
      });
    }
    const secret = { ...parsed, metadata: { ...parsed.metadata, name, namespace } };
    chosen.set(secret, target);
    return { secret, scope: target.scope, place };
  };
}
