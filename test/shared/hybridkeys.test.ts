// Sealing keys of two halves, RSA and X-Wing: what makes them, reads them, and refuses them.
// SPEC.md, "Keys of two halves".

import { createPublicKey, sign, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { nativePrimitives } from "../../shared/hpke/chosenprimitives.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { readKeyFile, readKeySecret, formatKeySecret } from "../../shared/keys/keyfile.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { decodeEnvelope, fitsCertificate } from "../../shared/keys/kinds.ts";
import { kindsOf, type SealingKey } from "../../shared/keys/sealingkey.ts";
import { readCertificate } from "../../shared/keys/x509.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { errorOf } from "../vectors/fixtures.ts";
import { render, SECRET } from "./samples.ts";

const OPTIONS = {
  bits: 2048,
  notBefore: new Date("2026-01-01T00:00:00Z"),
  validForMs: 3_600_000,
};
const TWO_HALVES = { ...OPTIONS, kinds: ["hybrid"] };
const pair = await createSealingKey(TWO_HALVES);
const other = await createSealingKey(TWO_HALVES);
const certificate = parseCertificate(pair.certificatePem);
const [rsaPem = "", xwingPem = ""] = pair.privateKeyPem.split(/(?=-----BEGIN PRIVATE KEY-----)/);

/** The certificate's DER, changed, and signed again by its own key unless `unsigned`. */
function changed(change: (signed: Buffer) => Buffer, unsigned = false): string {
  const { raw } = new X509Certificate(pair.certificatePem);
  // SEQUENCE { signed, algorithm, signature }, each long enough for two bytes of length.
  const signedLength = 4 + raw.readUInt16BE(6);
  const signed = change(Buffer.from(raw.subarray(4, 4 + signedLength)));
  const behind = raw.subarray(4 + signedLength, -256);
  const signature = unsigned ? raw.subarray(-256) : sign("sha256", signed, rsaPem);
  const content = Buffer.concat([signed, behind, signature]);
  const head = Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]);
  const base64 = Buffer.concat([head, content]).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

const XWING = Buffer.from("060b2b0601040183e62d81c87a", "hex");
const SECOND_KEY = Buffer.from("0603551d48", "hex");

/** Changes one byte of the certificate, `offset` bytes from where `mark` begins. */
const flipped =
  (mark: Buffer, offset: number) =>
  (bytes: Buffer): Buffer => {
    const at = bytes.indexOf(mark) + offset;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return bytes;
  };

/** Takes the second key off: it is the last extension. */
function stripped(signed: Buffer): Buffer {
  const start = signed.indexOf(SECOND_KEY) - 4;
  const short = Buffer.from(signed.subarray(0, start));
  const cut = signed.length - start;
  // The lengths around it: the whole, and the two of the extensions.
  const extensions = short.lastIndexOf(Buffer.from([0xa3, 0x82]));
  for (const at of [2, extensions + 2, extensions + 6]) {
    short.writeUInt16BE(short.readUInt16BE(at) - cut, at);
  }
  return short;
}

describe("a certificate with a second key", () => {
  test("is read alike by OpenSSL and in a browser, with the fingerprint of the first", async () => {
    expect(certificate.kinds).toEqual(["hybrid", "rsa"]);
    expect(await readCertificate(pair.certificatePem)).toEqual(certificate);
    expect(createPublicKey(rsaPem).export({ type: "spki", format: "der" })).toEqual(
      Buffer.from(certificate.spki),
    );
  });

  test("is the one of one half with one more extension", async () => {
    const plain = await createSealingKey(OPTIONS);
    expect(parseCertificate(plain.certificatePem).kinds).toEqual(["rsa"]);
    expect(plain.certificatePem.length).toBeLessThan(pair.certificatePem.length - 1600);
    expect(rsaPem).toContain("BEGIN RSA PRIVATE KEY");
    expect(xwingPem).toMatch(/^-----BEGIN PRIVATE KEY-----\nMDQCAQAwDQYLKwYBBAGD5i2ByHoEI/);
  });

  const signature = "the certificate's signature is invalid";
  test.each([
    ["of a key of another kind", flipped(XWING, 12), false, "a second key of an unknown kind"],
    ["that is damaged", flipped(XWING, 16), false, "the certificate's bytes are damaged"],
    ["that somebody exchanged", flipped(XWING, 1000), true, signature],
    ["that somebody took off", stripped, true, signature],
  ])("%s is refused", async (_what, change, unsigned, message) => {
    const text = changed(change, unsigned);
    for (const read of [parseCertificate, readCertificate]) {
      const error = await errorOf(() => read(text));
      expect([error.code, error.message]).toEqual([
        "certificate-invalid",
        expect.stringContaining(message),
      ]);
    }
  });

  test("that another key signed is refused, whatever the issuer's name", async () => {
    // The issuer's empty name becomes another empty one, of another tag.
    const renamed = (signed: Buffer): Buffer => {
      const names = /\x05\x00(\x30\x00)\x30\x1e/s.exec(signed.toString("latin1"));
      if (names === null) throw new Error("no names");
      const at = names.index + 2;
      const name = Buffer.from("300d310b3009060355040613024445", "hex");
      const longer = Buffer.concat([signed.subarray(0, at), name, signed.subarray(at + 2)]);
      longer.writeUInt16BE(longer.readUInt16BE(2) + name.length - 2, 2);
      return longer;
    };
    for (const read of [parseCertificate, readCertificate]) {
      const error = await errorOf(() => read(changed(renamed, true)));
      expect(error.message).toBe("the certificate's second key is not signed by its first");
      expect((await read(changed(renamed))).kinds).toEqual(["hybrid", "rsa"]);
    }
  });

  test("takes it off if its own key signs that, which its owner alone can", () => {
    expect(parseCertificate(changed(stripped)).kinds).toEqual(["rsa"]);
  });
});

