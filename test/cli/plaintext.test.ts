import { describe, expect, it } from "vitest";
import { findPlaintext } from "../../cli/checks/plaintext.ts";

const BASE64 = Buffer.from("hunter2").toString("base64");
const HEAD = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\n";

/** Each finding as `LINE RULE OBJECT ITEMS`. */
const found = (text: string, isChartTemplate = false): string[] =>
  findPlaintext(text, { isChartTemplate }).map(({ line, rule, object, items }) =>
    [line, rule, object ?? "-", items.join(",")].join(" "),
  );

describe("a Secret with a value", () => {
  it.for([
    ["stringData", `${HEAD}stringData: {a: hunter2}\n`, "1 plaintext-secret shop/db a"],
    ["data", `${HEAD}data: {a: ${BASE64}}\n`, "1 plaintext-secret shop/db a"],
    ["data that is no base64", `${HEAD}data: {a: "hunter2!"}\n`, "1 plaintext-secret shop/db a"],
    ["a number", `${HEAD}stringData: {a: 1234}\n`, "1 plaintext-secret shop/db a"],
    ["a block", `${HEAD}stringData:\n  a: |\n    hunter2\n`, "1 plaintext-secret shop/db a"],
    [
      "CRLF",
      `${HEAD}stringData: {a: hunter2}\n`.replaceAll("\n", "\r\n"),
      "1 plaintext-secret shop/db a",
    ],
    [
      "a kind in base64",
      "kind: !!binary U2VjcmV0\nstringData: {a: hunter2}\n",
      "1 plaintext-secret - a",
    ],
    [
      "a kind in escapes of YAML",
      'kind: "\\x53ecret"\nstringData: {a: hunter2}\n',
      "1 plaintext-secret - a",
    ],
    [
      "a literal in a SealedSecret's template",
      "kind: SealedSecret\nspec: {template: {data: {a: hunter2, b: '{{ .b }}'}}}\n",
      "2 plaintext-secret - a",
    ],
    [
      "both fields",
      `${HEAD}data: {a: ${BASE64}}\nstringData: {b: x1, c: ""}\n`,
      "1 plaintext-secret shop/db a,b",
    ],
    ["no name", "kind: Secret\nstringData: {a: hunter2}\n", "1 plaintext-secret - a"],
    ["JSON", '\n{"kind": "Secret", "stringData": {"a": "hunter2"}}', "2 plaintext-secret - a"],
    [
      "JSON in escapes",
      '{"kind": "\\u0053ecret", "stringData": {"a": "hunter2"}}',
      "1 plaintext-secret - a",
    ],
    [
      "a further document",
      `kind: Other\n---\n${HEAD}stringData: {a: hunter2}\n`,
      "3 plaintext-secret shop/db a",
    ],
    [
      "a List",
      `kind: List\nitems:\n- kind: Other\n- kind: Secret\n  stringData: {a: hunter2}\n`,
      "4 plaintext-secret - a",
    ],
    [
      "a SecretList",
      "kind: SecretList\nitems:\n- stringData: {a: hunter2}\n",
      "3 plaintext-secret - a",
    ],
    [
      "a List in a List",
      "kind: List\nitems:\n- kind: List\n  items:\n  - kind: Secret\n    data: {a: aA==}\n",
      "5 plaintext-secret - a",
    ],
  ])("is found: %s", ([, text, expected]) => {
    expect(found(text as string)).toEqual([expected]);
  });

  it.for([
    ["text around a placeholder that is a password", "postgres://{{ .user }}:hunter2@db"],
    ["a constant in a template", '{{ "hunter2" | b64enc }}'],
    ["a password in a file with placeholders", "host: ${HOST}\npassword: hunter2\n"],
    ["a word in brackets beside others", "<a> hunter2"],
  ])("is found: %s", ([, value]) => {
    expect(found(`${HEAD}stringData: {a: ${JSON.stringify(value)}}\n`)).toHaveLength(1);
  });

  it("is found in each annotation that quotes it, also in a SealedSecret's template", () => {
    const quoted = JSON.stringify({ kind: "Secret", metadata: { name: "x" }, data: { a: BASE64 } });
    const annotations = {
      "kubectl.kubernetes.io/last-applied-configuration": quoted,
      "kubecfg.ksonnet.io/last-applied-configuration": quoted,
      "example.org/last-applied-configuration": quoted,
    };
    const sealed = {
      kind: "SealedSecret",
      metadata: { annotations },
      spec: { encryptedData: { a: "AgAB" }, template: { metadata: { annotations } } },
    };
    expect(found(JSON.stringify(sealed))).toEqual(Array(6).fill("1 last-applied x a"));
  });

  it.for([
    [
      "values of a chart",
      `extraObjects:\n- ${HEAD.replaceAll("\n", "\n  ")}stringData: {a: hunter2}\n`,
    ],
    [
      "an OpenShift template",
      JSON.stringify({
        kind: "Template",
        objects: [
          { kind: "Secret", metadata: { name: "db", namespace: "shop" }, data: { a: BASE64 } },
        ],
      }),
    ],
    [
      "what Crossplane makes",
      `kind: Object\nspec:\n  forProvider:\n    manifest:\n      ${HEAD.replaceAll("\n", "\n      ")}stringData: {a: hunter2}\n`,
    ],
  ])("is found whole in something else: %s", ([, text]) => {
    expect(found(text as string)).toEqual([
      expect.stringMatching(/^\d plaintext-secret shop\/db a$/),
    ]);
  });

  it.for(["kind: Secret\nextra: ", "kind: Secret\nitems: ", "{kind: List, items: [], extra: "])(
    "is found in something that says it is a Secret or a List itself: %j",
    (before) => {
      const text = `${before}[{kind: Secret, data: {a: ${BASE64}}}]${before.startsWith("{") ? "}" : ""}\n`;
      expect(found(text)).toEqual([expect.stringMatching(/^\d plaintext-secret - a$/)]);
    },
  );

  it.for([
    [
      "what Kyverno makes",
      `spec: {rules: [{generate: {apiVersion: v1, kind: Secret, name: db, namespace: shop, data: {type: Opaque, data: {a: ${BASE64}}}}}]}\n`,
      "plaintext-secret shop/db a",
    ],
    [
      "what Kyverno makes, without a version",
      "spec: {generate: {kind: Secret, name: db, data: {stringData: {a: hunter2}}}}\n",
      "plaintext-secret db a",
    ],
    [
      "what Kyverno makes, with the kind once more",
      "spec: {generate: {kind: Secret, name: db, data: {kind: Secret, stringData: {a: hunter2}}}}\n",
      "plaintext-secret db a",
    ],
    [
      "a template of Crossplane",
      `base: {spec: {forProvider: {manifest: {apiVersion: v1, kind: Secret, data: {a: ${BASE64}}}}}}\n`,
      "plaintext-secret - a",
    ],
    [
      "values of a chart",
      `extraObjects: [{kind: Secret, type: Opaque, data: {a: ${BASE64}}}]\n`,
      "plaintext-secret - a",
    ],
    [
      "a SecretList",
      "x: {kind: SecretList, items: [{stringData: {a: hunter2}}]}\n",
      "plaintext-secret - a",
    ],
    [
      "a text in a ConfigMap",
      JSON.stringify({
        kind: "ConfigMap",
        data: { x: `x: {kind: Secret, data: {a: ${BASE64}}}\n` },
      }),
      "quoted-secret - a",
    ],
    [
      "a manifest of Argo Workflows",
      JSON.stringify({
        spec: { templates: [{ resource: { manifest: `kind: Secret\ndata: {a: ${BASE64}}` } }] },
      }),
      "quoted-secret - a",
    ],
  ])("is found in something else without metadata: %s", ([, text, expected]) => {
    expect(found(text as string)).toEqual([`1 ${expected ?? ""}`]);
  });

  it("is found as literals of a Kustomization", () => {
    const text =
      "secretGenerator:\n- name: a\n  literals: [x=hunter2, 'y=', 'z=${Z}', noise]\n- name: b\n";
    expect(found(text)).toEqual(["2 kustomize-literal a x"]);
  });
});

