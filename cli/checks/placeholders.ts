// Tells values that stand for a secret, such as placeholders and references, from secrets.

import { decodeBase64 } from "../../shared/base64.ts";
import { hasLiteral } from "./literals.ts";
import { ENCRYPTED_VALUE } from "./sopsfiles.ts";

/** Whether a value is empty or a placeholder. */
export function isHarmless(text: string, isBase64: boolean): boolean {
  if (text.trim() === "" || isPlaceholder(text)) return true;
  const bytes = isBase64 ? decodeBase64(text) : null;
  return bytes !== null && isPlaceholder(new TextDecoder().decode(bytes));
}

/** What Helm, envsubst, Argo CD's Vault plugin and similar tools replace later. */
const HOLES = [
  ["{{", "}}"],
  ["${", "}"],
  ["<path:", ">"],
] as const;
const VARIABLE = /\$\([A-Za-z0-9_]+\)/y;
/**
 * Placeholders that people write, wildcards of policies, and references as vals, Bank-Vaults and 1Password read them.
 */
const STAND_IN =
  /^(<[A-Za-z0-9_ .-]+>|x{3,}|[?*]+|\.{3}|(change|replace|fill)[-_ ]?me|placeholder|redacted|todo|(secret)?ref\+(?!echo:)[a-z0-9]+:\/\/\S+|(>>)?vault:[^\s#/]+\/[^\s#]*#\S+|op:\/\/[^\s/]+(\/[^\s/]+){2,3})$/i;
/** A template with a constant result, such as `{{ "text" | b64enc }}`. */
const CONSTANT = /\{\{-?\s*(["'`])[^"'`]+\1\s*/g;
/** What stands before the host of an address. */
const USER = /:\/\/([^/@\s]*)@/g;
/** An entry of a configuration file whose name suggests a password. */
const CREDENTIAL = /(passw(or)?d|passphrase|secret|token|api_?key)["']?\s*[:=]\s*["']?[^\s"'\0]/i;

function isPlaceholder(text: string): boolean {
  if (STAND_IN.test(text.trim()) || ENCRYPTED_VALUE.test(text.trim())) return true;
  if (hasConstant(text)) return false;
  const rest = withoutHoles(text);
  return rest !== text && !CREDENTIAL.test(rest) && !hasPassword(rest) && !hasLiteral(rest);
}

/**
 * `indexOf` for calls with ascending offsets: each looks only where none looked before, so that all
 * together take one pass.
 */
function ascendingIndexOf(text: string, wanted: string): (from: number) => number {
  let found = text.indexOf(wanted);
  return (from) => {
    if (found !== -1 && found < from) found = text.indexOf(wanted, from);
    return found;
  };
}

/** The text with NUL in place of each hole. */
function withoutHoles(text: string): string {
  const kinds = HOLES.map(([open, close]) => ({
    open,
    close,
    closeFrom: ascendingIndexOf(text, close),
  }));
  const keyFrom = ascendingIndexOf(text, "#");
  let rest = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    let end = -1;
    for (const { open, close, closeFrom } of kinds) {
      if (end !== -1 || !text.startsWith(open, at)) continue;
      const closed = closeFrom(at + open.length);
      // A path of the plugin for Vault names a key.
      const isHole = open !== "<path:" || (keyFrom(at) !== -1 && keyFrom(at) < closed);
      if (closed !== -1 && isHole) end = closed + close.length;
    }
    VARIABLE.lastIndex = at;
    if (end === -1 && VARIABLE.test(text)) end = VARIABLE.lastIndex;
    if (end === -1) continue;
    rest += `${text.slice(copied, at)}\0`;
    copied = end;
    at = end - 1;
  }
  return rest + text.slice(copied);
}

function hasConstant(text: string): boolean {
  const braceFrom = ascendingIndexOf(text, "}");
  CONSTANT.lastIndex = 0;
  for (let head = CONSTANT.exec(text); head !== null; head = CONSTANT.exec(text)) {
    const after = CONSTANT.lastIndex;
    const end = text[after] === "|" ? braceFrom(after) : after + Number(text[after] === "-");
    if (end !== -1 && text.startsWith("}}", end)) return true;
    // Another may begin within this one.
    CONSTANT.lastIndex = head.index + 2;
  }
  return false;
}

/** Whether an address has a password that is no hole. */
function hasPassword(text: string): boolean {
  return [...text.matchAll(USER)].some(([, user = ""]) => {
    const colon = user.indexOf(":", user.lastIndexOf("\0") + 1);
    return colon !== -1 && colon < user.length - 1;
  });
}

/** The text without the quotes around it. */
export function unquoted(text: string): string {
  return /^(["'])([^]*)\1$/.exec(text.trim())?.[2] ?? text.trim();
}
