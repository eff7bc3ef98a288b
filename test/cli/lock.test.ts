// Proof that a backup of sealing keys is a file of age v1: opened here by hand, from the format's
// description (https://c2sp.org/age), with other libraries than the one that wrote it.
import { createDecipheriv, hkdfSync, scryptSync } from "node:crypto";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import { lockBackup, passphraseFault } from "../../cli/recovery/lock.ts";

const KEYS = `kind: Secret\n# ${"long enough for a second chunk ".repeat(3000)}\n`;

interface Stanza {
  readonly args: string[];
  readonly body: Buffer;
}

function unarmored(text: string): { stanza: Stanza; payload: Buffer } {
  const [first, ...lines] = text.trimEnd().split("\n");
  expect(first).toBe("-----BEGIN AGE ENCRYPTED FILE-----");
  expect(lines.pop()).toBe("-----END AGE ENCRYPTED FILE-----");
  expect(lines.every((line) => line.length <= 64)).toBe(true);
  const bytes = Buffer.from(lines.join(""), "base64");
  const end = bytes.indexOf("\n", bytes.indexOf("\n--- ") + 1);
  const [version, args = "", body = ""] = bytes.subarray(0, end).toString("latin1").split("\n");
  expect(version).toBe("age-encryption.org/v1");
  return {
    stanza: { args: args.split(" ").slice(1), body: Buffer.from(body, "base64") },
    payload: bytes.subarray(end + 1),
  };
}

function open(key: Uint8Array, nonce: Uint8Array, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

const hkdf = (secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", secret, salt, info, 32));

const CHUNK = 64 * 1024 + 16;

function openPayload(fileKey: Buffer, payload: Buffer): string {
  const key = hkdf(fileKey, payload.subarray(0, 16), "payload");
  const chunks: Buffer[] = [];
  for (let at = 16, counter = 0; at < payload.length; at += CHUNK, counter++) {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(counter, 7);
    if (at + CHUNK >= payload.length) nonce[11] = 1;
    chunks.push(open(key, nonce, payload.subarray(at, at + CHUNK)));
  }
  return Buffer.concat(chunks).toString();
}

/** The 32 bytes of a Bech32 string (BIP 173), its checksum left alone. */
function bech32Bytes(text: string): Uint8Array {
  const digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
  const data = text.toLowerCase().slice(text.lastIndexOf("1") + 1, -6);
  const bits = Array.from(data, (each) => digits.indexOf(each).toString(2).padStart(5, "0")).join(
    "",
  );
  return Uint8Array.from({ length: 32 }, (_, index) =>
    Number.parseInt(bits.slice(index * 8, index * 8 + 8), 2),
  );
}

describe("a backup", () => {
  it("for a recipient opens by hand with its identity", async () => {
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    const { stanza, payload } = unarmored(await lockBackup(KEYS, { recipients: [recipient] }));
    const [type, share = ""] = stanza.args;
    expect(type).toBe("X25519");
    const [secret, theirs] = [bech32Bytes(identity), Buffer.from(share, "base64")];
    expect(nacl.scalarMult.base(secret)).toEqual(bech32Bytes(recipient));
    const shared = nacl.scalarMult(secret, theirs);
    const salt = Buffer.concat([theirs, bech32Bytes(recipient)]);
    const wrap = hkdf(shared, salt, "age-encryption.org/v1/X25519");
    expect(openPayload(open(wrap, Buffer.alloc(12), stanza.body), payload)).toBe(KEYS);
  });

  it("under a passphrase opens by hand, at a cost that slows down guessing", async () => {
    const passphrase = "correct horse battery";
    const { stanza, payload } = unarmored(await lockBackup(KEYS, { passphrase }));
    const [type, salt = "", logN = ""] = stanza.args;
    expect([type, Number(logN) >= 18]).toEqual(["scrypt", true]);
    const label = Buffer.concat([
      Buffer.from("age-encryption.org/v1/scrypt"),
      Buffer.from(salt, "base64"),
    ]);
    const cost = { N: 2 ** Number(logN), r: 8, p: 1, maxmem: 2 ** 30 };
    const wrap = scryptSync(passphrase, label, 32, cost);
    expect(openPayload(open(wrap, Buffer.alloc(12), stanza.body), payload)).toBe(KEYS);
  });

  it("wants a passphrase of some length", () => {
    expect(passphraseFault("eleven char")).toBe("at least 12 characters");
    expect(passphraseFault("twelve chars")).toBeNull();
  });
});
