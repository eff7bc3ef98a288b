// `kubeseal --recovery-unseal`: opens SealedSecrets with private keys. docs/kubeseal.md.

import { SignetError } from "../../shared/errors.ts";
import { openInputs } from "../recovery/openinputs.ts";
import { readKeys } from "../recovery/recoverykeys.ts";
import type { Flags } from "./flags.ts";
import { readInput } from "./input.ts";
import { deliver, formatObjects, formatOf } from "./output.ts";

/** @throws SignetError, or an AggregateError of them; then nothing was printed or written */
export async function runRecover(flags: Flags): Promise<void> {
  const format = formatOf(flags);
  const keys = flags.list("recovery-private-key");
  if (keys.length === 0) {
    throw new SignetError("usage", "no key could decrypt secret: none was given", {
      hint: "name the private keys with --recovery-private-key FILE",
    });
  }
  const { secrets } = await openInputs([await readInput(flags)], await readKeys(keys), {
    acceptLegacy: true,
    mayLackKind: true,
    ...flags.texts({ defaultNamespace: "namespace" }),
  });
  await deliver(formatObjects(secrets, format), flags, 0o600);
}
