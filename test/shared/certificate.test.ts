// Proofs about sealing keys and certificates: made, read, refused, never quoted.
// SPEC.md, "Sealing keys and certificates".

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
} from "node:crypto";
import fc from "fast-check";
import forge from "node-forge";
import { describe, expect, test } from "vitest";
import { checkNotExpired, parseCertificate } from "../../shared/keys/certificate.ts";
import { parsePrivateKey } from "../../shared/keys/rsakey.ts";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import { SignetError } from "../../shared/errors.ts";
import { errorOf, testKey, toldBy } from "../vectors/fixtures.ts";
import { keyText } from "../vectors/vectors.ts";

const NOT_BEFORE = new Date("2026-03-01T12:34:56.789Z");
const DAY_MS = 24 * 3600 * 1000;

const pair: SealingKeyPair = await createSealingKey({
  bits: 2048,
  notBefore: NOT_BEFORE,
  validForMs: 10 * DAY_MS,
});

describe("a sealing key that is made", () => {
  test("reads back, both halves with one fingerprint", () => {
    const certificate = parseCertificate(pair.certificatePem);
    const privateKey = parsePrivateKey(pair.privateKeyPem);
    expect(certificate.fingerprint).toBe(privateKey.fingerprint);
    expect(certificate.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(certificate.bits).toBe(2048);
    expect(privateKey.bits).toBe(2048);
    expect(privateKey.modulus).toHaveLength(256);
    expect(certificate.pem).toBe(pair.certificatePem);
    expect(pair.privateKeyPem).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/);
  });

  test("is valid from and to whole seconds, also beyond 2050", async () => {
    const { notBefore, notAfter } = parseCertificate(pair.certificatePem);
    expect(notBefore.toISOString()).toBe("2026-03-01T12:34:56.000Z");
    expect(notAfter.toISOString()).toBe("2026-03-11T12:34:56.000Z");
    const long = await createSealingKey({
      bits: 2048,
      notBefore: new Date("2049-12-31T23:59:59Z"),
      validForMs: 1000,
    });
    const read = parseCertificate(long.certificatePem);
    expect(read.notBefore.toISOString()).toBe("2049-12-31T23:59:59.000Z");
    expect(read.notAfter.toISOString()).toBe("2050-01-01T00:00:00.000Z");
  });

  test("has the exponent 65537 and a certificate that it signed itself", () => {
    const x509 = new X509Certificate(pair.certificatePem);
    const publicKey = createPublicKey(createPrivateKey(pair.privateKeyPem));
    expect(publicKey.asymmetricKeyDetails?.publicExponent).toBe(65537n);
    expect(x509.checkPrivateKey(createPrivateKey(pair.privateKeyPem))).toBe(true);
    expect(x509.verify(publicKey)).toBe(true);
  });

  test("has no name unless it is given one", async () => {
    // Until Node 24 an empty subject is told as undefined, whatever its types say; since 26 as "".
    const unnamed: string | undefined = new X509Certificate(pair.certificatePem).subject;
    expect([undefined, ""]).toContain(unnamed);
    const named = await createSealingKey({
      bits: 2048,
      notBefore: NOT_BEFORE,
      validForMs: DAY_MS,
      commonName: "sealing",
    });
    const { subject, issuer } = new X509Certificate(named.certificatePem);
    expect(subject).toBe("CN=sealing");
    expect(issuer).toBe(subject);
  });

  // Go takes no other character in a PrintableString than X.680 lists.
  test.for([
    ["sealing.example.com", 0x13],
    ["sealing_keys@example", 0x0c],
    ["Schlüssel", 0x0c],
  ] as const)("writes the name %s as a string that Go reads", async ([commonName, tag]) => {
    const { certificatePem } = await createSealingKey({
      bits: 2048,
      notBefore: NOT_BEFORE,
      validForMs: DAY_MS,
      commonName,
    });
    const { raw, subject } = new X509Certificate(certificatePem);
    expect(subject).toBe(`CN=${commonName}`);
    const value = Buffer.from(commonName);
    expect(raw.includes(Buffer.from([tag, value.length, ...value]))).toBe(true);
  });

  test("has a serial number that DER does not pad", () => {
    expect(new X509Certificate(pair.certificatePem).serialNumber).toMatch(/^[1-7][0-9A-F]{31}$/);
  });

  test("has another serial number each time, positive and below 2^128", () => {
    const serial = BigInt(`0x${new X509Certificate(pair.certificatePem).serialNumber}`);
    const other = BigInt(`0x${new X509Certificate(keyText("first", "crt")).serialNumber}`);
    expect(serial).toBeGreaterThan(0n);
    expect(serial).toBeLessThan(1n << 128n);
    expect(serial).not.toBe(other);
  });
});

