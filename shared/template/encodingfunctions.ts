// Implements sprig's functions for base64, base32, hashes, AES decryption and JSON.
import { createDecipheriv, createHash } from "node:crypto";
import { timeJson } from "./dates.ts";
import { versionText } from "./semver.ts";
import { type Builtin, fn, type Table } from "./signature.ts";
import { decode, decodeRune, encode, REPLACEMENT } from "./unicode.ts";
import {
  type Budget,
  type Bytes,
  Dict,
  Fault,
  Integer,
  List,
  Text,
  Time,
  type Value,
} from "./value.ts";

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The offset at which a text is not valid; Go's CorruptInputError. */
class Corrupt extends Fault {
  readonly at: number;
  constructor(at: number) {
    super("corrupt input");
    this.at = at;
  }
}

const isNewline = (char: string | undefined): boolean => char === "\n" || char === "\r";

/** @throws Corrupt at the byte that Go reports */
function decodeBase64(text: Bytes): Bytes {
  // Node skips invalid characters, so the text is checked first.
  let used = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (isNewline(char)) continue;
    if (BASE64.includes(char)) {
      used += 1;
      continue;
    }
    if (char !== "=" || used % 4 < 2) throw new Corrupt(at);
    let rest = at + 1;
    const skip = (): void => {
      while (isNewline(text[rest])) rest += 1;
    };
    skip();
    if (used % 4 === 2) {
      if (rest === text.length) throw new Corrupt(text.length);
      if (text[rest] !== "=") throw new Corrupt(rest - 1);
      rest += 1;
      skip();
    }
    if (rest < text.length) throw new Corrupt(rest);
    return Buffer.from(text, "base64").toString("latin1");
  }
  if (used % 4 !== 0) throw new Corrupt(text.length - (used % 4));
  return Buffer.from(text, "base64").toString("latin1");
}

function encodeBase32(bytes: Bytes): Bytes {
  let [out, held, bits] = ["", 0, 0];
  for (let i = 0; i < bytes.length; i++) {
    held = ((held << 8) | bytes.charCodeAt(i)) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += BASE32.charAt((held >> bits) & 31);
    }
  }
  if (bits > 0) out += BASE32.charAt((held << (5 - bits)) & 31);
  return out.padEnd(Math.ceil(out.length / 8) * 8, "=");
}

/** @throws Corrupt at the byte that Go reports; newlines are not counted */
function decodeBase32(source: Bytes): Bytes {
  const text = source.replace(/[\r\n]/g, "");
  let [out, held, bits] = ["", 0, 0];
  for (let at = 0; at < text.length; at++) {
    const inGroup = at % 8;
    const left = text.length - at - 1;
    if (text[at] === "=" && inGroup >= 2 && left < 8) {
      if (left + inGroup < 7) throw new Corrupt(text.length);
      for (let k = 0; k < 7 - inGroup; k++) {
        if (left > k && text[at + 1 + k] !== "=") throw new Corrupt(at + k);
      }
      if (inGroup === 3 || inGroup === 6) throw new Corrupt(at);
      return out;
    }
    const value = BASE32.indexOf(text.charAt(at));
    if (value < 0) throw new Corrupt(at);
    held = ((held << 5) | value) & 0xffff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    out += String.fromCharCode((held >> bits) & 0xff);
  }
  if (text.length % 8 !== 0) throw new Corrupt(text.length - (text.length % 8));
  return out;
}

/** Returns the decoder's error in place of the text, as sprig does. */
const decoder = (name: string, decodeText: (text: Bytes) => Bytes): Builtin =>
  fn(["string"], (_, text) => {
    try {
      return decodeText(text);
    } catch (error) {
      if (error instanceof Corrupt) return `illegal ${name} data at input byte ${error.at}`;
      throw error;
    }
  });

const hash = (name: string): Builtin =>
  fn(["string"], (_, text) => createHash(name).update(text, "latin1").digest("hex"));

function adler32(bytes: Bytes): bigint {
  let [a, b] = [1, 0];
  for (let i = 0; i < bytes.length; i++) {
    a = (a + bytes.charCodeAt(i)) % 65521;
    b = (b + a) % 65521;
  }
  return BigInt(b * 65536 + a);
}

/** As sprig's decryptAES: AES-256-CBC; the key is the password, truncated or padded with zeros. */
function decryptAes(password: Bytes, encrypted: Bytes): Bytes {
  if (encrypted === "") return "";
  const bytes = Buffer.from(decodeBase64(encrypted), "latin1");
  if (bytes.length < 32 || bytes.length % 16 !== 0) throw new Fault("not an encrypted text");
  const key = Buffer.alloc(32);
  key.write(password.slice(0, 32), "latin1");
  const cipher = createDecipheriv("aes-256-cbc", key, bytes.subarray(0, 16)).setAutoPadding(false);
  const clear = Buffer.concat([cipher.update(bytes.subarray(16)), cipher.final()]);
  const end = clear.length - (clear.at(-1) ?? 0);
  if (end < 0) throw new Fault("not an encrypted text");
  return clear.toString("latin1", 0, end);
}

const JSON_SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function jsonString(budget: Budget, bytes: Bytes, html: boolean): Bytes {
  budget.bytes(bytes.length * 6);
  let out = '"';
  for (let at = 0; at < bytes.length;) {
    const { rune, size } = decodeRune(bytes, at);
    const raw = bytes.slice(at, at + size);
    at += size;
    const escapes =
      rune < 0x20 ||
      rune === 0x2028 ||
      rune === 0x2029 ||
      (rune === REPLACEMENT && size === 1) ||
      (html && "<>&".includes(raw));
    const short = JSON_SHORT[raw];
    if (short !== undefined) out += short;
    else out += escapes ? `\\u${rune.toString(16).padStart(4, "0")}` : raw;
  }
  return `${out}"`;
}