describe("no alarm", () => {
  it.for([
    [
      "a SealedSecret",
      "kind: SealedSecret\nmetadata: {name: a}\nspec: {encryptedData: {a: AgAB}}\n",
    ],
    ["an ExternalSecret", "kind: ExternalSecret\nspec: {data: [{secretKey: a}]}\n# Secret\n"],
    ["a Secret without a value", "kind: Secret\ndata:\nstringData: {}\n"],
    ["empty values", 'kind: Secret\nstringData: {a: "", b: null, c: " "}\n'],
    ["a List without a Secret", "kind: List\nitems: [{kind: ConfigMap, data: {a: Secret}}]\n"],
    ["a ConfigMap that speaks of one", "kind: ConfigMap\ndata: {kind: Secret, a: hunter2}\n"],
    [
      "what refers to a Secret",
      "kind: Policy\nspec: {source: {kind: Secret, name: a, data: x}, to: [{kind: Secret, name: d, data: {b: c}}]}\n",
    ],
    [
      "a policy that matches Secrets",
      "kind: ClusterPolicy\nspec: {rules: [{match: {any: [{resources: {kinds: [Secret]}}]}, validate: {pattern: {kind: Secret, data: {a: '?*', b: '*'}}}}]}\n",
    ],
    [
      "a policy that clones a Secret, and changes one",
      "kind: ClusterPolicy\nspec: {rules: [{generate: {apiVersion: v1, kind: Secret, name: a, clone: {namespace: b, name: a}}}, {mutate: {targets: [{apiVersion: v1, kind: Secret, name: a}]}}]}\n",
    ],
    [
      "a policy that makes a Secret of what it is given",
      "kind: ClusterPolicy\nspec: {rules: [{generate: {kind: Secret, name: a, data: {type: Opaque, data: {a: '{{ x }}'}}}}]}\n",
    ],
    [
      "a schema",
      "kind: CustomResourceDefinition\nspec: {schema: {properties: {kind: {type: string, enum: [Secret], default: Secret}, data: {type: object}, stringData: {type: object}}}}\n",
    ],
    [
      "the schema of an API",
      '{"Secret": {"properties": {"data": {"type": "object"}, "kind": {"type": "string"}}, "x-kubernetes-group-version-kind": [{"group": "", "kind": "Secret", "version": "v1"}]}}',
    ],
    [
      "what leaves differences of Secrets alone",
      "spec: {ignoreDifferences: [{group: '', kind: Secret, name: a, jsonPointers: [/data]}]}\n",
    ],
    ["a generator of files", "secretGenerator: [{name: a, files: [a.txt], envs: [b.env]}]\n"],
    [
      "an annotation that quotes a SealedSecret",
      'metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "{\\"kind\\": \\"SealedSecret\\"}"}}\n# Secret\n',
    ],
    ["text that is no manifest", "The Secret is hunter2: {{\n"],
  ])("for %s", ([, text]) => {
    expect(found(text as string)).toEqual([]);
  });

  it.for([
    "{{ .Values.password }}",
    '{{ .Values.password | default "" | b64enc }}',
    "{{ .Release.Name }}-admin",
    "${PASSWORD}",
    "$(PASSWORD)",
    "postgres://${USER}:${PASSWORD}@db:5432/shop",
    "log: debug\npassword: {{ .Values.password }}\n",
    "<path:secret/data/db#password>",
    "<your-password>",
    "CHANGE_ME",
    "changeme",
    "xxxxx",
    "********",
    "REDACTED",
    "vault:secret/data/db#password",
    "ref+vault://secret/db#/password",
    "op://vault/db/password",
    "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]",
  ])("for the placeholder %j, plain or in base64", (value) => {
    const encoded = Buffer.from(value).toString("base64");
    expect(found(`${HEAD}stringData: {a: ${JSON.stringify(value)}}\n`)).toEqual([]);
    expect(found(`${HEAD}data: {a: ${JSON.stringify(encoded)}}\n`)).toEqual([]);
  });
});

