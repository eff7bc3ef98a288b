// Finds what SOPS left in plain text in a file that it encrypted.
//
// Who writes a repository also writes what SOPS notes at the end of a file. So its rules on which keys
// to encrypt are not followed, apart from the suffix that a reviewer sees on the key itself.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { SignetError } from "../../shared/errors.ts";

/** A value that SOPS encrypted. */
export const ENCRYPTED_VALUE =
  /^ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]+,tag:[A-Za-z0-9+/=]+,type:(str|int|float|bytes|bool|comment)\]$/;

/** The end of keys that SOPS leaves alone by default. */
const PLAIN_SUFFIX = "_unencrypted";

/** What SOPS notes, with or without `sops_` before it. */
const NOTES = new Set([
  ...["mac", "version", "lastmodified", "mac_only_encrypted", "shamir_threshold", "key_groups"],
  ...["unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex"],
  ...["unencrypted_comment_regex", "encrypted_comment_regex"],
  ...["kms", "gcp_kms", "hckms", "azure_kv", "hc_vault", "age", "pgp"],
]);

/** A key, and what is below it. */
type Entry = readonly [key: string, value: Json];

/**
 * The entries of a file that SOPS encrypted as YAML, JSON, settings of a shell or INI, without its
 * notes; null for any other file. Values that are still plain are among them.
 */
export function sopsEntries(text: string): Entry[] | null {
  return entriesOfDocuments(text) ?? entriesOfLines(text);
}

/** The keys of entries whose value, or a value below, is neither encrypted nor `isHarmless`. */
export function plainKeys(
  entries: readonly Entry[],
  isHarmless: (text: string) => boolean,
): string[] {
  const isPlain = (key: string, value: Json): boolean => {
    if (value === null || key.endsWith(PLAIN_SUFFIX)) return false;
    if (typeof value === "object") {
      return Object.entries(value).some(([below, inner]) => isPlain(below, inner));
    }
    return typeof value !== "string" || !(ENCRYPTED_VALUE.test(value) || isHarmless(value));
  };
  return entries.filter(([key, value]) => isPlain(key, value)).map(([key]) => key);
}

/** Whether notes are as SOPS writes them. */
function isSigned(notes: JsonObject): boolean {
  const { mac, version, lastmodified } = notes;
  return (
    typeof mac === "string" &&
    ENCRYPTED_VALUE.test(mac) &&
    typeof version === "string" &&
    typeof lastmodified === "string"
  );
}

function entriesOfDocuments(text: string): Entry[] | null {
  // Most files need not be parsed.
  if (!/\bsops\b/.test(text)) return null;
  const entries: Entry[] = [];
  try {
    for (const { value } of parseManifests(text)) {
      const { sops = null, ...rest } = asObject(value) ?? {};
      const notes = asObject(sops);
      if (notes === null || !isSigned(notes)) return null;
      const others = Object.entries(notes).filter(([key]) => !NOTES.has(key));
      entries.push(...Object.entries(rest), ...others);
    }
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
  return entries;
}

/** `sops_mac`, or `sops_age__list_0__map_enc`. */
const NOTE = /^sops_([a-z_]+?)(?:__(?:list_\d+|map_[a-z_]+).*)?$/;

/** Stands for the key of a line that has none. */
const NO_KEY = "a line without a name";

/** Lines `KEY=VALUE`, and sections of INI, of which the last holds the notes. */
function entriesOfLines(text: string): Entry[] | null {
  const notes: JsonObject = {};
  const entries: Entry[] = [];
  let section = "";
  for (const line of text.split(/\r?\n/).map((each) => each.trim())) {
    const head = /^\[([^\]]*)\]$/.exec(line)?.[1];
    section = head ?? section;
    if (head !== undefined || line === "" || /^[#;]/.test(line)) continue;
    const equals = line.indexOf("=");
    const [key, value] = [line.slice(0, equals).trim(), line.slice(equals + 1).trim()];
    const note = section === "sops" ? NOTE.exec(`sops_${key}`) : NOTE.exec(key);
    // The line may be a value, and findings name keys.
    if (equals === -1) entries.push([NO_KEY, line]);
    else if (note !== null && NOTES.has(note[1] ?? "")) notes[note[1] ?? ""] = value;
    else entries.push([key, value]);
  }
  return isSigned(notes) ? entries : null;
}