describe("a key of two halves", () => {
  const secretOf = (certificatePem: string, privateKeyPem: string): SealingKey =>
    readKeySecret(parseSecret(formatKeySecret({ certificatePem, privateKeyPem }, { name: "k" })));
  const key = secretOf(pair.certificatePem, pair.privateKeyPem);
  const keyring = new Keyring([secretOf(other.certificatePem, other.privateKeyPem), key]);

  test("seals hybrid, and opens both kinds", async () => {
    expect(kindsOf(key)).toEqual(["rsa", "hybrid"]);
    for (const kind of ["hybrid", "rsa"]) {
      const sealed = await seal(SECRET, { ...certificate, kinds: [kind] });
      for (const text of sealed.encryptedData.values()) {
        const envelope = decodeEnvelope(text);
        expect(envelope?.kind).toBe(kind);
        expect(text.startsWith("PQ1A")).toBe(kind === "hybrid");
        if (envelope === null) continue;
        expect(fitsCertificate(envelope, certificate)).toBe(true);
        const others = parseCertificate(other.certificatePem);
        expect(fitsCertificate(envelope, others)).toBe(kind === "rsa");
      }
      const { secret, stamp } = await unseal(sealed, keyring, { render });
      expect(secret.data).toEqual(SECRET.data);
      expect(new Set(stamp.values())).toEqual(new Set([certificate.fingerprint]));
    }
  });

  test("of which either half is another key's is refused", async () => {
    const [, otherXwing = ""] = other.privateKeyPem.split(/(?=-----BEGIN PRIVATE KEY-----)/);
    // Without ML-KEM in Node, nothing derives the public key while a key file is read.
    if (nativePrimitives() !== undefined) {
      const error = await errorOf(() => secretOf(pair.certificatePem, rsaPem + otherXwing));
      expect(error.message).toBe("the second keys of tls.crt and tls.key do not match");
    }
    const alone = await errorOf(() => secretOf(pair.certificatePem, rsaPem));
    expect(alone.message).toBe("tls.key lacks the hybrid key of tls.crt");
    const reversed = await errorOf(() => secretOf(pair.certificatePem, xwingPem + rsaPem));
    expect(reversed.code).toBe("key-invalid");
  });

  test("whose second half is damaged is refused, without a word of it", async () => {
    const bytes = Buffer.from(xwingPem.replace(/-----[^-]+-----/g, ""), "base64");
    const damages = [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)])];
    for (const damaged of damages) {
      const text = damaged.toString("base64");
      const block = `-----BEGIN PRIVATE KEY-----\n${text}\n-----END PRIVATE KEY-----\n`;
      for (const read of [
        () => readKeyFile(rsaPem + block, "k.pem"),
        () => secretOf(pair.certificatePem, rsaPem + block),
      ]) {
        const error = await errorOf(read);
        expect([error.code, error.message]).toEqual([
          "key-invalid",
          "the post-quantum half of the key is damaged",
        ]);
      }
    }
    const cut = await errorOf(() => readKeyFile(rsaPem + xwingPem.slice(0, 90), "k.pem"));
    expect(cut.message).toBe("the last PEM block of a private key is cut off");
    const garbled = rsaPem + xwingPem.replace(/M/g, "!");
    expect((await errorOf(() => readKeyFile(garbled, "k.pem"))).code).toBe("key-invalid");
    const error = await errorOf(() => secretOf(pair.certificatePem, garbled));
    expect(error.message).toBe("tls.key lacks the hybrid key of tls.crt");
  });

  test("counts once where a copy has one half", async () => {
    const plain = secretOf(changed(stripped), rsaPem);
    const sealed = await seal(SECRET, certificate);
    for (const keys of [
      [plain, key],
      [key, plain],
    ]) {
      const both = new Keyring(keys);
      expect(both.keys.map(kindsOf)).toEqual([["rsa", "hybrid"]]);
      expect((await unseal(sealed, both, { render })).secret.data).toEqual(SECRET.data);
    }
    const error = await errorOf(() => unseal(sealed, new Keyring([plain]), { render }));
    expect(error.code).toBe("decrypt-failed");
  });

  test("comes from a PEM file of both, and from one of its second half never", async () => {
    const keys = readKeyFile(pair.privateKeyPem + other.privateKeyPem, "keys.pem");
    expect(keys.map(kindsOf)).toEqual([
      ["rsa", "hybrid"],
      ["rsa", "hybrid"],
    ]);
    const sealed = await seal(SECRET, certificate);
    expect((await unseal(sealed, new Keyring(keys), { render })).secret.data).toEqual(SECRET.data);
    expect((await errorOf(() => readKeyFile(xwingPem, "keys.pem"))).code).toBe("key-invalid");
    const [, otherXwing = ""] = other.privateKeyPem.split(/(?=-----BEGIN PRIVATE KEY-----)/);
    const withoutOneRsa = readKeyFile(rsaPem + otherXwing + xwingPem, "keys.pem");
    const again = await unseal(sealed, new Keyring(withoutOneRsa), { render });
    expect(again.secret.data).toEqual(SECRET.data);
  });
});
