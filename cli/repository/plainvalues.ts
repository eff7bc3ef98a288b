// The plain values of SealedSecrets: from the Secrets in the cluster, or opened with private keys.
// SPEC.md, "Values".

import { locateAsync, SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { connectionTo, type GivenCertificate } from "./clustercertificates.ts";
import { areKeysGiven, type GivenKeys, readGivenKeys } from "./openingkeys.ts";
import { inItsNamespace } from "./sealingplace.ts";
import type { SealedObject } from "./sealedfiles.ts";

export interface ValueSource extends GivenCertificate, GivenKeys {
  /** The Secrets in the clusters, as far as the user may read them. */
  readonly fromCluster: boolean;
}

/** Opens SealedSecrets, or reads what became of them: values by item. */
export type PlainValues = (object: SealedObject) => Promise<ReadonlyMap<string, Uint8Array>>;

/** @throws SignetError usage unless there is exactly one source; io, key-invalid */
export async function plainValuesFrom(source: ValueSource): Promise<PlainValues> {
  const { fromCluster } = source;
  if (fromCluster === areKeysGiven(source)) {
    throw new SignetError(
      "usage",
      fromCluster
        ? "--from-cluster cannot be combined with --recovery-key or --recovery-identity"
        : "no source was given for the values",
      {
        hint: "use --from-cluster to read the cluster's Secrets, --recovery-key FILE, or --recovery-identity FILE",
      },
    );
  }
  if (fromCluster) {
    const { readSecret } = await import("../cluster/apiobjects.ts");
    return (object) =>
      locateAsync(object.place, async () => {
        const connection = connectionTo(object.meaning?.cluster, source);
        return (await readSecret(connection, inItsNamespace(object, undefined).metadata)).data;
      });
  }
  const { loadRenderer } = await import("../recovery/renderer.ts");
  const keyring = new Keyring(await readGivenKeys(source));
  const render = await loadRenderer();
  return (object) =>
    locateAsync(object.place, async () => {
      const sealed = inItsNamespace(object, undefined);
      return (await unseal(sealed, keyring, { render, acceptLegacy: true })).secret.data;
    });
}

/** A value as text; undefined if it is not UTF-8. */
export function textOfValue(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return undefined;
  }
}
