// The RSA kind of key, which is the original's, and its private and public halves.
// SPEC.md, "Sealing keys and certificates", "Envelope".

import type { KeyObject, webcrypto } from "node:crypto";
import type { Envelope } from "../envelopes/envelope.ts";
import {
  decryptValue,
  encryptValue,
  envelopeBytes,
  importPrivateKey,
  importPublicKey,
  parseEnvelopeBytes,
  RSA,
  type RsaEnvelope,
} from "../envelopes/rsa.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import { type NodeCrypto, nodeCrypto } from "../nodecrypto.ts";
import type { Certificate, KeyKind, PrivateHalf } from "./keykind.ts";
import { pemBlocks } from "./pem.ts";

/** The smallest accepted RSA modulus, in bits. The original's runtime has the same limit. */
const MIN_RSA_BITS = 1024;
/** The largest plausible RSA modulus, in bits. No real key is larger. */
const MAX_RSA_BITS = 16384;

/** @throws SignetError `code` if an RSA modulus of `bits` bits is too small */
export function checkKeySize(bits: number, code: ErrorCode): void {
  if (bits < MIN_RSA_BITS) throw new SignetError(code, `an RSA key of ${bits} bits is too small`);
}

/** Shorter keys are accepted, as by the original, with a warning: they may be broken already. */
export const SAFE_RSA_BITS = 2048;

/** Whether an RSA key is shorter than it should be. */
export function isShort({ bits }: { readonly bits: number }): boolean {
  return bits < SAFE_RSA_BITS;
}

/** The largest exponent that the original's runtime accepts. */
const MAX_EXPONENT = 2n ** 31n - 1n;

/** @throws SignetError `code` if the exponent is not valid for RSA: values would be readable */
export function checkExponent(exponent: bigint, code: ErrorCode): void {
  if (exponent >= 3n && exponent <= MAX_EXPONENT && exponent % 2n === 1n) return;
  throw new SignetError(code, "the exponent of the RSA key is invalid");
}

/** A parsed RSA private key. */
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

const PRIVATE_KEY_LABEL = "(?:RSA |EC |ENCRYPTED )?PRIVATE KEY";

/** Whether `parsePrivateKey` reads or refuses a PEM block of this name, and does not skip it. */
export function isPrivateKeyBlock(pem: string): boolean {
  return pemBlocks(pem, PRIVATE_KEY_LABEL).length > 0;
}

/**
 * Reads the first private key in a PEM text: PKCS #1 or PKCS #8, without a passphrase.
 * @throws SignetError key-invalid if there is no key, or it is encrypted, damaged, not RSA or too
 *   small; the message never quotes the text
 */
export function parsePrivateKey(text: string): PrivateKey {
  const [pem] = pemBlocks(text, PRIVATE_KEY_LABEL);
  if (pem === undefined) throw new SignetError("key-invalid", "no PEM private key found");
  const { createPrivateKey, createPublicKey } = needNode();
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    const locked = /ENCRYPTED/.test(pem);
    throw new SignetError(
      "key-invalid",
      locked ? "the private key is encrypted with a passphrase" : "the private key cannot be read",
    );
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw new SignetError("key-invalid", "private key is not an RSA key");
  }
  const publicKey = createPublicKey(key);
  const bits = modulusBits(publicKey);
  checkKeySize(bits, "key-invalid");
  checkParts(key);
  return {
    pkcs8: new Uint8Array(key.export({ type: "pkcs8", format: "der" })),
    fingerprint: fingerprintOf(publicKey),
    bits,
    modulus: modulusOf(publicKey),
  };
}

/**
 * Refuses a key that would not keep values secret or could not open them: OpenSSL reads the parts
 * without checking that they fit together.
 */
function checkParts(key: KeyObject): void {
  const jwk = key.export({ format: "jwk" });
  const [n, e, d, p, q] = [jwk.n, jwk.e, jwk.d, jwk.p, jwk.q].map((part) =>
    BigInt(`0x0${Buffer.from(part ?? "", "base64url").toString("hex")}`),
  ) as [bigint, bigint, bigint, bigint, bigint];
  checkExponent(e, "key-invalid");
  const fits =
    p > 1n &&
    q > 1n &&
    p !== q &&
    p * q === n &&
    (e * d) % (p - 1n) === 1n &&
    (e * d) % (q - 1n) === 1n;
  if (!fits) throw new SignetError("key-invalid", "the parts of the RSA key do not fit together");
}

function modulusOf(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).n ?? "", "base64url"));
}

/** Returns the size of an RSA key's modulus, in bits. */
export function modulusBits(publicKey: KeyObject): number {
  return publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
}

/**
 * Returns a key's fingerprint: `SHA256:` and the unpadded base64 of the SHA-256 of its ssh-rsa wire
 * form (RFC 4253, section 6.6).
 */
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

/** Maximum number of imports of one key. Operations on a single import never run in parallel. */
const MAX_IMPORTS = 8;

interface Import {
  readonly key: Promise<webcrypto.CryptoKey>;
  /** Number of operations that are running or waiting. */
  load: number;
}

/** Opens RSA envelopes with one private key, several in parallel. */
class RsaHalf implements PrivateHalf {
  readonly kind = RSA;
  readonly #privateKey: PrivateKey;
  readonly #imports: Import[] = [];
  #tagKey: KeyObject | undefined;

  constructor(privateKey: PrivateKey) {
    this.#privateKey = privateKey;
  }

  /** RSA ciphertext has as many bytes as the modulus and, as a number, is smaller than it. */
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

  couldBelongTo({ fingerprint }: Certificate): boolean {
    return fingerprint === this.#privateKey.fingerprint;
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

  readonly tag = (message: string): string => {
    const { createHmac, createSecretKey, hkdfSync } = needNode();
    this.#tagKey ??= createSecretKey(
      new Uint8Array(hkdfSync("sha256", this.#privateKey.pkcs8, "", "kube-signet/tag", 32)),
    );
    return createHmac("sha256", this.#tagKey).update(message).digest("base64url");
  };

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

/** Returns the private half that opens RSA envelopes with `privateKey`. */
export function rsaHalf(privateKey: PrivateKey): PrivateHalf {
  return new RsaHalf(privateKey);
}

/** Whether the wrapped key is as long as the certificate's modulus, or as any plausible modulus. */
function fits(envelope: Envelope, certificate: Certificate | undefined): boolean {
  const bits = (envelope as RsaEnvelope).wrappedKey.length * 8;
  return certificate === undefined
    ? bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS
    : bits === Math.ceil(certificate.bits / 8) * 8;
}

/** The RSA kind. Every certificate has an RSA key. */
export const rsaKind: KeyKind = {
  name: RSA,
  // The original's envelopes have no marker, so any envelope that no other kind claims is RSA.
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
  // `parsePrivateKey` reads the RSA key, which is the main key and gives the fingerprint.
  readPrivateHalf: () => null,
  createHalf: () => null,
};
