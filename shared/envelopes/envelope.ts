// The properties that all kinds of envelopes share: a kind, and a text form.
// SPEC.md, "Envelope".

import { decodeBase64, encodeBase64 } from "../base64.ts";

/** A parsed envelope. Each kind adds its own fields. */
export interface Envelope {
  /** The name of its kind in the table of kinds (shared/keys/kindtable.ts). */
  readonly kind: string;
}

/** Encodes the bytes of an envelope as text for `spec.encryptedData`. */
export function envelopeText(bytes: Uint8Array): string {
  return encodeBase64(bytes);
}

/** Decodes the text of an envelope. Returns null if the text is not canonical base64. */
export function bytesOfEnvelopeText(text: string): Uint8Array | null {
  if (typeof Buffer === "function") {
    // Only canonical text without line breaks comes back as it was. Most is, and this is the quickest proof.
    const decoded = Buffer.from(text, "base64");
    if (decoded.toString("base64") === text) return new Uint8Array(decoded);
  }
  const bytes = decodeBase64(text);
  // Unused bits of the last character must be zero, so that each value has only one encoding.
  const isCanonical = bytes !== null && encodeBase64(bytes) === text.replace(/[\r\n]+/g, "");
  return isCanonical ? bytes : null;
}