/** A key twice, under conditions that a reader of the template cannot tell apart. */
const TWICE = "{{ if .x }}\ntype: a\n{{ end }}\n{{ if not .x }}\ntype: b\n{{ end }}\n";

describe("a chart's template", () => {
  const template = (lines: string): string =>
    `{{- if .Values.on }}\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n${lines}{{- end }}\n`;

  it.for([
    ["a value", "stringData:\n  a: hunter2\n", "a"],
    ["quotes and a comment", "stringData:\n  'a': \"hunter2\" # x\n", "a"],
    ["base64", `data:\n  a: ${BASE64}\n`, "a"],
    ["braces", "stringData: {a: hunter2, b: ''}\n", "a"],
    ["a block", "stringData:\n  a: |-\n    hunter2: x\n    more\n  b: >\n", "a"],
    ["a value on a line of its own", "stringData:\n  a:\n    hunter2\n", "a"],
    [
      "between actions",
      "stringData:\n{{- range .x }}\n  a: hunter2\n{{- end }}\n  b: {{ .b }}\n",
      "a",
    ],
    ["a name from a template", "stringData:\n  {{ .name }}: hunter2\n", "{{ .name }}"],
    ["CRLF", "stringData:\r\n  a: hunter2\r\n", "a"],
  ])("is looked at as it would be, or by its lines: %s", ([, lines = "", items]) => {
    expect(found(template(lines), true)).toEqual([`2 plaintext-secret db ${items}`]);
    expect(found(template(lines + TWICE), true)).toEqual([`3 plaintext-secret db ${items}`]);
  });

  it.for([
    ["filled in later", "stringData:\n  a: {{ .a }}\n  b: {{ .b | quote }}\n  c: 'x-{{ .c }}'\n"],
    ["empty", "stringData:\n  a: ''\n  b: # none\n  c: null\n  d: |\n"],
    ["a whole mapping filled in", "data: {{ toYaml .data | nindent 2 }}\n"],
    ["a field of another name", "metadata2:\n  a: hunter2\ntype: Opaque\n"],
    ["a block that is filled in", "stringData:\n  a: |\n    log: debug\n    password: {{ .a }}\n"],
  ])("is no finding where it is %s", ([, lines = ""]) => {
    expect(found(template(lines), true)).toEqual([]);
    expect(found(template(lines + TWICE), true)).toEqual([]);
  });

  it("does not take the lines of another object for its own", () => {
    const text =
      "items:\n  - kind: ConfigMap\n    data:\n      a: hunter2\n  - kind: Secret\n    metadata:\n      name: b\n    data:\n      x: {{ .x }}\n  - kind: ConfigMap\n    data:\n      a: hunter2\n";
    expect(found(text, true)).toEqual([]);
    expect(found(text.replace("{{ .x }}", "aA==\n{{ end }}"), true)).toEqual([
      "5 plaintext-secret b x",
    ]);
  });

  it("has the same lines where an action takes several", () => {
    const action = '{{- $x := dict\n  "a" "}}"\n  "b" .b }}\n';
    const secret = `${HEAD}stringData:\n  a: {{ include "a"\n    . }} # of it\n  b: hunter2\n`;
    expect(found(`${action}${secret}---\n${secret}`, true)).toEqual([
      "4 plaintext-secret shop/db b",
      "12 plaintext-secret shop/db b",
    ]);
    expect(found(`${action}{{ if x }}\nx: 1\n{{ else }}\nx: 2\n{{ end }}\n${secret}`)).toEqual([
      "10 plaintext-secret shop/db b",
    ]);
  });

  it("does not hide the documents beside it", () => {
    const text = `${template("")}---\n${HEAD}stringData: {a: hunter2}\n`;
    expect(found(text, true)).toEqual(["8 plaintext-secret shop/db a"]);
  });
});

