// Creates a sealing key pair and its self-signed X.509 certificate.
// SPEC.md, "Sealing keys and certificates".

import { generateKeyPair, type KeyObject, randomBytes, sign } from "node:crypto";
import { promisify } from "node:util";
import type { asn1, pki } from "node-forge";

/** A key pair in its stored form: `tls.key` (PKCS #1 PEM) and `tls.crt` (certificate PEM). */
export interface SealingKeyPair {
  readonly privateKeyPem: string;
  readonly certificatePem: string;
}

export interface SealingKeyOptions {
  readonly bits: number;
  readonly notBefore: Date;
  readonly validForMs: number;
  /** Common name of subject and issuer. Default: both names are empty, as the original's are. */
  readonly commonName?: string;
}

/** Creates an RSA key (exponent 65537) and the same certificate that the original would create. */
export async function createSealingKey(options: SealingKeyOptions): Promise<SealingKeyPair> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: options.bits,
  });
  return {
    privateKeyPem: privateKey.export({ type: "pkcs1", format: "pem" }) as string,
    certificatePem: await selfSign(privateKey, publicKey, options),
  };
}

async function selfSign(
  privateKey: KeyObject,
  publicKey: KeyObject,
  { notBefore, validForMs, commonName }: SealingKeyOptions,
): Promise<string> {
  // Imported on demand, because a key is created only once a month.
  const { default: forge } = await import("node-forge");
  const { asn1, pem } = forge;
  // The published types lack this function.
  const pki = forge.pki as typeof forge.pki & {
    getTBSCertificate(certificate: pki.Certificate): asn1.Asn1;
  };
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(
    publicKey.export({ type: "spki", format: "pem" }) as string,
  );
  // A leading zero nibble keeps the DER integer positive and below 2^128.
  certificate.serialNumber = "0" + randomBytes(16).toString("hex").slice(1);
  certificate.validity.notBefore = notBefore;
  certificate.validity.notAfter = new Date(notBefore.getTime() + validForMs);
  const name = commonName ? [{ name: "commonName", value: commonName }] : [];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: "keyUsage", critical: true, encipherOnly: true },
    { name: "basicConstraints", critical: true, cA: true },
    { name: "subjectKeyIdentifier" },
  ]);
  // node-forge encodes the certificate; Node's crypto (OpenSSL) signs it.
  const sha256WithRsa = pki.oids["sha256WithRSAEncryption"] as string;
  const unsigned = certificate as typeof certificate & {
    signatureOid: string;
    siginfo: { algorithmOid: string };
    signature: string;
    tbsCertificate: asn1.Asn1;
  };
  unsigned.signatureOid = unsigned.siginfo.algorithmOid = sha256WithRsa;
  unsigned.tbsCertificate = pki.getTBSCertificate(certificate);
  const toBeSigned = Buffer.from(asn1.toDer(unsigned.tbsCertificate).getBytes(), "binary");
  unsigned.signature = sign("sha256", toBeSigned, privateKey).toString("binary");
  const body = asn1.toDer(pki.certificateToAsn1(certificate)).getBytes();
  return pem.encode({ type: "CERTIFICATE", body }).replaceAll("\r\n", "\n");
}
