// Joining bytes.

/** Returns all parts, one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** Returns `number` in two bytes, the high one first. */
export function u16(number: number): Uint8Array {
  return Uint8Array.of(number >> 8, number & 0xff);
}

/** Returns the UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
