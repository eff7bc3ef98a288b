// The proof that every vector of test/vectors does as it says, and that all of them are there.
// SPEC.md, "Conventions".

import {
  constants,
  createDecipheriv,
  createHash,
  createPrivateKey,
  privateDecrypt,
} from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ClusterKeys } from "../../cli/repository/clustercertificates.ts";
import type { Project, ProjectCluster } from "../../cli/repository/projectfile.ts";
import { readIdentities, recoverKeys } from "../../cli/repository/recoveredkeys.ts";
import { SignetError } from "../../shared/errors.ts";
import { checkNotExpired, parseCertificate } from "../../shared/keys/certificate.ts";
import { decodeEnvelope } from "../../shared/keys/kinds.ts";
import { readKeyFile, readKeySecret } from "../../shared/keys/keyfile.ts";
import { repositoryName } from "../../shared/keys/recoverynames.ts";
import {
  openWrappedKey,
  plainSecret,
  readWrappedKey,
  WRAPPED_ITEM,
  WRAPPED_TYPE,
} from "../../shared/keys/wrappedkey.ts";
import { labelBytes, type Scope, SCOPES, selectorScope } from "../../shared/sealing/scope.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { type RenderTemplates, unseal } from "../../shared/sealing/unseal.ts";
import { formatSecret, parseSecret } from "../../shared/kubernetes/secret.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { renderTemplates } from "../../shared/template/template.ts";
import { errorOf, keyringOf, onlyObject, testKey, toldBy } from "../vectors/fixtures.ts";
import {
  header,
  type KeyName,
  keysOf,
  keyText,
  type Kind,
  KINDS,
  readVectors,
  section,
  type Step,
  VALUE_FAILURES,
  type ValueFailure,
  type Vector,
} from "../vectors/vectors.ts";

/** A new vector is counted here: a loop that lost some would still be green. */
const COUNTS: Readonly<Record<Kind, number>> = {
  value: 85,
  hybrid: 43,
  object: 58,
  secret: 13,
  certificate: 17,
  key: 20,
  wrapped: 31,
  recovery: 13,
};

const vectors = new Map<Kind, Vector[]>(KINDS.map((kind) => [kind, readVectors(kind)]));
const named = (kind: Kind): [string, Vector][] =>
  (vectors.get(kind) ?? []).map((vector) => [
    `${vector.name}: ${header(vector, "comment")}`,
    vector,
  ]);

function scopeNamed(text: string): Scope {
  if (text.startsWith("selector ")) return selectorScope(text.slice("selector ".length));
  const scope = SCOPES.find((scope) => scope === text);
  if (scope === undefined) throw new Error(`no scope is named ${text}`);
  return scope;
}

describe("the vectors", () => {
  test.each(KINDS)("are all there: %s", (kind) => {
    expect(vectors.get(kind)).toHaveLength(COUNTS[kind]);
  });

  test("of values have every class of failure, and no other", () => {
    const seen = (vectors.get("value") ?? []).map((vector) => header(vector, "expect"));
    expect(new Set(seen)).toEqual(new Set(["opened", ...Object.keys(VALUE_FAILURES)]));
  });

  test("have a comment and a maker each, and a name that says the failure", () => {
    for (const vector of [...vectors.values()].flat()) {
      expect(header(vector, "comment")).toMatch(/\S/);
      expect(header(vector, "by")).toMatch(
        /^(kubeseal v0\.36\.0|kube-signet|openssl|hand|crypto\/hpke of Go 1\.26)$/,
      );
    }
    for (const vector of vectors.get("value") ?? []) {
      const expected = header(vector, "expect");
      if (expected !== "opened") expect(vector.name.startsWith(`${expected}-`)).toBe(true);
    }
  });
});

/**
 * How far a value opens with one key, by node:crypto's other interface: the plaintext, or the step
 * that it stops at.
 */
