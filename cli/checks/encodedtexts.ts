// Texts that are encoded within another one: data URLs of Ignition, and base64 as in cloud-init's files.

/** The word `Secret` in base64, at each of the three places that it can have in it. */
export const ENCODED_SECRET = /U2VjcmV0|NlY3Jld|TZWNyZX/;
/** The start of a data URL. */
const DATA_URL = /^data:[^,\s]{0,200},/;

/** What a data URL holds, or a text in base64 that may speak of a Secret; null for any other text. */
export function decodedText(text: string): string | null {
  const head = DATA_URL.exec(text)?.[0];
  if (head !== undefined && !head.endsWith(";base64,")) return unescaped(text.slice(head.length));
  const base64 = text.slice(head?.length ?? 0);
  if (!ENCODED_SECRET.test(base64) || !/^[A-Za-z0-9+/\s]+=*\s*$/.test(base64)) return null;
  return Buffer.from(base64, "base64").toString("utf8");
}

function unescaped(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
