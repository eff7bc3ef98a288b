// The cases of test/vectors/object and test/vectors/secret.
// SPEC.md, "SealedSecrets", "Templates", "Secrets".

import { envelopeBytes } from "../../shared/envelopes/rsa.ts";
import { base64, bytes, type Case, certificateOf, CLUSTER_WIDE, json, NAMESPACE_WIDE, ORIGINAL, originalSealed, originalUnsealed, ourEnvelope, OURS, ourValue, type Place, type Sections, SELECTOR, STRICT } from "./tools.ts";

const SCOPED = "sealedsecrets.bitnami.com";

interface ObjectCase {
  readonly name: string;
  readonly comment: string;
  readonly by?: string;
  readonly headers?: Sections;
  readonly sealed: () => string | Promise<string>;
  /** The Secret by hand; without it the Go original is asked. */
  readonly secret?: unknown;
}

function opened(vector: ObjectCase): Case {
  const { name, comment, by = ORIGINAL, headers = {}, sealed, secret } = vector;
  return {
    kind: "object",
    name,
    comment,
    by,
    make: async () => {
      const sealedsecret = await sealed();
      return {
        headers: { keys: "first", ...headers, expect: "secret" },
        sections: {
          sealedsecret,
          secret: secret === undefined ? originalUnsealed(sealedsecret) : json(secret),
        },
      };
    },
  };
}

function refused(expect: string, vector: ObjectCase): Case {
  const { name, comment, by = "hand", headers = {}, sealed } = vector;
  return {
    kind: "object",
    name,
    comment,
    by,
    make: async () => ({
      headers: { keys: "first", ...headers, expect },
      sections: { sealedsecret: await sealed() },
    }),
  };
}

const PLAIN = `apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: demo
data:
  password: aHVudGVyMg==
`;

function secretWith(metadata: string, rest = ""): string {
  return PLAIN.replace("\ndata:\n", `\n${metadata}${rest}data:\n`);
}

/** A SealedSecret by hand around values that we sealed. */
async function around(
  parts: {
    readonly values?: Readonly<Record<string, string>>;
    readonly metadata?: string;
    readonly template?: string;
    readonly place?: Place;
  } = {},
): Promise<string> {
  const { values = { password: "hunter2" }, metadata = "", template = "", place = STRICT } = parts;
  const items = await Promise.all(
    Object.entries(values).map(async ([item, plaintext]) => {
      return `    ${item}: ${await ourValue(bytes(plaintext), "first", place)}\n`;
    }),
  );
  const data = items.length === 0 ? "  encryptedData: {}\n" : `  encryptedData:\n${items.join("")}`;
  return `apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: db
  namespace: demo
${metadata}spec:
${data}${template}`;
}

const selectorSaid = (text: string): string =>
  `  annotations:\n    kube-signet/namespace-selector: ${JSON.stringify(text)}\n`;

const SECRET = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "db", namespace: "demo" },
  data: { password: "aHVudGVyMg==" },
};

