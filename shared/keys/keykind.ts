// The interface that every kind of key implements. A kind is a file here, a file in shared/envelopes/
// and a row in kindtable.ts. Apart from reading the RSA key, which every sealing key has, no other
// code refers to a kind by name.
// SPEC.md, "Sealing keys and certificates".

import type { Envelope } from "../envelopes/envelope.ts";

/** The public half of a sealing key: everything that a developer needs to seal. */
export interface Certificate {
  readonly pem: string;
  /** DER SubjectPublicKeyInfo of the certificate's own key, which is RSA. */
  readonly spki: Uint8Array;
  /** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  /** Size of the RSA modulus, in bits. */
  readonly bits: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Names of the kinds of envelopes that the certificate can seal, the preferred one first. */
  readonly kinds: readonly string[];
}

/** The parts of a certificate in which a kind may find its public key. */
export interface CertificateParts {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /**
   * Returns the DER value of the extension with an object identifier such as `2.5.29.72`, or null
   * if there is no such extension.
   */
  readonly extension: (objectId: string) => Uint8Array | null;
  /** Whether the certificate's own key signed it, and so vouches for its extensions. */
  readonly isSelfSigned: boolean;
}

/** A certificate's public key of one kind, ready to seal. */
export interface Sealer {
  /** Encrypts `plaintext`, bound to `label`, and returns the bytes of the envelope. */
  seal(plaintext: Uint8Array, label: Uint8Array): Promise<Uint8Array>;
}

/** The private part of a sealing key that opens envelopes of one kind. */
export interface PrivateHalf {
  /** Name of the kind. */
  readonly kind: string;
  /** A cheap check: returns false only if the envelope cannot have been sealed with this key. */
  couldOpen(envelope: Envelope): boolean;
  /** A cheap check: returns false only if the certificate holds another public key of this kind. */
  couldBelongTo(certificate: Certificate): boolean;
  /** Returns the value, or null if the envelope was not sealed with this key and this label. */
  open(envelope: Envelope, label: Uint8Array): Promise<Uint8Array | null>;
  /**
   * A keyed hash that only a holder of the private key can compute, and that says nothing about the
   * key. Every RSA half has it.
   */
  readonly tag?: (message: string) => string;
}

/** A new key of a kind that accompanies an RSA key. */
export interface CreatedHalf {
  /** The PEM block that follows the RSA key in `tls.key`. */
  readonly privateKeyPem: string;
  /** The certificate extension (not critical) that holds the public key, in DER. */
  readonly extension: { readonly objectId: string; readonly value: Uint8Array };
}

/** One kind of key, and the kind of envelopes that it opens. */
export interface KeyKind {
  /** Short and stable, because it appears in reports. */
  readonly name: string;
  /** Whether an envelope is of this kind, judging by its first bytes. The rest may be damaged. */
  claims(bytes: Uint8Array): boolean;
  /** Parses an envelope that this kind claims. Returns null if it is damaged. */
  parseEnvelope(bytes: Uint8Array): Envelope | null;
  /**
   * Whether an envelope of this kind can have been sealed with `certificate`, or with any key if
   * `certificate` is undefined.
   */
  fits(envelope: Envelope, certificate: Certificate | undefined): boolean;
  /**
   * Whether the certificate has a public key of this kind.
   * @throws SignetError certificate-invalid if the public key of this kind cannot be used
   */
  isIn(certificate: CertificateParts): boolean;
  /** Imports the public key from a certificate for which `isIn` returned true. */
  sealerOf(certificate: Certificate): Promise<Sealer>;
  /**
   * Reads a private half from a PEM block next to the RSA key. Returns null if the block is not of
   * this kind.
   * @throws SignetError key-invalid if the block is damaged; the message never quotes it
   */
  readPrivateHalf(pem: string): PrivateHalf | null;
  /** Creates a key of this kind, or returns null if the kind is RSA, which every key has anyway. */
  createHalf(): Promise<CreatedHalf> | null;
}
