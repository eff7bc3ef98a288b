// Wrapped keys: the form of `tls.key.wrapped`, and what it is bound to.
// SPEC.md, "Wrapped keys".
import { createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import type { KeyContext, KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";
import { KEY_LABEL, readKeySecret } from "../../shared/keys/keyfile.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import {
  formatWrappedKey,
  formatWrappedKeySecret,
  openWrappedKey,
  plainSecret,
  readClosedKey,
  readWrappedKey,
  WRAPPED_KEY_LABEL,
  wrapKey,
} from "../../shared/keys/wrappedkey.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";

const PEM = readFileSync("test/fixtures/key.pem", "utf8");
const CERTIFICATE = readFileSync("test/fixtures/cert.pem", "utf8");
const { fingerprint: FINGERPRINT } = parseCertificate(CERTIFICATE);
const CONTEXT = { namespace: "kube-system", name: "sealed-secrets-key1", fingerprint: FINGERPRINT };
const MOMENT = {
  since: new Date("2026-11-29T20:00:00Z"),
  created: new Date("2026-01-02T03:04:05Z"),
};

/** A service that hides nothing, so that a test can hold the data key. */
function service(): KeyService & { readonly contexts: KeyContext[] } {
  const contexts: KeyContext[] = [];
  return {
    provider: "transit",
    contexts,
    describe: () => "a service",
    wrap: (dataKey, context) => {
      contexts.push(context);
      return Promise.resolve({ key: "transit/signet v1", ciphertext: Uint8Array.from(dataKey) });
    },
    unwrap: ({ ciphertext }: WrappedDataKey, context) => {
      contexts.push(context);
      return Promise.resolve(Uint8Array.from(ciphertext));
    },
  };
}

const wrapped = () => wrapKey(PEM, CONTEXT, service(), MOMENT);

function secretOf(text: string, more: Partial<Secret["metadata"]> = {}): Secret {
  const { namespace, name } = CONTEXT;
  return {
    type: "kube-signet/wrapped-key",
    immutable: undefined,
    data: new Map([["tls.key.wrapped", new TextEncoder().encode(text)]]),
    metadata: { namespace, name, labels: {}, annotations: {}, rest: {}, ...more },
  };
}

describe("a wrapped key", () => {
  it("is what it was when it is opened, and its Secret is read as a plain one is", async () => {
    const made = await wrapped();
    const secret = parseSecret(
      formatWrappedKeySecret(
        { certificatePem: CERTIFICATE, wrapped: made },
        { name: CONTEXT.name, namespace: CONTEXT.namespace },
        "compromised",
        { team: "a" },
        { "kube-signet/confirmed": FINGERPRINT },
      ),
    );
    expect(secret.metadata.labels).toEqual({ team: "a", [WRAPPED_KEY_LABEL]: "compromised" });
    const again = readWrappedKey(secret);
    const pem = await openWrappedKey(again, CONTEXT, service());
    expect(pem).toBe(PEM);
    const plain = plainSecret(secret, again, pem);
    expect(plain.metadata.labels).toEqual({ team: "a", [KEY_LABEL]: "compromised" });
    const { halves, ...key } = readKeySecret(plain);
    expect(halves).toHaveLength(1);
    // What can be read without the service is the same.
    const { halves: none, ...closed } = readClosedKey(secret);
    expect(none).toEqual([]);
    expect(closed).toEqual(key);
    expect(key).toMatchObject({ fingerprint: FINGERPRINT, compromised: true, confirmed: true });
    expect(key.createdAt).toEqual(MOMENT.created);
  });

  it("is AES-256-GCM with the documented additional data", async () => {
    const made = await wrapped();
    const json = JSON.parse(formatWrappedKey(made)) as Record<string, string>;
    const bytes = (field: string): Buffer => Buffer.from(json[field] ?? "", "base64");
    const sealed = bytes("ciphertext");
    const decipher = createDecipheriv("aes-256-gcm", bytes("wrappedDataKey"), bytes("nonce"));
    decipher.setAAD(
      Buffer.from(
        ["kube-signet/wrapped-key/1", "kube-system", "sealed-secrets-key1", FINGERPRINT]
          .concat("transit", "transit/signet v1", "2026-11-29T20:00:00Z", "2026-01-02T03:04:05Z")
          .join("\0"),
      ),
    );
    decipher.setAuthTag(sealed.subarray(-16));
    const text = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
    expect(text.toString()).toBe(PEM);
  });

  it("has a data key of its own, and the service gets the context each time", async () => {
    const one = service();
    const first = await wrapKey(PEM, CONTEXT, one, MOMENT);
    const second = await wrapKey(PEM, CONTEXT, one, MOMENT);
    expect(Buffer.from(first.ciphertext).equals(second.ciphertext)).toBe(false);
    expect(one.contexts).toEqual([CONTEXT, CONTEXT, CONTEXT, CONTEXT]);
  });

  it("is not handed out if the service does not return what it was given", async () => {
    const forgetful = { ...service(), unwrap: () => Promise.resolve(new Uint8Array(32)) };
    await expect(wrapKey(PEM, CONTEXT, forgetful, MOMENT)).rejects.toThrow(SignetError);
  });

  it.each<[string, Partial<KeyContext>]>([
    ["in another namespace", { namespace: "other" }],
    ["under another name", { name: "other" }],
    ["for another key", { fingerprint: `SHA256:${"A".repeat(43)}` }],
  ])("does not open %s, though the service would", async (_where, other) => {
    const opened = openWrappedKey(await wrapped(), { ...CONTEXT, ...other }, service());
    await expect(opened).rejects.toThrow("the wrapped key cannot be opened");
  });

  it.each<[string, (json: Record<string, unknown>) => void]>([
    ["a later version", (json) => (json["version"] = 2)],
    ["an unknown field", (json) => (json["more"] = "")],
    ["an unknown provider", (json) => (json["provider"] = "toString")],
    ["no fingerprint", (json) => delete json["fingerprint"]],
    ["a key name with a line break", (json) => (json["key"] = "a\nb")],
    ["a key name that is too long", (json) => (json["key"] = "a".repeat(1025))],
    ["a moment with milliseconds", (json) => (json["since"] = "2026-11-29T20:00:00.000Z")],
    ["base64 with a line break", (json) => (json["nonce"] = `${String(json["nonce"])}\n`)],
    ["base64 that is not canonical", (json) => (json["wrappedDataKey"] = "AB==")],
    ["a short nonce", (json) => (json["nonce"] = "AAAA")],
    [
      "a ciphertext of nothing but its tag",
      (json) => (json["ciphertext"] = "A".repeat(20) + "AA=="),
    ],
    ["a data key that is too long", (json) => (json["wrappedDataKey"] = "A".repeat(12_000))],
    ["annotations that are no object", (json) => (json["annotations"] = [])],
    ["annotations that are not base64", (json) => (json["annotations"] = { a: "?" })],
    [
      "too many annotations",
      (json) =>
        (json["annotations"] = Object.fromEntries([...Array(65).keys()].map((n) => [`a${n}`, ""]))),
    ],
  ])("with %s is refused, and the message quotes nothing", async (_what, damage) => {
    const json = JSON.parse(formatWrappedKey(await wrapped())) as Record<string, unknown>;
    damage(json);
    const read = (): unknown => readWrappedKey(secretOf(JSON.stringify(json)));
    expect(read).toThrow(SignetError);
    expect(read).toThrow(/^the wrapped key (has|is) [a-zA-Z ]+$/);
  });

  it.each([
    ["not JSON", "{"],
    ["no object", "[]"],
    ["too long", JSON.stringify({ version: 1, key: "a".repeat(300_000) })],
    ["nested deep", `${'{"a":'.repeat(40_000)}1${"}".repeat(40_000)}`],
  ])("that is %s is refused", (_what, text) => {
    expect(() => readWrappedKey(secretOf(text))).toThrow(SignetError);
  });

  it("does not open once any field that a report shows was changed", async () => {
    const made = await wrapped();
    for (const change of [
      { provider: "aws" },
      { key: "other" },
      { since: "2020-01-01T00:00:00Z" },
      { created: "2020-01-01T00:00:00Z" },
    ] as const) {
      const opened = openWrappedKey({ ...made, ...change }, CONTEXT, service());
      await expect(opened).rejects.toThrow("the wrapped key cannot be opened");
    }
  });
});
