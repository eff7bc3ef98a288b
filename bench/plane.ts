// The control plane that controllers are measured on: our chart's rights, one sealing key for all.
import type { Certificate } from "../shared/keys/keykind.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { formatKeySecret } from "../shared/keys/keyfile.ts";
import { type ControlPlane, startControlPlane } from "../test/cluster/controlplane.ts";
import { installSignet } from "../test/cluster/signet.ts";
import { type Bench, benchKey } from "./measure.ts";

/** Without a controller manager: nothing runs beside the one that is measured. Stopped afterwards. */
export async function onBenchPlane<T>(
  { scratch }: Bench,
  measure: (plane: ControlPlane, certificate: Certificate) => Promise<T>,
): Promise<T> {
  const plane = await startControlPlane({ controllerManager: false, directory: scratch });
  try {
    await installSignet(plane);
    const pair = await benchKey();
    const metadata = { name: "sealed-secrets-key-bench", namespace: "kube-system" };
    await plane.apply(formatKeySecret(pair, metadata));
    return await measure(plane, parseCertificate(pair.certificatePem));
  } finally {
    await plane.stop();
  }
}
