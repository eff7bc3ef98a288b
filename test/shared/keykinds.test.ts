// Proofs that a second kind of key takes one row in the table of kinds: a toy cipher, which lives
// here alone, seals, opens, re-seals, verifies and lives beside RSA, and the core does not know it.
// SPEC.md, "Envelope", "Sealing keys and certificates".

import { describe, expect, test, vi } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { formatKeySecret, readKeyFile, readKeySecret } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { decodeEnvelope, fitsCertificate } from "../../shared/keys/kinds.ts";
import { couldOpen, kindsOf, type SealingKey } from "../../shared/keys/sealingkey.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { changeItems, reseal, seal } from "../../shared/sealing/seal.ts";
import { opens, unseal } from "../../shared/sealing/unseal.ts";
import { errorOf, testKey } from "../vectors/fixtures.ts";
import { keyText } from "../vectors/vectors.ts";
import { named, render, SECRET } from "./samples.ts";

// The row: the only change of the core that a kind needs.
vi.mock(import("../../shared/keys/kindtable.ts"), async (original) => {
  const { toyKind } = await import("./toykind.ts");
  return { KEY_KINDS: [toyKind, ...(await original()).KEY_KINDS] };
});

const block = (text: string): string => text.slice(text.indexOf("-----BEGIN"));
const pair = await createSealingKey({
  bits: 1024,
  notBefore: new Date("2026-01-01T00:00:00Z"),
  validForMs: 3_600_000,
  kinds: ["toy"],
});
const certificate = parseCertificate(pair.certificatePem);
const rsaPem = pair.privateKeyPem.slice(0, pair.privateKeyPem.indexOf("-----BEGIN TOY"));
const bothHalves = readKeySecret(parseSecret(formatKeySecret(pair, { name: "key-both" })));
/** The same key after a roll-back to a program that knows RSA only. */
const [rsaAlone] = readKeyFile(rsaPem, "key-rsa") as [SealingKey];
/** As a certificate says it whose second key was never there. */
const rsaCertificate = { ...certificate, kinds: ["rsa"] };
const kindsIn = (values: Iterable<string>): string[] =>
  [...values].map((text) => decodeEnvelope(text)?.kind ?? "damaged");

