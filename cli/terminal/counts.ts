// Counts and fingerprints in messages and results.

/** `1 file`, `3 files`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Enough of a fingerprint to tell keys apart: `SHA256:pV1EkPSm`. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, "SHA256:".length + 8);
}