const MADE: readonly Case[] = [
  opened({
    name: "strict",
    comment: "No annotation: strict.",
    sealed: () => originalSealed(PLAIN, "first"),
  }),
  opened({
    name: "namespace-wide",
    comment: "The annotation stands on the SealedSecret and in the template.",
    sealed: () => originalSealed(PLAIN, "first", ["--scope", "namespace-wide"]),
  }),
  opened({
    name: "cluster-wide",
    comment: "The annotation stands on the SealedSecret and in the template.",
    sealed: () => originalSealed(PLAIN, "first", ["--scope", "cluster-wide"]),
  }),
  opened({
    name: "labels-annotations-type",
    comment: "They stand in the template and reach the Secret, not the SealedSecret.",
    sealed: () =>
      originalSealed(
        secretWith(
          "  labels:\n    app: db\n  annotations:\n    owner: team-a\n",
          "type: kubernetes.io/basic-auth\n",
        ),
        "first",
      ),
  }),
  opened({
    name: "immutable-finalizers",
    comment: "Both reach the Secret.",
    sealed: () =>
      originalSealed(
        secretWith("  finalizers:\n  - example.com/hold\n", "immutable: true\n"),
        "first",
      ),
  }),
  opened({
    name: "several-items",
    comment: "Item names with every letter that they may have; stringData is sealed as well.",
    sealed: () =>
      originalSealed(
        `${PLAIN}  tls.crt: AAECAw==\n  .dockercfg: e30=\n  A_b-c.9: ""\nstringData:\n  text: "ä"\n`,
        "first",
      ),
  }),
  opened({
    name: "many-keys",
    comment: "Under the older of two keys that are held.",
    headers: { keys: "second first" },
    sealed: () => originalSealed(PLAIN, "first"),
  }),
  opened({
    name: "empty",
    comment: "No value at all is allowed when asked for.",
    sealed: () =>
      originalSealed(PLAIN.replace(/^data:\n.*\n/m, ""), "first", ["--allow-empty-data"]),
  }),
  opened({
    name: "stamp",
    comment: "Ours says in an annotation under which key the values are; the original ignores it.",
    by: OURS,
    sealed: () =>
      around({
        metadata: `  annotations:\n    kube-signet/sealed-under: ${certificateOf("first").fingerprint}\n`,
      }),
  }),
  opened({
    name: "stamp-wrong",
    comment: "A stamp is a hint: a wrong one costs time and nothing else.",
    by: OURS,
    headers: { keys: "second first" },
    sealed: () =>
      around({
        metadata: `  annotations:\n    kube-signet/sealed-under: ${certificateOf("second").fingerprint}\n`,
      }),
  }),
  opened({
    name: "stamp-garbage",
    comment: "Nor does a stamp that says nothing sensible.",
    by: OURS,
    sealed: () =>
      around({
        metadata: `  annotations:\n    kube-signet/sealed-under: "; =;;password=; SHA256:"\n`,
      }),
  }),
  opened({
    name: "status-ignored",
    comment: "What a cluster adds to a SealedSecret does not reach the Secret.",
    by: "hand",
    sealed: async () =>
      `${await around({
        metadata:
          '  uid: 6f0f1c1e-0000-4000-8000-000000000000\n  resourceVersion: "7"\n  generation: 2\n' +
          "  labels:\n    mine: alone\n",
      })}status:\n  observedGeneration: 2\n  conditions:\n  - type: Synced\n    status: "False"\n`,
  }),
];

const SCOPES: readonly Case[] = [
  opened({
    name: "both-scope-annotations",
    comment: "cluster-wide wins over namespace-wide.",
    by: "hand",
    sealed: () =>
      around({
        place: CLUSTER_WIDE,
        metadata: `  annotations:\n    ${SCOPED}/cluster-wide: "true"\n    ${SCOPED}/namespace-wide: "true"\n`,
      }),
  }),
  opened({
    name: "scope-annotation-not-true",
    comment: 'Only the exact text "true" counts: this one is strict.',
    by: "hand",
    sealed: () => around({ metadata: `  annotations:\n    ${SCOPED}/cluster-wide: "True"\n` }),
  }),
  opened({
    name: "selector",
    comment: "An annotation says which namespaces; the original ignores it and opens nothing.",
    by: OURS,
    headers: { original: "refused" },
    sealed: () => around({ place: SELECTOR, metadata: selectorSaid("team=a") }),
    secret: SECRET,
  }),
  ...(
    [
      ["respelled", "Another spelling of the selector than the canonical one.", "team in (a)"],
      ["empty", "A selector of all namespaces.", ""],
      ["of-no-label", "It asks for no label, so namespaces without any would match.", "team!=b"],
      ["not-one", "No selector.", "team=a,"],
      ["compares", "Comparisons of numbers are not part of it.", "team=a,rank>1"],
    ] as const
  ).map(([name, comment, text]) =>
    refused("sealedsecret-invalid", {
      name: `selector-${name}`,
      comment,
      headers: { original: "refused" },
      sealed: () => around({ place: SELECTOR, metadata: selectorSaid(text) }),
    }),
  ),
  refused("sealedsecret-invalid", {
    name: "selector-beside-cluster-wide",
    comment: "Two scopes are said. The original knows the other one, and opens it.",
    headers: { original: "opened" },
    sealed: () =>
      around({
        place: CLUSTER_WIDE,
        metadata: `${selectorSaid("team=a")}    ${SCOPED}/cluster-wide: "true"\n`,
      }),
  }),
  refused("decrypt-failed", {
    name: "selector-changed",
    comment: "Sealed for team=a, and the annotation was changed to another selector.",
    headers: { items: "password" },
    sealed: () => around({ place: SELECTOR, metadata: selectorSaid("team=b") }),
  }),
  refused("decrypt-failed", {
    name: "selector-from-template",
    comment: "The selector is the SealedSecret's own; an annotation in the template is none.",
    headers: { items: "password" },
    sealed: () =>
      around({
        place: SELECTOR,
        template: `  template:\n    metadata:\n      annotations:\n        kube-signet/namespace-selector: team=a\n`,
      }),
  }),
  refused("decrypt-failed", {
    name: "scope-from-template",
    comment: "The scope is the SealedSecret's own; an annotation in the template widens nothing.",
    headers: { items: "password" },
    sealed: () =>
      around({
        place: CLUSTER_WIDE,
        template: `  template:\n    metadata:\n      annotations:\n        ${SCOPED}/cluster-wide: "true"\n`,
      }),
  }),
  opened({
    name: "name-from-template",
    comment: "Name and namespace are the SealedSecret's own, whatever the template says.",
    by: "hand",
    sealed: () =>
      around({
        template: "  template:\n    metadata:\n      name: other\n      namespace: kube-system\n",
      }),
  }),
  refused("decrypt-failed", {
    name: "moved",
    comment: "A strict SealedSecret copied to another namespace.",
    headers: { items: "password" },
    sealed: async () => (await around()).replace("namespace: demo", "namespace: other"),
  }),
];