it("never tells a value, also where it looks like a name", () => {
  for (const text of [
    `${HEAD}stringData:\n  a: |\n    hunter2: hunter2\n`,
    `{{ x }}\n${HEAD}stringData:\n  a: |\n    hunter2: hunter2\n`,
    "secretGenerator: [{literals: ['a=hunter2=hunter2']}]\n",
  ]) {
    expect(findPlaintext(text)).toHaveLength(1);
    expect(JSON.stringify(findPlaintext(text))).not.toContain("hunter2");
  }
});

describe("what nests deeply in an annotation", () => {
  it("is a finding, and no stack overflow", () => {
    const deep = `${'{"kind":"Secret","a":'.repeat(50_000)}1${"}".repeat(50_000)}`;
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": deep };
    const text = JSON.stringify({ kind: "ConfigMap", metadata: { annotations } });
    expect(findPlaintext(text)).toMatchObject([
      {
        rule: "unreadable",
        reason: expect.stringMatching(/nested deeper than 200 levels/) as string,
      },
    ]);
  });
});

describe("a text that quotes nothing but itself", () => {
  it.each([
    "the kind Secret\nof a secretGenerator\n",
    "- a secretGenerator\n",
    '"secretGenerator"',
  ])("is no manifest: %j", (text) => {
    expect(findPlaintext(text)).toEqual([]);
  });

  it("and is quoted too often is a finding", () => {
    let text = `${HEAD}stringData: {a: hunter2}\n`;
    for (let times = 0; times < 10; times++) text = JSON.stringify([text]);
    expect(findPlaintext(text)).toMatchObject([{ rule: "unreadable" }]);
  });
});

