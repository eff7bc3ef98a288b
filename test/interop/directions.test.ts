// Interop with the Go kubeseal without a cluster, both directions, over the whole matrix.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { type Scope, SCOPES } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret, parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { formatSecret, parseSecret } from "../../shared/kubernetes/secret.ts";
import { type JsonObject, objectsOf } from "../../shared/kubernetes/object.ts";
import { partPath } from "../parts/parts.ts";

const VALUES: Record<string, Buffer> = {
  text: Buffer.from("correct horse"),
  empty: Buffer.alloc(0),
  binary: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  unicode: Buffer.from("pässwörd 🔑\r\n"),
};
const MEBIBYTE = { large: Buffer.alloc(1024 * 1024, "0123456789abcdef") };

let folder: string;
const at = (name: string): string => join(folder, name);

interface Pair {
  readonly key: string;
  readonly certificate: string;
  readonly pem: string;
  readonly keyring: Keyring;
}

async function pairOf(bits: number): Promise<Pair> {
  const notBefore = new Date(Date.now() - 60_000);
  const made = await createSealingKey({ bits, notBefore, validForMs: 3_600_000 });
  return store(`rsa-${bits}`, made.privateKeyPem, made.certificatePem);
}

/** A certificate of one's own making: another name, extensions that the original's has not. */
function broughtAlong(): Pair {
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-sha384"],
      ...["-subj", "/O=Example/CN=own key", "-addext", "subjectAltName=DNS:example.org"],
      ...[
        "-addext",
        "extendedKeyUsage=serverAuth",
        "-keyout",
        at("own.key"),
        "-out",
        at("own.crt"),
      ],
    ],
    { stdio: "ignore" },
  );
  const read = (file: string): string => execFileSync("cat", [at(file)], { encoding: "utf8" });
  return store("own", read("own.key"), read("own.crt"));
}

function store(name: string, privateKeyPem: string, pem: string): Pair {
  const [key, certificate] = [at(`${name}.key.pem`), at(`${name}.cert.pem`)];
  writeFileSync(key, privateKeyPem, { mode: 0o600 });
  writeFileSync(certificate, pem);
  return { key, certificate, pem, keyring: new Keyring(readKeyFile(privateKeyPem, key)) };
}

function kubeseal(args: string[], input: string): string {
  const { status, stdout, stderr } = spawnSync(partPath("kubeseal"), args, {
    input,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { PATH: process.env["PATH"], HOME: folder },
  });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

function secretObject(values: Record<string, Buffer>, more: JsonObject = {}): JsonObject {
  const data = Object.fromEntries(
    Object.entries(values).map(([item, bytes]) => [item, bytes.toString("base64")]),
  );
  const metadata = { name: "db", namespace: "demo" };
  return { apiVersion: "v1", kind: "Secret", metadata, data, ...more };
}

/** Values by item; Go writes an empty one as null. */
function valuesIn(secret: JsonObject): Record<string, Buffer> {
  const data = (secret["data"] ?? {}) as Record<string, string | null>;
  return Object.fromEntries(
    Object.entries(data).map(([item, text]) => [item, Buffer.from(text ?? "", "base64")]),
  );
}

async function oursToTheirs(secret: JsonObject, pair: Pair, scope: Scope): Promise<JsonObject> {
  const sealed = await seal(parseSecret(secret), parseCertificate(pair.pem), scope);
  const text = JSON.stringify(formatSealedSecret(sealed));
  return JSON.parse(
    kubeseal(["--recovery-unseal", "--recovery-private-key", pair.key], text),
  ) as JsonObject;
}

async function theirsToOurs(secret: JsonObject, pair: Pair, scope: Scope): Promise<JsonObject> {
  const args = ["--cert", pair.certificate, "--scope", scope, "--allow-empty-data"];
  const [document] = parseManifests(kubeseal(args, JSON.stringify(secret)));
  const [object] = document === undefined ? [] : objectsOf(document);
  if (object === undefined) throw new Error("kubeseal printed nothing");
  const unsealed = await unseal(parseSealedSecret(object), pair.keyring, {
    render: () => new Map(),
  });
  return formatSecret(unsealed.secret);
}

const DIRECTIONS = [
  ["ours, opened by theirs", oursToTheirs],
  ["theirs, opened by ours", theirsToOurs],
] as const;

describe.each(DIRECTIONS)("sealed by %s", (_name, across) => {
  const pairs: [string, Pair][] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "signet-interop-"));
    pairs.push(["2048 bits", await pairOf(2048)], ["4096 bits", await pairOf(4096)]);
    pairs.push(["brought along", broughtAlong()]);
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(SCOPES)("in scope %s, with every size of key, every value is the same", async (scope) => {
    expect(pairs).toHaveLength(3);
    for (const [, pair] of pairs) {
      expect(valuesIn(await across(secretObject(VALUES), pair, scope))).toEqual(VALUES);
    }
  });

  it("a value of 1 MiB is the same", async () => {
    for (const [, pair] of pairs) {
      const values = valuesIn(await across(secretObject(MEBIBYTE), pair, "strict"));
      expect(values["large"]?.equals(MEBIBYTE.large)).toBe(true);
    }
  });

  it("everything but the values is kept as well, and what servers add is not", async () => {
    const [, pair] = pairs[0] ?? [];
    if (pair === undefined) throw new Error("no key");
    const metadata = {
      name: "db",
      namespace: "demo",
      labels: { app: "shop" },
      annotations: {
        note: "kept",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
      },
      finalizers: ["example.org/wait"],
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    };
    const more = {
      metadata,
      type: "example.org/own",
      immutable: true,
      stringData: { text: "won" },
    };
    const opened = await across(secretObject(VALUES, more), pair, "strict");
    expect(valuesIn(opened)).toEqual({ ...VALUES, text: Buffer.from("won") });
    expect(opened).toMatchObject({ type: "example.org/own", immutable: true });
    const { ownerReferences: _theirs, ...kept } = opened["metadata"] as JsonObject;
    expect(kept).toEqual({
      name: "db",
      namespace: "demo",
      labels: { app: "shop" },
      annotations: { note: "kept" },
      finalizers: ["example.org/wait"],
    });
  });
});
