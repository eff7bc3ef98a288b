// Seals a new Secret for one cluster or several.

import { SignetError } from "../shared/errors.ts";
import { sealingIn } from "../shared/keys/kinds.ts";
import { parseMetadata } from "../shared/kubernetes/object.ts";
import { checkType } from "../shared/kubernetes/typeditems.ts";
import { formatManifests } from "../shared/manifest/manifest.ts";
import type { Scope } from "../shared/sealing/scope.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { checkUsable, type KnownCluster } from "./certificates.ts";
import { type ValueSource, type Values, valuesOf, wipe } from "./itemvalues.ts";
import type { SealedResult } from "./sealedresult.ts";

export interface NewSecret {
  readonly namespace: string;
  readonly name: string;
  /** Empty for the cluster's default, Opaque. */
  readonly type: string;
  readonly scope: Scope;
  readonly items: readonly (readonly [string, ValueSource])[];
  /** Whether each cluster gets its own generated values. */
  readonly ownValues: boolean;
  /** Name of the algorithm; by default the best that each certificate supports. */
  readonly algorithm?: string;
  /** Pattern for the path of a new file in the repository. */
  readonly newFile?: string | undefined;
}

/**
 * Seals the Secret for each of the clusters.
 * @throws SignetError secret-invalid, certificate-expired, or usage without a cluster
 */
export async function sealNew(
  secret: NewSecret,
  clusters: readonly KnownCluster[],
  now: Date,
): Promise<SealedResult[]> {
  if (clusters.length === 0) throw new SignetError("usage", "choose at least one cluster");
  for (const cluster of clusters) checkUsable(cluster, now);
  if (secret.items.length === 0)
    throw new SignetError("secret-invalid", "there are no items to seal");
  const used: Values[] = [];
  try {
    const shared = valuesOf(secret.items);
    used.push(shared);
    const results: SealedResult[] = [];
    for (const cluster of clusters) {
      const values = secret.ownValues ? valuesOf(secret.items) : shared;
      used.push(values);
      results.push(await sealOne(secret, values, cluster, clusters.length > 1));
    }
    return results;
  } finally {
    for (const values of used) wipe(values.values());
  }
}

async function sealOne(
  { namespace, name, type, scope, algorithm, newFile }: NewSecret,
  data: Values,
  { name: cluster, certificate }: KnownCluster,
  isOneOfSeveral: boolean,
): Promise<SealedResult> {
  const written = { name, ...(namespace === "" ? {} : { namespace }) };
  const metadata = parseMetadata(written, "secret-invalid", { names: "valid" });
  const plain = { metadata, type, immutable: undefined, data };
  checkType(plain);
  const kind = algorithm ?? certificate.kinds[0] ?? "";
  const sealed = await seal(plain, sealingIn(certificate, kind), scope);
  const path = newFile
    ?.replaceAll("{cluster}", cluster)
    .replaceAll("{namespace}", namespace === "" ? "any" : namespace)
    .replaceAll("{name}", name);
  return {
    cluster,
    fileName: isOneOfSeveral ? `${cluster}-${name}.yaml` : `${name}.yaml`,
    path,
    fingerprint: certificate.fingerprint,
    text: formatManifests([formatSealedSecret(sealed)], "yaml"),
    summary: `${data.size} ${data.size === 1 ? "item" : "items"} sealed`,
  };
}
