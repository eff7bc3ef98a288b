// The cases of test/vectors/certificate and test/vectors/key.
// SPEC.md, "Sealing keys and certificates".

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { formatKeySecret } from "../../shared/keys/keyfile.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { base64, bytes, type Case, certificateOf, json, keyFile, keyPem, OURS, run, type Sections, withFiles } from "./tools.ts";
import type { KeyName } from "./vectors.ts";

const YEAR_MS = 365 * 24 * 3600 * 1000;

interface CertificateCase {
  readonly name: string;
  readonly comment: string;
  readonly by?: string;
  readonly at?: string;
  readonly headers?: Sections;
  readonly pem: () => string | Promise<string>;
}

/** What openssl, which is not ours, reads from a certificate. */
function readByOpenssl(pem: string): Sections {
  const lines = run(["openssl", "x509", "-noout", "-startdate", "-enddate"], pem).toString();
  const date = (field: string): string => {
    const [, text = ""] = new RegExp(`${field}=(.*)`).exec(lines) ?? [];
    return new Date(text).toISOString();
  };
  const publicKey = run(["openssl", "x509", "-noout", "-pubkey"], pem).toString();
  const ssh = withFiles({ "key.pub": publicKey }, (folder) =>
    run(["ssh-keygen", "-i", "-m", "PKCS8", "-f", join(folder, "key.pub")]).toString(),
  );
  const [bits = "", fingerprint = ""] = withFiles({ "key.pub": ssh }, (folder) =>
    run(["ssh-keygen", "-l", "-E", "sha256", "-f", join(folder, "key.pub")]).toString(),
  ).split(" ");
  return {
    fingerprint,
    bits,
    "not-before": date("notBefore"),
    "not-after": date("notAfter"),
  };
}

function certificate(expect: string, vector: CertificateCase): Case {
  const { name, comment, by = OURS, at = "2026-01-01T00:00:00.000Z", headers, pem } = vector;
  return {
    kind: "certificate",
    name,
    comment,
    by,
    make: async () => {
      const text = await pem();
      const read = expect === "accepted" ? readByOpenssl(text) : {};
      return { headers: { expect, at, ...headers, ...read }, sections: { pem: text } };
    },
  };
}

async function certificateFrom(notBefore: string, years: number): Promise<string> {
  const { certificatePem } = await createSealingKey({
    bits: 2048,
    notBefore: new Date(notBefore),
    validForMs: years * YEAR_MS,
  });
  return certificatePem;
}

/** A certificate of openssl's own making, with the private key in keys/. */
function requested(key: KeyName, subject: string, extensions: readonly string[] = []): string {
  const command = ["openssl", "req", "-x509", "-key", keyFile(key, "key"), "-days", "36500"];
  return run([
    ...[...command, "-subj", subject],
    ...extensions.flatMap((extension) => ["-addext", extension]),
  ]).toString();
}

function ecKey(): string {
  return run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]).toString();
}

function ecCertificate(): string {
  return withFiles({ "ec.key": ecKey() }, (folder) =>
    run([
      ...["openssl", "req", "-x509", "-key", join(folder, "ec.key")],
      ...["-days", "36500", "-subj", "/CN=ec"],
    ]).toString(),
  );
}

