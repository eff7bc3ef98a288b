import { describe, expect, it } from "vitest";
import { withoutValues } from "../../cli/commands/git/textconv.ts";

const CIPHERTEXT = `Ag${"hunter2".repeat(30)}==`;
const HEAD = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db}\nspec:\n";

/** Text in which each hash is told as `HASH`. */
const shown = (text: string): string =>
  withoutValues(text).replace(/<sealed [0-9a-f]{12}>/g, "<sealed HASH>");

describe("a ciphertext", () => {
  it.for([
    [
      "plain",
      `  encryptedData:\n    a: ${CIPHERTEXT} # kept\n`,
      "  encryptedData:\n    a: <sealed HASH> # kept\n",
    ],
    [
      "quoted",
      `  encryptedData: {"a": "${CIPHERTEXT}", b: ''}\n`,
      '  encryptedData: {"a": <sealed HASH>, b: <sealed HASH>}\n',
    ],
    [
      "in a block",
      `  encryptedData:\n    a: >-\n      ${CIPHERTEXT}\n      ${CIPHERTEXT}\n    b: x\n`,
      "  encryptedData:\n    a: <sealed HASH>\n    b: <sealed HASH>\n",
    ],
    [
      "of the old form",
      `  data: ${CIPHERTEXT}\n  template: {type: Opaque}\n`,
      "  data: <sealed HASH>\n  template: {type: Opaque}\n",
    ],
    ["missing", "  encryptedData:\n    a:\n", "  encryptedData:\n    a:\n"],
  ])("is a short hash: %s", ([, text, expected]) => {
    expect(shown(HEAD + (text as string))).toBe(HEAD + (expected as string));
  });

  it("has the same hash however it is folded, and another one when it changes", () => {
    const of = (value: string): string =>
      withoutValues(`${HEAD}  encryptedData:\n    a: ${value}\n`);
    expect(of(CIPHERTEXT)).toBe(
      of(`>-\n      ${CIPHERTEXT.slice(0, 60)}\n      ${CIPHERTEXT.slice(60)}`),
    );
    expect(of(CIPHERTEXT)).not.toBe(of(CIPHERTEXT.replace("h", "H")));
  });

  it("is hidden in Lists and in each document", () => {
    const one = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      spec: { encryptedData: { a: CIPHERTEXT } },
    };
    const list = { kind: "List", items: [one, { kind: "SealedSecretList", items: [one] }] };
    expect(withoutValues(`${JSON.stringify(list)}\n---\n${JSON.stringify(one)}`)).not.toContain(
      "hunter2",
    );
  });
});

describe("plain text", () => {
  it.for([
    [
      "data and stringData",
      "data: {a: hunter2}\nstringData:\n  b: 'hunter2'\n  c: |\n    hunter2: hunter2\n\n  d: x\n",
    ],
    ["values that are no text", "stringData: {a: [hunter2], b: {hunter2: hunter2}}\n"],
    [
      "values over several lines",
      'stringData:\n  a:\n    - hunter2\n    - x\n  b: "hunter2\n    hunter2"\n',
    ],
    ["a tag", "stringData: {a: !!str hunter2}\n"],
    [
      "an annotation that quotes it",
      'metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "{hunter2}"}}\n',
    ],
  ])("is hidden: %s", ([, text]) => {
    const result = withoutValues(`apiVersion: v1\nkind: Secret\n${text as string}type: Opaque\n`);
    expect(result).not.toContain("hunter2");
    expect(result).toContain("<plain text>");
    expect(result).toMatch(/\ntype: Opaque\n$/);
  });
});

it.for([
  ["of another kind", "kind: ConfigMap\ndata:   {a: shown}\n"],
  ["that is no YAML", "-----BEGIN CERTIFICATE-----\n{{ :\n"],
  ["that is empty", ""],
  ["that is a template of another kind", "{{ if x }}\nkind: ConfigMap\ndata:\n  a: shown\n"],
])("leaves a file as it is: one %s", ([, text]) => {
  expect(withoutValues(text as string)).toBe(text);
});

describe("a file that cannot be read", () => {
  const marks = (one: string, other: string): string =>
    `<<<<<<< ours\n${one}=======\n${other}>>>>>>> theirs\n`;

  it("shows its conflict marks and keys, and no value", () => {
    const conflict = marks(`    a: ${CIPHERTEXT}\n`, `    a: ${CIPHERTEXT}x\n`);
    const text = `${HEAD}  encryptedData:\n${conflict}    b: >\n      ${CIPHERTEXT}\n  template:\n    type: Opaque\n`;
    expect(shown(text)).toBe(
      `${HEAD}  encryptedData:\n${marks("    a: <sealed HASH>\n", "    a: <sealed HASH>\n")}    b: <sealed HASH>\n  template:\n    type: Opaque\n`,
    );
    const hashes = withoutValues(text).match(/<sealed \w+>/g) ?? [];
    expect(hashes[0]).not.toBe(hashes[1]);
  });

  it.for([
    [
      "plain values",
      "stringData:\n  a: hunter2\n  b: |\n    hunter2: hunter2\n    hunter2\n  c:\n    - hunter2\n",
    ],
    ["values in braces", "stringData: {a: hunter2}\n"],
    ["a List", "items:\n- kind: Secret\n  data:\n    a: hunter2\n"],
    [
      "an annotation",
      "metadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      {hunter2}\n",
    ],
    [
      "an annotation of another tool",
      "metadata:\n  annotations:\n    example.org/last-applied-configuration: '{hunter2}'\n",
    ],
  ])("hides %s", ([, text]) => {
    const result = withoutValues(`{{ if x }}\nkind: Secret\n${text as string}type: Opaque\n`);
    expect(result).not.toContain("hunter2");
    expect(result).toMatch(/\ntype: Opaque\n$/);
  });

  it("hides what is in JSON as well", () => {
    const json = `{"kind": "Secret", "data": {"a": "hunter2"}}}`;
    expect(withoutValues(json)).toBe('{"kind": "Secret", "data": {...}}}');
    const lines = `{\n  "kind": "SealedSecret",\n  "spec": {\n    "encryptedData": {\n      "a": "${CIPHERTEXT}",\n    }\n  },,\n}\n`;
    expect(shown(lines)).toContain('      "a": <sealed HASH>\n    }\n');
  });

  it.for(["constructor", "toString", "__proto__"])("is shown as it is of kind %s", (kind) => {
    const text = `kind: ${kind}\nmetadata: {name: a}\ndata: {a: b}\n`;
    expect(withoutValues(text)).toBe(text);
  });

  it("shows which key a value is under", () => {
    const stamp = `SHA256:${"n".repeat(43)}`;
    expect(withoutValues(`kind: SealedSecret\nannotations:\n  under: ${stamp}\n{{\n`)).toContain(
      stamp,
    );
  });
});
