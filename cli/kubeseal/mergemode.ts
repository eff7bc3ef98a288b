// `kubeseal --merge-into`: adds values to the SealedSecrets of a file. docs/kubeseal.md.

import { SignetError } from "../../shared/errors.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";
import { bindsNamespace } from "../../shared/sealing/scope.ts";
import { usableCertificate } from "../cluster/certificatesource.ts";
import { readText, samePlace } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { gather, LENIENT, type Prepare, secretsIn } from "../sealing/gather.ts";
import {
  checkScope,
  chooseTarget,
  mergeSecrets,
  type MergeTarget,
  targetsIn,
} from "../sealing/mergetargets.ts";
import { advise, warn } from "../terminal/messages.ts";
import { certificateOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { choosingNamespace, readInput, readSecret } from "./input.ts";
import { formatOf } from "./output.ts";

/** @throws SignetError, or an AggregateError of them; then the file is unchanged */
export async function runMergeInto(file: string, flags: Flags): Promise<void> {
  const output = flags.text("sealed-secret-file");
  if (output !== undefined && samePlace(output) !== samePlace(file)) {
    throw new SignetError("usage", "--merge-into and --sealed-secret-file are mutually exclusive", {
      hint: "--merge-into changes the file that it names",
    });
  }
  const certificate = await usableCertificate(certificateOptions(flags));
  const text = readText(file);
  const targets = targetsIn(text, file, {}, "any");
  const asked = flags.has("format") ? formatOf(flags) : undefined;
  if (asked !== undefined && targets.some(({ document }) => document.format !== asked)) {
    warn(`${file} keeps its format`);
  }
  const input = await readInput(flags);
  const chosen = new Map<Secret, MergeTarget>();
  const prepare = preparing(targets, chosen, file, flags);
  const { files } = gather([input], prepare, LENIENT);
  const secrets = secretsIn(files);
  const merged = await mergeSecrets({ file, text }, secrets, chosen, certificate);
  await writeFiles([{ path: file, root: undefined, text: merged }]);
}

/** Like the original, takes name and namespace from the file, whatever the input has. */
function preparing(
  targets: readonly MergeTarget[],
  chosen: Map<Secret, MergeTarget>,
  file: string,
  flags: Flags,
): Prepare {
  const chooseNamespace = choosingNamespace(flags);
  const asked = { file, scope: flags.scope };
  return (object, place) => {
    const parsed = readSecret(object, flags);
    const [only] = targets;
    const target =
      only !== undefined && targets.length === 1 ? only : chooseTarget(parsed, targets, file);
    const { name, namespace } = target.sealed.metadata;
    checkScope(parsed, target, asked, place);
    const { type } = parsed;
    if (type !== "" && type !== "Opaque" && type !== target.sealed.template.type) {
      advise(`its type ${type} is not merged: ${file} keeps its own`);
    }
    const declared = namespace || parsed.metadata.namespace;
    const metadata = {
      ...parsed.metadata,
      name: name || flags.text("name") || parsed.metadata.name,
      namespace: bindsNamespace(target.scope) ? (chooseNamespace(declared) ?? "") : declared,
    };
    const secret = { ...parsed, metadata };
    chosen.set(secret, target);
    return { secret, scope: target.scope, place };
  };
}
