import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { meaningOf, newFilePath } from "../../cli/repository/project.ts";
import { parseProject, type Project } from "../../cli/repository/projectfile.ts";
import { SignetError } from "../../shared/errors.ts";

const ROOT = resolve("/repo");
const project = (text: string): Project => parseProject(text, ROOT);

function caught(text: string): SignetError {
  try {
    project(text);
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("signet.yaml", () => {
  it("says nothing where it is empty", () => {
    expect(project("# nothing\n")).toMatchObject({ rules: [], allow: [], scope: undefined });
  });

  it("gives a cluster what it does not say", () => {
    expect(project("clusters: {prod: }").clusters.get("prod")).toEqual({
      name: "prod",
      certificate: "certificates/prod.pem",
    });
  });

  it("reads every field", () => {
    const { clusters, scope, newFile, maxKeyAgeDays, allow } = project(`
clusters:
  prod:
    certificate: a.pem
    url: https://seal.example.org/v1/cert.pem
    context: prod
    controller: {name: ctl, namespace: seal}
scope: namespace-wide
newFile: "x/{cluster}-{name}.json"
maxKeyAge: 180d
scan: {allow: [{files: "test/**", reason: made up}]}
`);
    expect(clusters.get("prod")).toEqual({
      name: "prod",
      certificate: "a.pem",
      url: "https://seal.example.org/v1/cert.pem",
      context: "prod",
      controllerName: "ctl",
      controllerNamespace: "seal",
    });
    expect({ scope, newFile, maxKeyAgeDays }).toEqual({
      scope: "namespace-wide",
      newFile: "x/{cluster}-{name}.json",
      maxKeyAgeDays: 180,
    });
    expect(allow.map(({ matches }) => [matches("test/a/b"), matches("src/test/a")])).toEqual([
      [true, false],
    ]);
  });

  it.for([
    ["clusters: {a: {url: example.org}}", "clusters.a.url"],
    ["clusters: {a: {certificate: ../a.pem}}", "clusters.a.certificate"],
    ["clusters: {a: {certificate: /a.pem}}", "clusters.a.certificate"],
    ["clusters: {a: {context: 1}}", "clusters.a.context"],
    ["newFile: a/b.yaml", "newFile"],
    ["newFile: '{name}/{env}.yaml'", "newFile"],
    ["newFile: 'a/../../{name}.yaml'", "newFile"],
    ["maxKeyAge: 90", "maxKeyAge"],
    ["maxKeyAge: 3M", "maxKeyAge"],
    ["scope: Strict", "scope"],
  ])("refuses %s at its field", ([text, field]) => {
    expect(caught(text as string)).toMatchObject({ code: "project-invalid", place: { field } });
  });
});

it("says of a word that is read as no text to put it in quotes", () => {
  expect(caught("clusters: {a: {controller: {namespace: n}}}")).toMatchObject({
    hint: "put it in quotes",
    place: { field: "clusters.a.controller.namespace" },
  });
});

describe("patterns", () => {
  const rules = (...patterns: string[]): Project =>
    project(
      `clusters: {a: {}, b: {}}\npaths:\n${patterns
        .map((pattern, index) => `  ${JSON.stringify(pattern)}: ${index === 0 ? "a" : "b"}\n`)
        .join("")}`,
    );
  const meaning = (pattern: string, path: string): object | null => {
    const found = meaningOf(rules(pattern), resolve(ROOT, path));
    return found === null ? null : { ...found, cluster: found.cluster.name };
  };

  it.for([
    ["prod/**", "prod/a.yaml", {}],
    ["prod/**", "prod/a/b/c.yaml", {}],
    ["prod/**", "x/prod/a.yaml", null],
    ["**/prod/**", "x/prod/a.yaml", {}],
    ["**/prod/**", "prod/a.yaml", {}],
    ["*.yaml", "a.yaml", {}],
    ["*.yaml", "a/b.yaml", null],
    ["**/.hidden/*", "a/.hidden/b", {}],
    ["{prod,stage}/**", "stage/a", {}],
    ["prod/**", "../prod/a.yaml", null],
    ["prod/{namespace}/{name}.yaml", "prod/shop/db.yaml", { namespace: "shop", name: "db" }],
    ["prod/{namespace}/{name}.yaml", "prod/shop/a.b.yaml", { namespace: "shop", name: "a.b" }],
    ["prod/{namespace}/{name}.yaml", "prod/shop/deeper/db.yaml", null],
    ["prod/{namespace}/{name}.yaml", "prod/db.yaml", null],
    ["**/{namespace}/secrets/*", "a/b/shop/secrets/x", { namespace: "shop" }],
    ["{name}.prod.json", "db.prod.json", { name: "db" }],
    ["{name}.prod.json", "db-prod.json", null],
    ["apps/{name}-{namespace}/*", "apps/a-b-c/x", { name: "a", namespace: "b-c" }],
  ] as const)("%s says of %s: %j", ([pattern, path, said]) => {
    expect(meaning(pattern, path)).toEqual(said === null ? null : { cluster: "a", ...said });
  });

  it("are tried in their order", () => {
    const both = rules("prod/eu/**", "prod/**");
    expect(meaningOf(both, resolve(ROOT, "prod/eu/a"))?.cluster.name).toBe("a");
    expect(meaningOf(both, resolve(ROOT, "prod/us/a"))?.cluster.name).toBe("b");
  });

  it.for(["", "/prod/**", "../**", "a/../b", "{cluster}/**", "{name}/{name}", "{namespace}{env}"])(
    "refuses %j",
    (pattern) => {
      expect(() => rules(pattern)).toThrow(SignetError);
    },
  );

  it.for([
    "(a+)+c/*",
    "@(a|b)/**",
    "+(a)/x",
    "!prod/**",
    "{1..9}/**",
    "**/a/**/b/**",
    "*a*a*a*b",
    "a".repeat(257),
  ])("refuses %j, which can take long", (pattern) => {
    expect(() => rules(pattern)).toThrow(/has a group|has more than 2|is longer than 256/);
  });

  it("are not needed with one cluster", () => {
    const one = project("clusters: {only: {}}");
    expect(meaningOf(one, resolve(ROOT, "any/a.yaml"))?.cluster.name).toBe("only");
    expect(meaningOf(project("clusters: {a: {}, b: {}}"), resolve(ROOT, "a/x"))).toBe(null);
  });

  it("fit what newFile makes", () => {
    const made = project("clusters: {a: {}}\npaths: {'a/{namespace}/{name}.yaml': a}");
    const cluster = made.clusters.get("a");
    if (cluster === undefined) throw new Error("no cluster");
    const path = newFilePath(made, cluster, { namespace: "shop", name: "db" });
    expect(meaningOf(made, resolve(path))).toMatchObject({ namespace: "shop", name: "db" });
  });
});
