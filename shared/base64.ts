// Base64 as Go's encoding/base64 StdEncoding reads and writes it (RFC 4648, section 4).
// SPEC.md, "Encoded values".

/** Standard base64 with padding. */
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
 * Bytes of standard base64 with padding; line breaks are skipped as Go skips them. Null where the
 * text is anything else.
 */
export function decodeBase64(text: string): Uint8Array | null {
  const dense = text.replace(/[\r\n]+/g, "");
  if (dense.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(dense)) return null;
  if (typeof Buffer === "function") return new Uint8Array(Buffer.from(dense, "base64"));
  return Uint8Array.from(atob(dense), (character) => character.charCodeAt(0));
}
