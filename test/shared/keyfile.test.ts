// Proofs about key files and key Secrets: read back, dated, refused without being quoted.
// SPEC.md, "Sealing keys and certificates".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import {
  formatKeySecret,
  KEY_LABEL,
  readKeyFile,
  readKeySecret,
} from "../../shared/keys/keyfile.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { errorOf, testKey, toldBy } from "../vectors/fixtures.ts";
import { type KeyName, keyText } from "../vectors/vectors.ts";

const block = (text: string): string => text.slice(text.indexOf("-----BEGIN"));

function keySecret(name: KeyName, metadata: JsonObject = {}): JsonObject {
  return formatKeySecret(
    { privateKeyPem: block(keyText(name, "key")), certificatePem: block(keyText(name, "crt")) },
    { name: `key-${name}`, namespace: "kube-system", ...metadata },
  );
}

describe("a key Secret", () => {
  test("reads back as it was written", () => {
    const { name, fingerprint, halves, certificate, orderedAt } = readKeySecret(
      parseSecret(keySecret("first")),
    );
    expect(name).toBe("key-first");
    expect(fingerprint).toBe(testKey("first").fingerprint);
    expect(halves.map(({ kind }) => kind)).toEqual(["rsa"]);
    expect(certificate).toEqual(testKey("first").certificate);
    expect(orderedAt).toEqual(testKey("first").certificate.notBefore);
  });

  test("has the original's type and label, which no label given can take away", () => {
    const pair = { privateKeyPem: "k", certificatePem: "c" };
    const secret = formatKeySecret(
      pair,
      { generateName: "sealed-secrets-key" },
      { [KEY_LABEL]: "compromised", team: "a" },
      { note: "b" },
    );
    expect(secret).toEqual({
      apiVersion: "v1",
      data: { "tls.crt": "Yw==", "tls.key": "aw==" },
      kind: "Secret",
      metadata: {
        generateName: "sealed-secrets-key",
        labels: { [KEY_LABEL]: "active", team: "a" },
        annotations: { note: "b" },
      },
      type: "kubernetes.io/tls",
    });
  });

  test("is ordered by its creation when asked to, or when it has no certificate", () => {
    const created = { creationTimestamp: "2025-05-05T05:05:05Z" };
    const whole = parseSecret(keySecret("first", created));
    expect(readKeySecret(whole, "SecretCreationTimestamp").orderedAt.toISOString()).toBe(
      "2025-05-05T05:05:05.000Z",
    );
    expect(readKeySecret(whole, "CertNotBefore").orderedAt).toEqual(
      testKey("first").certificate.notBefore,
    );
    const bare = { ...whole, data: new Map(whole.data) };
    bare.data.delete("tls.crt");
    expect(readKeySecret(bare).orderedAt.toISOString()).toBe("2025-05-05T05:05:05.000Z");
    expect(readKeySecret(bare).certificate).toBeNull();
  });

  test("with a certificate of another key is malformed", () => {
    const secret = parseSecret(keySecret("first", {}));
    const other = parseSecret(keySecret("second", {}));
    const mixed = { ...secret, data: new Map([...secret.data]) };
    mixed.data.set("tls.crt", other.data.get("tls.crt") ?? new Uint8Array());
    expect(() => readKeySecret(mixed)).toThrow("do not match");
  });

  test.each(["", "yesterday", "2025-13-45T00:00:00Z"])("created %j is the oldest", (moment) => {
    const secret = parseSecret(keySecret("first", { creationTimestamp: moment }));
    const { orderedAt } = readKeySecret(secret, "SecretCreationTimestamp");
    expect(orderedAt.getTime()).toBe(0);
  });
});

describe("a key file", () => {
  test("with a fault names the file and the field", async () => {
    const secret = keySecret("first");
    const broken = { ...secret, data: { "tls.key": "aHVudGVyMg==" } };
    const text = formatManifests([keySecret("second"), broken], "yaml");
    const error = await errorOf(() => readKeyFile(text, "backup.yaml"));
    expect(error.code).toBe("key-invalid");
    expect(error.place).toEqual({ file: "backup.yaml", field: "tls.key" });
    expect(toldBy(error)).not.toMatch(/hunter2|aHVudGVy/);
  });

  test("of PEM gives keys that open and cannot seal", () => {
    const [key] = readKeyFile(keyText("first", "key"), "first.key");
    expect(key).toEqual({
      name: "first.key",
      fingerprint: testKey("first").fingerprint,
      halves: [expect.objectContaining({ kind: "rsa" })],
      certificate: null,
      orderedAt: new Date(0),
      createdAt: new Date(0),
      compromised: false,
      confirmed: true,
    });
  });

  test("takes no notice of a private key of a kind from the future, in PEM as in a Secret", () => {
    const future =
      "-----BEGIN FUTURE PRIVATE KEY-----\nhunter2\n-----END FUTURE PRIVATE KEY-----\n";
    const { fingerprint } = testKey("first");
    for (const text of [future + keyText("first", "key"), keyText("first", "key") + future]) {
      expect(readKeyFile(text, "f").map((key) => key.fingerprint)).toEqual([fingerprint]);
      const data = { "tls.key": Buffer.from(text).toString("base64") };
      const secret = { ...keySecret("first"), data };
      expect(readKeySecret(parseSecret(secret)).fingerprint).toBe(fingerprint);
    }
  });

  test("of any text gives keys or a SignetError", () => {
    const secret = keySecret("first");
    const parts = fc.oneof(
      fc.string(),
      fc.constantFrom(
        keyText("first", "key"),
        keyText("first", "crt"),
        formatManifests([secret], "yaml"),
        formatManifests([secret], "json"),
        "---\n",
        "# comment\n",
        "kind: List\napiVersion: v1\nitems:\n",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
      ),
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 5 }), (parts) => {
        try {
          // Whatever is around it, the one key that is among the parts.
          const keys = readKeyFile(parts.join(""), "f");
          const fingerprints = new Set(keys.map(({ fingerprint }) => fingerprint));
          expect(fingerprints).toEqual(new Set([testKey("first").certificate.fingerprint]));
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          expect(error.place.file).toBe("f");
          expect(toldBy(error)).not.toMatch(/[A-Za-z0-9+/]{60}/);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("cut anywhere is refused without a line of it being quoted", async () => {
    const text = formatManifests([keySecret("first")], "yaml");
    for (const length of [10, 100, 500, 2000, text.length - 40]) {
      const cut = text.slice(0, length);
      const error = await errorOf(() => {
        readKeyFile(cut, "f");
        throw new SignetError("key-invalid", "taken");
      });
      expect(toldBy(error)).not.toMatch(/[A-Za-z0-9+/]{60}/);
    }
  });
});
