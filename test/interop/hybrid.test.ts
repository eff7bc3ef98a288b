// Hybrid envelopes and keys of two halves beside other programs: Go's crypto/hpke, with every Node that
// the package is for, and the original's kubeseal.

import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { sealingIn } from "../../shared/keys/kinds.ts";
import { formatManifests, parseManifests } from "../../shared/manifest/manifest.ts";
import { type JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { changeItems, seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret, parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import { partPath, type PartName } from "../parts/parts.ts";

type Values = Record<string, string>;

const LABEL = Buffer.from("demo/db").toString("base64");
const LIBRARY = resolve("dist/library.mjs");
const OPTIONS = { bits: 2048, validForMs: 3_600_000, kinds: ["hybrid"] };
const MAX_BUFFER = 2 ** 30;

let pair: SealingKeyPair;
let seed: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "signet-hybrid-"));
  pair = await createSealingKey({ ...OPTIONS, notBefore: new Date(Date.now() - 60_000) });
  const block = /BEGIN PRIVATE KEY-----\n([^-]+)/.exec(pair.privateKeyPem)?.[1] ?? "";
  seed = Buffer.from(block, "base64").subarray(-32).toString("base64");
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Answer {
  readonly envelope?: string;
  readonly value?: string;
  readonly error?: string;
}

function askGo(questions: readonly object[]): Answer[] {
  const input = JSON.stringify(questions.map((each) => ({ seed, label: LABEL, ...each })));
  const output = execFileSync(partPath("hybrid-oracle"), { input, maxBuffer: MAX_BUFFER });
  return JSON.parse(output.toString()) as Answer[];
}

/** Seals and opens by `node` and by Go, each what the other sealed. */
function bothWays(node: PartName, values: Values): void {
  const items = Object.keys(values);
  const byGo = askGo(items.map((item) => ({ value: values[item] })));
  const sealed = Object.fromEntries(items.map((item, index) => [item, byGo[index]?.envelope]));
  const input = JSON.stringify({
    certificate: pair.certificatePem,
    key: pair.privateKeyPem,
    values,
    sealed,
  });
  const script = resolve("test/interop/hybrid/halves.mjs");
  const options = { input, maxBuffer: MAX_BUFFER };
  const output = execFileSync(partPath(node), [script, LIBRARY], options).toString();
  const ours = JSON.parse(output) as { sealed: Values; opened: Values };
  expect(ours.opened).toEqual(values);
  const opened = askGo(items.map((item) => ({ envelope: ours.sealed[item] })));
  expect(opened.filter(({ error }) => error !== undefined)).toEqual([]);
  expect(Object.fromEntries(items.map((item, at) => [item, opened[at]?.value]))).toEqual(values);
  for (const item of items) {
    expect(ours.sealed[item]?.slice(0, 4)).toBe("PQ1A");
    expect(ours.sealed[item]).toHaveLength(sealed[item]?.length ?? 0);
  }
}

function randomValues(count: number, maxBytes: number): Values {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `v${index}`,
      randomBytes(randomInt(0, maxBytes)).toString("base64"),
    ]),
  );
}

/** Around each length at which the padding grows, up to 1 MiB, two of each octave. */
function edges(): number[] {
  const all = [0, 1, 62, 63, 64, 65];
  for (let length = 128; length <= 2 ** 20; length *= 2) {
    const next = length + length / 2;
    for (const edge of [length, next]) if (edge <= 2 ** 20) all.push(edge - 2, edge - 1, edge);
  }
  return all;
}

