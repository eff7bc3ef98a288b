// A kind of key for tests alone: it protects nothing.
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import type { Envelope } from "../../shared/envelopes/envelope.ts";
import { SignetError } from "../../shared/errors.ts";
import { extensionIn } from "../../shared/keys/der.ts";
import type { KeyKind, PrivateHalf } from "../../shared/keys/keykind.ts";

const MAGIC = [0x54, 0x4f, 0x59];
const TOY_PEM = /-----BEGIN TOY PRIVATE KEY-----\n([0-9a-f]{64})\n-----END TOY PRIVATE KEY-----/;

interface ToyEnvelope extends Envelope {
  readonly kind: "toy";
  readonly keyId: string;
  readonly body: Uint8Array;
}

/** Not a cipher: the value next to a hash of key, label and value. */
const checksum = (key: string, label: Uint8Array, value: Uint8Array): Buffer =>
  createHash("sha256").update(key).update(label).update(Buffer.of(0)).update(value).digest();

const keyIdOf = (key: string): string => createHash("sha256").update(key).digest("hex").slice(0, 8);

/** Where a certificate holds the toy's public key, which is also its private key. */
const OBJECT_ID = "1.3.6.1.4.1.55555.1";

function publicKeyIn(extension: (objectId: string) => Uint8Array | null): string | null {
  const value = extension(OBJECT_ID);
  return value === null ? null : Buffer.from(value).toString("hex");
}

function publicKeyOf(certificatePem: string): string {
  const { raw } = new X509Certificate(certificatePem);
  return publicKeyIn((objectId) => extensionIn(raw, objectId)) ?? "";
}

class ToyHalf implements PrivateHalf {
  readonly kind = "toy";
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  couldOpen(envelope: Envelope): boolean {
    return (envelope as ToyEnvelope).keyId === keyIdOf(this.#key);
  }

  couldBelongTo(): boolean {
    return true;
  }

  open(envelope: Envelope, label: Uint8Array): Promise<Uint8Array | null> {
    const { body } = envelope as ToyEnvelope;
    const value = body.slice(32);
    const fits = checksum(this.#key, label, value).equals(body.slice(0, 32));
    return Promise.resolve(fits ? value : null);
  }
}

/** A kind of key that protects nothing, to be a row in the table of kinds. */
export const toyKind: KeyKind = {
  name: "toy",
  claims: (bytes) => MAGIC.every((byte, index) => bytes[index] === byte),
  parseEnvelope: (bytes) => {
    if (bytes.length < MAGIC.length + 4 + 32) return null;
    const keyId = Buffer.from(bytes.slice(3, 7)).toString("hex");
    return { kind: "toy", keyId, body: bytes.slice(7) } as ToyEnvelope;
  },
  fits: (envelope, certificate) =>
    certificate === undefined ||
    (envelope as ToyEnvelope).keyId === keyIdOf(publicKeyOf(certificate.pem)),
  isIn: ({ extension }) => publicKeyIn(extension) !== null,
  sealerOf: ({ pem }) => {
    const key = publicKeyOf(pem);
    const head = Buffer.concat([Buffer.from(MAGIC), Buffer.from(keyIdOf(key), "hex")]);
    return Promise.resolve({
      seal: (value, label) =>
        Promise.resolve(new Uint8Array(Buffer.concat([head, checksum(key, label, value), value]))),
    });
  },
  readPrivateHalf: (pem) => {
    if (!pem.includes("TOY PRIVATE KEY")) return null;
    const key = TOY_PEM.exec(pem)?.[1];
    if (key === undefined) throw new SignetError("key-invalid", "the toy key is damaged");
    return new ToyHalf(key);
  },
  createHalf: () => {
    const value = randomBytes(32);
    const key = value.toString("hex");
    return Promise.resolve({
      privateKeyPem: `-----BEGIN TOY PRIVATE KEY-----\n${key}\n-----END TOY PRIVATE KEY-----\n`,
      extension: { objectId: OBJECT_ID, value },
    });
  },
};
