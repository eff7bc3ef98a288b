// The seam for kinds of keys: what a kind tells of itself, and what it can do. One file a kind, one
// row each in kinds.ts; nothing else of the core knows a kind by name.
// SPEC.md, "Sealing keys and certificates".

import type { Envelope } from "../envelopes/envelope.ts";

/** What a developer needs to seal: the public half of a sealing key. */
export interface Certificate {
  readonly pem: string;
  /** DER SubjectPublicKeyInfo of the certificate's own, RSA, key. */
  readonly spki: Uint8Array;
  /** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly bits: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Names of the kinds of envelopes that it can seal; the preferred one first. */
  readonly kinds: readonly string[];
}

/** The parts of a certificate in which a kind may find its public key. */
export interface CertificateParts {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** DER of an extension's value, by its object identifier such as `2.5.29.72`. */
  readonly extension: (objectId: string) => Uint8Array | null;
}

/** A certificate's public key of one kind, ready to seal. */
export interface Sealer {
  /** The bytes of a fresh envelope around `plaintext`, bound to `label`. */
  seal(plaintext: Uint8Array, label: Uint8Array): Promise<Uint8Array>;
}

/** The private part of a sealing key that opens envelopes of one kind. */
export interface PrivateHalf {
  /** Name of the kind. */
  readonly kind: string;
  /** Whether the envelope could be under this key, as far as that costs nothing to tell. */
  couldOpen(envelope: Envelope): boolean;
  /** The value. Null where this key, this label and this envelope do not belong together. */
  open(envelope: Envelope, label: Uint8Array): Promise<Uint8Array | null>;
}

/** One kind of key, and of the envelopes that it opens. */
export interface KeyKind {
  /** Short and stable: it stands in reports. */
  readonly name: string;
  /** Whether envelopes that begin so are of this kind, be they whole or damaged. */
  claims(bytes: Uint8Array): boolean;
  /** Takes an envelope apart that this kind claims; null if it is damaged. */
  parseEnvelope(bytes: Uint8Array): Envelope | null;
  /** Whether an envelope of this kind can be under the certificate's key; without one, under any. */
  fits(envelope: Envelope, certificate: Certificate | undefined): boolean;
  /**
   * Whether the certificate has a public key of this kind.
   * @throws SignetError certificate-invalid where it has one that cannot be used
   */
  isIn(certificate: CertificateParts): boolean;
  /** Imports the public key of a certificate of which `isIn` was true. */
  sealerOf(certificate: Certificate): Promise<Sealer>;
  /**
   * Reads a private half that stands in a PEM block beside the RSA key; null for any other block.
   * @throws SignetError key-invalid; the block is never quoted
   */
  readPrivateHalf(pem: string): PrivateHalf | null;
}
