// Measures how fast the API server takes what a controller wrote, if a client that does nothing else
// writes the same again: what no controller can be faster than.
import type { ControlPlane, KubeObject } from "../test/cluster/controlplane.ts";
import { inLanes } from "../test/cluster/lanes.ts";
import { SEALED_SECRETS } from "../test/cluster/objects.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";

const CALLS_AT_ONCE = 16;
const MANAGER = "fieldManager=bench";

const secretsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`;
const sealedSecretsOf = (namespace: string): string =>
  `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets`;

/** Writes of so many SealedSecrets are repeated. */
const REPEATED = 2_000;

/** What tables say of it. */
export const REPEATED_NOTE = `The same writes alone: a client that does nothing else writes the Secrets and statuses of ${REPEATED} of these SealedSecrets again, ${CALLS_AT_ONCE} at once, with the controller's permissions. It reads and opens nothing.`;

export interface Written {
  readonly namespace: string;
  /** The SealedSecrets, of which no more are repeated than it takes to know the rate. */
  readonly names: readonly string[];
  /** The controller's, so that the API server checks the same permissions. */
  readonly token: string;
}

/**
 * Copies SealedSecrets to the namespace `copies`, and then writes for each copy the Secret and the
 * status that its original has by now. Returns SealedSecrets per second. The copies stay.
 */
export async function repeatWrites(
  plane: ControlPlane,
  { namespace, names, token }: Written,
  copies: string,
): Promise<number> {
  const must = async (
    method: string,
    path: string,
    body?: unknown,
    as?: { token: string },
  ): Promise<KubeObject> => {
    const answer = await plane.request(method, path, body, as);
    if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.text}`);
    return answer.body;
  };
  await ensureNamespace(plane, copies);
  const secrets: KubeObject[] = [];
  const statuses: KubeObject[] = [];
  await inLanes(CALLS_AT_ONCE, names.slice(0, REPEATED), async (name) => {
    const sealed = await must("GET", `${sealedSecretsOf(namespace)}/${name}`);
    const { annotations = {} } = sealed.metadata ?? {};
    const fresh = { ...sealed, metadata: { name, annotations }, status: undefined };
    const copy = await must("POST", sealedSecretsOf(copies), fresh);
    secrets.push(ownedBy(copy, await must("GET", `${secretsOf(namespace)}/${name}`)));
    const { managedFields: _, ...metadata } = copy.metadata ?? {};
    // As the controller sends it: the API server takes nothing but the status.
    const { status } = sealed;
    statuses.push({ ...copy, metadata, spec: { encryptedData: {} }, status });
  });
  const startedMs = performance.now();
  await inLanes(CALLS_AT_ONCE, secrets, async (secret) => {
    await must("POST", `${secretsOf(copies)}?${MANAGER}`, secret, { token });
  });
  await inLanes(CALLS_AT_ONCE, statuses, async (sealed) => {
    const path = `${sealedSecretsOf(copies)}/${sealed.metadata?.name ?? ""}/status?${MANAGER}`;
    await must("PUT", path, sealed, { token });
  });
  return (secrets.length * 1000) / (performance.now() - startedMs);
}

/** The Secret as the controller first wrote it, for a copy of its SealedSecret. */
function ownedBy({ metadata }: KubeObject, secret: KubeObject): KubeObject {
  const { name = "", labels = {}, annotations = {}, ownerReferences = [] } = secret.metadata ?? {};
  const owners = ownerReferences.map((owner) => ({ ...owner, uid: metadata?.uid ?? "" }));
  return { ...secret, metadata: { name, labels, annotations, ownerReferences: owners } };
}