describe("a second kind of key", () => {
  test("comes only when it is asked for", async () => {
    const plain = await createSealingKey({ bits: 1024, notBefore: new Date(0), validForMs: 1000 });
    expect(parseCertificate(plain.certificatePem).kinds).toEqual(["rsa"]);
    expect(plain.privateKeyPem).not.toContain("TOY");
  });

  test("is told by the certificate and by the key, which keeps one fingerprint", () => {
    expect(certificate.kinds).toEqual(["toy", "rsa"]);
    expect(kindsOf(bothHalves)).toEqual(["rsa", "toy"]);
    expect(bothHalves.fingerprint).toBe(rsaAlone.fingerprint);
  });

  test("is refused where its name is unknown, or its private half is gone", async () => {
    const options = { bits: 1024, notBefore: new Date(0), validForMs: 1000 };
    await expect(createSealingKey({ ...options, kinds: ["tpy"] })).rejects.toThrow(/tpy/);
    const secret = formatKeySecret({ ...pair, privateKeyPem: rsaPem }, { name: "key-cut" });
    const error = await errorOf(() => readKeySecret(parseSecret(secret)));
    expect([error.code, error.message]).toEqual([
      "key-invalid",
      "tls.key lacks the toy key of tls.crt",
    ]);
  });

  test("seals a Secret where the certificate offers it, and opens it", async () => {
    const sealed = await seal(SECRET, certificate);
    expect(new Set(kindsIn(sealed.encryptedData.values()))).toEqual(new Set(["toy"]));
    const keyring = new Keyring([bothHalves]);
    const { secret, stamp } = await unseal(sealed, keyring, { render });
    expect(secret.data).toEqual(SECRET.data);
    expect(new Set(stamp.values())).toEqual(new Set([certificate.fingerprint]));
    expect(await opens(sealed, keyring)).toBe(true);
  });

  test("stands beside values of the first kind in one SealedSecret", async () => {
    const sealed = await seal(SECRET, rsaCertificate);
    const set = new Map([["token", new TextEncoder().encode("t0ken")]]);
    const mixed = await changeItems(sealed, { set }, certificate);
    expect(kindsIn(mixed.encryptedData.values())).toEqual(["rsa", "rsa", "toy"]);
    const { secret } = await unseal(mixed, new Keyring([bothHalves]), { render });
    expect([...secret.data.keys()].sort()).toEqual(["password", "token", "user"]);
  });

  test("is what a value is re-sealed in if asked for, and else each keeps its kind", async () => {
    const second = testKey("second");
    const old = await seal(SECRET, { ...second.certificate, kinds: ["rsa"] });
    const keyring = new Keyring([bothHalves, second]);
    const kept = await reseal(old, keyring, 1, certificate);
    expect(new Set(kindsIn(kept.encryptedData.values()))).toEqual(new Set(["rsa"]));
    expect(kept.encryptedData).not.toEqual(old.encryptedData);
    const renewed = await reseal(kept, keyring, 1, certificate, undefined, "toy");
    expect(await reseal(renewed, keyring, 1, certificate)).toEqual(renewed);
    expect(new Set(kindsIn(renewed.encryptedData.values()))).toEqual(new Set(["toy"]));
    expect(await opens(renewed, new Keyring([bothHalves]))).toBe(true);
  });

  test("opens nothing that is for another place, or under another key", async () => {
    const sealed = await seal(SECRET, certificate);
    const moved = { ...sealed, metadata: { ...sealed.metadata, name: "other" } };
    const codeOf = async (keyring: Keyring, what = sealed): Promise<string> =>
      (await errorOf(() => unseal(what, keyring, { render }))).code;
    expect(await codeOf(new Keyring([bothHalves]), moved)).toBe("decrypt-failed");
    // A key of one half, such as after a roll-back, says what it says of any value it cannot open.
    expect(await codeOf(new Keyring([rsaAlone]))).toBe("decrypt-failed");
    expect(await codeOf(new Keyring([testKey("second")]))).toBe("decrypt-failed");
  });

  test("is tried without a private key operation of any other kind", async () => {
    const sealed = await seal(named("demo", "db"), certificate);
    const decrypt = vi.spyOn(crypto.subtle, "decrypt");
    await unseal(sealed, new Keyring([testKey("second"), bothHalves]), { render });
    expect(decrypt).not.toHaveBeenCalled();
  });

  test("claims damaged envelopes of its own, which no other kind then takes", async () => {
    const [text = ""] = (await seal(SECRET, certificate)).encryptedData.values();
    const damaged = Buffer.from(text, "base64").subarray(0, 20).toString("base64");
    expect(decodeEnvelope(damaged)).toBeNull();
    const [rsaText = ""] = (await seal(SECRET, rsaCertificate)).encryptedData.values();
    expect(decodeEnvelope(rsaText)?.kind).toBe("rsa");
  });

  test("says which envelopes can be under a certificate, as verify asks", async () => {
    const [text = ""] = (await seal(SECRET, certificate)).encryptedData.values();
    const envelope = decodeEnvelope(text);
    if (envelope === null) throw new Error("not taken apart");
    expect(fitsCertificate(envelope, undefined)).toBe(true);
    expect(fitsCertificate(envelope, certificate)).toBe(true);
    expect(fitsCertificate(envelope, testKey("second").certificate)).toBe(false);
    expect(couldOpen(bothHalves, envelope)).toBe(true);
    expect(couldOpen(rsaAlone, envelope)).toBe(false);
  });

  test("comes in key files of either form, beside its RSA key; a damaged one is refused", async () => {
    const [fromPem, ...others] = readKeyFile(
      pair.privateKeyPem + block(keyText("second", "key")),
      "k",
    );
    expect(fromPem && kindsOf(fromPem)).toEqual(["rsa", "toy"]);
    expect(others.map(kindsOf)).toEqual([["rsa"]]);
    const privateKeyPem = pair.privateKeyPem.replace(/\n[0-9a-f]{64}\n/, "\nx\n");
    const secret = formatKeySecret({ ...pair, privateKeyPem }, { name: "key-both" });
    const error = await errorOf(() => readKeyFile(formatManifests([secret], "yaml"), "k.yaml"));
    expect(error.code).toBe("key-invalid");
    expect(error.place).toEqual({ file: "k.yaml", field: "tls.key" });
  });
});
