// The Secret, the keys and the former form that tests of seal.ts, unseal.ts and sealedsecret.ts
// share.
import { encodeBase64 } from "../../shared/base64.ts";
import { encryptValue, envelopeBytes, importPublicKey } from "../../shared/envelopes/rsa.ts";
import { labelBytes } from "../../shared/sealing/scope.ts";
import {
  formatSealedSecret,
  parseSealedSecret,
  type SealedSecret,
} from "../../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import type { RenderTemplates } from "../../shared/sealing/unseal.ts";
import { testKey } from "../vectors/fixtures.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const render: RenderTemplates = (templates) =>
  new Map([...templates.keys()].map((item) => [item, bytes("rendered")]));
export const first = testKey("first");
export const second = testKey("second");
export const FIRST = first.certificate.fingerprint;
export const SECOND = second.certificate.fingerprint;

export const SECRET = parseSecret({
  apiVersion: "v1",
  kind: "Secret",
  metadata: {
    name: "db",
    namespace: "demo",
    labels: { app: "db" },
    annotations: { note: "n" },
    finalizers: ["a.example/hold"],
  },
  type: "Opaque",
  immutable: true,
  stringData: { password: "hunter2", user: "admin" },
});

export function named(namespace: string, name: string, secret: Secret = SECRET): Secret {
  return { ...secret, metadata: { ...secret.metadata, namespace, name } };
}

export function withData(data: Readonly<Record<string, string>>): Secret {
  return {
    ...SECRET,
    data: new Map(Object.entries(data).map(([item, text]) => [item, bytes(text)])),
  };
}

export const throughText = (sealed: SealedSecret): SealedSecret =>
  parseSealedSecret(JSON.parse(JSON.stringify(formatSealedSecret(sealed))) as JsonObject);

export const legacySealed = async (plaintext: string): Promise<SealedSecret> => {
  const publicKey = await importPublicKey(first.certificate.spki);
  const label = labelBytes("strict", "demo", "db");
  const data = encodeBase64(envelopeBytes(await encryptValue(publicKey, bytes(plaintext), label)));
  return parseSealedSecret({
    apiVersion: "bitnami.com/v1alpha1",
    kind: "SealedSecret",
    metadata: { name: "db", namespace: "demo" },
    spec: { data },
  });
};