describe("Go's crypto/hpke", () => {
  it("seals and opens 10,000 random values as Node with ML-KEM does", () => {
    bothWays("node24", randomValues(10_000, 300));
  });

  it.each(["node20", "node22", "node26"] as const)("does for %s, too", (node) => {
    bothWays(node, randomValues(300, 3_000));
  });

  it.each(["node20", "node24"] as const)("agrees with %s on sizes up to 1 MiB", (node) => {
    const lengths = edges();
    bothWays(
      node,
      Object.fromEntries(
        lengths.map((length) => [`n${length}`, Buffer.alloc(length, 0x80).toString("base64")]),
      ),
    );
  });

  it("opens nothing of ours that is for another place", async () => {
    const secret = parseSecret({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "other", namespace: "demo" },
      stringData: { a: "hunter2" },
    });
    const sealed = await seal(secret, parseCertificate(pair.certificatePem));
    const [answer] = askGo([{ envelope: sealed.encryptedData.get("a") }]);
    expect(answer?.error).toContain("message authentication failed");
  });
});

describe("the original's kubeseal", () => {
  const SECRET =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {password: hunter2}\n";
  const at = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const original = (args: readonly string[], input: string) =>
    spawnSync(partPath("kubeseal"), args, { input, encoding: "utf8", env: {} });
  const objectIn = (text: string): JsonObject => parseManifests(text)[0]?.value as JsonObject;

  it("seals RSA with a certificate of two halves, which the key opens", async () => {
    const certificate = at("both.crt", pair.certificatePem);
    const made = original(["--cert", certificate, "--format", "yaml"], SECRET);
    expect(made.stderr).toBe("");
    const sealed = parseSealedSecret(objectIn(made.stdout));
    const keyring = new Keyring(readKeyFile(pair.privateKeyPem, "key"));
    const { values } = await openValues(sealed, keyring);
    expect(Buffer.from(values.get("password") ?? []).toString()).toBe("hunter2");
    const fetched = original(["--fetch-cert", "--cert", certificate], "");
    expect(fetched.stdout).toBe(pair.certificatePem);
  });

  it("opens RSA with a key of two halves; a hybrid value is one that no key opens", async () => {
    const certificate = parseCertificate(pair.certificatePem);
    const key = at("both.key", pair.privateKeyPem);
    const recover = (text: string) =>
      original(["--recovery-unseal", "--recovery-private-key", key], text);
    const secret = parseSecret(objectIn(SECRET));
    const rsa = await seal(secret, sealingIn(certificate, "rsa"));
    const yaml = (sealed: typeof rsa): string =>
      formatManifests([formatSealedSecret(sealed)], "yaml");
    const opened = objectIn(recover(yaml(rsa)).stdout) as { data: Values };
    expect(Buffer.from(opened.data["password"] ?? "", "base64").toString()).toBe("hunter2");
    const set = new Map([
      ["token", new TextEncoder().encode("t0ken")],
      ["large", new Uint8Array(100_000)],
    ]);
    const mixed = await changeItems(rsa, { set }, certificate);
    const refused = recover(yaml(mixed));
    expect([refused.status, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toMatch(/no key could decrypt secret \((large, token|token, large)\)/);
  });

  it("merges into a SealedSecret of hybrid values, and leaves these as they are", async () => {
    const certificate = parseCertificate(pair.certificatePem);
    const secret = parseSecret(objectIn(SECRET));
    const hybrid = await seal(secret, certificate);
    const file = at("sealed.yaml", formatManifests([formatSealedSecret(hybrid)], "yaml"));
    const more = SECRET.replace("password: hunter2", "token: t0ken");
    const cert = at("both.crt", pair.certificatePem);
    const args = ["--cert", cert, "--merge-into", file, "--format", "yaml"];
    expect(original(args, more).stderr).toBe("");
    const merged = parseSealedSecret(objectIn(readFileSync(file, "utf8")));
    expect(merged.encryptedData.get("password")).toBe(hybrid.encryptedData.get("password"));
    const keyring = new Keyring(readKeyFile(pair.privateKeyPem, "key"));
    const { values } = await openValues(merged, keyring);
    expect([...values].map(([item, value]) => [item, Buffer.from(value).toString()])).toEqual([
      ["password", "hunter2"],
      ["token", "t0ken"],
    ]);
  });
});
