// The JSON schema of signet.yaml against the reader: editors must not show errors that `signet` does not.
import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { parseProject } from "../../cli/repository/projectfile.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";

// Editors show the description beside a reference, which draft 7 ignores.
const fits = new Ajv({ strict: false }).compile(
  JSON.parse(readFileSync("signet.schema.json", "utf8")) as object,
);

function isRead(text: string): boolean {
  try {
    parseProject(text, "/repo");
    return true;
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}

const isSchemaValid = (text: string): boolean => fits(parseManifests(text)[0]?.value);

const EVERY_FIELD = `
clusters:
  prod:
    certificate: certificates/prod.pem
    recovery: certificates/prod/recovery
    context: prod
    url: https://seal.example.org/v1/cert.pem
    controller: {name: ctl, namespace: seal, certificates: seal/certs}
paths:
  "prod/{namespace}/{name}.yaml": prod
  "**/prod/**": prod
  "./{a,b}/[!x]?.yaml": prod
newFile: "{cluster}/{namespace}/{name}.yaml"
scope: namespace-wide
maxKeyAge: 180d
maxDrillAge: 30d
require: [{algorithm: hybrid, files: "prod/**", from: 2027-01-31}, {algorithm: hybrid, files: dev}]
rotation: {"prod/public/**": never, "prod/**": 90d, dev: 365d}
scan: {allow: [{files: "test/**", reason: made up}]}
verify: {allow: [{files: examples, reason: skeletons}]}
`;

describe("the schema of signet.yaml", () => {
  it.for([
    EVERY_FIELD,
    "{}",
    "clusters: {}\npaths: {}\nnewFile: '{cluster}/{namespace}/{name}.yaml'",
    "clusters:\npaths:\nnewFile:\nscope:\nmaxKeyAge:\nscan:\nverify:",
    "clusters: {a: }",
    "clusters: {a: {certificate: , context: , url: , controller: , recovery: }}",
    "clusters: {a: {controller: {name: , namespace: , certificates: }}}",
    "clusters: {a: {url: 'file:///a.pem'}}",
    "clusters: {1a.b_c-d: {certificate: ..a/b..pem}}",
    "newFile: '{name}.json'",
    "maxKeyAge: 0d",
    "scope: cluster-wide",
    "scope: selector\nselector: team in (a, b),!frozen",
    "scope: strict\nselector:",
    "require: hybrid",
    "scope: strict",
    "scan: {allow: }",
    "verify: {allow: []}",
  ])("accepts what is read: %s", (text) => {
    expect([isRead(text), isSchemaValid(text)], JSON.stringify(fits.errors)).toEqual([true, true]);
  });

  it.for([
    "[]",
    "cluster: {}",
    "scope: selector",
    "scope: selector\nselector:",
    "scope: selector\nselector: ''",
    "scope: strict\nselector: team=a",
    "selector: team=a",
    "clusters: []",
    "clusters: {'-a': {}}",
    "clusters: {a/b: {}}",
    "clusters: {a: text}",
    "clusters: {a: {cert: a.pem}}",
    "clusters: {a: {certificate: ''}}",
    "clusters: {a: {certificate: /a.pem}}",
    "clusters: {a: {certificate: ../a.pem}}",
    "clusters: {a: {certificate: a/..}}",
    "clusters: {a: {recovery: a/../../b}}",
    "clusters: {a: {context: 1}}",
    "clusters: {a: {context: yes}}",
    "clusters: {a: {url: example.org}}",
    "clusters: {a: {url: 'ftp://example.org'}}",
    "clusters: {a: {controller: ctl}}",
    "clusters: {a: {controller: {port: a}}}",
    "clusters: {a: }\npaths: {'/a': a}",
    "clusters: {a: }\npaths: {'': a}",
    "clusters: {a: }\npaths: {'!a': a}",
    "clusters: {a: }\npaths: {'a/../b': a}",
    "clusters: {a: }\npaths: {'a(b)': a}",
    "clusters: {a: }\npaths: {'a|b': a}",
    "clusters: {a: }\npaths: {b: }",
    "clusters: {a: }\npaths: {b: [a]}",
    "newFile: a/b.yaml",
    "newFile: '{name}/{env}.yaml'",
    "newFile: '/{name}.yaml'",
    "newFile: 'a/../../{name}.yaml'",
    "scope: Strict",
    "maxKeyAge: 90",
    "maxKeyAge: 3M",
    "maxKeyAge: 123456d",
    "maxDrillAge: [30d]",
    "require: rsa",
    "rotation: 90d",
    "rotation: {prod: 90}",
    "rotation: {prod: 3M}",
    "rotation: {/prod: 90d}",
    "rotation: {prod: }",
    "require: [{algorithm: rsa, files: a}]",
    "require: [{algorithm: hybrid}]",
    "require: [{algorithm: hybrid, files: a, from: soon}]",
    "scan: []",
    "scan: {deny: []}",
    "scan: {allow: {}}",
    "scan: {allow: [{files: a}]}",
    "scan: {allow: [{reason: a}]}",
    "scan: {allow: [{files: a, reason: ' '}]}",
    "scan: {allow: [{files: /a, reason: b}]}",
    "verify: {allow: [{files: a, reason: b, line: 1}]}",
    "verify: {allow: [text]}",
  ])("refuses what is refused: %s", (text) => {
    expect([isRead(text), isSchemaValid(text)]).toEqual([false, false]);
  });

  it("leaves what needs more than one field to the reader", () => {
    const text = "clusters: {a: }\npaths: {'b/**': c}";
    expect([isRead(text), isSchemaValid(text)]).toEqual([false, true]);
  });
});
