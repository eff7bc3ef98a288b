// The post-quantum envelope: its bytes, the standards' vectors, and everything that must not open.
// SPEC.md, "Hybrid envelopes".

import { createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  claimsEnvelope,
  isUnderKey,
  keyIdOf,
  openHybrid,
  paddedLength,
  parseHybridEnvelope,
  sealHybrid,
} from "../../shared/envelopes/hybrid.ts";
import { browserPrimitives } from "../../shared/hpke/browserprimitives.ts";
import { hpkeOpen, keySchedule } from "../../shared/hpke/hpke.ts";
import { nobleMlKem768 } from "../../shared/hpke/noblemlkem.ts";
import { nodePrimitives } from "../../shared/hpke/nodeprimitives.ts";
import { nativePrimitives } from "../../shared/hpke/chosenprimitives.ts";
import type { Primitives } from "../../shared/hpke/primitives.ts";
import { xwingFromPublicKey, xwingFromSeed } from "../../shared/hpke/xwing.ts";
import { type NodeCrypto, nodeCrypto } from "../../shared/nodecrypto.ts";

const mixed = nodePrimitives(nodeCrypto as NodeCrypto, nobleMlKem768);
/** Node's own where it has ML-KEM: test/interop/hybrid.test.ts runs this file's job on newer ones. */
const BACK_ENDS: [string, Primitives][] = [
  ["Node with a library for ML-KEM", mixed],
  ["a browser", browserPrimitives],
  ...[nativePrimitives()].flatMap((native): [string, Primitives][] =>
    native === undefined ? [] : [["Node alone", native]],
  ),
];

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

interface StandardVector {
  readonly suite: { readonly kem: number; readonly kdf: number; readonly aead: number };
  readonly info: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly enc: string;
  readonly shared_secret: string;
  readonly key: string;
  readonly base_nonce: string;
  readonly first_message: { readonly aad: string; readonly ct: string; readonly pt: string };
}
const { vectors } = JSON.parse(readFileSync("test/vectors/standards/hpke-xwing.json", "utf8")) as {
  vectors: StandardVector[];
};

const SEED = hex("00112233445566778899aabbccddeeff".repeat(2));
const LABEL = utf8("demo/db");

function keyOf(primitives: Primitives, seed = SEED) {
  const pair = xwingFromSeed(primitives, seed);
  const publicKey = xwingFromPublicKey(primitives, pair.publicKey);
  return { pair, publicKey, keyId: keyIdOf(primitives, pair.publicKey) };
}

async function open(
  primitives: Primitives,
  bytes: Uint8Array,
  label = LABEL,
  seed = SEED,
): Promise<Uint8Array | null> {
  const envelope = parseHybridEnvelope(bytes);
  const { pair, keyId } = keyOf(primitives, seed);
  if (envelope === null || !isUnderKey(envelope, keyId)) return null;
  return openHybrid(primitives, pair, envelope, label);
}

describe.each(BACK_ENDS)("with the primitives of %s", (_name, primitives) => {
  test.each(vectors)("X-Wing is the standard's, vector %#", (vector) => {
    const pair = xwingFromSeed(primitives, hex(vector.skRm));
    expect(toHex(pair.publicKey)).toBe(vector.pkRm);
    expect(toHex(pair.decapsulate(hex(vector.enc)))).toBe(vector.shared_secret);
  });

  test("the key schedule is the standard's", () => {
    const byHkdf = vectors.filter(({ suite }) => suite.kdf === 1);
    expect(byHkdf).toHaveLength(1);
    for (const { suite, shared_secret, info, key, base_nonce, first_message } of byHkdf) {
      const keys = keySchedule(primitives, hex(shared_secret), hex(info), suite);
      expect([toHex(keys.key), toHex(keys.nonce)]).toEqual([key, base_nonce]);
      const { aad, ct, pt } = first_message;
      const cipher = createDecipheriv("chacha20-poly1305", keys.key, keys.nonce, {
        authTagLength: 16,
      });
      cipher.setAAD(hex(aad), { plaintextLength: pt.length / 2 });
      cipher.setAuthTag(hex(ct).subarray(-16));
      expect(toHex(cipher.update(hex(ct).subarray(0, -16)))).toBe(pt);
      cipher.final();
    }
  });

  test("what is sealed has the specified bytes, and every back end opens it", async () => {
    const key = keyOf(primitives);
    for (const length of [0, 1, 62, 63, 64, 65, 1000, 4096, 70_000]) {
      const value = new Uint8Array(length).fill(0x80);
      const bytes = await sealHybrid(primitives, key, value, LABEL);
      expect(toHex(bytes.subarray(0, 4))).toBe("3d0d4000");
      expect(toHex(bytes.subarray(4, 12))).toBe(toHex(key.keyId));
      expect(bytes).toHaveLength(12 + 1120 + paddedLength(length + 1) + 16);
      expect(Buffer.from(bytes).toString("base64")).toMatch(/^PQ1A/);
      for (const [, others] of BACK_ENDS) expect(await open(others, bytes)).toEqual(value);
    }
  });

  test("random values of random length open to themselves", async () => {
    const key = keyOf(primitives);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (value) => {
        expect(await open(primitives, await sealHybrid(primitives, key, value, LABEL))).toEqual(
          value,
        );
      }),
      { numRuns: 20 },
    );
  });

  test("no byte can be changed, taken off or added", async () => {
    const bytes = await sealHybrid(primitives, keyOf(primitives), utf8("hunter2"), LABEL);
    expect(await open(primitives, bytes)).toEqual(utf8("hunter2"));
    const { pair, keyId } = keyOf(primitives);
    for (let at = 0; at < bytes.length; at++) {
      // In the middle of `enc` one bit of each eighth byte does: each costs a decapsulation.
      if (at > 20 && at < 1120 && at % 8 !== 0) continue;
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      const envelope = parseHybridEnvelope(damaged);
      const opened =
        envelope === null || !isUnderKey(envelope, keyId)
          ? null
          : await openHybrid(primitives, pair, envelope, LABEL);
      expect(opened, `byte ${at}`).toBeNull();
    }
    for (const length of [0, 3, 11, 1131, 1211, bytes.length - 1]) {
      expect(parseHybridEnvelope(bytes.subarray(0, length))).toBeNull();
    }
    expect(await open(primitives, Uint8Array.of(...bytes, 0))).toBeNull();
  });

  test("another place or another key opens nothing", async () => {
    const bytes = await sealHybrid(primitives, keyOf(primitives), utf8("hunter2"), LABEL);
    for (const label of ["", "demo", "demo/d", "demo/db2", "Demo/db"]) {
      expect(await open(primitives, bytes, utf8(label))).toBeNull();
    }
    const other = SEED.map((byte) => byte ^ 1);
    expect(await open(primitives, bytes, LABEL, other)).toBeNull();
    // Also where the key id says that it is the key.
    const { keyId } = keyOf(primitives, other);
    const renamed = Uint8Array.from(bytes);
    renamed.set(keyId, 4);
    expect(await open(primitives, renamed, LABEL, other)).toBeNull();
  });

  test("a share of low order is refused, for sealing and for opening", async () => {
    const { pair, keyId } = keyOf(primitives);
    const bytes = await sealHybrid(primitives, keyOf(primitives), utf8("hunter2"), LABEL);
    for (const point of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31))]) {
      const low = Uint8Array.from(bytes);
      low.set(point, 12 + 1088);
      expect(() => pair.decapsulate(low.slice(12, 12 + 1120))).toThrow();
      expect(await open(primitives, low)).toBeNull();
      const key = Uint8Array.from(pair.publicKey);
      key.set(point, 1184);
      const seal = async (): Promise<Uint8Array> => {
        const publicKey = xwingFromPublicKey(primitives, key);
        return sealHybrid(primitives, { keyId, publicKey }, utf8("x"), LABEL);
      };
      await expect(seal()).rejects.toThrow();
    }
  });
});

