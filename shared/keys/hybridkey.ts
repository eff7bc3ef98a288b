// The post-quantum kind of key, X-Wing, which accompanies the RSA key.
// SPEC.md, "Keys of two halves", "Hybrid envelopes".

import { encodeBase64 } from "../base64.ts";
import type { Envelope } from "../envelopes/envelope.ts";
import {
  claimsEnvelope,
  HYBRID,
  type HybridEnvelope,
  isUnderKey,
  keyIdOf,
  openHybrid,
  parseHybridEnvelope,
  sealHybrid,
} from "../envelopes/hybrid.ts";
import { SignetError } from "../errors.ts";
import { joined } from "../hpke/bytes.ts";
import { loadPrimitives, nativePrimitives } from "../hpke/chosenprimitives.ts";
import type { Decapsulator, Encapsulator, Primitives } from "../hpke/primitives.ts";
import { PUBLIC_KEY_BYTES, SEED_BYTES, xwingFromPublicKey, xwingFromSeed } from "../hpke/xwing.ts";
import { nodeCrypto } from "../nodecrypto.ts";
import { damagedCertificate, extensionIn } from "./der.ts";
import type {
  Certificate,
  CertificateParts,
  CreatedHalf,
  KeyKind,
  PrivateHalf,
} from "./keykind.ts";
import { bytesOfPem, pemBlocks } from "./pem.ts";

/** subjectAltPublicKeyInfo: the extension for a certificate's second key (X.509, clause 9.8). */
const SECOND_KEY = "2.5.29.72";
/** X-Wing's object identifier, 1.3.6.1.4.1.62253.25722, as a DER element. */
const XWING_DER = Uint8Array.of(6, 11, 0x2b, 6, 1, 4, 1, 0x83, 0xe6, 0x2d, 0x81, 0xc8, 0x7a);

/** The DER before the public key, and before the seed (PKCS #8, version 0). */
const SPKI_START = joined(
  Uint8Array.of(0x30, 0x82, 0x04, 0xd4, 0x30, 13),
  XWING_DER,
  Uint8Array.of(0x03, 0x82, 0x04, 0xc1, 0),
);
const PKCS8_START = joined(
  Uint8Array.of(0x30, 52, 2, 1, 0, 0x30, 13),
  XWING_DER,
  Uint8Array.of(4, SEED_BYTES),
);

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

function isMadeOf(der: Uint8Array, start: Uint8Array, keyBytes: number): boolean {
  return der.length === start.length + keyBytes && startsWith(der, start);
}

/** Whether the algorithm identifier of a DER key is that of X-Wing. */
function namesXwing(der: Uint8Array): boolean {
  for (let at = 0; at < SPKI_START.length; at++) {
    if (startsWith(der.subarray(at), XWING_DER)) return true;
  }
  return false;
}

/**
 * Returns the X-Wing key in a second-key extension.
 * @throws SignetError certificate-invalid if the key is damaged, or of another kind
 */
function publicKeyIn(spki: Uint8Array): Uint8Array {
  if (!namesXwing(spki)) {
    throw new SignetError(
      "certificate-invalid",
      "the certificate has a second key of an unknown kind",
      { hint: "a newer version of signet may support it" },
    );
  }
  if (!isMadeOf(spki, SPKI_START, PUBLIC_KEY_BYTES)) throw damagedCertificate();
  return spki.slice(SPKI_START.length);
}

function isIn({ extension, isSelfSigned }: CertificateParts): boolean {
  const spki = extension(SECOND_KEY);
  if (spki === null) return false;
  publicKeyIn(spki);
  // The fingerprint that people compare is that of the first key, which must vouch for the second.
  if (isSelfSigned) return true;
  throw new SignetError(
    "certificate-invalid",
    "the certificate's second key is not signed by its first",
  );
}

const publicKeys = new WeakMap<Certificate, { readonly key: Uint8Array | null }>();

/** Returns the X-Wing key of a certificate that was read before, or null if it has none. */
function publicKeyFrom(certificate: Certificate): Uint8Array | null {
  let found = publicKeys.get(certificate);
  if (found === undefined) {
    const der = bytesOfPem(certificate.pem);
    const spki = der === null ? null : extensionIn(der, SECOND_KEY);
    found = { key: spki === null ? null : publicKeyIn(spki) };
    publicKeys.set(certificate, found);
  }
  return found.key;
}

