// Random passwords for generated values. SPEC.md, "Command line", "Values". Runs in a browser.

/** Letters and digits that are not easily confused: 5.8 bits each. */
const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

export const DEFAULT_PASSWORD_LENGTH = 32;
export const MIN_PASSWORD_LENGTH = 8;
export const MAX_PASSWORD_LENGTH = 1024;

/** Bytes from here on would make the first letters more likely than the others. */
const FAIR_BYTES = 256 - (256 % ALPHABET.length);

/** Returns `length` characters, each drawn evenly from letters and digits. */
export function generatePassword(length = DEFAULT_PASSWORD_LENGTH): string {
  let password = "";
  while (password.length < length) {
    const bytes = crypto.getRandomValues(new Uint8Array(length - password.length));
    for (const byte of bytes) {
      if (byte < FAIR_BYTES) password += ALPHABET[byte % ALPHABET.length] ?? "";
    }
  }
  return password;
}