export const CERTIFICATE_CASES: readonly Case[] = [
  certificate("accepted", {
    name: "rsa-2048",
    comment: "As we make it: the name is empty.",
    pem: () => keyPem("first", "crt"),
  }),
  certificate("accepted", {
    name: "rsa-4096",
    comment: "The default size.",
    pem: () => keyPem("wide", "crt"),
  }),
  certificate("accepted", {
    name: "own",
    comment: "One brought along: another name, a subject alternative name, another key usage.",
    by: "openssl",
    pem: () =>
      requested("first", "/O=Example/CN=sealing", [
        "subjectAltName=DNS:example.com",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        "extendedKeyUsage=serverAuth",
        "basicConstraints=critical,CA:FALSE",
      ]),
  }),
  certificate("accepted", {
    name: "own-without-extensions",
    comment: "Version 1, nothing but the key and a name.",
    by: "openssl",
    pem: () =>
      withFiles({}, (folder) => {
        const request = join(folder, "request.pem");
        const key = keyFile("second", "key");
        run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=x", "-out", request]);
        return run([
          ...["openssl", "x509", "-req", "-in", request, "-signkey", key, "-days", "36500"],
        ]).toString();
      }),
  }),
  certificate("accepted", {
    name: "not-yet-valid",
    comment: "Clocks differ: what begins later is taken.",
    at: "2023-12-31T23:59:59.000Z",
    pem: () => keyPem("first", "crt"),
  }),
  certificate("accepted", {
    name: "last-second",
    comment: "Valid up to and with its last moment.",
    at: "2024-12-31T00:00:00.000Z",
    pem: () => certificateFrom("2024-01-01T00:00:00Z", 1),
  }),
  certificate("certificate-expired", {
    name: "expired",
    comment: "One second later.",
    at: "2024-12-31T00:00:01.000Z",
    pem: () => certificateFrom("2024-01-01T00:00:00Z", 1),
  }),
  certificate("accepted", {
    name: "bundle",
    comment: "Of several certificates the first counts.",
    pem: () => `${keyPem("first", "crt")}${keyPem("second", "crt")}`,
  }),
  certificate("accepted", {
    name: "text-before",
    comment: "Words before the block, as openssl prints them.",
    by: "openssl",
    pem: () => run(["openssl", "x509", "-text"], keyPem("first", "crt")).toString(),
  }),
  certificate("accepted", {
    name: "crlf",
    comment: "Windows line ends.",
    pem: () => keyPem("first", "crt").replaceAll("\n", "\r\n"),
  }),
  certificate("certificate-invalid", {
    name: "ec",
    comment: "An elliptic curve key seals nothing.",
    by: "openssl",
    pem: ecCertificate,
  }),
  certificate("certificate-invalid", {
    name: "bundle-ec-first",
    comment: "The first counts, also where the second would do.",
    by: "openssl",
    pem: () => `${ecCertificate()}${keyPem("first", "crt")}`,
  }),
  certificate("certificate-invalid", {
    name: "small",
    comment: "An RSA key of 768 bits can be broken.",
    by: "openssl",
    pem: () =>
      withFiles({}, (folder) => {
        const key = join(folder, "small.key");
        run(["openssl", "genrsa", "-out", key, "768"]);
        return run([
          ...["openssl", "req", "-x509", "-key", key, "-days", "36500", "-subj", "/CN=small"],
        ]).toString();
      }),
  }),
  certificate("certificate-invalid", {
    name: "public-key",
    comment: "A bare public key says nothing about its validity.",
    by: "openssl",
    pem: () => run(["openssl", "x509", "-noout", "-pubkey"], keyPem("first", "crt")).toString(),
  }),
  certificate("certificate-invalid", {
    name: "garbage",
    comment: "No PEM at all.",
    by: "hand",
    pem: () => "<html><title>Sign in</title></html>\n",
  }),
  certificate("certificate-invalid", {
    name: "cut",
    comment: "Half of the certificate is missing.",
    by: "hand",
    pem: () => {
      const lines = keyPem("first", "crt").split("\n");
      return [...lines.slice(0, lines.length / 2), "-----END CERTIFICATE-----", ""].join("\n");
    },
  }),
  certificate("certificate-invalid", {
    name: "not-a-time",
    comment: "The end of its validity is the 45th of the 13th month.",
    by: "hand",
    pem: () => {
      const der = Buffer.from(new X509Certificate(keyPem("first", "crt")).raw);
      const end = der.indexOf("2123", 0, "latin1");
      der.write("21231345", end, "latin1");
      const lines = der.toString("base64").replace(/.{64}/g, "$&\n");
      return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
    },
  }),
];

interface KeyCase {
  readonly name: string;
  readonly comment: string;
  readonly by?: string;
  /** The keys in the file, in its order, and whether each comes with its certificate. */
  readonly holds?: readonly KeyName[];
  readonly certified?: boolean;
  readonly expect?: string;
  readonly file: () => string;
}

function key(vector: KeyCase): Case {
  const { name, comment, by = "hand", holds = [], certified, expect = "accepted", file } = vector;
  return {
    kind: "key",
    name,
    comment,
    by,
    make: () =>
      Promise.resolve({
        headers: {
          expect,
          ...(expect === "accepted"
            ? {
                fingerprints: holds.map((name) => certificateOf(name).fingerprint).join(" "),
                certificates: holds.map(() => (certified === true ? "yes" : "no")).join(" "),
              }
            : {}),
        },
        sections: { file: file() },
      }),
  };
}

function keySecret(
  name: KeyName,
  certificateOf: KeyName = name,
): ReturnType<typeof formatKeySecret> {
  return formatKeySecret(
    { privateKeyPem: keyPem(name, "key"), certificatePem: keyPem(certificateOf, "crt") },
    { name: `sealed-secrets-key-${name}`, namespace: "kube-system" },
  );
}

const yaml = (...objects: ReturnType<typeof keySecret>[]): string =>
  formatManifests(objects, "yaml");