describe("a certificate's end", () => {
  const certificate = parseCertificate(pair.certificatePem);

  test("is its last moment", () => {
    expect(() => {
      checkNotExpired(certificate, certificate.notAfter);
    }).not.toThrow();
  });

  test("is told with the day, in the original's words", async () => {
    const error = await errorOf(() => {
      checkNotExpired(certificate, new Date(certificate.notAfter.getTime() + 1));
    });
    expect(error.code).toBe("certificate-expired");
    expect(error.message).toBe("failed to encrypt using an expired certificate on March 11, 2026");
  });

  test("is all that counts: one that is not valid yet is taken", () => {
    expect(() => {
      checkNotExpired(certificate, new Date(0));
    }).not.toThrow();
  });
});

/** Null where it was taken. */
function refusalOf(action: () => unknown): SignetError | null {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** DER with some bytes changed, and perhaps its end cut off. */
function damaged(der: Uint8Array): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), {
    minLength: 1,
    maxLength: 4,
  });
  return fc.tuple(changes, fc.oneof(fc.constant(0), fc.nat(der.length))).map(([edits, cut]) => {
    const copy = der.slice(0, der.length - cut);
    for (const [at, byte] of edits) if (at < copy.length) copy[at] = byte;
    return copy;
  });
}

describe("untrusted input", () => {
  test("of any text is no certificate and no key, and says so", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string().map((body) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`),
      fc.base64String().map((body) => pem("RSA PRIVATE KEY", Buffer.from(body, "base64"))),
      fc.base64String().map((body) => pem("PRIVATE KEY", Buffer.from(body, "base64"))),
      fc.base64String().map((body) => pem("CERTIFICATE", Buffer.from(body, "base64"))),
    );
    fc.assert(
      fc.property(text, (text) => {
        expect(refusalOf(() => parseCertificate(text))?.code).toBe("certificate-invalid");
        expect(refusalOf(() => parsePrivateKey(text))?.code).toBe("key-invalid");
      }),
      { numRuns: 500 },
    );
  });

  test("of a damaged certificate is refused, or a certificate with sane dates", () => {
    const der = new Uint8Array(new X509Certificate(pair.certificatePem).raw);
    fc.assert(
      fc.property(damaged(der), (der) => {
        const refusal = refusalOf(() => {
          const certificate = parseCertificate(pem("CERTIFICATE", der));
          expect(certificate.notBefore.getTime()).not.toBeNaN();
          expect(certificate.bits).toBeGreaterThanOrEqual(1024);
          checkNotExpired(certificate, NOT_BEFORE);
        });
        if (refusal !== null) expect(refusal.code).toMatch(/^certificate-(invalid|expired)$/);
      }),
      { numRuns: 1500 },
    );
  });

  test("of a damaged private key is refused, or a key, and never quoted", () => {
    const pkcs1 = createPrivateKey(pair.privateKeyPem).export({ type: "pkcs1", format: "der" });
    const { pkcs8 } = testKey("first").privateKey;
    fc.assert(
      fc.property(damaged(new Uint8Array(pkcs1)), damaged(pkcs8), (one, other) => {
        for (const text of [pem("RSA PRIVATE KEY", one), pem("PRIVATE KEY", other)]) {
          const refusal = refusalOf(() => parsePrivateKey(text));
          if (refusal === null) continue;
          expect(refusal.code).toBe("key-invalid");
          for (const line of text.split("\n").slice(1, -2)) {
            if (line.length > 8) expect(toldBy(refusal)).not.toContain(line);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test.each(["1", "2", "65536", "4294967297"])(
    "of a certificate with the exponent %s is refused: values would be readable",
    (exponent) => {
      const made = (e: string): string => {
        const certificate = forge.pki.certificateFromPem(pair.certificatePem);
        const { n } = certificate.publicKey as forge.pki.rsa.PublicKey;
        certificate.publicKey = forge.pki.rsa.setPublicKey(n, new forge.jsbn.BigInteger(e));
        // Signed by another key: by its own it cannot be.
        certificate.setIssuer([{ name: "commonName", value: "another" }]);
        certificate.sign(forge.pki.privateKeyFromPem(pair.privateKeyPem), forge.md.sha256.create());
        return forge.pki.certificateToPem(certificate);
      };
      expect(parseCertificate(made("3")).bits).toBe(2048);
      const refusal = refusalOf(() => parseCertificate(made(exponent)));
      expect(refusal?.code).toBe("certificate-invalid");
    },
  );

  test("of a private key too small to be safe is refused", async () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 512 });
    const text = privateKey.export({ type: "pkcs1", format: "pem" }) as string;
    expect((await errorOf(() => parsePrivateKey(text))).code).toBe("key-invalid");
  });
});
