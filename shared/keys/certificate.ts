// A sealing key pair and its self-signed X.509 certificate: create, parse, fingerprint, validity.
// SPEC.md, "Sealing keys and certificates".

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { SignetError } from "../errors.ts";
import { checkKeySize, damagedCertificate, findCertificatePem } from "./x509.ts";

/** What a developer needs to seal: the public half. */
export interface Certificate {
  readonly pem: string;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly bits: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * Reads the first certificate of a PEM text.
 * @throws SignetError certificate-invalid where there is none, or it is not RSA
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
  const notBefore = new Date(x509.validFrom);
  const notAfter = new Date(x509.validTo);
  if (Number.isNaN(notBefore.getTime()) || Number.isNaN(notAfter.getTime()))
    throw damagedCertificate();
  return {
    pem: `${pem}\n`,
    spki: new Uint8Array(key.export({ type: "spki", format: "der" })),
    fingerprint: fingerprintOf(key),
    bits,
    notBefore,
    notAfter,
  };
}

/**
 * Every certificate of a PEM text, in its order: the first is the one to seal with, the others are
 * of keys before it.
 * @throws SignetError certificate-invalid where the first cannot be used; others are left out then
 */
export function parseCertificates(text: string): [Certificate, ...Certificate[]] {
  const first = parseCertificate(text);
  const [, ...others] = text.match(CERTIFICATE_PEM) ?? [];
  const readable = others.flatMap((pem) => {
    try {
      return [parseCertificate(pem)];
    } catch {
      return [];
    }
  });
  return [first, ...readable];
}

const CERTIFICATE_PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** @throws SignetError certificate-expired where `now` is past the certificate's last moment */
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

/** The private half of a sealing key, read. */
export interface PrivateKey {
  /** DER PrivateKeyInfo. */
  readonly pkcs8: Uint8Array;
  readonly fingerprint: string;
  readonly bits: number;
  /** Big-endian modulus. */
  readonly modulus: Uint8Array;
}

/**
 * Reads the first private key of a PEM text: PKCS #1 or PKCS #8, not passphrase-locked.
 * @throws SignetError key-invalid; the text is never quoted
 */
export function parsePrivateKey(text: string): PrivateKey {
  const pem = /-----BEGIN ((?:RSA |EC |ENCRYPTED )?PRIVATE KEY)-----[\s\S]*?-----END \1-----/.exec(
    text,
  )?.[0];
  if (pem === undefined) throw new SignetError("key-invalid", "there is no PEM private key in it");
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    const locked = /ENCRYPTED/.test(pem);
    throw new SignetError(
      "key-invalid",
      locked ? "the private key is locked with a passphrase" : "the private key cannot be read",
    );
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw new SignetError("key-invalid", "private key is not an RSA key");
  }
  const publicKey = createPublicKey(key);
  const bits = modulusBits(publicKey);
  checkKeySize(bits, "key-invalid");
  return {
    pkcs8: new Uint8Array(key.export({ type: "pkcs8", format: "der" })),
    fingerprint: fingerprintOf(publicKey),
    bits,
    modulus: modulusOf(publicKey),
  };
}

function modulusOf(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).n ?? "", "base64url"));
}

function modulusBits(publicKey: KeyObject): number {
  return publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
}

/** `SHA256:` + unpadded base64 of the SHA-256 of the ssh-rsa wire form (RFC 4253, section 6.6). */
function fingerprintOf(publicKey: KeyObject): string {
  const { n = "", e = "" } = publicKey.export({ format: "jwk" });
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const integer = (encoded: string): Buffer => {
    const bytes = Buffer.from(encoded, "base64url");
    return field((bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
  };
  const wire = Buffer.concat([field(Buffer.from("ssh-rsa")), integer(e), integer(n)]);
  const digest = createHash("sha256").update(wire).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
