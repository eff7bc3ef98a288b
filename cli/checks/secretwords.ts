// Tells texts that may hold a Secret from all others, before they are parsed, or where they cannot be.

import { ENCODED_SECRET } from "./encodedtexts.ts";

/**
 * A key `kind`, or an alias that may stand for it, and the line on which its value begins. Line ends
 * and comments may separate them.
 */
const KIND_KEY =
  /(?:\bkind["']?|(?<=^|[\s,{[])\*[^\s,[\]{}]+)\s*(?:(?<comment>#)|:\s*(?<line>[^\n]*))/gm;

/** Keys in another form, or what declares Secrets without a kind. */
const OTHER_FORM =
  /^[ \t-]*\?\s|!!binary|!<|^%TAG|secretGenerator|last-applied-configuration|\/stringData/m;

/** Whether a key in quotes has an escape in it, and so may be any key. */
function hasEscapedKey(text: string): boolean {
  const parts = text.split('"');
  return parts.some(
    (part, index) =>
      /\\(?:[xuU][0-9A-Fa-f]{2}|\r?\n)/.test(part) && /^\s*[:#]/.test(parts[index + 1] ?? ""),
  );
}

/** Whether a text that cannot be parsed may be meant to declare a Secret, in whatever spelling. */
export function mayDeclareSecret(text: string): boolean {
  if (!mayHold(text)) return false;
  if (OTHER_FORM.test(text) || hasEscapedKey(text)) return true;
  const hasTemplate = /\btemplate\b/.test(text) && /\bdata\b/.test(text);
  return Array.from(text.matchAll(KIND_KEY)).some(({ groups = {} }) => {
    const { comment, line = "" } = groups;
    return (
      comment !== undefined || mayMeanSecret(line) || (hasTemplate && /\bSealedSecret\b/.test(line))
    );
  });
}

/**
 * `line`: from the value of a `kind` on, other keys included. The value may be an escape, an alias, a
 * tag, a block, or below.
 */
function mayMeanSecret(line: string): boolean {
  return /\bSecret(List|Generator)?\b|(^|:\s*)[*&!|>#]|:\s*$|\\/.test(line);
}

export const SECRET_WORD = /(^|[^A-Za-z])Secret(List|Generator)?([^A-Za-z]|$)/m;

/**
 * Whether it may hold anything but what is sealed; most files need not be parsed. An escape or a tag
 * can write the kind in other letters.
 */
export function mayHold(text: string): boolean {
  return (
    SECRET_WORD.test(text) ||
    /secretGenerator|last-applied-configuration|stringData|"kubernetes_secret|\\|!/.test(text) ||
    (text.includes("ExternalSecret") && text.includes("template")) ||
    (text.includes("SealedSecret") && /template|(^|[^A-Za-z])data\b/m.test(text)) ||
    ENCODED_SECRET.test(text)
  );
}
