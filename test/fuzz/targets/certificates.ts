// Certificates as PEM and DER: OpenSSL's reader and the one for browsers agree on what both accept.

import { parseCertificate, parseCertificates } from "../../../shared/keys/certificate.ts";
import { readCertificate } from "../../../shared/keys/x509.ts";
import { flipBytes, mutateBytes } from "../mutate.ts";
import { fixture, keyText, seedsOf, vectorTexts } from "../material.ts";
import { attempt, bytesOf, checkSame, type Target, textOf } from "../target.ts";

const WORDS = [
  ...["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"],
  ...["-----BEGIN ", "-----", "\n", "MIIB", "AAAA", "Proc-Type: 4,ENCRYPTED\n"],
];
/** Tags, lengths and object ids of DER. */
const DER = [
  ...[
    "\u0030\u0000",
    "\u0002\u0001\u0000",
    "\u0002\u0000",
    "\u0005\u0000",
    "\u0017\r",
    "\u0018\u000f",
  ],
  ..."0 3 4 6 13 c 1 0".split(" ").map((tag) => String.fromCharCode(parseInt(tag, 16))),
  ...["20491231235959Z", "491231235959Z", "00000000000000Z", "99991231235959Z", "20250230000000Z"],
];

function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function derOf(pem: string): Uint8Array {
  const body = /-----BEGIN CERTIFICATE-----([^-]*)/.exec(pem)?.[1] ?? "";
  return new Uint8Array(Buffer.from(body, "base64"));
}

export const certificates: Target = {
  name: "certificates",
  seeds: () => {
    const names = ["cert.pem", "ec-cert.pem", "expired-cert.pem", "future-cert.pem"];
    const both = keyText("both", "crt");
    return seedsOf([...names.map(fixture), both, both, ...vectorTexts("certificate")]);
  },
  generate: (random, seeds) => {
    if (random.chance(0.25)) return mutateBytes(random, seeds, WORDS);
    const raw = seeds.map((seed) => derOf(textOf(seed))).filter((der) => der.length > 0);
    const der = random.chance(0.6) ? flipBytes(random, raw) : mutateBytes(random, raw, DER);
    return bytesOf(pemOf(der));
  },
  short: 300,
  run: async (input) => {
    const text = textOf(input);
    const byOpenSsl = await attempt(() => parseCertificate(text));
    const ours = await attempt(() => readCertificate(text));
    await attempt(() => parseCertificates(text));
    // OpenSSL looks at more of a certificate than its times and its key.
    if ("errors" in ours || "errors" in byOpenSsl) return;
    checkSame(ours.value, byOpenSsl.value, "the certificate");
  },
};
