// What the chart's policies refuse and what they let through, as requests to an API server, the
// same for every engine.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { envelopeText } from "../../shared/envelopes/envelope.ts";
import { encryptValue, envelopeBytes, importPublicKey } from "../../shared/envelopes/rsa.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { sealToText } from "../../shared/keys/kinds.ts";
import { labelBytes, type Scope, scopeAnnotations } from "../../shared/sealing/scope.ts";

type PolicyName = "plaintext-secrets" | "scopes" | "key-size" | "hybrid";

export interface PolicyObject {
  readonly apiVersion: string;
  readonly kind: "Secret" | "SealedSecret";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: object;
}

export interface PolicyCase {
  /** After "SealedSecret" or "Secret": what it is about. */
  readonly what: string;
  readonly user?: { readonly name: string; readonly groups: readonly string[] };
  readonly object: PolicyObject;
  /** An update of this; else `object` is created. */
  readonly old?: PolicyObject;
  readonly refusedBy?: PolicyName;
  /** What the refusal says; needed with `refusedBy`, because a policy that fails also refuses. */
  readonly says?: string;
}

/** The release's values by which the cases are judged. */
export const POLICY_VALUES = {
  "policies.plaintextSecrets.managers": [
    "system:serviceaccount:cert-manager:cert-manager",
    "system:serviceaccounts:external-secrets",
  ],
  "policies.minimumKeyBits": 3072,
  "policies.hybrid.require": true,
  "policies.hybrid.namespaces": ["quantum"],
};
/** Where the release is. */
export const POLICY_NAMESPACE = "sealing";

/** The namespaces that there are, with their labels. */
export const POLICY_NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  shop: {},
  narrow: { "kube-signet/widest-scope": "namespace-wide" },
  strict: { "kube-signet/widest-scope": "strict" },
  selected: { "kube-signet/widest-scope": "selector" },
  wide: { "kube-signet/widest-scope": "cluster-wide" },
  quantum: {},
  misspelt: { "kube-signet/widest-scope": "namespacewide" },
  "kube-system": {},
  [POLICY_NAMESPACE]: {},
};

const DEVELOPER = { name: "developer", groups: ["system:authenticated"] };
const serviceAccount = (namespace: string, name: string): NonNullable<PolicyCase["user"]> => ({
  name: `system:serviceaccount:${namespace}:${name}`,
  groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
});

const base64 = (text: string): string => Buffer.from(text).toString("base64");

interface SecretParts {
  readonly namespace?: string;
  readonly type?: string;
  readonly data?: Record<string, string>;
  readonly metadata?: Partial<PolicyObject["metadata"]>;
}

function secret(name: string, parts: SecretParts = {}): PolicyObject {
  const { namespace = "shop", type = "Opaque", metadata = {} } = parts;
  const data = parts.data ?? { password: base64("hunter2") };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, ...metadata },
    type,
    data,
  };
}

function secretCases(): PolicyCase[] {
  const plain = { refusedBy: "plaintext-secrets", says: "made from SealedSecrets here" } as const;
  const changed = { data: { password: base64("other") } };
  const controller = serviceAccount(POLICY_NAMESPACE, "signet-controller");
  const certManager = serviceAccount("cert-manager", "cert-manager");
  const token = "kubernetes.io/service-account-token";
  const annotations = { "kubernetes.io/service-account.name": "default" };
  return [
    { what: "by a developer", object: secret("s1"), ...plain },
    { what: "empty", object: secret("s2", { data: {} }), ...plain },
    {
      what: "of a type of its own",
      object: secret("s3", { type: "kubernetes.io/basic-auth" }),
      ...plain,
    },
    {
      what: "by the agent",
      user: serviceAccount("argocd", "argocd-application-controller"),
      object: secret("s4"),
      ...plain,
    },
    {
      what: "by the controller's namesake elsewhere",
      user: serviceAccount("shop", "signet-controller"),
      object: secret("s5"),
      ...plain,
    },
    { what: "by the controller", user: controller, object: secret("s6") },
    { what: "changed by the controller", user: controller, ...update("s7", changed) },
    { what: "by a named manager", user: certManager, object: secret("s8") },
    {
      what: "by another account beside a named manager",
      user: serviceAccount("cert-manager", "webhook"),
      object: secret("s9"),
      ...plain,
    },
    {
      what: "by an account of a named group",
      user: serviceAccount("external-secrets", "any"),
      object: secret("s10"),
    },
    {
      what: "of a service account's token",
      object: secret("s11", { type: token, data: {}, metadata: { annotations } }),
    },
    { what: "of a Helm release", object: secret("s12", { type: "helm.sh/release.v1" }) },
    { what: "in an exempt namespace", object: secret("s13", { namespace: "kube-system" }) },
    {
      what: "in the release's own namespace",
      object: secret("s14", { namespace: POLICY_NAMESPACE }),
    },
    { what: "changed by a developer", ...update("s15", changed), ...plain },
    {
      what: "with one item more",
      ...update("s16", { data: { password: base64("hunter2"), more: "" } }),
      ...plain,
    },
    {
      what: "with one item less",
      ...update("s17", { data: {} }),
      ...plain,
    },
    {
      what: "labelled and annotated",
      ...update("s18", { metadata: { labels: { a: "b" }, annotations: { c: "d" } } }),
    },
    {
      what: "freed from a finalizer",
      object: secret("s19"),
      old: secret("s19", { metadata: { finalizers: ["example.org/wait"] } }),
    },
  ];
}

