// The kind of key that the original has: RSA, which opens RSA envelopes.
// SPEC.md, "Sealing keys and certificates", "Envelope".

import type { KeyObject, webcrypto } from "node:crypto";
import type { Envelope } from "../envelopes/envelope.ts";
import { decryptValue, encryptValue, envelopeBytes, importPrivateKey, importPublicKey, parseEnvelopeBytes, RSA, type RsaEnvelope } from "../envelopes/rsa.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import { type NodeCrypto, nodeCrypto } from "../nodecrypto.ts";
import type { Certificate, KeyKind, PrivateHalf } from "./keykind.ts";

/** Bits of modulus below which RSA is refused; the original's runtime draws the same line. */
const MIN_RSA_BITS = 1024;
/** Bits above which no key is taken for one that somebody uses. */
const MAX_RSA_BITS = 16384;

/** @throws SignetError `code` where a modulus of so many bits is too small */
export function checkKeySize(bits: number, code: ErrorCode): void {
  if (bits < MIN_RSA_BITS) throw new SignetError(code, `an RSA key of ${bits} bits is too small`);
}

/** The private half of an RSA key, read. */
export interface PrivateKey {
  /** DER PrivateKeyInfo. */
  readonly pkcs8: Uint8Array;
  readonly fingerprint: string;
  readonly bits: number;
  /** Big-endian modulus. */
  readonly modulus: Uint8Array;
}

function needNode(): NodeCrypto {
  if (nodeCrypto === undefined) throw new Error("private keys are read by Node alone");
  return nodeCrypto;
}

const PRIVATE_KEY_PEM =
  /-----BEGIN ((?:RSA |EC |ENCRYPTED )?PRIVATE KEY)-----[\s\S]*?-----END \1-----/;

/**
 * Reads the first private key of a PEM text: PKCS #1 or PKCS #8, not passphrase-locked.
 * @throws SignetError key-invalid; the text is never quoted
 */
export function parsePrivateKey(text: string): PrivateKey {
  const pem = PRIVATE_KEY_PEM.exec(text)?.[0];
  if (pem === undefined) throw new SignetError("key-invalid", "there is no PEM private key in it");
  const { createPrivateKey, createPublicKey } = needNode();
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

/** Bits of the modulus of an RSA key. */
export function modulusBits(publicKey: KeyObject): number {
  return publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
}

/** `SHA256:` + unpadded base64 of the SHA-256 of the ssh-rsa wire form (RFC 4253, section 6.6). */
export function fingerprintOf(publicKey: KeyObject): string {
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
  const digest = needNode().createHash("sha256").update(wire).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** Imports of one key: operations on a single import never run side by side. */
const MAX_IMPORTS = 8;

interface Import {
  readonly key: Promise<webcrypto.CryptoKey>;
  /** Operations that run or wait. */
  load: number;
}

/** Opens RSA envelopes with one private key, several side by side. */
class RsaHalf implements PrivateHalf {
  readonly kind = RSA;
  readonly #privateKey: PrivateKey;
  readonly #imports: Import[] = [];

  constructor(privateKey: PrivateKey) {
    this.#privateKey = privateKey;
  }

  /** RSA ciphertext is a number below the modulus, in as many bytes: that much is free to check. */
  couldOpen(envelope: Envelope): boolean {
    const { modulus } = this.#privateKey;
    const { wrappedKey } = envelope as RsaEnvelope;
    if (wrappedKey.length !== modulus.length) return false;
    for (let index = 0; index < modulus.length; index++) {
      const difference = (wrappedKey[index] ?? 0) - (modulus[index] ?? 0);
      if (difference !== 0) return difference < 0;
    }
    return false;
  }

  async open(envelope: Envelope, label: Uint8Array): Promise<Uint8Array | null> {
    const chosen = this.#leastBusy();
    chosen.load++;
    try {
      return await decryptValue(await chosen.key, envelope as RsaEnvelope, label);
    } finally {
      chosen.load--;
    }
  }

  #leastBusy(): Import {
    let best = this.#imports[0];
    for (const each of this.#imports) if (best === undefined || each.load < best.load) best = each;
    if (best !== undefined && (best.load === 0 || this.#imports.length === MAX_IMPORTS))
      return best;
    const fresh = { key: importPrivateKey(this.#privateKey.pkcs8), load: 0 };
    this.#imports.push(fresh);
    return fresh;
  }
}

/** What opens with an RSA private key. */
export function rsaHalf(privateKey: PrivateKey): PrivateHalf {
  return new RsaHalf(privateKey);
}

/** Whether an envelope's key part has the size of the certificate's modulus, or of any. */
function fits(envelope: Envelope, certificate: Certificate | undefined): boolean {
  const bits = (envelope as RsaEnvelope).wrappedKey.length * 8;
  return certificate === undefined
    ? bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS
    : bits === Math.ceil(certificate.bits / 8) * 8;
}

/** RSA, which every certificate has. */
export const rsaKind: KeyKind = {
  name: RSA,
  // The original's envelopes have no mark of their own: what no other kind claims is one.
  claims: () => true,
  parseEnvelope: parseEnvelopeBytes,
  fits,
  isIn: () => true,
  sealerOf: async ({ spki }) => {
    const publicKey = await importPublicKey(spki);
    return {
      seal: async (plaintext, label) =>
        envelopeBytes(await encryptValue(publicKey, plaintext, label)),
    };
  },
  // Every sealing key has one RSA key, and its fingerprint: `parsePrivateKey` reads it.
  readPrivateHalf: () => null,
};