/** The id of a certificate's X-Wing key, by node:crypto; null if there is none. */
function keyIdFrom(certificate: Certificate): Uint8Array | null {
  const key = publicKeyFrom(certificate);
  if (key === null) return null;
  if (nodeCrypto === undefined) throw new Error("key ids are compared by Node alone");
  const { createHash } = nodeCrypto;
  return keyIdOf({ sha256: (message) => createHash("sha256").update(message).digest() }, key);
}

async function sealerOf(certificate: Certificate) {
  const primitives = await loadPrimitives();
  const bytes = publicKeyFrom(certificate);
  if (bytes === null) throw new Error("the certificate has no second key");
  let publicKey: Encapsulator;
  try {
    publicKey = xwingFromPublicKey(primitives, bytes);
  } catch {
    throw damagedCertificate();
  }
  const recipient = { keyId: keyIdOf(primitives, bytes), publicKey };
  return {
    seal: (plaintext: Uint8Array, label: Uint8Array) =>
      sealHybrid(primitives, recipient, plaintext, label),
  };
}

/** A key pair with everything that is needed to open values. */
interface Imported {
  readonly primitives: Primitives;
  readonly pair: Decapsulator;
  readonly keyId: Uint8Array;
}

function imported(primitives: Primitives, seed: Uint8Array): Imported {
  const pair = xwingFromSeed(primitives, seed);
  return { primitives, pair, keyId: keyIdOf(primitives, pair.publicKey) };
}

/** Opens hybrid envelopes. Loads the libraries that it needs when it opens the first one. */
class HybridHalf implements PrivateHalf {
  readonly kind = HYBRID;
  readonly #seed: Uint8Array;
  #imported: Imported | undefined;

  constructor(seed: Uint8Array) {
    this.#seed = seed;
    const native = nativePrimitives();
    if (native !== undefined) this.#imported = imported(native, seed);
  }

  couldOpen(envelope: Envelope): boolean {
    return (
      this.#imported === undefined || isUnderKey(envelope as HybridEnvelope, this.#imported.keyId)
    );
  }

  couldBelongTo(certificate: Certificate): boolean {
    const bytes = publicKeyFrom(certificate);
    const own = this.#imported?.pair.publicKey;
    return bytes === null || own === undefined || startsWith(bytes, own);
  }

  async open(envelope: Envelope, label: Uint8Array): Promise<Uint8Array | null> {
    this.#imported ??= imported(await loadPrimitives(), this.#seed);
    const { primitives, pair, keyId } = this.#imported;
    const hybrid = envelope as HybridEnvelope;
    return isUnderKey(hybrid, keyId) ? openHybrid(primitives, pair, hybrid, label) : null;
  }
}

function readPrivateHalf(pem: string): PrivateHalf | null {
  const [block] = pemBlocks(pem, "PRIVATE KEY");
  const der = block === undefined ? null : bytesOfPem(block);
  if (der === null || !namesXwing(der)) return null;
  if (!isMadeOf(der, PKCS8_START, SEED_BYTES)) {
    throw new SignetError("key-invalid", "the post-quantum half of the key is damaged");
  }
  return new HybridHalf(der.slice(PKCS8_START.length));
}

async function createHalf(): Promise<CreatedHalf> {
  const primitives = await loadPrimitives();
  const seed = primitives.randomBytes(SEED_BYTES);
  const { publicKey } = xwingFromSeed(primitives, seed);
  const base64 = encodeBase64(joined(PKCS8_START, seed)).replace(/.{64}/g, "$&\n");
  return {
    privateKeyPem: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
    extension: { objectId: SECOND_KEY, value: joined(SPKI_START, publicKey) },
  };
}

/** The post-quantum kind: X-Wing, which is secure as long as ML-KEM-768 or X25519 is. */
export const hybridKind: KeyKind = {
  name: HYBRID,
  claims: claimsEnvelope,
  parseEnvelope: parseHybridEnvelope,
  fits: (envelope, certificate) => {
    if (certificate === undefined) return true;
    const keyId = keyIdFrom(certificate);
    return keyId !== null && isUnderKey(envelope as HybridEnvelope, keyId);
  },
  isIn,
  sealerOf,
  readPrivateHalf,
  createHalf,
};
