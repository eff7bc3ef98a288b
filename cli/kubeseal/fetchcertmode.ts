// `kubeseal --fetch-cert`. docs/kubeseal.md.

import { findCertificate } from "../cluster/certificatesource.ts";
import { certificateOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { deliver } from "./output.ts";

/** Prints the text unchanged if it holds a certificate. */
export async function runFetchCert(flags: Flags): Promise<void> {
  const { text } = await findCertificate(certificateOptions(flags));
  await deliver(text, flags);
}
