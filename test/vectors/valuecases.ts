// The cases of test/vectors/value.
// SPEC.md, "Envelope", "Scopes", "Encoded values".

import { constants } from "node:crypto";
import { envelopeBytes } from "../../shared/envelopes/rsa.ts";
import { base64, bytes, type Case, CLUSTER_WIDE, NAMESPACE_WIDE, oddValue, ORIGINAL, originalValue, ourEnvelope, OURS, ourValue, type Place, type Sections, SELECTOR, SELECTORS, sha256, STRICT } from "./tools.ts";
import type { KeyName, ValueFailure } from "./vectors.ts";

const PASSWORD = bytes("hunter2");
const BINARY = Uint8Array.from({ length: 256 }, (_, index) => index);
const LARGE = Uint8Array.from({ length: 65536 }, (_, index) => (index * 7919) >> 3);
const UNICODE = bytes("pässwörd — 密码 🔑\n");

interface ValueCase {
  readonly name: string;
  readonly comment: string;
  readonly by?: string;
  readonly place?: Place;
  readonly headers?: Sections;
  readonly make: () => string | Promise<string>;
}

function value(
  { name, comment, by = "hand", place = STRICT, make, headers = {} }: ValueCase,
  result: Sections,
): Case {
  return {
    kind: "value",
    name,
    comment,
    by,
    make: async () => ({
      headers: { keys: "first", ...place, ...headers, ...result },
      sections: { sealed: `${await make()}\n` },
    }),
  };
}

function opened(plaintext: Uint8Array, under: KeyName, vector: ValueCase): Case {
  const said: Sections =
    plaintext.length > 1024
      ? {
          "plaintext-bytes": String(plaintext.length),
          "plaintext-sha256": sha256(plaintext),
        }
      : { plaintext: base64(plaintext) };
  const keys = under === "wide" ? "wide" : "first";
  return value(
    { ...vector, headers: { keys, ...vector.headers } },
    { expect: "opened", under, ...said },
  );
}

function refused(expect: ValueFailure, vector: ValueCase): Case {
  return value({ ...vector, name: `${expect}-${vector.name}` }, { expect });
}

/** Both programs, each way to seal, each key size. */
const SEALED: readonly Case[] = [
  ...([ORIGINAL, OURS] as const).flatMap((by) => {
    const seal = by === OURS ? ourValue : originalValue;
    const who = by === OURS ? "ours" : "original";
    const one = (
      name: string,
      comment: string,
      plaintext: Uint8Array,
      key: KeyName = "first",
      place: Place = STRICT,
    ): Case =>
      opened(plaintext, key, {
        name: `${name}-${who}`,
        comment,
        by,
        place,
        make: () => seal(plaintext, key, place),
      });
    return [
      one("strict", "The label is the namespace, a slash and the name.", PASSWORD),
      one("namespace-wide", "The label is the namespace.", PASSWORD, "first", NAMESPACE_WIDE),
      one("cluster-wide", "The label is empty.", PASSWORD, "first", CLUSTER_WIDE),
      one("strict-4096", "The length field is 512.", PASSWORD, "wide"),
      one("namespace-wide-4096", "As above.", PASSWORD, "wide", NAMESPACE_WIDE),
      one("cluster-wide-4096", "As above.", PASSWORD, "wide", CLUSTER_WIDE),
      one("empty", "No plaintext: the ciphertext is a tag alone.", new Uint8Array()),
      one("binary", "Every byte once: a value is bytes, not text.", BINARY),
      one("large", "64 KiB.", LARGE),
      one("unicode", "UTF-8 of one to four bytes, and a line break at the end.", UNICODE),
    ];
  }),
];

