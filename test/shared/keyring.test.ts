// Proofs about the keys held: which seals, which opens, at what cost.
// SPEC.md, "Choosing a key".

import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { parsePrivateKey, rsaHalf } from "../../shared/keys/rsakey.ts";
import { encryptValue, importPublicKey, type RsaEnvelope } from "../../shared/envelopes/rsa.ts";
import { Keyring, nextNotBefore } from "../../shared/keys/keyring.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { labelBytes } from "../../shared/sealing/scope.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";
import { keyText } from "../vectors/vectors.ts";

const LABEL = labelBytes("strict", "demo", "db");
const PLAINTEXT = new TextEncoder().encode("hunter2");

async function sealedUnder(spki: Uint8Array): Promise<RsaEnvelope> {
  return encryptValue(await importPublicKey(spki), PLAINTEXT, LABEL);
}

/** RSA operations while `action` runs. */
async function rsaOperations(action: () => Promise<unknown>): Promise<number> {
  const decrypt = vi.spyOn(crypto.subtle, "decrypt");
  await action();
  return decrypt.mock.calls.filter(([algorithm]) => {
    return (algorithm as { name: string }).name === "RSA-OAEP";
  }).length;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("sixty keys of five years", () => {
  // Of 1024 bits, which are made in no time; the count of operations is what matters.
  const keys: { readonly key: SealingKey; readonly spki: Uint8Array }[] = [];

  beforeAll(() => {
    for (let month = 0; month < 60; month++) {
      const pair = generateKeyPairSync("rsa", {
        modulusLength: 1024,
        publicKeyEncoding: { type: "spki", format: "der" },
        privateKeyEncoding: { type: "pkcs1", format: "pem" },
      });
      const privateKey = parsePrivateKey(pair.privateKey);
      const orderedAt = new Date(Date.UTC(2021, month, 1));
      keys.push({
        key: {
          name: `key-${month}`,
          fingerprint: privateKey.fingerprint,
          halves: [rsaHalf(privateKey)],
          certificate: null,
          orderedAt,
          createdAt: new Date(0),
          compromised: false,
          confirmed: true,
        },
        spki: new Uint8Array(pair.publicKey),
      });
    }
  });

  const ring = (): Keyring => new Keyring(keys.map(({ key }) => key));
  const at = (index: number): (typeof keys)[number] => {
    const found = keys.at(index);
    if (found === undefined) throw new Error("no such key");
    return found;
  };

  test("cost one operation where the right one is hinted at", async () => {
    for (const index of [0, 17, 59]) {
      const { key, spki } = at(index);
      const envelope = await sealedUnder(spki);
      const { fingerprint } = key;
      const keyring = ring();
      const cost = await rsaOperations(async () => {
        const opened = await keyring.open(envelope, LABEL, fingerprint);
        expect(opened).toEqual({ plaintext: PLAINTEXT, fingerprint });
      });
      vi.restoreAllMocks();
      expect(cost).toBe(1);
    }
  });

  test("cost one operation where the last success was with the right one", async () => {
    const { spki } = at(3);
    const keyring = ring();
    await keyring.open(await sealedUnder(spki), LABEL);
    const envelope = await sealedUnder(spki);
    expect(await rsaOperations(() => keyring.open(envelope, LABEL))).toBe(1);
  });

  test("cost one operation under the newest, without any hint", async () => {
    const envelope = await sealedUnder(at(59).spki);
    expect(await rsaOperations(() => ring().open(envelope, LABEL))).toBe(1);
  });

  test("are each tried once at most, the newest first", async () => {
    const oldest = await sealedUnder(at(0).spki);
    const keyring = ring();
    const cost = await rsaOperations(async () => {
      expect((await keyring.open(oldest, LABEL))?.plaintext).toEqual(PLAINTEXT);
    });
    // Keys whose modulus is not above the ciphertext are passed over.
    expect(cost).toBeGreaterThan(1);
    expect(cost).toBeLessThanOrEqual(60);
  });

  test("open all the same after a wrong hint, at the cost of one operation at most", async () => {
    const { key, spki } = at(59);
    const envelope = await sealedUnder(spki);
    for (const hint of [at(5).key.fingerprint, "SHA256:unknown", ""]) {
      const keyring = ring();
      const cost = await rsaOperations(async () => {
        const opened = await keyring.open(envelope, LABEL, hint);
        expect(opened?.fingerprint).toBe(key.fingerprint);
      });
      vi.restoreAllMocks();
      expect(cost).toBeLessThanOrEqual(2);
    }
  });

  test("cost nothing for a value of another size", async () => {
    const envelope = await sealedUnder(testKey("first").certificate.spki);
    const cost = await rsaOperations(async () => {
      expect(await ring().open(envelope, LABEL)).toBeNull();
    });
    expect(cost).toBe(0);
  });

  test("cost nothing for a key part that no modulus exceeds", async () => {
    const { ciphertext } = await sealedUnder(at(0).spki);
    const wrappedKey = new Uint8Array(128).fill(0xff);
    const envelope: RsaEnvelope = { kind: "rsa", wrappedKey, ciphertext };
    const cost = await rsaOperations(async () => {
      expect(await ring().open(envelope, LABEL)).toBeNull();
    });
    expect(cost).toBe(0);
  });
});

describe("opening", () => {
  test("finds the key among several, and says which it was", async () => {
    for (const name of ["first", "second", "wide"] as const) {
      const { certificate } = testKey(name);
      const envelope = await sealedUnder(certificate.spki);
      const opened = await keyringOf(["first", "second", "wide"]).open(envelope, LABEL);
      expect(opened).toEqual({ plaintext: PLAINTEXT, fingerprint: certificate.fingerprint });
    }
  });

  test("gives null without a key that fits, or the right label", async () => {
    const envelope = await sealedUnder(testKey("first").certificate.spki);
    expect(await keyringOf([]).open(envelope, LABEL)).toBeNull();
    expect(await keyringOf(["second", "stranger", "wide"]).open(envelope, LABEL)).toBeNull();
    expect(await keyringOf(["first"]).open(envelope, new Uint8Array())).toBeNull();
  });

  test("with many at once on one key, on more imports than one, opens each", async () => {
    const { certificate } = testKey("first");
    const keyring = new Keyring(readKeyFile(keyText("first", "key"), "first"));
    const importKey = vi.spyOn(crypto.subtle, "importKey");
    const envelopes = await Promise.all(
      Array.from({ length: 20 }, () => sealedUnder(certificate.spki)),
    );
    importKey.mockClear();
    const opened = await Promise.all(envelopes.map((envelope) => keyring.open(envelope, LABEL)));
    expect(opened.every((value) => value?.fingerprint === certificate.fingerprint)).toBe(true);
    const imports = importKey.mock.calls.filter(([format]) => format === "pkcs8");
    expect(imports).toHaveLength(8);
  });

  test("works with keys that came later, and no longer with those that went", async () => {
    const keyring = keyringOf(["first"]);
    const old = await sealedUnder(testKey("first").certificate.spki);
    const fresh = await sealedUnder(testKey("second").certificate.spki);
    const opener = async (envelope: typeof old): Promise<string | undefined> =>
      (await keyring.open(envelope, LABEL))?.fingerprint;
    expect(await opener(old)).toBe(testKey("first").certificate.fingerprint);
    expect(await keyring.open(fresh, LABEL)).toBeNull();
    keyring.replace([testKey("second")]);
    expect(await keyring.open(old, LABEL)).toBeNull();
    expect(await opener(fresh)).toBe(testKey("second").certificate.fingerprint);
    keyring.replace([]);
    expect(await keyring.open(fresh, LABEL)).toBeNull();
  });

  test("does not import a key anew when the keys are replaced and it stays", async () => {
    const keyring = keyringOf(["first"]);
    const envelope = await sealedUnder(testKey("first").certificate.spki);
    await keyring.open(envelope, LABEL);
    keyring.replace([testKey("second"), testKey("first")]);
    const importKey = vi.spyOn(crypto.subtle, "importKey");
    await keyring.open(envelope, LABEL, testKey("first").privateKey.fingerprint);
    expect(importKey.mock.calls.filter(([format]) => format === "pkcs8")).toHaveLength(0);
  });
});

describe("the key that seals", () => {
  const dated = (name: "first" | "second" | "wide", day: number, bare = false): SealingKey => {
    const orderedAt = new Date(Date.UTC(2026, 0, day));
    const certificate = { ...testKey(name).certificate, notBefore: orderedAt };
    return { ...testKey(name), certificate: bare ? null : certificate, orderedAt };
  };

  test("is the newest, however they are ordered when given", () => {
    const keys = [dated("second", 2), dated("wide", 3), dated("first", 1)];
    fc.assert(
      fc.property(fc.shuffledSubarray(keys, { minLength: 1 }), (some) => {
        const newest = Math.max(...some.map((key) => key.orderedAt.getTime()));
        const keyring = new Keyring(some);
        expect(keyring.newest?.orderedAt.getTime()).toBe(newest);
        const order = keyring.keys.map((key) => key.orderedAt.getTime());
        expect(order).toEqual([...order].sort((a, b) => b - a));
      }),
    );
  });

  test("of two with the same date is the one created first, else the first by name", () => {
    const later = { ...dated("first", 1), createdAt: new Date(2) };
    const earlier = { ...dated("second", 1), createdAt: new Date(1) };
    expect(new Keyring([later, earlier]).newest?.name).toBe("second");
    expect(new Keyring([dated("second", 1), dated("first", 1)]).newest?.name).toBe("first");
  });

  test("is never a compromised one, which still opens", async () => {
    const compromised = { ...dated("second", 2), compromised: true };
    const keyring = new Keyring([compromised, dated("first", 1)]);
    expect(keyring.newest?.name).toBe("first");
    const envelope = await sealedUnder(testKey("second").certificate.spki);
    const { fingerprint } = testKey("second").privateKey;
    expect((await keyring.open(envelope, LABEL))?.fingerprint).toBe(fingerprint);
    expect(new Keyring([compromised]).newest).toBeNull();
  });

  test("is never one that another copy marks as compromised", () => {
    const marked = { ...dated("second", 2), name: "copy", compromised: true };
    for (const copies of [
      [marked, dated("second", 3)],
      [dated("second", 2), { ...marked, orderedAt: new Date(0) }],
    ]) {
      const keyring = new Keyring([...copies, dated("first", 1)]);
      expect(keyring.newest?.name).toBe("first");
      expect(keyring.keys.map((key) => keyring.stateOf(key))).toEqual(["compromised", "sealing"]);
    }
  });

  test("is never one without a certificate", () => {
    expect(new Keyring([dated("second", 2, true), dated("first", 1)]).newest?.name).toBe("first");
    expect(new Keyring([dated("second", 2, true)]).newest).toBeNull();
    expect(new Keyring().newest).toBeNull();
  });

  test("is held once, where it is given twice: the newer stays", () => {
    const keyring = new Keyring([dated("first", 1), dated("first", 5), dated("second", 3)]);
    expect(keyring.keys).toHaveLength(2);
    expect(keyring.newest?.orderedAt).toEqual(new Date(Date.UTC(2026, 0, 5)));
  });

  test("seals also where the same key is given again, later and without its certificate", () => {
    const keyring = new Keyring([dated("first", 1), dated("first", 5, true)]);
    expect(keyring.keys).toHaveLength(1);
    expect(keyring.newest?.certificate.fingerprint).toBe(testKey("first").certificate.fingerprint);
  });
});

describe("a new key", () => {
  test("begins at this whole second", () => {
    const now = new Date("2026-03-01T12:00:00.999Z");
    expect(nextNotBefore(null, now).toISOString()).toBe("2026-03-01T12:00:00.000Z");
  });

  test("is newer than the one that it takes over from, also within a second or in its past", () => {
    const newest = { ...testKey("first"), orderedAt: new Date("2026-03-01T12:00:00Z") };
    for (const now of ["2026-03-01T12:00:00.500Z", "2026-02-01T00:00:00Z"]) {
      expect(nextNotBefore(newest, new Date(now)).toISOString()).toBe("2026-03-01T12:00:01.000Z");
    }
    const later = new Date("2026-03-01T12:00:07Z");
    expect(nextNotBefore(newest, later)).toEqual(later);
  });

  test("is newer than the third of one second, and not dated after a certificate of the far future", () => {
    const now = new Date("2026-03-01T12:00:00.500Z");
    const after = (notBefore: string): string => {
      const key = testKey("first");
      const certificate = { ...key.certificate, notBefore: new Date(notBefore) };
      const orderedAt = new Date("2026-03-01T12:00:00Z");
      return nextNotBefore({ ...key, certificate, orderedAt }, now).toISOString();
    };
    expect(after("2026-03-01T12:00:02Z")).toBe("2026-03-01T12:00:03.000Z");
    expect(after("2999-01-01T00:00:00Z")).toBe("2026-03-01T12:01:01.000Z");
  });
});
