// `kubeseal` without a mode seals Secrets; with --raw, one value. docs/kubeseal.md.

import { sealToText } from "../../shared/keys/kinds.ts";
import { SignetError } from "../../shared/errors.ts";
import { bindsNamespace, labelBytes } from "../../shared/sealing/scope.ts";
import { declaredScope, seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { usableCertificate } from "../cluster/certificatesource.ts";
import { readBytes } from "../../host/readfile.ts";
import { gather, LENIENT, type Prepare, secretsIn } from "../sealing/gather.ts";
import { readStdin } from "../terminal/stdin.ts";
import { certificateOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { adviseOnSecret, choosingNamespace, readInput, readSecret } from "./input.ts";
import { deliver, formatObjects, formatOf } from "./output.ts";

/** @throws SignetError, or an AggregateError of them; then nothing was printed or written */
export async function runSeal(flags: Flags): Promise<void> {
  // Like the original, reports a missing certificate before it waits for input.
  const certificate = await usableCertificate(certificateOptions(flags));
  const format = formatOf(flags);
  const input = await readInput(flags);
  const { files } = gather([input], preparing(flags), LENIENT);
  const sealed = await Promise.all(
    secretsIn(files).map(({ secret, scope }) => seal(secret, certificate, scope)),
  );
  await deliver(formatObjects(sealed.map(formatSealedSecret), format), flags);
}

function preparing(flags: Flags): Prepare {
  const chooseNamespace = choosingNamespace(flags);
  return (object, place) => {
    const parsed = readSecret(object, flags);
    const scope = flags.scope ?? declaredScope(parsed.metadata.annotations);
    const name = flags.text("name") ?? parsed.metadata.name;
    if (name === "") {
      throw new SignetError("secret-invalid", "missing metadata.name in input Secret");
    }
    const declared = parsed.metadata.namespace;
    const namespace = bindsNamespace(scope) ? chooseNamespace(declared) : declared;
    if (namespace === null) {
      throw new SignetError("secret-invalid", "secret must declare a namespace", {
        hint: "set metadata.namespace in the manifest, or --namespace on the command line",
      });
    }
    const secret = { ...parsed, metadata: { ...parsed.metadata, name, namespace } };
    adviseOnSecret(secret, place);
    return { secret, scope, place };
  };
}

/** @throws SignetError */
export async function runRaw(flags: Flags): Promise<void> {
  const certificate = await usableCertificate(certificateOptions(flags));
  const scope = flags.scope ?? "strict";
  const needed = (flag: string): SignetError =>
    new SignetError("usage", `must provide the ${flag} flag with --raw and --scope ${scope}`);
  const namespace = scope === "cluster-wide" ? "" : choosingNamespace(flags)("");
  if (namespace === null) throw needed("--namespace");
  const name = flags.text("name") ?? "";
  if (scope === "strict" && name === "") throw needed("--name");
  const [file, ...others] = flags.list("from-file");
  if (others.length > 0) {
    throw new SignetError(
      "usage",
      "must provide only one --from-file when encrypting a single item with --raw",
    );
  }
  const value =
    file === undefined
      ? await readStdin("(tty detected: expecting a secret to encrypt in stdin)")
      : // As with kubectl, an item's name may precede the file's.
        readBytes(file.slice(file.indexOf("=") + 1));
  const label = labelBytes(scope, namespace, name);
  await deliver(await sealToText(certificate, value, label), flags);
}
