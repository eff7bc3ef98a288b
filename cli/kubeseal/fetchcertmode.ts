// `kubeseal --fetch-cert`.

import { findCertificate } from "../cluster/certificatesource.ts";
import { certificateOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { deliver } from "./output.ts";

/** Prints what was found as it is, once it proved to hold a certificate. */
export async function runFetchCert(flags: Flags): Promise<void> {
  const { text } = await findCertificate(certificateOptions(flags));
  await deliver(text, flags);
}
