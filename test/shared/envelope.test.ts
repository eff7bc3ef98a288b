// Proofs about one encrypted value: it opens with its key and label, and in no other way.
// SPEC.md, "Envelope".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64 } from "../../shared/base64.ts";
import { bytesOfEnvelopeText, envelopeText } from "../../shared/envelopes/envelope.ts";
import {
  decryptValue,
  encryptValue,
  envelopeBytes,
  importPrivateKey,
  importPublicKey,
  parseEnvelopeBytes,
  type RsaEnvelope,
} from "../../shared/envelopes/rsa.ts";
import { labelBytes, SCOPES } from "../../shared/sealing/scope.ts";
import { testKey } from "../vectors/fixtures.ts";

const { certificate, privateKey } = testKey("first");
const publicHalf = await importPublicKey(certificate.spki);
const privateHalf = await importPrivateKey(privateKey.pkcs8);
const LABEL = labelBytes("strict", "demo", "db");
const PLAINTEXT = new TextEncoder().encode("hunter2");

const seal = (plaintext = PLAINTEXT, label = LABEL): Promise<RsaEnvelope> =>
  encryptValue(publicHalf, plaintext, label);

const encodeEnvelope = (envelope: RsaEnvelope): string => envelopeText(envelopeBytes(envelope));

function decodeEnvelope(text: string): RsaEnvelope | null {
  const bytes = bytesOfEnvelopeText(text);
  return bytes === null ? null : parseEnvelopeBytes(bytes);
}

/** The plaintext of a text, by every layer; in a browser it is the same. */
async function open(text: string, label = LABEL): Promise<Uint8Array | null> {
  const envelope = decodeEnvelope(text);
  if (envelope === null) return null;
  const opened = await decryptValue(privateHalf, envelope, label);
  expect(await decryptValue(privateHalf, envelope, label, null)).toEqual(opened);
  return opened;
}

describe("what is sealed", () => {
  const name = fc.stringMatching(/^[a-z0-9][-a-z0-9]{0,20}$/);

  test.each(SCOPES)("unseals to the same bytes: %s", async (scope) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), name, name, async (plaintext, ns, n) => {
        const label = labelBytes(scope, ns, n);
        const text = encodeEnvelope(await seal(plaintext, label));
        expect(await open(text, label)).toEqual(plaintext);
      }),
      { numRuns: 50 },
    );
  });

  test("unseals with no other label", async () => {
    const text = encodeEnvelope(await seal());
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 20 }), async (label) => {
        fc.pre(Buffer.compare(label, LABEL) !== 0);
        expect(await open(text, label)).toBeNull();
      }),
      { numRuns: 50 },
    );
  });

  test("unseals with no other key", async () => {
    const stranger = await importPrivateKey(testKey("stranger").privateKey.pkcs8);
    const wide = await importPrivateKey(testKey("wide").privateKey.pkcs8);
    const envelope = await seal();
    expect(await decryptValue(stranger, envelope, LABEL)).toBeNull();
    expect(await decryptValue(wide, envelope, LABEL)).toBeNull();
  });

  test("is never the same twice, in no part", async () => {
    const [one, other] = [await seal(), await seal()];
    expect(one.wrappedKey).not.toEqual(other.wrappedKey);
    expect(one.ciphertext).not.toEqual(other.ciphertext);
  });

  test("has the length that its plaintext and its key give", async () => {
    for (const [key, modulus] of [
      ["first", 256],
      ["wide", 512],
    ] as const) {
      const half = await importPublicKey(testKey(key).certificate.spki);
      const all = envelopeBytes(await encryptValue(half, PLAINTEXT, LABEL));
      expect(all).toHaveLength(2 + modulus + PLAINTEXT.length + 16);
      expect([...all.subarray(0, 2)]).toEqual([modulus >> 8, 0]);
    }
  });
});

