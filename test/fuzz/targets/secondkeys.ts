// Certificates with a second key whose own key signed anything: what is behind the first key is
// changed before it is signed, so that inputs get farther than the check of the signature.

import { createPrivateKey, sign } from "node:crypto";
import forge from "node-forge";
import { parseCertificate } from "../../../shared/keys/certificate.ts";
import { partsOf } from "../../../shared/keys/der.ts";
import type { Keyring } from "../../../shared/keys/keyring.ts";
import { parseEnvelope, sealToBytes } from "../../../shared/keys/kinds.ts";
import { bytesOfPem, pemBlocks } from "../../../shared/keys/pem.ts";
import { readCertificate } from "../../../shared/keys/x509.ts";
import { flipBytes, mutateBytes } from "../mutate.ts";
import { keyring, keyText } from "../material.ts";
import type { Random } from "../random.ts";
import { attempt, bytesOf, CANARY, checkSame, Find, type Target, textOf } from "../target.ts";

const SECOND_KEY_DER = [0x55, 0x1d, 0x48];
const SECOND_KEY = "2.5.29.72";
const SHA256_WITH_RSA = Uint8Array.from(Buffer.from("300d06092a864886f70d01010b0500", "hex"));
const LABEL = bytesOf("demo/db");

const original = bytesOfPem(pemBlocks(keyText("both", "crt"), "CERTIFICATE")[0] ?? "") ?? LABEL;
const parts = partsOf(original);
const signingKey = createPrivateKey(keyText("both", "key"));
/** The `[3]` of the original: it is the last of what is signed. */
const extensions = ((): Uint8Array => {
  const end = Buffer.from(parts.signed);
  return new Uint8Array(end.subarray(end.indexOf(Buffer.from(parts.spki)) + parts.spki.length));
})();
const spki = ((): Uint8Array => {
  const at = Buffer.from(extensions).indexOf(Uint8Array.from(SECOND_KEY_DER));
  // Behind the id: the tag of an octet string and four bytes of its length.
  return extensions.slice(at + SECOND_KEY_DER.length + 4);
})();

/** A DER element. */
function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(content);
  const { length } = body;
  const size = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.of(tag, ...size, ...body);
}

/** What is behind the first key, with one extension for each second key. */
function behind(...secondKeys: readonly Uint8Array[]): Uint8Array {
  const id = element(0x06, Uint8Array.from(SECOND_KEY_DER));
  const all = secondKeys.map((each) => element(0x30, id, element(0x04, each)));
  return element(0xa3, element(0x30, ...all));
}

/** The original certificate, with other bytes behind its first key, signed by that key. */
function signedWith(tail: Uint8Array): string {
  const whole = Buffer.from(parts.signed);
  const head = whole.subarray(4, whole.length - extensions.length);
  const signed = element(0x30, head, tail);
  const signature = sign("sha256", signed, signingKey);
  const der = element(0x30, signed, SHA256_WITH_RSA, element(0x03, Uint8Array.of(0), signature));
  const base64 = Buffer.from(der).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
}

/** How many second keys another reader of DER finds; null if it reads none of it. */
function secondKeysIn(tail: Uint8Array): number | null {
  try {
    const read = forge.asn1.fromDer(Buffer.from(tail).toString("binary"));
    const [list] = read.value as forge.asn1.Asn1[];
    const ids = ((list?.value ?? []) as forge.asn1.Asn1[]).map((extension) => {
      const [id] = extension.value as forge.asn1.Asn1[];
      return forge.asn1.derToOid(forge.util.createBuffer(id?.value as string));
    });
    return ids.filter((id) => id === SECOND_KEY).length;
  } catch {
    return null;
  }
}

function tailOf(random: Random): Uint8Array {
  const kind = random.fraction();
  if (kind < 0.35) return behind(flipBytes(random, [spki]));
  if (kind < 0.5) return behind(mutateBytes(random, [spki], []));
  if (kind < 0.55) return behind(...[spki, flipBytes(random, [spki])].slice(random.below(2)), spki);
  return kind < 0.8 ? flipBytes(random, [extensions]) : mutateBytes(random, [extensions], []);
}

let keys: Keyring | undefined;

export const secondKeys: Target = {
  name: "secondkeys",
  seeds: () => [extensions, behind(spki), behind(), behind(spki, spki)],
  generate: tailOf,
  short: 100,
  run: async (input) => {
    const text = signedWith(input);
    const byOpenSsl = await attempt(() => parseCertificate(text));
    const ours = await attempt(() => readCertificate(text));
    if ("errors" in byOpenSsl) return;
    if ("value" in ours) checkSame(ours.value, byOpenSsl.value, "the certificate");
    const certificate = byOpenSsl.value;
    const isHybrid = certificate.kinds.includes("hybrid");
    const found = secondKeysIn(input);
    if (found !== null && found > 0 !== isHybrid) throw new Find(`${found} second keys`);
    if (!isHybrid) return;
    const sealed = await attempt(() => sealToBytes(certificate, bytesOf(CANARY), LABEL));
    if ("errors" in sealed) return;
    keys ??= keyring();
    const envelope = parseEnvelope(sealed.value);
    const opened = envelope === null ? null : await keys.open(envelope, LABEL);
    const isOwn = Buffer.from(input).includes(Buffer.from(spki));
    if (isOwn && opened === null) throw new Find("the key does not open what it sealed");
    if (opened !== null && textOf(opened.plaintext) !== CANARY) throw new Find("another value");
  },
};
