// What the cases are made with: the test keys, the Go original, openssl, odd envelopes.
// SPEC.md, "Conventions".

import { spawnSync } from "node:child_process";
import { createCipheriv, createHash, publicEncrypt, randomBytes, constants } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { encryptValue, envelopeBytes, importPublicKey, type RsaEnvelope } from "../../shared/envelopes/rsa.ts";
import { labelBytes, type Scope } from "../../shared/sealing/scope.ts";
import { partPath } from "../parts/parts.ts";
import { KEY_NAMES, type KeyName, type Kind, vectorFolder } from "./vectors.ts";

export const FOLDER = vectorFolder(process.cwd());
export const ORIGINAL = "kubeseal v0.36.0";
export const OURS = "kube-signet";

export type Sections = Record<string, string>;

/** One vector to create. `make` runs only if the file is missing or must be re-created. */
export interface Case {
  readonly kind: Kind;
  readonly name: string;
  readonly comment: string;
  readonly by: string;
  readonly make: () => Promise<{ headers: Sections; sections: Sections }>;
}

export interface Place {
  readonly scope: Scope;
  readonly namespace: string;
  readonly name: string;
}

export const STRICT: Place = { scope: "strict", namespace: "demo", name: "db" };
export const NAMESPACE_WIDE: Place = { ...STRICT, scope: "namespace-wide" };
export const CLUSTER_WIDE: Place = { ...STRICT, scope: "cluster-wide" };
export const SELECTOR: Place = { ...STRICT, scope: "selector team=a" };
export const SELECTORS: Place = {
  ...STRICT,
  scope: "selector !frozen,env!=prod,kubernetes.io/metadata.name in (demo,shop),team=a,tier",
};
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const base64 = (data: Uint8Array): string => Buffer.from(data).toString("base64");
export const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

export function keyFile(name: KeyName, extension: "key" | "crt"): string {
  return join(FOLDER, "keys", `${name}.${extension}`);
}

export function keyPem(name: KeyName, extension: "key" | "crt"): string {
  const text = readFileSync(keyFile(name, extension), "utf8");
  return text.slice(text.indexOf("-----BEGIN"));
}

export function certificateOf(name: KeyName): Certificate {
  return parseCertificate(keyPem(name, "crt"));
}

/** The output of a program that must succeed. `command`: its path, or words on the PATH. */
export function run(command: readonly string[], input: Uint8Array | string = ""): Buffer {
  const [program = "", ...args] = command;
  const options = { input, maxBuffer: 2 ** 26, env: { PATH: process.env.PATH ?? "" } };
  const { status, stdout, stderr } = spawnSync(program, args, options);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
}

/** Runs `action` with paths for `files`, which are gone afterwards. */
export function withFiles<T>(
  files: Readonly<Record<string, string>>,
  action: (folder: string) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), "kube-signet-vectors-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return action(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A value sealed by the Go original. */
export function originalValue(plaintext: Uint8Array, key: KeyName, place: Place): string {
  return run(
    [
      partPath("kubeseal"),
      ...["--raw", "--cert", keyFile(key, "crt"), "--scope", place.scope],
      ...["--namespace", place.namespace, "--name", place.name],
    ],
    plaintext,
  ).toString();
}

/** A SealedSecret, as YAML, made by the Go original from a Secret. */
export function originalSealed(manifest: string, key: KeyName, flags: string[] = []): string {
  const command = [partPath("kubeseal"), "--cert", keyFile(key, "crt"), "--format", "yaml"];
  return run([...command, ...flags], manifest).toString();
}

/** The Secret, as JSON with sorted keys and without an owner, that the Go original makes of it. */
export function originalUnsealed(sealed: string): string {
  const keys = KEY_NAMES.map((name) => keyFile(name, "key")).join(",");
  const command = [partPath("kubeseal"), "--recovery-unseal", "--recovery-private-key", keys];
  const secret = JSON.parse(run(command, sealed).toString()) as {
    metadata: { ownerReferences?: unknown };
    data?: Record<string, string | null>;
  };
  delete secret.metadata.ownerReferences;
  // It writes no bytes as null.
  for (const [item, value] of Object.entries(secret.data ?? {})) {
    if (value === null) secret.data = { ...secret.data, [item]: "" };
  }
  return json(secret);
}

/** JSON with sorted keys. */
export function json(value: unknown): string {
  const sortKeys = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(sortKeys);
    if (typeof part !== "object" || part === null) return part;
    const entries = Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
  };
  return `${JSON.stringify(sortKeys(value), null, 2)}\n`;
}

/** A value sealed by us, taken apart. */
export async function ourEnvelope(
  plaintext: Uint8Array,
  key: KeyName,
  place: Place,
): Promise<RsaEnvelope> {
  const publicKey = await importPublicKey(certificateOf(key).spki);
  return encryptValue(publicKey, plaintext, labelBytes(place.scope, place.namespace, place.name));
}

export async function ourValue(plaintext: Uint8Array, key: KeyName, place: Place): Promise<string> {
  return base64(envelopeBytes(await ourEnvelope(plaintext, key, place)));
}

/** An envelope made by hand, to be wrong in one way. */
export function oddValue(
  plaintext: Uint8Array,
  odd: {
    readonly label?: Uint8Array;
    readonly hash?: string;
    readonly padding?: number;
    readonly sessionBytes?: 16 | 32;
    readonly nonce?: Uint8Array;
    readonly aad?: Uint8Array;
    readonly cipher?: "gcm" | "ctr";
  },
): string {
  const session = randomBytes(odd.sessionBytes ?? 32);
  const padding = odd.padding ?? constants.RSA_PKCS1_OAEP_PADDING;
  const wrappedKey = publicEncrypt(
    {
      key: keyPem("first", "crt"),
      padding,
      ...(padding === constants.RSA_PKCS1_OAEP_PADDING
        ? { oaepHash: odd.hash ?? "sha256", oaepLabel: odd.label ?? bytes("demo/db") }
        : {}),
    },
    session,
  );
  const nonce = odd.nonce ?? new Uint8Array(12);
  let ciphertext: Buffer;
  if (odd.cipher === "ctr") {
    const cipher = createCipheriv("aes-256-ctr", session, new Uint8Array(16));
    ciphertext = Buffer.concat([cipher.update(plaintext), new Uint8Array(16)]);
  } else {
    const bits = session.length * 8;
    const cipher = createCipheriv(bits === 128 ? "aes-128-gcm" : "aes-256-gcm", session, nonce);
    if (odd.aad !== undefined) cipher.setAAD(odd.aad);
    ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }
  return base64(envelopeBytes({ wrappedKey, ciphertext }));
}
