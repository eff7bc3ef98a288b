// The text of a file in whatever encoding it is.

/** The text; null for what is none. */
export function looseText(bytes: Buffer): string | null {
  const encoding = utf16Of(bytes);
  if (encoding === null) return bytes.includes(0) ? null : bytes.toString("utf8");
  const text = new TextDecoder(encoding).decode(bytes);
  return bytes.length % 2 === 0 && !/[\0\uFFFD]/.test(text) ? text : null;
}

/** What `kubectl ... > secret.yaml` writes in older PowerShells, also without its first two bytes. */
function utf16Of(bytes: Buffer): "utf-16le" | "utf-16be" | null {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const sides = [0, 0] as [number, number];
  for (const [at, byte] of bytes.subarray(0, 8000).entries()) {
    if (byte === 0) sides[(at % 2) as 0 | 1]++;
  }
  // Letters of ASCII have a zero in one half.
  if (sides[0] === sides[1]) return null;
  return sides[0] > sides[1] ? "utf-16be" : "utf-16le";
}

/** Marks of files that are encrypted as a whole, by git-crypt, age, PGP and Ansible. */
const ENCRYPTED = [
  "\0GITCRYPT\0",
  "age-encryption.org/v1\n",
  "-----BEGIN AGE ENCRYPTED FILE-----",
  "-----BEGIN PGP MESSAGE-----",
  "$ANSIBLE_VAULT;",
];

export function isEncrypted(bytes: Buffer): boolean {
  const start = bytes.subarray(0, 64).toString("latin1");
  return ENCRYPTED.some((mark) => start.startsWith(mark));
}
