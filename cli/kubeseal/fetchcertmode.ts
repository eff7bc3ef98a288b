// Owns: `kubeseal --fetch-cert`.
// Does not own: where the certificate comes from (cluster/certificate.ts).

import { findCertificate } from "../cluster/certificatesource.ts";
import { certificateOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { deliver } from "./output.ts";

/** Prints what was found as it is, once it proved to hold a certificate. */
export async function runFetchCert(flags: Flags): Promise<void> {
  const { text } = await findCertificate(certificateOptions(flags));
  await deliver(text, flags);
}