const SELECTED: readonly Case[] = [
  opened(PASSWORD, "first", {
    name: "selector-ours",
    comment: "The label is FF and the text kube-signet/selector team=a.",
    by: OURS,
    place: SELECTOR,
    make: () => ourValue(PASSWORD, "first", SELECTOR),
  }),
  opened(PASSWORD, "first", {
    name: "selector-all-operators-ours",
    comment: "Each way to ask for a label, in the canonical order.",
    by: OURS,
    place: SELECTORS,
    make: () => ourValue(PASSWORD, "first", SELECTORS),
  }),
  opened(PASSWORD, "first", {
    name: "selector-moved",
    comment: "Found in another namespace under another name: neither is bound.",
    by: OURS,
    place: { scope: SELECTOR.scope, namespace: "other", name: "else" },
    make: () => ourValue(PASSWORD, "first", SELECTOR),
  }),
];

const OTHER_NAMES: Place = { scope: "strict", namespace: "a-1", name: "x.y-0.z" };

const OPENED: readonly Case[] = [
  opened(PASSWORD, "first", {
    name: "name-with-dots",
    comment: "A name may have dots and dashes; the label takes them as they are.",
    by: ORIGINAL,
    place: OTHER_NAMES,
    make: () => originalValue(PASSWORD, "first", OTHER_NAMES),
  }),
  opened(PASSWORD, "first", {
    name: "cluster-wide-moved",
    comment:
      "Sealed as demo/db, found in another namespace under another name: the scope allows it.",
    by: ORIGINAL,
    place: { scope: "cluster-wide", namespace: "other", name: "else" },
    make: () => originalValue(PASSWORD, "first", CLUSTER_WIDE),
  }),
  opened(PASSWORD, "first", {
    name: "namespace-wide-renamed",
    comment: "Sealed as demo/db, found in the same namespace under another name.",
    by: ORIGINAL,
    place: { scope: "namespace-wide", namespace: "demo", name: "else" },
    make: () => originalValue(PASSWORD, "first", NAMESPACE_WIDE),
  }),
  opened(PASSWORD, "first", {
    name: "older-key",
    comment: "Two keys of equal size are held; the value is under the older one.",
    by: ORIGINAL,
    headers: { keys: "first second" },
    make: () => originalValue(PASSWORD, "first", STRICT),
  }),
  opened(PASSWORD, "wide", {
    name: "key-of-another-size",
    comment: "Keys of both sizes are held; the length field tells which can fit.",
    by: ORIGINAL,
    headers: { keys: "second wide first" },
    make: () => originalValue(PASSWORD, "wide", STRICT),
  }),
  opened(PASSWORD, "first", {
    name: "line-breaks",
    comment: "Line breaks within base64 are skipped, as a YAML block would leave them.",
    make: async () => (await ourValue(PASSWORD, "first", STRICT)).replace(/.{76}/g, "$&\n"),
  }),
  opened(PASSWORD, "first", {
    name: "line-breaks-crlf",
    comment: "So are carriage returns.",
    make: async () => (await ourValue(PASSWORD, "first", STRICT)).replace(/.{64}/g, "$&\r\n"),
  }),
];

/** Seven bytes: 281 bytes of envelope, so the base64 ends in one `=` and has two bits to spare. */
async function sealedPassword(): Promise<string> {
  return ourValue(PASSWORD, "first", STRICT);
}

async function sealedBytes(): Promise<Uint8Array> {
  return envelopeBytes(await ourEnvelope(PASSWORD, "first", STRICT));
}

async function changed(change: (envelope: Uint8Array) => Uint8Array): Promise<string> {
  return base64(change(await sealedBytes()));
}

function flipped(envelope: Uint8Array, at: number, bit: number): Uint8Array {
  const index = at < 0 ? envelope.length + at : at;
  return envelope.map((byte, position) => (position === index ? byte ^ (1 << bit) : byte));
}

