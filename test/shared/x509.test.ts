// That a certificate is read without node:crypto as OpenSSL reads it.

import { readFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { SignetError } from "../../shared/errors.ts";
import { readCertificate } from "../../shared/keys/x509.ts";

const fixture = (name: string): string => readFileSync(`test/fixtures/${name}.pem`, "utf8");

describe("readCertificate", () => {
  it.for(["cert", "other-cert", "expired-cert", "future-cert"])(
    "agrees with OpenSSL on %s",
    async (name) => {
      expect(await readCertificate(fixture(name))).toEqual(parseCertificate(fixture(name)));
    },
  );

  it.for([
    ["a year before 2050", "2049-12-31T23:59:59Z"],
    ["a year after", "2050-01-01T00:00:00Z"],
    ["a year of the last century", "1999-01-01T00:00:00Z"],
  ] as const)("agrees with OpenSSL on %s, and another size of key", async ([, moment]) => {
    const { certificatePem } = await createSealingKey({
      bits: 2050,
      notBefore: new Date(moment),
      validForMs: 86_400_000,
      commonName: "somebody",
    });
    const read = await readCertificate(`words before\n${certificatePem}`);
    expect(read).toEqual(parseCertificate(certificatePem));
    expect(read.bits).toBe(2050);
  });

  it("refuses what is none, is not RSA, or has a key that is too small, in the same words", async () => {
    const { certificatePem: small } = await createSealingKey({
      bits: 768,
      notBefore: new Date(),
      validForMs: 86_400_000,
    });
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const bare = publicKey.export({ type: "spki", format: "pem" }) as string;
    for (const text of ["", bare, small, fixture("ec-cert")]) {
      const theirs = (() => {
        try {
          return parseCertificate(text);
        } catch (error) {
          return (error as Error).message.replace(/found ec$/, "found another kind");
        }
      })();
      await expect(readCertificate(text)).rejects.toThrow(
        expect.objectContaining({ code: "certificate-invalid", message: theirs }),
      );
    }
  });

  it("never takes damaged bytes for another certificate, and throws nothing but its own error", async () => {
    const pem = fixture("cert");
    const good = await readCertificate(pem);
    const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
    let refused = 0;
    for (let at = 0; at < der.length; at++) {
      for (const bytes of [der.subarray(0, at), Buffer.from(der)]) {
        if (bytes.length === der.length) bytes.writeUInt8((bytes.readUInt8(at) ^ 0x80) & 0xff, at);
        const text = `-----BEGIN CERTIFICATE-----\n${bytes.toString("base64")}\n-----END CERTIFICATE-----\n`;
        try {
          const { spki, fingerprint } = await readCertificate(text);
          // What is signed over another key is another key; all else is as it was.
          if (Buffer.from(spki).equals(good.spki)) expect(fingerprint).toBe(good.fingerprint);
          else expect(fingerprint).not.toBe(good.fingerprint);
        } catch (error) {
          refused++;
          expect(error, `byte ${at}`).toBeInstanceOf(SignetError);
        }
      }
    }
    expect(refused).toBeGreaterThanOrEqual(der.length);
  });

  it.each([
    ["negative", "0203010001", "0203810001"],
    ["not in the shortest form", "0203010001", "0203000101"],
  ])("refuses an exponent that is %s", async (_, usual, changed) => {
    const pem = fixture("cert");
    const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64").toString("hex");
    expect(der).toContain(usual);
    const body = Buffer.from(der.replace(usual, changed), "hex").toString("base64");
    const text = `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
    await expect(readCertificate(text)).rejects.toThrow("the certificate's bytes are damaged");
  });
});
