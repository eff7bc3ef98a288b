// Tells a password beside a placeholder from a word that belongs to a name or an address.

/** How the name of an entry ends that holds a password: for regular expressions without regard to case. */
export const CREDENTIAL_NAME = "(?:passw(?:or)?d|passphrase|secret|token|api_?key)";

const MIN_MIXED = 6;
const MIN_TOUCHING = 8;

/** A host name or a name of Kubernetes that begins with a placeholder. */
const NAME_SUFFIX = /\0[-.][a-z0-9.-]+$/;

/** A file of settings, an address, or a list of pairs: its words are mostly no passwords. */
const STRUCTURED = /[\n:/]|\w=[^=\0]/;

/**
 * Whether a value has text that may be a password. `rest`: the value with NUL in place of each
 * placeholder.
 */
export function hasLiteral(rest: string): boolean {
  const isStructured = STRUCTURED.test(rest);
  const text = rest.replace(NAME_SUFFIX, "\0");
  return (text.match(/\0?[A-Za-z0-9]+=*\0?/g) ?? []).some((found) => {
    const word = found.replace(/[\0=]/g, "");
    const isTouching = found.startsWith("\0") || found.endsWith("\0");
    const isMixed = word.length >= MIN_MIXED && /[0-9]/.test(word) && /[A-Za-z]/.test(word);
    if (isStructured) return isMixed && isTouching && !found.endsWith("=\0");
    return isMixed || (isTouching && word.length >= MIN_TOUCHING && !/[a-z0-9]=\0$/.test(found));
  });
}