const TEMPLATES: readonly Case[] = [
  opened({
    name: "template",
    comment: "A template sees the values, binary-safe, and its result is one more item.",
    by: "hand",
    sealed: () =>
      around({
        values: { user: "admin", password: "hunter2" },
        template:
          "  template:\n    data:\n" +
          '      url: "postgres://{{ .user }}:{{ .password | urlquery }}@db/app"\n',
      }),
  }),
  opened({
    name: "template-index",
    comment: "An item whose name is no identifier is reached with index.",
    by: "hand",
    sealed: () =>
      around({
        values: { "tls.crt": "PEM" },
        template: "  template:\n    data:\n      copy: '{{ index . \"tls.crt\" | b64enc }}'\n",
      }),
  }),
  opened({
    name: "template-missing-value",
    comment: "A name that is not there renders as Go renders it.",
    by: "hand",
    sealed: () => around({ template: '  template:\n    data:\n      x: "{{ .absent }}"\n' }),
  }),
  opened({
    name: "template-without-values",
    comment: "Templates work with no sealed value at all.",
    by: "hand",
    sealed: () =>
      around({ values: {}, template: '  template:\n    data:\n      x: "{{ add 1 2 }}"\n' }),
  }),
  opened({
    name: "template-same-name",
    comment: "A sealed value wins over a template of the same name (the original: since 0.37).",
    by: "hand",
    headers: { original: "other" },
    sealed: () => around({ template: '  template:\n    data:\n      password: "replaced"\n' }),
    secret: SECRET,
  }),
  opened({
    name: "template-sees-template",
    comment: "A template sees the source of another, not its result (the original: since 0.37).",
    by: "hand",
    headers: { original: "other" },
    sealed: () =>
      around({
        template: '  template:\n    data:\n      a: "{{ .b }}"\n      b: "{{ .password }}"\n',
      }),
    secret: {
      ...SECRET,
      data: {
        ...SECRET.data,
        a: base64(bytes("{{ .password }}")),
        b: base64(bytes("hunter2")),
      },
    },
  }),
  refused("template-failed", {
    name: "template-syntax",
    comment: "The error names the item and quotes nothing.",
    sealed: () => around({ template: '  template:\n    data:\n      x: "{{ .password "\n' }),
  }),
  refused("template-failed", {
    name: "template-fail-function",
    comment: "The original publishes the argument of fail, here a value, in the status.",
    sealed: () => around({ template: '  template:\n    data:\n      x: "{{ fail .password }}"\n' }),
  }),
  refused("template-failed", {
    name: "template-env",
    comment: "No function reads the environment.",
    sealed: () => around({ template: `  template:\n    data:\n      x: '{{ env "HOME" }}'\n` }),
  }),
  refused("template-failed", {
    name: "template-random",
    comment: "Another result at each run would be another Secret at each run.",
    headers: { original: "opened" },
    sealed: () => around({ template: "  template:\n    data:\n      x: '{{ randAlpha 8 }}'\n" }),
  }),
  refused("template-failed", {
    name: "template-endless",
    comment: "A template has a limit on its work.",
    sealed: () =>
      around({
        template:
          "  template:\n    data:\n      x: '{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}{{ end }}'\n",
      }),
  }),
];

async function legacy(plaintext: string, damage = false): Promise<string> {
  const envelope = envelopeBytes(await ourEnvelope(bytes(plaintext), "first", STRICT));
  if (damage) envelope[300] = (envelope[300] ?? 0) ^ 1;
  return `apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: db
  namespace: demo
spec:
  data: ${base64(envelope)}
`;
}