describe("a Secret that another text quotes", () => {
  const quote = (text: string): string => text.replaceAll("\n", "\n    ");
  const secret = `${HEAD}stringData: {a: hunter2}\n`;

  it.for([
    ["a patch", `patches:\n- patch: |-\n    ${quote(secret)}\n`],
    ["an item of a ConfigMap", `kind: ConfigMap\ndata:\n  x.yaml: |\n    ${quote(secret)}\n`],
    ["an annotation of any name", JSON.stringify({ metadata: { annotations: { x: secret } } })],
    ["several documents", JSON.stringify({ x: `a: b\n---\n${secret}` })],
    [
      "a chart's template",
      JSON.stringify({ x: `{{ if x }}\n${HEAD}stringData:\n  a: hunter2\n{{ end }}` }),
    ],
    ["escapes", JSON.stringify({ x: '{"kind": "\\u0053ecret", "stringData": {"a": "hunter2"}}' })],
    [
      "a patch of operations",
      "patches:\n- target: {kind: Secret, name: db}\n  patch: |-\n    - {op: add, path: /data/a, value: aHVudGVyMg==}\n",
    ],
    [
      "a patch of operations without a kind",
      "patches:\n- target: {name: db}\n  patch: |-\n    - {op: add, path: /stringData/a, value: hunter2}\n",
    ],
    ["a file of operations", '[{"op": "add", "path": "/stringData", "value": {"a": "hunter2"}}]'],
  ])("is found: %s", ([, text]) => {
    expect(found(text as string)).toEqual([expect.stringMatching(/^\d quoted-secret .* a$/)]);
  });

  it("is none where a text only speaks of Secrets, or patches something else", () => {
    for (const text of [
      "kind: ConfigMap\ndata: {readme: 'kind: a Secret: see there'}\n",
      "patches: [{target: {kind: ConfigMap}, patch: '[{op: add, path: /data/a, value: b}]'}]\n# Secret\n",
      JSON.stringify({ x: `${HEAD}stringData: {a: "{{ .a }}"}` }),
    ]) {
      expect(found(text)).toEqual([]);
    }
  });
});

