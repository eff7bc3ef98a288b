// Seeds and keys for the targets, from the vectors, the fixtures and the scenarios.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { changeItems, seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { bytesOf, CANARY } from "./target.ts";

export const fixture = (name: string): string => readFileSync(`test/fixtures/${name}`, "utf8");

/** The sections of the vectors of a kind: of all, or of those with such a name. */
export function vectorTexts(kind: string, named = /^/): string[] {
  const names = readdirSync(join("test/vectors", kind)).filter((name) => named.test(name));
  return names.flatMap((name) =>
    readFileSync(join("test/vectors", kind, name), "utf8")
      .split(/^-- [a-z-]+ --\n/m)
      .slice(1),
  );
}

/** The manifests of the scenarios, of the examples, and of other projects' hands. */
export function manifestTexts(): string[] {
  const scenarios = readdirSync("test/scenarios").filter((name) => name.endsWith(".txt"));
  const files = scenarios.flatMap((name) =>
    readFileSync(join("test/scenarios", name), "utf8")
      .split(/^-- .* --\n/m)
      .slice(1),
  );
  const examples = readdirSync("examples", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => readFileSync(join("examples", name), "utf8"));
  return [...files, ...examples, ...vectorTexts("secret"), ...vectorTexts("object")].filter(
    (text) => text.length < 8000 && isManifest(text),
  );
}

function isManifest(text: string): boolean {
  try {
    return parseManifests(text).some(({ value }) => asObject(value) !== null);
  } catch {
    return false;
  }
}

export const seedsOf = (texts: readonly string[]): Uint8Array[] => texts.map(bytesOf);

/** Keys of the vectors: one half, and two halves. */
type KeyName = "first" | "both";

export const keyText = (name: KeyName, end: "crt" | "key"): string =>
  readFileSync(`test/vectors/keys/${name}.${end}`, "utf8");

function certificate(name: KeyName = "first"): Certificate {
  return parseCertificate(keyText(name, "crt"));
}

function sealingKey(name: KeyName): SealingKey {
  const [key] = readKeyFile(keyText(name, "key"), name);
  if (key === undefined) throw new Error(`no key ${name}`);
  return { ...key, certificate: certificate(name) };
}

/** A sealing key as the Secret that holds it. */
export function keyManifest(name: KeyName = "first"): string {
  const data = { "tls.crt": btoa(keyText(name, "crt")), "tls.key": btoa(keyText(name, "key")) };
  const metadata = { name, namespace: "demo" };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    type: "kubernetes.io/tls",
    data,
  });
}

export function keyring(): Keyring {
  return new Keyring([sealingKey("first"), sealingKey("both")]);
}

/** A Secret with a canary for a value. */
export function plainSecret(stringData: Record<string, string> = { password: CANARY }): JsonObject {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "db", namespace: "demo" },
    stringData,
  };
}

/** SealedSecrets that open, with a canary inside: plain, with templates, in wider scopes, of both kinds. */
export async function sealedObjects(): Promise<JsonObject[]> {
  const secret = parseSecret(plainSecret({ password: CANARY, user: `${CANARY}-2` }));
  const strict = formatSealedSecret(await seal(secret, certificate(), "strict"));
  const wide = formatSealedSecret(await seal(secret, certificate(), "cluster-wide"));
  const selected = formatSealedSecret(await seal(secret, certificate(), "selector team=a"));
  const spec = strict["spec"] as JsonObject;
  const template = {
    data: {
      "db.url":
        "pg://{{ .user }}:{{ .password | urlquery }}@db{{ range $k, $v := . }}{{ $k }}{{ end }}",
    },
    metadata: {
      labels: { app: "db" },
      annotations: { "sealedsecrets.bitnami.com/managed": "true" },
    },
    type: "Opaque",
  };
  return [strict, wide, selected, { ...strict, spec: { ...spec, template } }, await mixedObject()];
}

/** A SealedSecret with a value of each kind. */
async function mixedObject(): Promise<JsonObject> {
  const rsa = await seal(parseSecret(plainSecret()), certificate());
  const set = new Map([["hybrid", bytesOf(CANARY)]]);
  return formatSealedSecret(await changeItems(rsa, { set }, certificate("both")));
}

/** Words of SealedSecrets and of what the controller does with them. */
export const SEALED_WORDS = [
  ...[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "spec",
    "uid",
  ],
  ...[
    "encryptedData",
    "template",
    "data",
    "type",
    "immutable",
    "status",
    "List",
    "items",
    "Secret",
  ],
  ...["SealedSecret", "bitnami.com/v1alpha1", "v1", "demo", "db", "kube-system", "finalizers"],
  ...["ownerReferences", "resourceVersion", "generation", "deletionTimestamp", "managedFields"],
  ...["sealedsecrets.bitnami.com/cluster-wide", "sealedsecrets.bitnami.com/namespace-wide"],
  ...["sealedsecrets.bitnami.com/managed", "sealedsecrets.bitnami.com/patch"],
  ...["sealedsecrets.bitnami.com/sealed-secrets-key", "active", "kubernetes.io/tls"],
  ...["sealedsecrets.bitnami.com/skip-set-owner-references", "kubernetes.io/service-account-token"],
  ...[
    "kube-signet/sealed-under",
    "kube-signet/sealed-for",
    "kube-signet/drift",
    "kube-signet/secret",
    "kube-signet/namespace-selector",
  ],
  ...["team=a", "team in (a,b)", "team notin (a)", "!team", "(", ")", ",", "=", "!=", " "],
  ...["observedGeneration", "conditions", "secret", "Synced", "reason", "message", "sealedUnder"],
];
