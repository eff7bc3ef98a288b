// Reads the DER encoding of X.509 certificates, including their extensions.
// RFC 5280, section 4.1; X.690. Runs in a browser.

import { SignetError } from "../errors.ts";

/** DER tags that occur in a certificate (X.690, section 8.1.2). */
export const TAG = {
  integer: 0x02,
  bitString: 0x03,
  boolean: 0x01,
  octetString: 0x04,
  null: 0x05,
  objectId: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  /** `[0]`, the version, before the serial number. */
  version: 0xa0,
  /** `[1]` and `[2]`, the rarely used unique identifiers; `[3]`, the extensions. */
  issuerId: 0x81,
  subjectId: 0x82,
  extensions: 0xa3,
} as const;

export function damagedCertificate(): SignetError {
  return new SignetError("certificate-invalid", "the certificate's bytes are damaged");
}

/** The parts of a certificate. */
interface Parts {
  /** Everything that the signature covers. */
  readonly signed: Uint8Array;
  /** Whether subject and issuer have the same name. */
  readonly isSelfIssued: boolean;
  /** Reads the content of the validity field. */
  readonly validity: Reader;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Reads the fields behind it. */
  readonly behind: Reader;
  /** The object identifier of the signature's algorithm. */
  readonly algorithm: string;
  readonly signature: Uint8Array;
}

/**
 * Takes a certificate apart.
 * @throws SignetError certificate-invalid if the DER is damaged
 */
export function partsOf(der: Uint8Array): Parts {
  const outer = new Reader(der);
  const certificate = outer.enter(TAG.sequence);
  outer.end();
  const signed = certificate.whole(TAG.sequence);
  const algorithm = formatObjectId(certificate.enter(TAG.sequence).take(TAG.objectId));
  const signature = certificate.takeBits();
  certificate.end();
  const fields = new Reader(signed).enter(TAG.sequence);
  if (fields.tag === TAG.version) fields.take(TAG.version);
  fields.take(TAG.integer);
  fields.take(TAG.sequence);
  const issuer = fields.take(TAG.sequence);
  const validity = fields.enter(TAG.sequence);
  const isSelfIssued = fields.take(TAG.sequence).join() === issuer.join();
  const spki = fields.whole(TAG.sequence);
  return { signed, isSelfIssued, validity, spki, behind: fields, algorithm, signature };
}

/**
 * Returns the DER value of the extension with this object identifier, such as `2.5.29.72`. Returns
 * null if the certificate has no such extension. RFC 5280, section 4.1.
 * @throws SignetError certificate-invalid if the DER is damaged
 */
export function extensionIn(der: Uint8Array, objectId: string): Uint8Array | null {
  const { behind } = partsOf(der);
  for (const tag of [TAG.issuerId, TAG.subjectId]) if (behind.tag === tag) behind.take(tag);
  if (behind.tag !== TAG.extensions) return null;
  const extensions = behind.enter(TAG.extensions).enter(TAG.sequence);
  while (extensions.tag !== -1) {
    const extension = extensions.enter(TAG.sequence);
    const found = formatObjectId(extension.take(TAG.objectId));
    if (extension.tag === TAG.boolean) extension.take(TAG.boolean);
    const value = extension.take(TAG.octetString);
    if (found === objectId) return value;
  }
  return null;
}

/** Bytes of the longest object identifier that is read. */
const MAX_OBJECT_ID = 64;

/** Formats the DER content of an object identifier in dotted notation (X.690, section 8.19). */
function formatObjectId(bytes: Uint8Array): string {
  // A truncated number, or one that would lose digits, must not be mistaken for another.
  if (bytes.length > MAX_OBJECT_ID || (bytes.at(-1) ?? 0x80) >= 0x80) throw damagedCertificate();
  const numbers: number[] = [];
  let number = 0;
  for (const byte of bytes) {
    if (number >= 2 ** 45) throw damagedCertificate();
    number = number * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(number);
    number = 0;
  }
  const [first = 0, ...others] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...others].join(".");
}

/**
 * Reads a sequence of DER elements, one after another. Every method throws SignetError
 * certificate-invalid if the next bytes are not what it expects.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The tag of the next element; -1 at the end. */
  get tag(): number {
    return this.#bytes[this.#offset] ?? -1;
  }

  /** Reads the next element, which must have this tag, and returns its content. */
  take(tag: number): Uint8Array {
    const { start, end } = this.#next(tag);
    this.#offset = end;
    return this.#bytes.slice(start, end);
  }

  /** Reads the next element, which must have this tag, and returns a reader of its content. */
  enter(tag: number): Reader {
    return new Reader(this.take(tag));
  }

  /** Reads the next element, a bit string of whole bytes, and returns these. */
  takeBits(): Uint8Array {
    const bits = this.take(TAG.bitString);
    if (bits[0] !== 0) throw damagedCertificate();
    return bits.subarray(1);
  }

  /** Reads the next element, which must have this tag, and returns it with its tag and length. */
  whole(tag: number): Uint8Array {
    const from = this.#offset;
    this.take(tag);
    return this.#bytes.slice(from, this.#offset);
  }

  /** Checks that no element is left. */
  end(): void {
    if (this.#offset !== this.#bytes.length) throw damagedCertificate();
  }

  #next(tag: number): { start: number; end: number } {
    if (this.tag !== tag) throw damagedCertificate();
    let start = this.#offset + 2;
    let length = this.#bytes[this.#offset + 1] ?? 0x80;
    if (length >= 0x80) {
      const count = length & 0x7f;
      // Zero length bytes is BER's indefinite form, which DER forbids. No certificate needs more
      // than three.
      if (count === 0 || count > 3) throw damagedCertificate();
      length = 0;
      for (let index = 0; index < count; index++) {
        length = length * 256 + (this.#bytes[start++] ?? 0);
      }
    }
    if (start + length > this.#bytes.length) throw damagedCertificate();
    return { start, end: start + length };
  }
}
