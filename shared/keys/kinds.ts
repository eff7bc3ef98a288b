// What is done by going through the table of the kinds of keys.
// SPEC.md, "Envelope", "Sealing keys and certificates".

import { bytesOfEnvelopeText, type Envelope, envelopeText } from "../envelopes/envelope.ts";
import type { Certificate, CertificateParts, PrivateHalf, Sealer } from "./keykind.ts";
import { KEY_KINDS } from "./kindtable.ts";

/** Takes the bytes of an envelope apart, by the kind that claims them. Null if they are damaged. */
export function parseEnvelope(bytes: Uint8Array): Envelope | null {
  return KEY_KINDS.find((kind) => kind.claims(bytes))?.parseEnvelope(bytes) ?? null;
}

/** The same of the text of `spec.encryptedData`. */
export function decodeEnvelope(text: string): Envelope | null {
  const bytes = bytesOfEnvelopeText(text);
  return bytes === null ? null : parseEnvelope(bytes);
}

/** Whether an envelope can be under the key of a certificate; without one, under any key. */
export function fitsCertificate(envelope: Envelope, certificate: Certificate | undefined): boolean {
  const kind = KEY_KINDS.find(({ name }) => name === envelope.kind);
  return kind?.fits(envelope, certificate) ?? false;
}

/** Names of the kinds that a certificate can seal for. @throws SignetError certificate-invalid */
export function kindsIn(certificate: CertificateParts): string[] {
  return KEY_KINDS.filter((kind) => kind.isIn(certificate)).map(({ name }) => name);
}

const sealers = new WeakMap<Certificate, Promise<Sealer>>();

/** What seals with a certificate, by its preferred kind; imported once a certificate. */
function sealerOf(certificate: Certificate): Promise<Sealer> {
  let sealer = sealers.get(certificate);
  if (sealer === undefined) {
    const kind = KEY_KINDS.find(({ name }) => name === certificate.kinds[0]);
    if (kind === undefined) throw new Error("a certificate of no known kind");
    sealer = kind.sealerOf(certificate);
    sealers.set(certificate, sealer);
  }
  return sealer;
}

/** One value sealed with a certificate, bound to `label`: the bytes of its envelope. */
export async function sealToBytes(
  certificate: Certificate,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<Uint8Array> {
  return (await sealerOf(certificate)).seal(plaintext, label);
}

/** The same as the text that stands in `spec.encryptedData`. */
export async function sealToText(
  certificate: Certificate,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<string> {
  return envelopeText(await sealToBytes(certificate, plaintext, label));
}

/** Every PEM block of a private key in a text. */
export function privateKeyBlocks(text: string): readonly string[] {
  return text.match(/-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----[\s\S]*?-----END \1-----/g) ?? [];
}

/**
 * The private half in a PEM block beside the RSA key; null if it is of no kind that has one there.
 * @throws SignetError key-invalid; the block is never quoted
 */
export function halfBeside(pem: string): PrivateHalf | null {
  for (const kind of KEY_KINDS) {
    const half = kind.readPrivateHalf(pem);
    if (half !== null) return half;
  }
  return null;
}