describe("what cannot be read", () => {
  const severities = (text: string, isChartTemplate = false): string[] =>
    findPlaintext(text, { isChartTemplate }).map(
      ({ rule, line, severity }) => `${line} ${rule} ${severity}`,
    );

  it.for([
    ["a broken document before another", "kind: Secret\n a: b: c\n---\nkind: Other\n", 2],
    ["a duplicate key", "a: b\n---\n{kind: Secret, kind: Secret, data: {a: aHVudGVyMg==}}\n", 3],
    ["a kind in escapes", '"kind": "Sec\\x72et"\nstringData: {a: hunter2}\nx: y: z\n', 3],
    ["text on the line of a separator", "a: b\n--- {kind: Secret, stringData: {a: hunter2}}\n", 2],
    ["a broken Kustomization", "secretGenerator:\n- literals: [a=b]\n x: y\n", 3],
    [
      "a Secret in more Lists than are followed",
      `${'{"kind":"List","items":['.repeat(6)}{"kind":"Secret","data":{"a":"aA=="}}${"]}".repeat(6)}`,
      1,
    ],
  ])("is a finding: %s", ([, text, line]) => {
    expect(severities(text as string)).toEqual([`${line} unreadable error`]);
  });

  it("hides no other document", () => {
    expect(severities(`kind: Secret\n a: b: c\n---\n${HEAD}stringData: {a: hunter2}\n`)).toEqual([
      "2 unreadable error",
      "4 plaintext-secret error",
    ]);
  });

  it.for([
    "{kind: Secret, stringData: {a: hunter2}}\n{{ if x }} b: c\n",
    "{{ if x }}kind: Secret{{ end }}\nstringData:\n  a: hunter2\n",
  ])("is a warning in a chart's template whose lines do not show it: %j", (text) => {
    expect(severities(text, true)).toEqual([expect.stringMatching(/^\d unreadable warning$/)]);
    expect(severities(text)).toEqual([expect.stringMatching(/^\d unreadable error$/)]);
  });

  it.for([
    ["a duplicate key", "{{ }}: a\n---\n# {{\nkind: Secret\nkind: Secret\nx-stringData: {a: b}\n"],
    ["a text without an action", "kind: Secret\n a: b: c\n"],
  ])("is an error in a chart's template too: %s", ([, text]) => {
    expect(severities(text as string, true)).toEqual([
      expect.stringMatching(/^\d unreadable error$/),
    ]);
  });

  it.for([
    ["a key in quotes", '"stringData":\n  a: hunter2\n'],
    ["a key with a question mark", "? stringData\n: {a: hunter2}\n"],
    ["braces over several lines", "stringData: {\n  a: hunter2}\n"],
    ["an anchor", "stringData: &x\n  a: hunter2\n"],
    ["a blank before the colon", "stringData :\n  a: hunter2\n"],
    ["an item with a tag", "stringData:\n  !!str a: hunter2\n"],
    ["an item with a question mark", "stringData:\n  ? a\n  : hunter2\n"],
  ])("is found in a chart's template, or a warning where the lines must do: %s", ([, lines]) => {
    const text = `{{ if x }}\nkind: Secret\n${lines ?? ""}`;
    expect(severities(text, true)).toEqual([expect.stringMatching(/^\d plaintext-secret error$/)]);
    expect(severities(text + TWICE, true)).toEqual([
      expect.stringMatching(/^\d unreadable warning$/),
    ]);
  });

  it.for([
    ["an alias", "stringData: *x\n"],
    ["a merge", "<<: *x\n"],
  ])("is a warning in a chart's template whose lines are not clear: %s", ([, lines]) => {
    expect(severities(`{{ if x }}\nkind: Secret\n${lines ?? ""}`, true)).toEqual([
      expect.stringMatching(/^\d unreadable warning$/),
    ]);
  });

  it.for([
    [
      "JSON with a line end before the colon",
      '{"a": 1, "a": 2, "kind"\n: "Secret", "data": {"a": "aA=="}}\n',
    ],
    [
      "JSON with line ends around the colon",
      '{"a": 1 "kind"\n\n:\n\n"Secret", "data": {"a": "aA=="}}\n',
    ],
    ["a comment before the value", "a: 1\na: 2\nkind: # of it\n  Secret\ndata: {a: aA==}\n"],
    ["comments and blank lines", "a: b: c\nkind:\n\n  # of it\n\n  Secret\ndata: {a: aA==}\n"],
    ["a comment before the colon", '{a: b: c, "kind" # of it\n : Secret, data: {a: aA==}}\n'],
    ["an alias as the key", "x: &k kind\na: b: c\n*k : Secret\ndata: {a: aA==}\n"],
    ["a key in base64", "a: b: c\n!!binary a2luZA==: Secret\ndata: {a: aA==}\n"],
    ["a key in escapes over several lines", 'a: b: c\n{"k\\x69nd"\n: Secret, data: {a: aA==}}\n'],
    [
      "a key in escapes, far from its end and its colon",
      `a: b: c\n{"\\x6b\\\n${" ".repeat(2000)}ind"${" ".repeat(2000)}: Secret, data: {a: aA==}}\n`,
    ],
    ["a key with an escaped line end", 'a: b: c\nx: {"ki\\\n  nd": Secret, data: {a: aA==}}\n'],
    [
      "a second kind on the line",
      "a: b: c\nx: {y: {kind: A}, kind: &a\n  Secret, data: {a: aA==}}\n",
    ],
    [
      "a SealedSecret's template",
      "a: 1\na: 2\nkind: SealedSecret\nspec: {template: {data: {a: b}}}\n",
    ],
    ["braces in a comment", '# {{\na: b: c\nkind: Secret\n"data":\n  a: aA==\n'],
    [
      "braces in a comment beside a duplicate key",
      '# {{\nkind: Secret\nkind: Secret\n"data":\n  a: aA==\n',
    ],
  ])("is a finding however the kind is written: %s", ([, text]) => {
    expect(severities(text as string)).toEqual([expect.stringMatching(/^\d+ unreadable error$/)]);
  });

  it("is nothing where no Secret can be in it", () => {
    for (const text of [
      "Resources: {A: {Type: AWS::SecretsManager::Secret, Name: !Sub 'x'}}\n  b: c\n",
      "The Secret: is\n this: that\n",
      "nav: !!python/name:x\n a: b\n",
    ]) {
      expect(severities(text)).toEqual([]);
    }
  });
});