describe("a damaged value", () => {
  test("with any one bit flipped never unseals", async () => {
    const all = envelopeBytes(await seal());
    expect(await open(encodeBase64(all))).toEqual(PLAINTEXT);
    const opened: number[] = [];
    for (let bit = 0; bit < all.length * 8; bit++) {
      const flipped = all.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      if ((await open(encodeBase64(flipped))) !== null) opened.push(bit);
    }
    expect(opened).toEqual([]);
  });

  test("with any one character changed never unseals", async () => {
    const text = encodeEnvelope(await seal());
    await fc.assert(
      fc.asyncProperty(
        fc.nat(text.length - 1),
        fc.oneof(
          fc.base64String({ minLength: 4, maxLength: 4 }).map((text) => text.charAt(0)),
          fc.constantFrom("=", "-", "_", " ", "~", "\u0410", "\0"),
        ),
        async (at, character) => {
          fc.pre(text[at] !== character);
          expect(await open(text.slice(0, at) + character + text.slice(at + 1))).toBeNull();
        },
      ),
      { numRuns: 800 },
    );
  });

  test("whose last characters are any others never unseals", async () => {
    for (const plaintext of ["hunter", "hunter2", "hunter22"]) {
      const text = encodeEnvelope(await seal(new TextEncoder().encode(plaintext)));
      const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
      for (let at = text.length - 4; at < text.length; at++) {
        for (const character of characters) {
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          if (changed !== text) expect(await open(changed)).toBeNull();
        }
      }
    }
  });

  test("cut anywhere, or with anything added, never unseals", async () => {
    const all = envelopeBytes(await seal());
    for (let length = 0; length < all.length; length++) {
      expect(await open(encodeBase64(all.slice(0, length)))).toBeNull();
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async (more) => {
        expect(await open(encodeBase64(Uint8Array.from([...all, ...more])))).toBeNull();
        expect(await open(encodeBase64(Uint8Array.from([...more, ...all])))).toBeNull();
      }),
      { numRuns: 50 },
    );
  });

  test("put together from two values never unseals", async () => {
    const [one, other] = [await seal(), await seal()];
    const mixed = { wrappedKey: one.wrappedKey, ciphertext: other.ciphertext };
    expect(await decryptValue(privateHalf, mixed, LABEL)).toBeNull();
  });
});

describe("taking apart", () => {
  test("gives back what was put together", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 600 }),
        fc.uint8Array({ minLength: 16, maxLength: 100 }),
        (wrappedKey, ciphertext) => {
          const envelope: RsaEnvelope = { kind: "rsa", wrappedKey, ciphertext };
          expect(decodeEnvelope(encodeEnvelope(envelope))).toEqual(envelope);
          expect(parseEnvelopeBytes(envelopeBytes(envelope))).toEqual(envelope);
        },
      ),
    );
  });

  test("reads bytes where they lie in a larger buffer", () => {
    const all = envelopeBytes({ wrappedKey: new Uint8Array(3), ciphertext: new Uint8Array(16) });
    const within = new Uint8Array(all.length + 9);
    within.fill(0xff).set(all, 5);
    expect(parseEnvelopeBytes(within.subarray(5, 5 + all.length))).toEqual(parseEnvelopeBytes(all));
  });

  test("of any text gives null or an envelope of one spelling", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ unit: "binary" }),
          fc.base64String({ minLength: 24, maxLength: 200 }),
          fc.uint8Array({ maxLength: 100 }).map((bytes) => encodeBase64(bytes)),
        ),
        (text) => {
          const envelope = decodeEnvelope(text);
          if (envelope === null) return;
          expect(encodeEnvelope(envelope)).toBe(text.replace(/[\r\n]/g, ""));
          expect(envelope.ciphertext.length).toBeGreaterThanOrEqual(16);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("of any envelope, and opening it, never throws", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.uint8Array({ minLength: 256, maxLength: 256 }),
        ),
        fc.uint8Array({ maxLength: 40 }),
        async (wrappedKey, ciphertext) => {
          const envelope: RsaEnvelope = { kind: "rsa", wrappedKey, ciphertext };
          expect(await decryptValue(privateHalf, envelope, LABEL)).toBeNull();
          expect(await decryptValue(privateHalf, envelope, LABEL, null)).toBeNull();
        },
      ),
    );
  });
});
