// Reads sealing certificates (X.509, RSA) with Node's crypto, and checks whether they have expired.
// SPEC.md, "Sealing keys and certificates".

import { type KeyObject, X509Certificate } from "node:crypto";
import { SignetError } from "../errors.ts";
import type { Certificate } from "./keykind.ts";
import { kindsIn } from "./kinds.ts";
import { checkExponent, checkKeySize, fingerprintOf, modulusBits } from "./rsakey.ts";
import { damagedCertificate, extensionIn } from "./der.ts";
import { certificatePems, checkSignature, findCertificatePem } from "./x509.ts";

/**
 * Reads the first certificate in a PEM text.
 * @throws SignetError certificate-invalid if there is no certificate, or the first one is damaged,
 *   not RSA or too small
 */
export function parseCertificate(text: string): Certificate {
  const pem = findCertificatePem(text);
  let x509: X509Certificate;
  let key: KeyObject;
  try {
    x509 = new X509Certificate(pem);
    key = x509.publicKey;
  } catch {
    throw damagedCertificate();
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw new SignetError(
      "certificate-invalid",
      `expected RSA public key but found ${key.asymmetricKeyType ?? "another kind"}`,
    );
  }
  const bits = modulusBits(key);
  checkKeySize(bits, "certificate-invalid");
  checkExponent(key.asymmetricKeyDetails?.publicExponent ?? 0n, "certificate-invalid");
  const notBefore = new Date(x509.validFrom);
  const notAfter = new Date(x509.validTo);
  if (Number.isNaN(notBefore.getTime()) || Number.isNaN(notAfter.getTime()))
    throw damagedCertificate();
  const spki = new Uint8Array(key.export({ type: "spki", format: "der" }));
  const isSelfSigned = x509.verify(key);
  checkSignature(isSelfSigned, x509.issuer === x509.subject);
  const extension = (objectId: string): Uint8Array | null => extensionIn(x509.raw, objectId);
  return {
    pem: `${pem}\n`,
    spki,
    fingerprint: fingerprintOf(key),
    bits,
    notBefore,
    notAfter,
    kinds: kindsIn({ spki, extension, isSelfSigned }),
  };
}

/**
 * Reads every certificate in a PEM text, in order. The first is the one to seal with; the others
 * belong to earlier keys. Skips any certificate after the first that cannot be read.
 * @throws SignetError certificate-invalid if the first certificate is missing or cannot be used
 */
export function parseCertificates(text: string): [Certificate, ...Certificate[]] {
  const first = parseCertificate(text);
  const [, ...others] = certificatePems(text);
  const readable = others.flatMap((pem) => {
    try {
      return [parseCertificate(pem)];
    } catch {
      return [];
    }
  });
  return [first, ...readable];
}

/**
 * Checks that the certificate has not expired. `remedy`: the command that the hint suggests.
 * @throws SignetError certificate-expired if `now` is after the certificate's notAfter
 */
export function checkNotExpired(
  certificate: Certificate,
  now: Date,
  remedy = "signet cert fetch",
): void {
  if (now <= certificate.notAfter) return;
  const day = certificate.notAfter.toLocaleDateString("en-US", {
    dateStyle: "long",
    timeZone: "UTC",
  });
  throw new SignetError(
    "certificate-expired",
    `failed to encrypt using an expired certificate on ${day}`,
    { hint: `get the current one with \`${remedy}\`` },
  );
}
