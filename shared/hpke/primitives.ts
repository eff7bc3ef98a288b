// The primitives that X-Wing and HPKE use; chosenprimitives.ts chooses where they come
// from.
// SPEC.md, "Hybrid envelopes".

/** A key pair of a key encapsulation mechanism. */
export interface Decapsulator {
  readonly publicKey: Uint8Array;
  /** Returns the shared secret. It is a pseudorandom one if the ciphertext is damaged. */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
}

/** A public key of a key encapsulation mechanism. */
export interface Encapsulator {
  encapsulate(): { readonly sharedSecret: Uint8Array; readonly ciphertext: Uint8Array };
}

/** ML-KEM-768, FIPS 203. */
export interface MlKem768 {
  /** `seed`: the 64 bytes `d || z`. */
  fromSeed(seed: Uint8Array): Decapsulator;
  /** @throws Error if the 1184 bytes are not a public key */
  fromPublicKey(publicKey: Uint8Array): Encapsulator;
}

/** A key pair of X25519, RFC 7748. */
export interface X25519Pair {
  readonly publicKey: Uint8Array;
  /** @throws Error if the point is of low order, so that the result would be zero */
  agree(point: Uint8Array): Uint8Array;
}

export interface Primitives {
  readonly mlKem768: MlKem768;
  x25519(secret: Uint8Array): X25519Pair;
  sha256(message: Uint8Array): Uint8Array;
  sha3(message: Uint8Array): Uint8Array;
  /** `length`: of the output, in bytes. */
  shake256(message: Uint8Array, length: number): Uint8Array;
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array;
  randomBytes(length: number): Uint8Array;
  aes256Gcm: {
    seal(keys: GcmKeys, plaintext: Uint8Array): Promise<Uint8Array>;
    /** Returns null if the ciphertext is not authentic. */
    open(keys: GcmKeys, ciphertext: Uint8Array): Promise<Uint8Array | null>;
  };
}

export interface GcmKeys {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
}
