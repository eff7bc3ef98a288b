// Owns: `signet cert fetch` and `signet cert show`.
// Does not own: where a certificate comes from (certificate.ts). SPEC.md, "Command line", "Certificate".

import { X509Certificate } from "node:crypto";
import {
  type CertificateOptions,
  daysLeft,
  findCertificate,
  readCertificate,
  warnOfValidity,
} from "./certificate.ts";
import { writeFiles } from "./files.ts";
import { count, printResult, warn } from "./terminal.ts";

/** @throws SignetError io, network, certificate-invalid */
export async function runCertFetch(
  options: CertificateOptions & { readonly output?: string },
): Promise<void> {
  const found = await findCertificate(options);
  const { certificate, source } = found;
  const now = new Date();
  if (now > certificate.notAfter) {
    warn(`${source}: the certificate expired ${certificate.notAfter.toISOString()}`);
  }
  warnOfValidity(found, now);
  if (options.output === undefined) await printResult(certificate.pem);
  else await writeFiles([{ path: options.output, text: certificate.pem }]);
}

/** @throws SignetError io, network, certificate-invalid */
export async function runCertShow(
  named: string | undefined,
  options: CertificateOptions & { readonly json: boolean },
): Promise<void> {
  const { certificate, source } =
    named === undefined
      ? await findCertificate(options)
      : await readCertificate(named, options.requestTimeoutMs);
  const { fingerprint, bits, notBefore, notAfter, pem } = certificate;
  const now = new Date();
  // One attribute a line. Undefined, whatever its type says, for an empty name: the original's own.
  const name = new X509Certificate(pem).subject as string | undefined;
  const subject = (name ?? "").split("\n").join(", ");
  const left = daysLeft(certificate, now);
  const facts = {
    source,
    fingerprint,
    bits,
    subject,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    daysLeft: left,
    valid: now >= notBefore && now <= notAfter,
  };
  if (options.json) {
    await printResult(`${JSON.stringify(facts, null, 2)}\n`);
    return;
  }
  const remaining =
    now > notAfter ? "expired" : now < notBefore ? "not valid yet" : `${count(left, "day")} left`;
  const lines = [
    `source       ${source}`,
    `fingerprint  ${fingerprint}`,
    `key          RSA, ${bits} bits`,
    `subject      ${subject === "" ? "(none)" : subject}`,
    `valid from   ${facts.notBefore}`,
    `valid until  ${facts.notAfter} (${remaining})`,
  ];
  await printResult(`${lines.join("\n")}\n`);
}