const OLD_SECRET = JSON.stringify({
  ...SECRET,
  metadata: { ...SECRET.metadata, creationTimestamp: null, labels: { app: "db" } },
  type: "Opaque",
});

const LEGACY: readonly Case[] = [
  opened({
    name: "legacy",
    comment: "The form before 2019: the JSON of the whole Secret in one envelope.",
    by: "hand",
    headers: { original: "refused" },
    sealed: () => legacy(OLD_SECRET),
    secret: {
      ...SECRET,
      metadata: { ...SECRET.metadata, labels: { app: "db" } },
      type: "Opaque",
    },
  }),
  opened({
    name: "legacy-name",
    comment: "Name and namespace are the SealedSecret's, whatever the JSON inside says.",
    by: "hand",
    headers: { original: "refused" },
    sealed: () => legacy(OLD_SECRET.replace('"db","namespace":"demo"', '"x","namespace":"y"')),
    secret: {
      ...SECRET,
      metadata: { ...SECRET.metadata, labels: { app: "db" } },
      type: "Opaque",
    },
  }),
  refused("decrypt-failed", {
    name: "legacy-damaged",
    comment: "One bit of the envelope is flipped.",
    sealed: () => legacy(OLD_SECRET, true),
  }),
  refused("sealedsecret-invalid", {
    name: "legacy-not-json",
    comment: "The envelope opens and holds no JSON; the error quotes none of it.",
    sealed: () => legacy("hunter2"),
  }),
  refused("sealedsecret-invalid", {
    name: "legacy-not-base64",
    comment: "spec.data is no base64.",
    sealed: async () => (await legacy(OLD_SECRET)).replace(/data: .*/, 'data: "hunter2!"'),
  }),
  refused("sealedsecret-invalid", {
    name: "legacy-and-values",
    comment: "Both forms at once.",
    sealed: async () => {
      const [, data] = /( {2}data: .*\n)/.exec(await legacy(OLD_SECRET)) ?? [];
      return `${await around()}${data ?? ""}`;
    },
  }),
];

const SHAPES: readonly Case[] = [
  refused("decrypt-failed", {
    name: "one-of-two-damaged",
    comment: "All values open, or no Secret is made; the error names the item.",
    headers: { items: "other" },
    sealed: async () => {
      const text = await around({ values: { password: "hunter2", other: "x" } });
      return text.replace(/(other: .{40})./, (_, start: string) => `${start}!`);
    },
  }),
  refused("decrypt-failed", {
    name: "two-damaged",
    comment: "Every item that does not open is named.",
    headers: { items: "a b" },
    sealed: () =>
      Promise.resolve(
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: db\n" +
          '  namespace: demo\nspec:\n  encryptedData:\n    b: "AgA="\n    a: ""\n',
      ),
  }),
  refused("sealedsecret-invalid", {
    name: "value-number",
    comment: "A value that is a number; the original takes it for an empty text.",
    sealed: async () => (await around()).replace(/password: .*/, "password: 12345678"),
  }),
  refused("sealedsecret-invalid", {
    name: "value-null",
    comment: "A value that is null.",
    sealed: async () => (await around()).replace(/password: .*/, "password:"),
  }),
  refused("sealedsecret-invalid", {
    name: "item-name",
    comment: "A name with a slash is no name for an item.",
    headers: { original: "opened" },
    sealed: async () => (await around()).replace("password:", "a/b:"),
  }),
  refused("sealedsecret-invalid", {
    name: "item-name-dots",
    comment: "A name that begins with two dots climbs out of a folder where Secrets are files.",
    headers: { original: "opened" },
    sealed: async () => (await around()).replace("password:", "..data:"),
  }),
  refused("sealedsecret-invalid", {
    name: "name-with-slash",
    comment: "No object of Kubernetes has such a name.",
    sealed: async () => (await around()).replace("name: db", "name: ../db"),
  }),
  refused("sealedsecret-invalid", {
    name: "encrypted-data-list",
    comment: "encryptedData is a list.",
    sealed: async () => (await around()).replace(/encryptedData:\n.*\n/, "encryptedData: [a]\n"),
  }),
  refused("sealedsecret-invalid", {
    name: "template-type-number",
    comment: "The type is no text.",
    sealed: () => around({ template: "  template:\n    type: 7\n" }),
  }),
  refused("sealedsecret-invalid", {
    name: "template-label-boolean",
    comment: "A label is text.",
    headers: { original: "opened" },
    sealed: () =>
      around({ template: "  template:\n    metadata:\n      labels:\n        a: yes\n" }),
  }),
  refused("wrong-kind", {
    name: "secret",
    comment: "A Secret where a SealedSecret is expected.",
    sealed: () => PLAIN,
  }),
  refused("wrong-kind", {
    name: "api-version",
    comment: "A version that does not exist.",
    headers: { original: "opened" },
    sealed: async () => (await around()).replace("v1alpha1", "v1"),
  }),
  refused("manifest-syntax", {
    name: "yaml-broken",
    comment: "Not YAML.",
    sealed: async () => (await around()).replace("spec:", "spec: ["),
  }),
  refused("manifest-ambiguous", {
    name: "yaml-duplicate-key",
    comment: "A key that stands there twice: which one counts?",
    sealed: async () => (await around()).replace("  namespace: demo\n", "$&  namespace: other\n"),
  }),
  opened({
    name: "namespace-wide-moved-name",
    comment: "A namespace-wide SealedSecret renamed.",
    by: "hand",
    sealed: async () =>
      (
        await around({
          place: NAMESPACE_WIDE,
          metadata: `  annotations:\n    ${SCOPED}/namespace-wide: "true"\n`,
        })
      ).replace("name: db", "name: else"),
  }),
];

