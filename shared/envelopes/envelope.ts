// What every encrypted value has, of whichever kind its envelope is: the kind, and a text form.
// SPEC.md, "Envelope".

import { decodeBase64, encodeBase64 } from "../base64.ts";

/** An envelope taken apart; each kind adds its own parts. */
export interface Envelope {
  /** Name of its kind, as in the table of kinds (shared/keys/kinds.ts). */
  readonly kind: string;
}

/** The text that stands in `spec.encryptedData`. */
export function envelopeText(bytes: Uint8Array): string {
  return encodeBase64(bytes);
}

/** The bytes of an envelope's text; null if the text is not base64, or another spelling of it. */
export function bytesOfEnvelopeText(text: string): Uint8Array | null {
  const bytes = decodeBase64(text);
  // Unused bits of the last character must be zero: one value has one spelling.
  const isCanonical = bytes !== null && encodeBase64(bytes) === text.replace(/[\r\n]+/g, "");
  return isCanonical ? bytes : null;
}
