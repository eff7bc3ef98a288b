// Creates a sealing key pair and its self-signed X.509 certificate.
// SPEC.md, "Sealing keys and certificates".

import { generateKeyPair, type KeyObject, randomBytes, sign } from "node:crypto";
import { promisify } from "node:util";
import type { asn1, pki } from "node-forge";
import type { CreatedHalf } from "./keykind.ts";
import { createHalves } from "./kinds.ts";

/** A key pair as it is stored: `tls.key` (PKCS #1 PEM) and `tls.crt` (certificate PEM). */
export interface SealingKeyPair {
  readonly privateKeyPem: string;
  readonly certificatePem: string;
}

export interface SealingKeyOptions {
  readonly bits: number;
  readonly notBefore: Date;
  readonly validForMs: number;
  /** Common name of subject and issuer; the original leaves the name empty by default. */
  readonly commonName?: string;
  /** Names of the kinds that the key has besides RSA; none by default. */
  readonly kinds?: readonly string[];
}

/**
 * Creates an RSA key (exponent 65537), keys of further kinds if requested, and the certificate for
 * them. Without further kinds, it is the certificate that the original would create.
 */
export async function createSealingKey(options: SealingKeyOptions): Promise<SealingKeyPair> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: options.bits,
  });
  const halves = await createHalves(options.kinds ?? []);
  const rsaPem = privateKey.export({ type: "pkcs1", format: "pem" }) as string;
  return {
    privateKeyPem: rsaPem + halves.map(({ privateKeyPem }) => privateKeyPem).join(""),
    certificatePem: await selfSign(privateKey, publicKey, options, halves),
  };
}

async function selfSign(
  privateKey: KeyObject,
  publicKey: KeyObject,
  { notBefore, validForMs, commonName }: SealingKeyOptions,
  halves: readonly CreatedHalf[],
): Promise<string> {
  // Loaded only here, because a key is created only once a month.
  const { default: forge } = await import("node-forge");
  const { asn1, md, pki } = forge;
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(
    publicKey.export({ type: "spki", format: "pem" }) as string,
  );
  // The first digit keeps the DER integer positive, below 2^128 and free of padding.
  certificate.serialNumber = "4" + randomBytes(16).toString("hex").slice(1);
  certificate.validity.notBefore = notBefore;
  certificate.validity.notAfter = new Date(notBefore.getTime() + validForMs);
  // Go refuses a PrintableString with any other character.
  const isPrintable = /^[A-Za-z0-9 '()+,./:=?-]*$/.test(commonName ?? "");
  const stringType = isPrintable ? asn1.Type.PRINTABLESTRING : asn1.Type.UTF8;
  // The published types expect another enumeration here than the library reads.
  const valueTagClass = stringType as unknown as asn1.Class;
  const name = commonName ? [{ name: "commonName", value: commonName, valueTagClass }] : [];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: "keyUsage", critical: true, encipherOnly: true },
    { name: "basicConstraints", critical: true, cA: true },
    { name: "subjectKeyIdentifier" },
    ...halves.map(({ extension: { objectId, value } }) => ({
      id: objectId,
      critical: false,
      value: Buffer.from(value).toString("binary"),
    })),
  ]);
  // The library lays out the certificate, and OpenSSL signs it: a key is whatever has a `sign`.
  const signer = {
    sign: () => {
      const toBeSigned = Buffer.from(asn1.toDer(certificate.tbsCertificate).getBytes(), "binary");
      return sign("sha256", toBeSigned, privateKey).toString("binary");
    },
  };
  certificate.sign(signer as Partial<pki.rsa.PrivateKey> as pki.rsa.PrivateKey, md.sha256.create());
  return pki.certificateToPem(certificate).replaceAll("\r\n", "\n");
}