const update = (name: string, parts: SecretParts): Pick<PolicyCase, "old" | "object"> => ({
  old: secret(name),
  object: secret(name, parts),
});

type Seal = (name: string, parts?: SealParts) => Promise<PolicyObject>;

interface SealParts {
  readonly namespace?: string;
  readonly scope?: Scope;
  readonly bits?: readonly number[];
  readonly annotations?: Record<string, string>;
}

const ITEMS = ["username", "password"];

function sealer(): Seal {
  const keys = new Map<number, ReturnType<typeof importPublicKey>>();
  const keyOf = (bits: number): ReturnType<typeof importPublicKey> => {
    const found = keys.get(bits);
    if (found !== undefined) return found;
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: bits });
    const key = importPublicKey(publicKey.export({ type: "spki", format: "der" }));
    keys.set(bits, key);
    return key;
  };
  return async (name, { namespace = "shop", scope = "strict", bits = [4096], ...more } = {}) => {
    const label = labelBytes(scope, namespace, name);
    const encryptedData: Record<string, string> = {};
    for (const [i, each] of bits.entries()) {
      const item = ITEMS[i] ?? `item-${i}`;
      const envelope = await encryptValue(await keyOf(each), Buffer.from("hunter2"), label);
      encryptedData[item] = envelopeText(envelopeBytes(envelope));
    }
    const annotations = { ...scopeAnnotations(scope), ...more.annotations };
    return {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { name, namespace, annotations },
      spec: { encryptedData },
    };
  };
}

async function scopeCases(seal: Seal): Promise<PolicyCase[]> {
  const wide = { refusedBy: "scopes", says: "is cluster-wide, and the namespace allows" } as const;
  const inPlace = (namespace: string, scope: Scope): string => `${scope} in ${namespace}`;
  const allowed: [string, Scope][] = [
    ["shop", "cluster-wide"],
    ["shop", "selector team=a"],
    ["wide", "cluster-wide"],
    ["selected", "namespace-wide"],
    ["selected", "selector team=a"],
    ["narrow", "strict"],
    ["narrow", "namespace-wide"],
    ["strict", "strict"],
    ["misspelt", "strict"],
  ];
  const refused: [string, Scope][] = [
    ["selected", "cluster-wide"],
    ["narrow", "selector team=a"],
    ["narrow", "cluster-wide"],
    ["strict", "namespace-wide"],
    ["strict", "selector team=a"],
    ["strict", "cluster-wide"],
    ["misspelt", "namespace-wide"],
  ];
  const cases: PolicyCase[] = [];
  const nameOf = (scope: Scope): string => scope.split(" ")[0] ?? "";
  for (const [namespace, scope] of allowed) {
    const object = await seal(`scope-${nameOf(scope)}`, { namespace, scope });
    cases.push({ what: inPlace(namespace, scope), object });
  }
  for (const [namespace, scope] of refused) {
    const object = await seal(`scope-${nameOf(scope)}`, { namespace, scope });
    const says = `is ${nameOf(scope)}, and the namespace allows`;
    cases.push({ what: inPlace(namespace, scope), object, ...wide, says });
  }
  const said = { "sealedsecrets.bitnami.com/cluster-wide": "yes" };
  const both = { ...scopeAnnotations("selector team=a"), ...scopeAnnotations("cluster-wide") };
  cases.push({
    what: "with a selector beside a wider scope",
    object: await seal("scope-both", { namespace: "selected", annotations: both }),
    ...wide,
  });
  cases.push({
    what: "with an annotation that asks for nothing",
    object: await seal("scope-said", { namespace: "strict", annotations: said }),
  });
  const old = await seal("scope-old", { namespace: "narrow", scope: "cluster-wide" });
  const { metadata } = old;
  const labels = { a: "b" };
  const rendered = await seal("scope-template", { namespace: "narrow", scope: "cluster-wide" });
  cases.push(
    {
      what: "too wide from before, with another template",
      old: rendered,
      object: withTemplate(rendered),
    },
    {
      what: "too wide from before, labelled",
      old,
      object: { ...old, metadata: { ...metadata, labels } },
    },
    {
      what: "too wide from before, with another value",
      old: await seal("scope-value", { namespace: "narrow", scope: "cluster-wide" }),
      object: await seal("scope-value", { namespace: "narrow", scope: "cluster-wide" }),
      ...wide,
    },
    {
      what: "too wide from before, made narrow",
      old: await seal("scope-narrowed", { namespace: "narrow", scope: "cluster-wide" }),
      object: await seal("scope-narrowed", { namespace: "narrow" }),
    },
  );
  const narrow = await seal("scope-widened", { namespace: "strict" });
  const annotations = scopeAnnotations("cluster-wide");
  const object = { ...narrow, metadata: { ...narrow.metadata, annotations } };
  cases.push({ what: "widened by its annotation alone", old: narrow, object, ...wide });
  return cases;
}

