// Reads sealing certificates without node:crypto, and finds certificates in PEM text.
// SPEC.md, "Sealing keys and certificates". Runs in a browser.

import { encodeBase64 } from "../base64.ts";
import { SignetError } from "../errors.ts";
import type { Certificate } from "./keykind.ts";
import { damagedCertificate, extensionIn, partsOf, Reader, TAG } from "./der.ts";
import { kindsIn } from "./kinds.ts";
import { bytesOfPem, pemBlocks } from "./pem.ts";
import { checkExponent, checkKeySize } from "./rsakey.ts";

/** The DER content of the object identifier 1.2.840.113549.1.1.1. */
const RSA_ENCRYPTION = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/** The hash of each signature algorithm that WebCrypto can check. RFC 8017, appendix A.2.4. */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.11": "SHA-256",
  "1.2.840.113549.1.1.12": "SHA-384",
  "1.2.840.113549.1.1.13": "SHA-512",
};

/** Returns the PEM block of each certificate in the text, in order. */
export function certificatePems(text: string): string[] {
  return pemBlocks(text, "CERTIFICATE");
}

/**
 * Returns the first certificate's PEM block.
 * @throws SignetError certificate-invalid if there is none
 */
export function findCertificatePem(text: string): string {
  const [pem] = certificatePems(text);
  if (pem !== undefined) return pem;
  throw new SignetError(
    "certificate-invalid",
    "data does not contain any valid RSA or ECDSA certificates",
    { hint: "a sealing certificate is PEM text that starts with -----BEGIN CERTIFICATE-----" },
  );
}

/**
 * Refuses a certificate that claims to be self-signed but is not: someone removed its second key in
 * transit, or changed something else. `isSelfIssued`: whether issuer and subject have one name.
 * @throws SignetError certificate-invalid
 */
export function checkSignature(isSelfSigned: boolean, isSelfIssued: boolean): void {
  if (isSelfSigned || !isSelfIssued) return;
  throw new SignetError("certificate-invalid", "the certificate's signature is invalid", {
    hint: "it was modified after it was created: fetch it again from a source that you trust",
  });
}

/** @throws SignetError usage if the browser does not provide WebCrypto to the page */
function checkWebCrypto(): void {
  const { subtle } = crypto as Partial<typeof crypto>;
  if (subtle !== undefined) return;
  throw new SignetError(
    "usage",
    "WebCrypto is not available, because this page was not loaded over HTTPS",
    {
      hint: "serve the page over HTTPS, or from localhost",
    },
  );
}

/**
 * Reads the first certificate in a PEM text, as `parseCertificate` in certificate.ts does. Reads
 * only the extensions that the kinds of keys request.
 * @throws SignetError certificate-invalid if there is no certificate, or the first one is damaged,
 *   not RSA or too small; usage if the browser does not provide WebCrypto
 */
export async function readCertificate(text: string): Promise<Certificate> {
  checkWebCrypto();
  const pem = findCertificatePem(text);
  const der = bytesOfPem(pem);
  if (der === null) throw damagedCertificate();
  const parts = partsOf(der);
  const { validity, spki } = parts;
  const notBefore = takeTime(validity);
  const notAfter = takeTime(validity);
  const { modulus, exponent } = takePublicKey(new Reader(spki));
  const bits = bitsOf(modulus);
  checkKeySize(bits, "certificate-invalid");
  checkExponent(numberOf(exponent.subarray(0, 8)), "certificate-invalid");
  const isSelfSigned = await isSignedBySelf(parts);
  checkSignature(isSelfSigned ?? true, parts.isSelfIssued);
  return {
    pem: `${pem}\n`,
    spki,
    fingerprint: await fingerprintOf(modulus, exponent),
    bits,
    notBefore,
    notAfter,
    kinds: kindsIn({
      spki,
      extension: (objectId) => extensionIn(der, objectId),
      isSelfSigned: isSelfSigned ?? false,
    }),
  };
}

/** Returns null if the browser cannot check signatures of this algorithm. */
async function isSignedBySelf({
  algorithm,
  signed,
  signature,
  spki,
}: ReturnType<typeof partsOf>): Promise<boolean | null> {
  const hash = SIGNATURE_HASHES[algorithm];
  if (hash === undefined) return null;
  const scheme = { name: "RSASSA-PKCS1-v1_5", hash };
  const key = await crypto.subtle.importKey("spki", spki, scheme, false, ["verify"]);
  return crypto.subtle.verify(scheme.name, key, signature, signed);
}

/** Reads a time, which has whole seconds and is UTC. RFC 5280, section 4.1.2.5. */
function takeTime(validity: Reader): Date {
  const short = validity.tag === TAG.utcTime;
  const bytes = validity.take(short ? TAG.utcTime : TAG.generalizedTime);
  const digits = /^(\d*)Z$/.exec(new TextDecoder().decode(bytes))?.[1] ?? "";
  // A two-digit year of 50 or more is in the 20th century.
  const full = short ? `${Number(digits.slice(0, 2)) >= 50 ? "19" : "20"}${digits}` : digits;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(full) ?? [];
  const moment = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(moment.getTime())) throw damagedCertificate();
  return moment;
}

function takePublicKey(spki: Reader): { modulus: Uint8Array; exponent: Uint8Array } {
  const info = spki.enter(TAG.sequence);
  const algorithm = info.enter(TAG.sequence);
  if (algorithm.take(TAG.objectId).join() !== RSA_ENCRYPTION.join()) {
    throw new SignetError("certificate-invalid", "expected RSA public key but found another kind");
  }
  if (algorithm.take(TAG.null).length > 0) throw damagedCertificate();
  algorithm.end();
  const numbers = new Reader(info.takeBits()).enter(TAG.sequence);
  info.end();
  const modulus = takePositive(numbers);
  const exponent = takePositive(numbers);
  numbers.end();
  return { modulus, exponent };
}

/**
 * Takes a positive integer in the shortest form. OpenSSL reads a negative one as a different number
 * than its bytes say, and the fingerprint is computed from the bytes.
 */
function takePositive(numbers: Reader): Uint8Array {
  const integer = numbers.take(TAG.integer);
  const [first = 0x80, second = 0] = integer;
  if (first >= 0x80 || (first === 0 && second < 0x80)) throw damagedCertificate();
  return integer;
}

/** Returns the number of bits of a positive DER integer. */
function bitsOf(integer: Uint8Array): number {
  const first = integer.findIndex((byte) => byte !== 0);
  if (first === -1) return 0;
  return (integer.length - first) * 8 - Math.clz32(integer[first] ?? 0) + 24;
}

function numberOf(bigEndian: Uint8Array): bigint {
  return bigEndian.reduce((number, byte) => number * 256n + BigInt(byte), 0n);
}

/**
 * Returns a key's fingerprint: `SHA256:` and the unpadded base64 of the SHA-256 of its ssh-rsa wire
 * form (RFC 4253, section 6.6).
 */
async function fingerprintOf(modulus: Uint8Array, exponent: Uint8Array): Promise<string> {
  // DER and SSH encode an integer alike: as short as possible, with a zero before a high first bit.
  const fields = [new TextEncoder().encode("ssh-rsa"), exponent, modulus];
  const wire = new Uint8Array(fields.reduce((sum, { length }) => sum + 4 + length, 0));
  let offset = 0;
  for (const field of fields) {
    new DataView(wire.buffer).setUint32(offset, field.length);
    wire.set(field, offset + 4);
    offset += 4 + field.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", wire));
  return `SHA256:${encodeBase64(digest).replace(/=+$/, "")}`;
}