export const OBJECT_CASES: readonly Case[] = [
  ...MADE,
  ...SCOPES,
  ...TEMPLATES,
  ...LEGACY,
  ...SHAPES,
];

function secretCase(
  name: string,
  comment: string,
  manifest: string,
  result: string | { secret: unknown },
): Case {
  return {
    kind: "secret",
    name,
    comment,
    by: "hand",
    make: () =>
      Promise.resolve(
        typeof result === "string"
          ? { headers: { expect: result }, sections: { manifest } }
          : {
              headers: { expect: "accepted" },
              sections: { manifest, secret: json(result.secret) },
            },
      ),
  };
}

export const SECRET_CASES: readonly Case[] = [
  secretCase("data", "Values in base64.", PLAIN, { secret: SECRET }),
  secretCase(
    "string-data",
    "stringData is folded into data, and wins over an item of the same name there.",
    `${PLAIN}stringData:\n  password: "ä"\n  user: admin\n`,
    { secret: { ...SECRET, data: { password: "w6Q=", user: "YWRtaW4=" } } },
  ),
  secretCase(
    "null-value",
    "A value of null is an empty one, as the API server has it.",
    PLAIN.replace("aHVudGVyMg==", ""),
    { secret: { ...SECRET, data: { password: "" } } },
  ),
  secretCase(
    "base64-lines",
    "Base64 in a block, with line breaks.",
    PLAIN.replace("aHVudGVyMg==", "|\n    aHVu\n    dGVyMg==\n"),
    { secret: SECRET },
  ),
  secretCase(
    "data-not-base64",
    "Plain text under data.",
    PLAIN.replace("aHVudGVyMg==", "hunter2"),
    "secret-invalid",
  ),
  secretCase(
    "number",
    "A number without quotes: 0123 would be sealed as 83.",
    `${PLAIN}stringData:\n  pin: 0123\n`,
    "secret-invalid",
  ),
  secretCase(
    "boolean",
    "The word yes without quotes.",
    `${PLAIN}stringData:\n  answer: yes\n`,
    "secret-invalid",
  ),
  secretCase(
    "item-name",
    "{password:hunter2} lacks a space: it makes a name of the value, which no error may quote.",
    PLAIN.replace(/^data:\n.*\n/m, "stringData: {password:hunter2}\n"),
    "secret-invalid",
  ),
  secretCase(
    "values-not-mapping",
    "The same in a block is one text.",
    PLAIN.replace(/^data:\n.*\n/m, "stringData:\n  password:hunter2\n"),
    "secret-invalid",
  ),
  secretCase(
    "label-number",
    "A label is text.",
    secretWith("  labels:\n    version: 1.10\n"),
    "secret-invalid",
  ),
  secretCase(
    "name",
    "No object of Kubernetes has such a name.",
    PLAIN.replace("name: db", "name: My_DB"),
    "secret-invalid",
  ),
  secretCase("config-map", "Another kind.", PLAIN.replace("Secret", "ConfigMap"), "wrong-kind"),
  secretCase("no-api-version", "Of which version?", PLAIN.replace(/^.*\n/, ""), "wrong-kind"),
];