function stepsOf(text: string, key: KeyName, label: Uint8Array): Uint8Array | Step {
  const dense = text.replace(/[\r\n]/g, "");
  const all = Buffer.from(dense, "base64");
  if (all.toString("base64") !== dense) return "text";
  const length = all.length < 2 ? 0 : all.readUInt16BE(0);
  if (all.length < 2 + length + 16) return "length";
  let session: Buffer;
  try {
    session = privateDecrypt(
      {
        key: createPrivateKey(keyText(key, "key")),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: "sha256",
        oaepLabel: label,
      },
      all.subarray(2, 2 + length),
    );
  } catch {
    return "wrap";
  }
  try {
    const cipher = createDecipheriv("aes-256-gcm", session, new Uint8Array(12));
    cipher.setAuthTag(all.subarray(-16));
    return Buffer.concat([cipher.update(all.subarray(2 + length, -16)), cipher.final()]);
  } catch {
    return "body";
  }
}

describe("values", () => {
  test.each(named("value"))("%s", async (_name, vector) => {
    const text = section(vector, "sealed").replace(/\n$/, "");
    const scope = scopeNamed(header(vector, "scope"));
    const label = labelBytes(scope, header(vector, "namespace"), header(vector, "name"));
    const keys = keysOf(header(vector, "keys"));
    const keyring = keyringOf(keys);
    const expected = header(vector, "expect");
    const envelope = decodeEnvelope(text);

    if (expected === "opened") {
      if (envelope === null) throw new Error("not taken apart");
      const opened = await keyring.open(envelope, label);
      if (opened === null) throw new Error("not opened");
      const [under] = keysOf(header(vector, "under"));
      expect(opened.fingerprint).toBe(testKey(under ?? "first").privateKey.fingerprint);
      const plaintext = Buffer.from(opened.plaintext);
      if (vector.headers.has("plaintext")) {
        expect(plaintext.toString("base64")).toBe(header(vector, "plaintext"));
      } else {
        expect(String(plaintext.length)).toBe(header(vector, "plaintext-bytes"));
        const digest = createHash("sha256").update(plaintext).digest("hex");
        expect(digest).toBe(header(vector, "plaintext-sha256"));
      }
      return;
    }

    const failure = expected as ValueFailure;
    const step = VALUE_FAILURES[failure];
    // The vector itself fails where it says, by other means than ours.
    for (const key of keys) expect(stepsOf(text, key, label)).toBe(step);
    if (failure === "wrong-key") {
      const [under] = keysOf(header(vector, "under"));
      expect(keys).not.toContain(under);
      expect(stepsOf(text, under ?? "first", label)).toBeInstanceOf(Uint8Array);
    }
    if (failure === "wrong-label") {
      const [, scope = "", namespace = "", name = ""] =
        /^(.+) (\S+) (\S+)$/.exec(header(vector, "for")) ?? [];
      const sealedFor = labelBytes(scopeNamed(scope), namespace, name);
      expect(stepsOf(text, keys[0] ?? "first", sealedFor)).toBeInstanceOf(Uint8Array);
    }
    // And we fail at that layer, not earlier and not later.
    if (step === "text" || step === "length") {
      expect(envelope).toBeNull();
    } else {
      if (envelope === null) throw new Error("not taken apart");
      expect(await keyring.open(envelope, label)).toBeNull();
    }
  });
});

describe("hybrid values", () => {
  test.each(named("hybrid"))("%s", async (_name, vector) => {
    const envelope = decodeEnvelope(section(vector, "sealed").replace(/\n$/, ""));
    const scope = scopeNamed(header(vector, "scope"));
    const label = labelBytes(scope, header(vector, "namespace"), header(vector, "name"));
    // An RSA key of another value must not matter.
    const keyring = keyringOf(["first", ...keysOf(header(vector, "keys"))]);
    const opened = envelope === null ? null : await keyring.open(envelope, label);
    if (header(vector, "expect") === "refused") {
      expect(vector.name).toMatch(/^refused-/);
      expect(opened).toBeNull();
      return;
    }
    expect(header(vector, "expect")).toBe("opened");
    expect(opened?.fingerprint).toBe(testKey("both").fingerprint);
    const plaintext = Buffer.from(opened?.plaintext ?? []);
    if (vector.headers.has("plaintext")) {
      expect(plaintext.toString("base64")).toBe(header(vector, "plaintext"));
      return;
    }
    expect(String(plaintext.length)).toBe(header(vector, "plaintext-bytes"));
    const digest = createHash("sha256").update(plaintext).digest("hex");
    expect(digest).toBe(header(vector, "plaintext-sha256"));
  });
});