describe("text beside a placeholder", () => {
  it.for([
    "hunter2{{ x }}",
    "{{ x }}hunter2",
    "hunter2 {{/* x */}}",
    "hunter2-${X}",
    "correcthorse{{ x }}",
    "vault:hunter2",
    "vault:hunter2#a",
    "ref+hunter2",
    "ref+echo://hunter2/a",
    "op://hunter2",
    "<path:hunter2>",
  ])("may be a password: %j", (value) => {
    expect(found(`${HEAD}stringData: {p: ${JSON.stringify(value)}}\n`)).toHaveLength(1);
    const encoded = Buffer.from(value).toString("base64");
    expect(found(`${HEAD}data: {p: ${encoded}}\n`)).toHaveLength(1);
  });

  it.for([
    "{{ .Release.Name }}-postgresql14.shop.svc",
    "mysql://${USER}:${PASSWORD}@db14:3306/shop?charset=utf8mb4",
    ">>vault:secret/data/db#password",
    "op://vault/db/section/password",
    "secretref+k8s://v1/Secret/shop/db/password",
    "<path:secret/data/db#password | base64encode>",
  ])("is part of a name or an address, or a reference: %j", (value) => {
    expect(found(`${HEAD}stringData: {p: ${JSON.stringify(value)}}\n`)).toEqual([]);
  });
});

it("finds literals of a generator of its own, and the kind by its result in a template", () => {
  expect(
    found(
      "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: db}\nliterals: [a=hunter2]\n",
    ),
  ).toEqual(["1 kustomize-literal db a"]);
  expect(found('kind: {{ "Secret" }}\nstringData:\n  a: hunter2\n')).toEqual([
    "1 plaintext-secret - a",
  ]);
});
