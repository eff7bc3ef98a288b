// The control plane for measuring controllers, with the chart's permissions and one sealing key.
import type { Certificate } from "../shared/keys/keykind.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { formatKeySecret } from "../shared/keys/keyfile.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { type ControlPlane, startControlPlane } from "../test/cluster/controlplane.ts";
import { installSignet } from "../test/cluster/signet.ts";
import { onCoreOfItsOwn } from "./cores.ts";
import { type Bench, benchKey } from "./measure.ts";

/**
 * Runs `measure` on a new control plane, and stops the plane afterwards. There is no controller
 * manager, so that nothing runs besides the controller under test. `given`: its sealing key, else a
 * new one. `apart`: API server and etcd have a core of their own, and everything else the others.
 */
export async function onBenchPlane<T>(
  { scratch }: Bench,
  measure: (plane: ControlPlane, certificate: Certificate) => Promise<T>,
  { given, apart = false }: { given?: SealingKeyPair; apart?: boolean } = {},
): Promise<T> {
  const start = (): Promise<ControlPlane> =>
    startControlPlane({ controllerManager: false, directory: scratch });
  const { started: plane, release } = apart
    ? await onCoreOfItsOwn(start)
    : { started: await start(), release: () => {} };
  try {
    await installSignet(plane);
    const pair = given ?? (await benchKey());
    const metadata = { name: "sealed-secrets-key-bench", namespace: "kube-system" };
    await plane.apply(formatKeySecret(pair, metadata));
    return await measure(plane, parseCertificate(pair.certificatePem));
  } finally {
    release();
    await plane.stop();
  }
}
