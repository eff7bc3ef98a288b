// Reads the DER of X.509 certificates: elements one after another, and extensions.
// RFC 5280, section 4.1; X.690. Runs in a browser.

import { SignetError } from "../errors.ts";

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
  /** `[0]`, before the serial number. */
  version: 0xa0,
  /** `[1]` and `[2]`, identifiers of issuer and subject that nobody uses; `[3]`, the extensions. */
  issuerId: 0x81,
  subjectId: 0x82,
  extensions: 0xa3,
} as const;

export function damagedCertificate(): SignetError {
  return new SignetError("certificate-invalid", "the certificate's bytes are damaged");
}

/** The parts of a certificate that are read here. @throws SignetError certificate-invalid */
export function partsOf(der: Uint8Array): { validity: Reader; spki: Uint8Array; behind: Reader } {
  const outer = new Reader(der);
  const certificate = outer.enter(TAG.sequence);
  outer.end();
  const signed = certificate.enter(TAG.sequence);
  if (signed.tag === TAG.version) signed.take(TAG.version);
  signed.take(TAG.integer);
  signed.take(TAG.sequence);
  signed.take(TAG.sequence);
  const validity = signed.enter(TAG.sequence);
  signed.take(TAG.sequence);
  return { validity, spki: signed.whole(TAG.sequence), behind: signed };
}

/**
 * DER of the value of a certificate's extension; null if it has none of this identifier, such as
 * `2.5.29.72`. RFC 5280, section 4.1.
 * @throws SignetError certificate-invalid
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

/** An object identifier with dots, from the content of its DER (X.690, section 8.19). */
function formatObjectId(bytes: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of bytes) {
    number = number * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(number);
    number = 0;
  }
  const [first = 0, ...others] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...others].join(".");
}

/** Reads DER one element after another; everything unexpected is a damaged certificate. */
export class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Of the next element; -1 at the end. */
  get tag(): number {
    return this.#bytes[this.#offset] ?? -1;
  }

  /** The content of the next element, which must have this tag. */
  take(tag: number): Uint8Array {
    const { start, end } = this.#next(tag);
    this.#offset = end;
    return this.#bytes.slice(start, end);
  }

  enter(tag: number): Reader {
    return new Reader(this.take(tag));
  }

  /** The next element with its tag and length. */
  whole(tag: number): Uint8Array {
    const from = this.#offset;
    this.take(tag);
    return this.#bytes.slice(from, this.#offset);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw damagedCertificate();
  }

  #next(tag: number): { start: number; end: number } {
    if (this.tag !== tag) throw damagedCertificate();
    let start = this.#offset + 2;
    let length = this.#bytes[this.#offset + 1] ?? 0x80;
    if (length >= 0x80) {
      const count = length & 0x7f;
      // A length in no bytes at all is BER's; more than three is no certificate.
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
