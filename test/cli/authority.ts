// Certificate authorities of a test, and what they sign: servers on this machine, and clients.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import forge from "node-forge";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

interface Signer {
  /** Of the authority itself. */
  readonly certificate: string;
  /** For a server on 127.0.0.1 that is also called `name`. */
  readonly server: (name?: string) => Pair;
  readonly client: (name: string) => Pair;
  /** An authority that this one signed. */
  readonly below: (name: string) => Signer;
}

const { publicKey, privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

type Name = forge.pki.CertificateField[];
const named = (name: string): Name => [{ name: "commonName", value: name }];

/** All share one key, which only tests rely on. */
function sign(subject: Name, issuer: Name, extensions: object[]): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `01${randomBytes(8).toString("hex")}`;
  // OpenSSL compares with the kernel's clock, which is not shifted with a test's.
  certificate.validity.notBefore = new Date("2000-01-01T00:00:00Z");
  certificate.validity.notAfter = new Date("2049-12-31T00:00:00Z");
  certificate.setSubject(subject);
  certificate.setIssuer(issuer);
  certificate.setExtensions(extensions);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}

export function createAuthority(name: string): Signer {
  return signer(named(name), named(name));
}

function signer(subject: Name, issuer: Name): Signer {
  const pair = (cert: string): Pair => ({ cert, key: privateKey });
  return {
    certificate: sign(subject, issuer, [{ name: "basicConstraints", cA: true, critical: true }]),
    server: (name = "api.test") => {
      const altNames = [
        { type: 2, value: name },
        { type: 7, ip: "127.0.0.1" },
      ];
      return pair(sign(named(name), subject, [{ name: "subjectAltName", altNames }]));
    },
    client: (name) => pair(sign(named(name), subject, [{ name: "extKeyUsage", clientAuth: true }])),
    below: (name) => signer(named(name), subject),
  };
}