describe("the envelope", () => {
  test("of another suite or with flags is claimed, and refused", async () => {
    const bytes = await sealHybrid(mixed, keyOf(mixed), utf8("hunter2"), LABEL);
    for (const third of [0x41, 0x42, 0x7f]) {
      const other = Uint8Array.from(bytes);
      other[2] = third;
      expect([claimsEnvelope(other), parseHybridEnvelope(other)]).toEqual([true, null]);
    }
    for (const third of [0x00, 0x3f, 0x80, 0xff]) {
      expect(claimsEnvelope(Uint8Array.of(0x3d, 0x0d, third))).toBe(false);
    }
    for (const flags of [1, 2, 0x80]) {
      const other = Uint8Array.from(bytes);
      other[3] = flags;
      expect(parseHybridEnvelope(other)).toBeNull();
    }
    for (const start of [[], [0x3d], [0x3d, 0x0d]]) {
      expect(claimsEnvelope(Uint8Array.from(start))).toBe(false);
    }
  });

  test("pads to 64 bytes, and longer values by at most an eighth", () => {
    expect([1, 63, 64, 65, 66, 100, 127, 129, 1001, 2 ** 20 + 1].map(paddedLength)).toEqual([
      64, 64, 64, 72, 72, 104, 128, 144, 1024, 1_081_344,
    ]);
    const lengths = Array.from({ length: 10_000 }, (_, index) => 1 + 7 * index);
    const wrong = lengths.filter((length) => {
      const padded = paddedLength(length);
      const most = Math.max(64, length * 1.125);
      return padded < length || padded > most || paddedLength(padded) !== padded;
    });
    expect(wrong).toEqual([]);
  });

  test("with any other padding does not open", async () => {
    const key = keyOf(mixed);
    const paddings = [
      new Uint8Array(64),
      new Uint8Array(64).fill(1),
      // 71 bytes fit into 72; 72 would be enough for fewer than 64, too.
      Uint8Array.of(1, 0x80, ...new Uint8Array(70)),
      Uint8Array.of(...new Uint8Array(62), 0x81, 0),
    ];
    const { hpkeSeal } = await import("../../shared/hpke/hpke.ts");
    const head = Uint8Array.of(0x3d, 0x0d, 0x40, 0, ...key.keyId);
    const aad = Uint8Array.of(...head, 0, LABEL.length, ...LABEL);
    const binding = { info: utf8("kube-signet/value/1"), aad };
    const sealed = async (padded: Uint8Array): Promise<Uint8Array> => {
      const { encapsulated, ciphertext } = await hpkeSeal(mixed, key.publicKey, binding, padded);
      const bytes = Uint8Array.of(...head, ...encapsulated, ...ciphertext);
      const envelope = { encapsulated, ciphertext };
      expect(await hpkeOpen(mixed, key.pair, binding, envelope)).toEqual(Buffer.from(padded));
      return bytes;
    };
    for (const padded of paddings) expect(await open(mixed, await sealed(padded))).toBeNull();
    const right = Uint8Array.of(1, 0x80, ...new Uint8Array(62));
    expect(await open(mixed, await sealed(right))).toEqual(Uint8Array.of(1));
  });
});