const withTemplate = (object: PolicyObject): PolicyObject => ({
  ...object,
  spec: { ...object.spec, template: { data: { url: "db://{{ .password }}" } } },
});

async function keyCases(seal: Seal): Promise<PolicyCase[]> {
  const says = "fewer than 3072 bits: ";
  const short = { refusedBy: "key-size", says } as const;
  const old = await seal("key-old", { bits: [2048] });
  const rendered = await seal("key-template", { bits: [2048] });
  const many = Array.from({ length: 25 }, () => 2048);
  const { spec: _, ...without } = await seal("key-none");
  const whole = (await seal("key-whole", { bits: [2048] })).spec as {
    encryptedData: Record<string, string>;
  };
  const data = whole.encryptedData[ITEMS[0] ?? ""] ?? "";
  return [
    { what: "under 4096 bits", object: await seal("key-4096") },
    { what: "under 3072 bits, the least", object: await seal("key-3072", { bits: [3072] }) },
    {
      what: "under 2048 bits",
      object: await seal("key-2048", { bits: [2048] }),
      ...short,
      says: `${says}username`,
    },
    {
      what: "with one value of two under 2048 bits",
      object: await seal("key-mixed", { bits: [4096, 2048] }),
      ...short,
      says: `${says}password`,
    },
    {
      what: "with a value that is none",
      object: { ...without, spec: { encryptedData: { a: "" } } },
      ...short,
      says: `${says}a`,
    },
    {
      what: "with many values under 2048 bits",
      object: await seal("key-many", { bits: many }),
      ...short,
      says: `${says}25 items`,
    },
    { what: "without values", object: { ...without, spec: { encryptedData: {} } } },
    {
      what: "of before 2019, in one value under 2048 bits",
      object: { ...without, spec: { encryptedData: {}, data } },
      ...short,
      says: `${says}spec.data`,
    },
    {
      what: "under 2048 bits from before, labelled",
      old,
      object: { ...old, metadata: { ...old.metadata, labels: { a: "b" } } },
    },
    {
      what: "under 2048 bits from before, with another template",
      old: rendered,
      object: withTemplate(rendered),
    },
    {
      what: "under 2048 bits from before, with another value",
      old: await seal("key-value", { bits: [2048] }),
      object: await seal("key-value", { bits: [2048] }),
      ...short,
    },
  ];
}

async function hybridCases(seal: Seal): Promise<PolicyCase[]> {
  const certificate = parseCertificate(readFileSync("test/fixtures/hybrid-cert.pem", "utf8"));
  const hybrid = await sealToText(certificate, Buffer.from("hunter2"), Buffer.from("any"));
  const withHybrid = async (name: string, namespace: string): Promise<PolicyObject> => ({
    ...(await seal(name, { namespace })),
    spec: { encryptedData: { password: hybrid } },
  });
  const said = { refusedBy: "hybrid", says: "must be hybrid: " } as const;
  const rsa = await seal("hybrid-rsa", { namespace: "quantum" });
  const { encryptedData } = rsa.spec as { encryptedData: Record<string, string> };
  const old = await seal("hybrid-old", { namespace: "quantum" });
  return [
    { what: "that is hybrid, of no RSA length", object: await withHybrid("hybrid-free", "shop") },
    {
      what: "that is hybrid, where it must be",
      object: await withHybrid("hybrid-must", "quantum"),
    },
    {
      what: "under RSA where hybrid is required",
      object: rsa,
      ...said,
      says: `${said.says}username`,
    },
    {
      what: "with one value of two under RSA where hybrid is required",
      object: { ...rsa, spec: { encryptedData: { ...encryptedData, password: hybrid } } },
      ...said,
      says: `${said.says}username`,
    },
    {
      what: "of before 2019 under RSA where hybrid is required",
      object: { ...rsa, spec: { encryptedData: {}, data: encryptedData["username"] } },
      ...said,
      says: `${said.says}spec.data`,
    },
    {
      what: "under RSA from before, labelled, where hybrid is required",
      old,
      object: { ...old, metadata: { ...old.metadata, labels: { a: "b" } } },
    },
    {
      what: "moved from hybrid back to RSA where hybrid is required",
      old: await withHybrid("hybrid-back", "quantum"),
      object: await seal("hybrid-back", { namespace: "quantum" }),
      ...said,
    },
  ];
}

/** Each object has a unique name in its namespace, unless it is never stored. */
export async function policyCases(): Promise<PolicyCase[]> {
  const seal = sealer();
  return [
    ...secretCases(),
    ...(await scopeCases(seal)),
    ...(await keyCases(seal)),
    ...(await hybridCases(seal)),
  ].map((each) => ({ user: DEVELOPER, ...each }));
}

export const caseTitle = ({ object, what, refusedBy }: PolicyCase): string =>
  `a ${object.kind} ${what} is ${refusedBy === undefined ? "let through" : "refused"}`;