function jsonNumber(value: number): string {
  if (!Number.isFinite(value)) throw new Fault("a number that JSON cannot hold");
  if (Object.is(value, -0)) return "-0";
  const size = Math.abs(value);
  // Go's JSON uses an exponent below 1e-6, and from 1e21 on.
  return size !== 0 && (size < 1e-6 || size >= 1e21) ? value.toExponential() : value.toString();
}

function writeJson(
  budget: Budget,
  text: Text,
  value: Value,
  html: boolean,
  indent: Bytes | undefined,
): void {
  budget.step();
  const inner = indent === undefined ? undefined : `${indent}  `;
  const newline = (to: Bytes | undefined): void => {
    if (to !== undefined) text.add(`\n${to}`);
  };
  if (value === undefined || value === null) text.add("null");
  else if (typeof value === "boolean") text.add(String(value));
  else if (typeof value === "string") text.add(jsonString(budget, value, html));
  else if (typeof value === "number") text.add(jsonNumber(value));
  else if (typeof value === "bigint") text.add(value.toString());
  else if (value instanceof Integer) text.add(value.value.toString());
  else if (value instanceof Time) text.add(`"${timeJson(value)}"`);
  else if (value instanceof List || value instanceof Dict) {
    if (value.isNil) {
      text.add("null");
      return;
    }
    const isList = value instanceof List;
    const entries: [Bytes | undefined, Value][] = isList
      ? value.items.map((item) => [undefined, item])
      : value.names().map((name) => [name, value.entries.get(name)]);
    text.add(isList ? "[" : "{");
    budget.nest(() => {
      entries.forEach(([name, item], i) => {
        if (i > 0) text.add(",");
        newline(inner);
        if (name !== undefined) text.add(`${jsonString(budget, name, html)}:`);
        if (name !== undefined && indent !== undefined) text.add(" ");
        writeJson(budget, text, item, html, inner);
      });
    });
    if (entries.length > 0) newline(indent);
    text.add(isList ? "]" : "}");
  } else text.add(jsonString(budget, versionText(value), html));
}

const encoder = (html: boolean, indent: Bytes | undefined, must: boolean): Builtin =>
  fn(["any"], (budget, value) => {
    const text = new Text(budget);
    try {
      writeJson(budget, text, value, html, indent);
    } catch (error) {
      // toJson ignores encoding errors, but not an exceeded budget.
      if (must || !hasBadNumber(budget, value)) throw error;
      return "";
    }
    return text.toString();
  });

function hasBadNumber(budget: Budget, value: Value): boolean {
  budget.step();
  if (typeof value === "number") return !Number.isFinite(value);
  const inner =
    value instanceof List ? value.items : value instanceof Dict ? [...value.entries.values()] : [];
  return budget.nest(() => inner.some((item) => hasBadNumber(budget, item)));
}

interface FromJson {
  readonly value: Value;
  /** Whether a number is too large; Go reports that after reading the rest. */
  overflow: boolean;
}

/** As Go's json.Unmarshal into an interface; undefined if the text is not valid JSON. */
function readJson(budget: Budget, text: Bytes): FromJson | undefined {
  budget.step(text.length / 32);
  let parsed: unknown;
  try {
    parsed = JSON.parse(decode(text));
  } catch {
    // JavaScript's error would quote the text.
    return undefined;
  }
  const state = { overflow: false };
  const convert = (json: unknown): Value => {
    budget.step();
    if (typeof json === "string") return encode(json);
    if (typeof json === "boolean") return json;
    if (typeof json === "number") {
      if (Number.isFinite(json)) return json;
      state.overflow = true;
      return null;
    }
    if (Array.isArray(json)) return budget.nest(() => new List(json.map(convert)));
    if (typeof json !== "object" || json === null) return null;
    const entries = Object.entries(json);
    return budget.nest(
      () => new Dict(new Map(entries.map(([name, item]) => [encode(name), convert(item)]))),
    );
  };
  const value = convert(parsed);
  return { value, overflow: state.overflow };
}

export const ENCODING_FUNCTIONS: Table = {
  b64enc: fn(["string"], (_, text) => Buffer.from(text, "latin1").toString("base64")),
  b64dec: decoder("base64", decodeBase64),
  b32enc: fn(["string"], (_, text) => encodeBase32(text)),
  b32dec: decoder("base32", decodeBase32),
  sha1sum: hash("sha1"),
  sha256sum: hash("sha256"),
  sha512sum: hash("sha512"),
  adler32sum: fn(["string"], (_, text) => adler32(text).toString()),
  decryptAES: fn(["string", "string"], (_, password, text) => decryptAes(password, text)),
  toJson: encoder(true, undefined, false),
  mustToJson: encoder(true, undefined, true),
  toPrettyJson: encoder(true, "", false),
  mustToPrettyJson: encoder(true, "", true),
  toRawJson: encoder(false, undefined, true),
  mustToRawJson: encoder(false, undefined, true),
  fromJson: fn(["string"], (budget, text) => readJson(budget, text)?.value),
  mustFromJson: fn(["string"], (budget, text) => {
    const read = readJson(budget, text);
    if (read === undefined || read.overflow) throw new Fault("not valid JSON");
    return read.value;
  }),
};
