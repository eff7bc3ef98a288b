// The text of a file in whatever encoding it is.

import { isUtf8 } from "node:buffer";

/** The text; null if the bytes are not text. */
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
  const start = bytes.subarray(0, 8000);
  for (let at = start.indexOf(0); at !== -1; at = start.indexOf(0, at + 1)) {
    sides[(at % 2) as 0 | 1]++;
  }
  // Letters of ASCII have a zero in one half.
  if (sides[0] === sides[1]) return null;
  return sides[0] > sides[1] ? "utf-16be" : "utf-16le";
}

/** First bytes of files that git-crypt and age encrypt as a whole; what follows is no text. */
const ENCRYPTED_BYTES = ["\0GITCRYPT\0", "age-encryption.org/v1\n"];

/** The same as text, of age, PGP and Ansible: the first line, those between, and the last one. */
const ENCRYPTED_TEXTS = [
  {
    first: /^-----BEGIN AGE ENCRYPTED FILE-----$/,
    between: /^[A-Za-z0-9+/]+={0,2}$/,
    last: /^-----END AGE ENCRYPTED FILE-----$/,
  },
  {
    first: /^-----BEGIN PGP MESSAGE-----$/,
    between: /^([A-Za-z0-9+/]*={0,2}|=[A-Za-z0-9+/]{4}|(Version|Hash|Charset|MessageID): .*)$/,
    last: /^-----END PGP MESSAGE-----$/,
  },
  {
    first: /^\$ANSIBLE_VAULT;[0-9.]+;AES(256)?(;[-\w.]+)?$/,
    between: /^[0-9a-f]+$/,
    last: /^[0-9a-f]+$/,
  },
];

/** Whether a file is encrypted as a whole. Its first line alone is no proof: plain text may follow. */
export function isEncrypted(bytes: Buffer): boolean {
  const start = bytes.subarray(0, 64).toString("latin1");
  if (ENCRYPTED_BYTES.some((mark) => start.startsWith(mark))) return !isUtf8(bytes);
  if (!start.startsWith("-----BEGIN ") && !start.startsWith("$ANSIBLE_VAULT;")) return false;
  const lines = bytes.toString("latin1").trimEnd().split(/\r?\n/);
  return ENCRYPTED_TEXTS.some(
    ({ first, between, last }) =>
      lines.length > 2 &&
      first.test(lines[0] ?? "") &&
      last.test(lines.at(-1) ?? "") &&
      lines.slice(1, -1).every((line) => between.test(line)),
  );
}