const render: RenderTemplates = (templates, values) => renderTemplates(templates, values);
const CLEAR = /hunter2|aHVudGVyMg/;

describe("SealedSecrets", () => {
  test.each(named("object"))("%s", async (_name, vector) => {
    const keyring = keyringOf(keysOf(header(vector, "keys")));
    const expected = header(vector, "expect");
    const run = async (): Promise<JsonObject> => {
      const sealed = parseSealedSecret(onlyObject(section(vector, "sealedsecret")));
      return formatSecret((await unseal(sealed, keyring, { render })).secret);
    };
    if (expected === "secret") {
      // By way of text: undefined is not null, and objects may have no prototype.
      const secret: unknown = JSON.parse(JSON.stringify(await run()));
      expect(secret).toEqual(JSON.parse(section(vector, "secret")));
      return;
    }
    const error = await errorOf(run);
    expect(error.code).toBe(expected);
    expect(toldBy(error)).not.toMatch(CLEAR);
    const items = vector.headers.get("items");
    if (items !== undefined) {
      expect(error.message).toBe(`no key could decrypt secret (${items.replaceAll(" ", ", ")})`);
    }
  });
});

describe("Secrets to be sealed", () => {
  test.each(named("secret"))("%s", async (_name, vector) => {
    const expected = header(vector, "expect");
    const run = (): JsonObject =>
      formatSecret(parseSecret(onlyObject(section(vector, "manifest"))));
    if (expected === "accepted") {
      expect(JSON.parse(JSON.stringify(run()))).toEqual(JSON.parse(section(vector, "secret")));
      return;
    }
    const error = await errorOf(run);
    expect(error.code).toBe(expected);
    expect(toldBy(error)).not.toMatch(CLEAR);
  });
});

describe("certificates", () => {
  test.each(named("certificate"))("%s", async (_name, vector) => {
    const expected = header(vector, "expect");
    const run = (): ReturnType<typeof parseCertificate> => {
      const certificate = parseCertificate(section(vector, "pem"));
      checkNotExpired(certificate, new Date(header(vector, "at")));
      return certificate;
    };
    if (expected !== "accepted") {
      expect((await errorOf(run)).code).toBe(expected);
      return;
    }
    const { fingerprint, bits, notBefore, notAfter } = run();
    expect({
      fingerprint,
      bits: String(bits),
      "not-before": notBefore.toISOString(),
      "not-after": notAfter.toISOString(),
    }).toEqual({
      fingerprint: header(vector, "fingerprint"),
      bits: header(vector, "bits"),
      "not-before": header(vector, "not-before"),
      "not-after": header(vector, "not-after"),
    });
  });
});

describe("key files", () => {
  test.each(named("key"))("%s", async (_name, vector) => {
    const expected = header(vector, "expect");
    const file = section(vector, "file");
    if (expected !== "accepted") {
      const error = await errorOf(() => readKeyFile(file, "keys.yaml"));
      expect(error.code).toBe(expected);
      expect(error.place.file).toBe("keys.yaml");
      const told = toldBy(error);
      for (const line of file.split("\n").filter((line) => line.length > 8)) {
        expect(told).not.toContain(line.trim());
      }
      return;
    }
    const keys = readKeyFile(file, "keys.yaml");
    expect(keys.map((key) => key.fingerprint).join(" ")).toBe(header(vector, "fingerprints"));
    expect(keys.map((key) => (key.certificate === null ? "no" : "yes")).join(" ")).toBe(
      header(vector, "certificates"),
    );
  });
});