function list(kind: string, apiVersion: string): string {
  const items = [keySecret("first"), keySecret("second")];
  return json({ apiVersion, kind, items });
}

export const KEY_CASES: readonly Case[] = [
  key({
    name: "pkcs1",
    comment: "PEM as the original stores it.",
    holds: ["first"],
    file: () => keyPem("first", "key"),
  }),
  key({
    name: "pkcs8",
    comment: "PEM as openssl writes it.",
    by: "openssl",
    holds: ["first"],
    file: () => run(["openssl", "pkcs8", "-topk8", "-nocrypt"], keyPem("first", "key")).toString(),
  }),
  key({
    name: "text-before",
    comment: "Words before the block, as openssl's pkcs12 writes them.",
    holds: ["wide"],
    file: () => readFileSync(keyFile("wide", "key"), "utf8"),
  }),
  key({
    name: "two-blocks",
    comment: "Several keys and a certificate in one PEM file.",
    holds: ["first", "second"],
    file: () => keyPem("first", "key") + keyPem("first", "crt") + keyPem("second", "key"),
  }),
  key({
    name: "secret",
    comment: "A key Secret.",
    holds: ["first"],
    certified: true,
    file: () => yaml(keySecret("first")),
  }),
  key({
    name: "secret-json",
    comment: "A key Secret in JSON.",
    holds: ["wide"],
    certified: true,
    file: () => json(keySecret("wide")),
  }),
  key({
    name: "secrets",
    comment: "Several documents.",
    holds: ["first", "second"],
    certified: true,
    file: () => yaml(keySecret("first"), keySecret("second")),
  }),
  key({
    name: "list",
    comment: "As `kubectl get secret -o json` writes several.",
    holds: ["first", "second"],
    certified: true,
    file: () => list("List", "v1"),
  }),
  key({
    name: "secret-list",
    comment: "As the API server answers; the original takes none from it.",
    holds: ["first", "second"],
    certified: true,
    file: () => list("SecretList", "v1"),
  }),
  key({
    name: "list-and-secret",
    comment: "The recipe of the original's own README; it ignores the second document.",
    holds: ["first", "second", "stranger"],
    certified: true,
    file: () => `${list("List", "v1")}${yaml(keySecret("stranger"))}`,
  }),
  key({
    name: "secret-without-certificate",
    comment: "It opens values and cannot seal.",
    holds: ["first"],
    file: () => {
      const { data, ...secret } = keySecret("first");
      return yaml({
        ...secret,
        data: { "tls.key": (data as Record<string, string>)["tls.key"] ?? "" },
      });
    },
  }),
  key({
    name: "mismatch",
    comment: "The certificate belongs to another key: what it seals would never open.",
    expect: "key-invalid",
    file: () => yaml(keySecret("first", "second")),
  }),
  key({
    name: "no-key",
    comment: "A Secret without tls.key.",
    expect: "key-invalid",
    file: () => yaml({ ...keySecret("first"), data: { password: base64(bytes("hunter2")) } }),
  }),
  key({
    name: "not-pem",
    comment: "tls.key holds something else.",
    expect: "key-invalid",
    file: () => yaml({ ...keySecret("first"), data: { "tls.key": base64(bytes("hunter2")) } }),
  }),
  key({
    name: "certificate-broken",
    comment: "tls.crt holds something else.",
    expect: "certificate-invalid",
    file: () =>
      yaml({
        ...keySecret("first"),
        data: { "tls.key": base64(bytes(keyPem("first", "key"))), "tls.crt": base64(bytes("x")) },
      }),
  }),
  key({
    name: "ec",
    comment: "An elliptic curve key opens nothing.",
    by: "openssl",
    expect: "key-invalid",
    file: ecKey,
  }),
  key({
    name: "locked",
    comment: "Encrypted with a passphrase.",
    expect: "key-invalid",
    file: () =>
      createPrivateKey(keyPem("first", "key"))
        .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "hunter2" })
        .toString(),
  }),
  key({
    name: "cut",
    comment: "Half of the key is missing.",
    expect: "key-invalid",
    file: () => {
      const lines = keyPem("first", "key").split("\n");
      return [...lines.slice(0, lines.length / 2), "-----END RSA PRIVATE KEY-----", ""].join("\n");
    },
  }),
  key({
    name: "certificate-alone",
    comment: "A public certificate where the private key is wanted.",
    expect: "key-invalid",
    file: () => keyPem("first", "crt"),
  }),
  key({
    name: "no-document",
    comment: "Nothing but a comment.",
    expect: "key-invalid",
    file: () => "# nothing\n",
  }),
];
