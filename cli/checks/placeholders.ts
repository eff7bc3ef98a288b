// Tells values that stand for a secret, such as placeholders and references, from secrets.

import { decodeBase64 } from "../../shared/base64.ts";
import { isArmored } from "./armored.ts";
import { withoutHoles } from "./holes.ts";
import { CREDENTIAL_NAME, hasLiteral } from "./literals.ts";
import { isReference } from "./references.ts";
import { ENCRYPTED_VALUE } from "./sopsfiles.ts";
import { withDefaults } from "./stringdefaults.ts";

/** Whether a value is empty or a placeholder. */
export function isHarmless(text: string, isBase64: boolean): boolean {
  if (isEmpty(text) || isPlaceholder(text)) return true;
  const bytes = isBase64 ? decodeBase64(text) : null;
  if (bytes === null) return false;
  const value = new TextDecoder().decode(bytes);
  return isEmpty(value) || isPlaceholder(value);
}

/** Whether a value is blank, or JSON that has no text but stand-ins in it, such as credentials of no registry. */
function isEmpty(text: string): boolean {
  const trimmed = text.trim();
  if (trimmed === "") return true;
  // A template's action is no JSON, and a failure to parse it would cost much.
  if (!/^(\{\s*["}]|\[)/.test(trimmed) || !/[}\]]$/.test(trimmed)) return false;
  const open: unknown[] = [];
  try {
    open.push(JSON.parse(trimmed));
  } catch {
    return false;
  }
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value === "number") return false;
    if (typeof value === "string" && value.trim() !== "" && !isStandIn(value)) return false;
    if (typeof value === "object") for (const each of Object.values(value ?? {})) open.push(each);
  }
  return true;
}

/** Placeholders that people write, and wildcards of policies. */
const STAND_IN =
  /^(<[A-Za-z0-9_ .|-]+>|\[\[ *[\w.-]+ *\]\]|<<[\w .-]+>>|@@?[a-z][\w.-]*@@?|x{3,}|null|nil|none|undefined|[?*]+|\.{3}|(change|replace|fill)[-_ ]?me|placeholder|redacted|todo)$/i;
/** A variable of the shell in small letters, whose name shows that it is one. */
const SHELL_NAME =
  /^\$([a-z]+(_[a-z0-9]+)+|[a-zA-Z]*([pP]assword|[tT]oken|[sS]ecret|[kK]ey|[uU]ser([nN]ame)?))$/;
/** What stands before the host of an address. */
const USER = /:\/\/([^/@\s]*)@/g;
/** An entry of a configuration file whose name suggests a password. */
const CREDENTIAL = new RegExp(String.raw`${CREDENTIAL_NAME}["']?\s*[:=]\s*["']?[^\s"'\0]`, "i");

/** Words that ask for a value, such as `YOUR_API_KEY`, or are what is left of one. */
const REQUEST =
  /^(your([-_ ][a-z]+){1,8}|(insert|enter|add|put|set|paste)([-_ ][a-z]+){0,8}[-_ ]here|(change|replace|fill)[-_ ]?(me|this|with|in|by)([-_ ][a-z]+){0,8}|base64([-_ ][a-z]+){0,8}|\[?(redacted|removed|hidden|masked|omitted)\]?|\*{3}[a-z ]+\*{3}|dummy|unused|tbd|n\/a)$/i;

/** A value that Ansible Vault encrypted. */
const VAULTED = /^\$ANSIBLE_VAULT;[0-9.]+;AES256(;\S+)?\s[0-9a-f\s]+$/;

const isStandIn = (written: string): boolean =>
  isReference(written.trim()) ||
  isArmored(written) ||
  [STAND_IN, REQUEST, SHELL_NAME, ENCRYPTED_VALUE, VAULTED].some((form) =>
    form.test(written.trim()),
  );

/** What a default may be that holds no secret. */
const isNothing = (written: string): boolean => isEmpty(written) || isStandIn(written);

function isPlaceholder(written: string): boolean {
  if (isStandIn(written)) return true;
  const text = withDefaults(written, isNothing);
  const rest = withoutHoles(text);
  return rest !== text && !CREDENTIAL.test(rest) && !hasPassword(rest) && !hasLiteral(rest);
}

/** Whether an item's value is a password, or has one in it, as far as names show. */
export function isCredential(item: string, text: string): boolean {
  if (isHarmless(text, false)) return false;
  const rest = withoutHoles(withDefaults(text, isNothing));
  return CREDENTIAL.test(`${item}: ${rest}`) || hasPassword(rest);
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
