// Base64 encoding and decoding, compatible with Go's base64.StdEncoding (RFC 4648, section 4).
// SPEC.md, "Encoded values".

/** Encodes bytes as standard base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  if (typeof Buffer === "function") {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  }
  let binary = "";
  for (let start = 0; start < bytes.length; start += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  }
  return btoa(binary);
}

/**
 * Decodes standard base64 with padding. Ignores line breaks, as Go does. Returns null if the text
 * is not valid base64.
 */
export function decodeBase64(text: string): Uint8Array | null {
  const dense = text.replace(/[\r\n]+/g, "");
  if (dense.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(dense)) return null;
  if (typeof Buffer === "function") return new Uint8Array(Buffer.from(dense, "base64"));
  return Uint8Array.from(atob(dense), (character) => character.charCodeAt(0));
}