describe("wrapped keys", () => {
  /** As SPEC.md says it, by nothing of ours. */
  function openedBySpec(fields: Record<string, string>, place: string[], dataKey: string): string {
    const bytes = (field: string): Buffer => Buffer.from(fields[field] ?? "", "base64");
    const sealed = bytes("ciphertext");
    const key = Buffer.from(dataKey, "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, bytes("nonce"));
    const bound = ["fingerprint", "provider", "key", "since", "created"];
    const parts = ["kube-signet/wrapped-key/1", ...place, ...bound.map((field) => fields[field])];
    decipher.setAAD(Buffer.from(parts.join("\0")));
    decipher.setAuthTag(sealed.subarray(-16));
    return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString();
  }

  test.each(named("wrapped"))("%s", async (_name, vector) => {
    const text = section(vector, "wrapped").replace(/\n$/, "");
    const [namespace, name] = [header(vector, "namespace"), header(vector, "name")];
    const dataKey = header(vector, "data-key");
    const data = new Map([[WRAPPED_ITEM, new TextEncoder().encode(text)]]);
    const metadata = { namespace, name, labels: {}, annotations: {}, rest: {} };
    const secret = { type: WRAPPED_TYPE, immutable: undefined, data, metadata };
    const open = async (): Promise<{ pem: string; fingerprint: string }> => {
      const wrapped = readWrappedKey(secret);
      const { provider, fingerprint } = wrapped;
      const pem = await openWrappedKey(
        wrapped,
        { namespace, name, fingerprint },
        {
          provider,
          describe: () => "the vector",
          wrap: () => Promise.reject(new Error("not asked for")),
          unwrap: () => Promise.resolve(new Uint8Array(Buffer.from(dataKey, "base64"))),
        },
      );
      const key = readKeySecret(plainSecret(secret, wrapped, pem));
      if (key.fingerprint !== fingerprint) throw new SignetError("key-invalid", "another key");
      return { pem, fingerprint };
    };
    if (header(vector, "expect") === "opened") {
      const [under = "first"] = keysOf(header(vector, "under"));
      const file = keyText(under, "key");
      const expected = file.slice(file.indexOf("-----BEGIN"));
      const opened = await open();
      expect(opened).toEqual({ pem: expected, fingerprint: testKey(under).fingerprint });
      const fields = JSON.parse(text) as Record<string, string>;
      expect(openedBySpec(fields, [namespace, name], dataKey)).toBe(expected);
      return;
    }
    const error = await errorOf(open);
    expect(error.code).toBe(header(vector, "expect"));
    expect(toldBy(error)).not.toContain(dataKey);
  });
});

describe("recovery files", () => {
  const FILES = { key: "key.age", "share-one": "share-1.age", "share-two": "share-2.age" };
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "signet-vectors-"));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  test.each(named("recovery"))("%s", async (_name, vector) => {
    const fingerprint = header(vector, "fingerprint");
    const files = { ...FILES, "share-three": "share-3.age" };
    for (const [from, name] of Object.entries(files)) {
      const text = vector.sections.get(from);
      if (text !== undefined) writeFileSync(join(root, repositoryName(fingerprint, name)), text);
    }
    writeFileSync(join(root, "identities"), section(vector, "identities"));
    const cluster = { name: "prod", certificate: "prod.pem", recovery: "." } as ProjectCluster;
    const project = { root, clusters: new Map([["prod", cluster]]) } as unknown as Project;
    const known = new Map([[fingerprint, testKey("first")]]);
    const keys = { cluster, current: null, known } as unknown as ClusterKeys;
    const identities = await readIdentities([join(root, "identities")]);
    const [recovered] = await recoverKeys(project, [keys], identities);
    const { key = null, error = null } = recovered ?? {};
    if (header(vector, "expect") === "opened") {
      expect([key?.fingerprint, error]).toEqual([fingerprint, null]);
      return;
    }
    expect([key, error?.code]).toEqual([null, header(vector, "expect")]);
    const told = error === null ? "" : toldBy(error);
    for (const line of section(vector, "identities").split("\n").filter(Boolean)) {
      expect(told).not.toContain(line);
    }
  });
});