function withLength(envelope: Uint8Array, length: number): Uint8Array {
  const copy = envelope.slice();
  new DataView(copy.buffer).setUint16(0, length);
  return copy;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const TEXT: readonly Case[] = [
  refused("malformed-base64", {
    name: "url-alphabet",
    comment: "The alphabet for URLs, with - and _, is another one.",
    make: async () => {
      for (;;) {
        const text = (await sealedPassword()).replaceAll("+", "-").replaceAll("/", "_");
        if (text.includes("-") && text.includes("_")) return text;
      }
    },
  }),
  refused("malformed-base64", {
    name: "no-padding",
    comment: "The = at the end is missing.",
    make: async () => (await sealedPassword()).replace(/=+$/, ""),
  }),
  refused("malformed-base64", {
    name: "too-much-padding",
    comment: "One = too many.",
    make: async () => `${await sealedPassword()}=`,
  }),
  refused("malformed-base64", {
    name: "space",
    comment: "Line breaks are skipped, spaces are not.",
    make: async () => (await sealedPassword()).replace(/^.{8}/, "$& "),
  }),
  refused("malformed-base64", {
    name: "text-after-padding",
    comment: "Nothing follows the padding.",
    make: async () => `${await sealedPassword()}AAAA`,
  }),
  refused("malformed-base64", {
    name: "not-ascii",
    comment: "A letter that looks like an A (Cyrillic).",
    make: async () => (await sealedPassword()).replace(/^A/, "\u0410"),
  }),
  refused("malformed-base64", {
    name: "plain-text",
    comment: "Someone put the password itself there.",
    make: () => "hunter2!",
  }),
  refused("trailing-bits", {
    name: "two",
    comment:
      "A bit is set in the last character that belongs to no byte: one value has one spelling.",
    headers: { original: "opened" },
    make: async () =>
      (await sealedPassword()).replace(/(.)=$/, (_, last: string) => {
        return `${ALPHABET.charAt(ALPHABET.indexOf(last) | 1)}=`;
      }),
  }),
  refused("trailing-bits", {
    name: "four",
    comment: "The same before two = signs.",
    headers: { original: "opened" },
    make: async () =>
      (await ourValue(bytes("hunter"), "first", STRICT)).replace(/(.)==$/, (_, last: string) => {
        return `${ALPHABET.charAt(ALPHABET.indexOf(last) | 8)}==`;
      }),
  }),
];

const LENGTH: readonly Case[] = [
  refused("too-short", { name: "empty", comment: "No text at all.", make: () => "" }),
  refused("too-short", {
    name: "one-byte",
    comment: "Half of the length field.",
    make: () => changed((all) => all.slice(0, 1)),
  }),
  refused("too-short", {
    name: "length-alone",
    comment: "The length field and nothing after it.",
    make: () => changed((all) => all.slice(0, 2)),
  }),
  refused("too-short", {
    name: "key-part-cut",
    comment: "The key part lacks its last byte.",
    make: () => changed((all) => all.slice(0, 257)),
  }),
  refused("too-short", {
    name: "no-body",
    comment: "There is no ciphertext after the key part, not even a tag.",
    make: () => changed((all) => all.slice(0, 258)),
  }),
  refused("too-short", {
    name: "tag-cut",
    comment: "The ciphertext has 15 bytes; a tag alone has 16.",
    make: () => changed((all) => all.slice(0, 258 + 15)),
  }),
  refused("too-short", {
    name: "length-beyond-end",
    comment: "The length field announces more than there is.",
    make: () => changed((all) => withLength(all, 65535)),
  }),
  refused("wrong-length", {
    name: "zero",
    comment: "No key part at all by the length field.",
    make: () => changed((all) => withLength(all, 0)),
  }),
  refused("wrong-length", {
    name: "one-less",
    comment: "The length field is one less than the modulus.",
    make: () => changed((all) => withLength(all, 255)),
  }),
  refused("wrong-length", {
    name: "one-more",
    comment: "The length field is one more than the modulus.",
    make: () => changed((all) => withLength(all, 257)),
  }),
  refused("wrong-length", {
    name: "little-endian",
    comment: "The length 256 with its bytes the wrong way round is 1.",
    make: () => changed((all) => withLength(all, 1)),
  }),
  refused("wrong-length", {
    name: "no-key-of-this-size",
    comment: "A value under a 4096-bit key; a 2048-bit one is held.",
    by: ORIGINAL,
    headers: { under: "wide" },
    make: () => originalValue(PASSWORD, "wide", STRICT),
  }),
];

const labelled = (name: string, comment: string, sealedFor: Place, place: Place): Case =>
  refused("wrong-label", {
    name,
    comment,
    by: ORIGINAL,
    place,
    headers: { for: `${sealedFor.scope} ${sealedFor.namespace} ${sealedFor.name}` },
    make: () => originalValue(PASSWORD, "first", sealedFor),
  });

const labelledByUs = (name: string, comment: string, sealedFor: Place, place: Place): Case =>
  refused("wrong-label", {
    name,
    comment,
    by: OURS,
    place,
    headers: { for: `${sealedFor.scope} ${sealedFor.namespace} ${sealedFor.name}` },
    make: () => ourValue(PASSWORD, "first", sealedFor),
  });

const NOT_SELECTED: readonly Case[] = [
  labelledByUs("selector-as-strict", "Sealed for a selector, found as strict.", SELECTOR, STRICT),
  labelledByUs(
    "selector-as-namespace-wide",
    "Sealed for a selector, found as namespace-wide.",
    SELECTOR,
    NAMESPACE_WIDE,
  ),
  labelledByUs(
    "selector-as-cluster-wide",
    "Sealed for a selector, found as cluster-wide.",
    SELECTOR,
    CLUSTER_WIDE,
  ),
  labelledByUs("selector-as-another", "Sealed for another selector.", SELECTOR, {
    ...SELECTOR,
    scope: "selector team=b",
  }),
  labelledByUs("selector-as-a-wider-one", "Sealed for one of its requirements.", SELECTORS, SELECTOR),
  labelledByUs("cluster-wide-as-selector", "Sealed cluster-wide.", CLUSTER_WIDE, SELECTOR),
];

const WRAP: readonly Case[] = [
  refused("key-part-too-large", {
    name: "all-ones",
    comment: "RSA takes numbers below the modulus only.",
    make: () => changed((all) => all.map((byte, at) => (at >= 2 && at < 258 ? 0xff : byte))),
  }),
  refused("wrong-key", {
    name: "not-held",
    comment: "Under a key of the same size that is not held.",
    by: ORIGINAL,
    headers: { under: "stranger" },
    make: () => originalValue(PASSWORD, "stranger", STRICT),
  }),
  refused("wrong-key", {
    name: "of-several",
    comment: "None of three keys fits.",
    by: ORIGINAL,
    headers: { keys: "first second wide", under: "stranger" },
    make: () => originalValue(PASSWORD, "stranger", STRICT),
  }),
  labelled("other-namespace", "Copied to another namespace.", STRICT, {
    ...STRICT,
    namespace: "other",
  }),
  labelled("other-name", "Copied under another name.", STRICT, { ...STRICT, name: "else" }),
  labelled(
    "slash-elsewhere",
    "Namespace and name together have the same letters.",
    { scope: "strict", namespace: "dem", name: "odb" },
    STRICT,
  ),
  labelled("strict-as-namespace-wide", "The scope is part of it.", STRICT, NAMESPACE_WIDE),
  labelled("strict-as-cluster-wide", "The scope is part of it.", STRICT, CLUSTER_WIDE),
  labelled("namespace-wide-as-strict", "Nor can a scope be narrowed.", NAMESPACE_WIDE, STRICT),
  labelled("cluster-wide-as-strict", "Nor can a scope be narrowed.", CLUSTER_WIDE, STRICT),
  labelled("namespace-wide-moved", "To another namespace.", NAMESPACE_WIDE, {
    ...NAMESPACE_WIDE,
    namespace: "other",
  }),
  refused("damaged-key-part", {
    name: "last-bit",
    comment: "The lowest bit of the key part is flipped.",
    make: () => changed((all) => flipped(all, 257, 0)),
  }),
  refused("damaged-key-part", {
    name: "middle-bit",
    comment: "A bit in the middle of the key part is flipped.",
    make: () => changed((all) => flipped(all, 130, 5)),
  }),
  refused("damaged-key-part", {
    name: "zero",
    comment: "The key part is all zero: RSA of zero is zero.",
    make: () => changed((all) => all.map((byte, at) => (at >= 2 && at < 258 ? 0 : byte))),
  }),
  refused("other-wrapping", {
    name: "sha1",
    comment: "OAEP with SHA-1.",
    make: () => oddValue(PASSWORD, { hash: "sha1" }),
  }),
  refused("other-wrapping", {
    name: "sha512",
    comment: "OAEP with SHA-512.",
    make: () => oddValue(PASSWORD, { hash: "sha512" }),
  }),
  refused("other-wrapping", {
    name: "pkcs1",
    comment: "RSA with the padding of PKCS #1 v1.5.",
    make: () => oddValue(PASSWORD, { padding: constants.RSA_PKCS1_PADDING }),
  }),
  refused("other-wrapping", {
    name: "label-without-slash",
    comment: "The label is namespace and name with nothing between, as an old description had it.",
    make: () => oddValue(PASSWORD, { label: bytes("demodb") }),
  }),
];

const BODY: readonly Case[] = [
  refused("damaged-body", {
    name: "first-bit",
    comment: "The first bit of the ciphertext is flipped.",
    make: () => changed((all) => flipped(all, 258, 7)),
  }),
  refused("damaged-body", {
    name: "last-bit",
    comment: "The last bit of the tag is flipped.",
    make: () => changed((all) => flipped(all, -1, 0)),
  }),
  refused("damaged-body", {
    name: "cut",
    comment: "The last byte is missing.",
    make: () => changed((all) => all.slice(0, -1)),
  }),
  refused("damaged-body", {
    name: "byte-added",
    comment: "One byte too many.",
    make: () => changed((all) => Uint8Array.from([...all, 0])),
  }),
  refused("damaged-body", {
    name: "of-another-value",
    comment: "The key part of one value with the ciphertext of another.",
    make: async () => {
      const one = await ourEnvelope(PASSWORD, "first", STRICT);
      const other = await ourEnvelope(PASSWORD, "first", STRICT);
      return base64(envelopeBytes({ wrappedKey: one.wrappedKey, ciphertext: other.ciphertext }));
    },
  }),
  refused("damaged-body", {
    name: "tag-zero",
    comment: "The tag is all zero.",
    make: () => changed((all) => all.map((byte, at) => (at >= all.length - 16 ? 0 : byte))),
  }),
  refused("other-cipher", {
    name: "aes-128",
    comment: "A session key of 16 bytes, sound for AES-128.",
    headers: { original: "opened" },
    make: () => oddValue(PASSWORD, { sessionBytes: 16 }),
  }),
  refused("other-cipher", {
    name: "nonce",
    comment: "The nonce is not zero.",
    make: () => oddValue(PASSWORD, { nonce: new Uint8Array(12).fill(1) }),
  }),
  refused("other-cipher", {
    name: "additional-data",
    comment: "The label is authenticated as additional data too.",
    make: () => oddValue(PASSWORD, { aad: bytes("demo/db") }),
  }),
  refused("other-cipher", {
    name: "no-authentication",
    comment: "AES-CTR with 16 zero bytes in place of a tag.",
    make: () => oddValue(PASSWORD, { cipher: "ctr" }),
  }),
];

export const VALUE_CASES: readonly Case[] = [
  ...SEALED,
  ...OPENED,
  ...SELECTED,
  ...TEXT,
  ...LENGTH,
  ...NOT_SELECTED,
  ...WRAP,
  ...BODY,
];
