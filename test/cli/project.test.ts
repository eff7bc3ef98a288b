import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { meaningBelow, meaningOf, newFilePath } from "../../cli/repository/project.ts";
import { parseProject, type Project } from "../../cli/repository/projectfile.ts";
import { SignetError } from "../../shared/errors.ts";
import { cpu, superlinear } from "../shared/growth.ts";
import { thrownBy } from "../vectors/fixtures.ts";

const ROOT = resolve("/repo");
const project = (text: string): Project => parseProject(text, ROOT);

const caught = (text: string): SignetError => thrownBy(() => project(text));

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
    ["./prod/*", "prod/a", {}],
    ["prod/**", "prod", {}],
    ["prod/**", "production/a", null],
    ["**", "a/b", {}],
    ["a**c", "abc", {}],
    ["a**c", "a/c", null],
    ["**/a/**/b/**", "x/a/y/z/b/c", {}],
    ["*a*b*c*d*", "xaxbxcxdx", {}],
    ["*a*b*c*d*", "xaxbx/cxd", null],
    ["a?c", "abc", {}],
    ["a?c", "a/c", null],
    ["[a-c]x", "bx", {}],
    ["[!a-c]x", "bx", null],
    ["[^a-c]x", "dx", {}],
    ["a[^b]c", "a/c", null],
    ["[a", "[a", {}],
    ["a.c", "abc", null],
    ["a+", "aa", null],
    ["[ab]+", "a+", {}],
    ["\\*", "*", {}],
    ["\\*", "a", null],
    ["x{,.prod}.yaml", "x.yaml", {}],
    ["{a,b{c,d}}/x", "bd/x", {}],
    ["{a,{name}}/x", "c/x", { name: "c" }],
    ["*-{name}.yaml", "a-b-c.yaml", { name: "b-c" }],
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

  it.for(["(a+)+c/*", "@(a|b)/**", "+(a)/x", "!prod/**", "{1..9}/**", "[z-a]", "a".repeat(257)])(
    "refuses %j, and says what a pattern may have",
    (pattern) => {
      expect(() => rules(pattern)).toThrow(/has a group|has a range|is longer than 256/);
      expect(caught(`clusters: {a: }\npaths: {${JSON.stringify(pattern)}: a}`).hint).toBe(
        "a pattern may have *, **, ?, [a-z], {a,b}, {namespace} and {name}",
      );
    },
  );

  it.for([
    "{a,b}".repeat(40),
    "{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}",
    "{a*b*c*d*e*,f*g*h*}".repeat(5),
  ])("refuses %j, whose braces make too many", (pattern) => {
    expect(() => rules(pattern)).toThrow(
      /has braces that expand to more than 64|has more than 128/,
    );
  });

  it.for([
    [
      "paths",
      (patterns: string[]) => `paths:\n${patterns.map((each) => `  ${each}: a\n`).join("")}`,
    ],
    [
      "scan.allow",
      (patterns: string[]) =>
        `scan: {allow: [${patterns.map((each) => `{files: ${each}, reason: r}`).join()}]}`,
    ],
  ] as const)("of %s are 1,000 at most, counted after braces are expanded", ([field, list]) => {
    const text = (count: number, pattern: string): string =>
      `clusters: {a: }\n${list(Array.from({ length: count }, (_, index) => `"${index}${pattern}"`))}`;
    expect(() => project(text(1000, "/*"))).not.toThrow();
    expect(() => project(text(500, "/{a,b}"))).not.toThrow();
    for (const tooMany of [text(1001, "/*"), text(501, "/{a,b}")]) {
      expect(caught(tooMany)).toMatchObject({
        message: "has more than 1000 patterns, counted after braces are expanded",
        place: { field },
      });
    }
  });

  it("of a list have 2,000 stars at most, counted after braces are expanded", () => {
    const text = (count: number): string =>
      `clusters: {a: }\npaths:\n${Array.from({ length: count }, (_, index) => `  "${index}/{namespace}/{name}.yaml": a\n`).join("")}`;
    expect(() => project(text(1000))).not.toThrow();
    expect(caught(`${text(999)}  "x/*/*/*/**": a\n`)).toMatchObject({
      message: expect.stringContaining("has more than 2000 stars") as string,
      place: { field: "paths" },
    });
  });

  it("match no path above 1,024 characters", () => {
    expect(meaning("prod/**", `prod/${"a".repeat(1019)}`)).toEqual({ cluster: "a" });
    expect(meaning("prod/**", `prod/${"a".repeat(1020)}`)).toBe(null);
    const { allow } = project('scan: {allow: [{files: "**", reason: made up}]}');
    expect(allow[0]?.matches("a".repeat(1025))).toBe(false);
  });

  it("cost a path no more together than their stars do, however long it is", () => {
    const slow = (index: number, stars: number): string => `${"*a".repeat(stars)}b${index}`;
    const one = rules(slow(0, 100));
    // As many as a list may have.
    const many = rules(...Array.from({ length: 20 }, (_, index) => slow(index, 100)));
    const time = (of: Project, path: string, times: number): number =>
      Math.min(
        ...Array.from({ length: 8 }, () =>
          cpu(() => {
            for (let time = 0; time < times; time++) meaningBelow(of, path);
          }),
        ),
      );
    const path = "a".repeat(1024);
    // As a measure, as many matches of one pattern.
    expect(time(many, path, 1) / time(one, path, 20)).toBeLessThan(3);
    expect(time(many, "a".repeat(4000), 1)).toBeLessThan(time(many, path, 1));
    expect(() => rules(...Array.from({ length: 21 }, (_, index) => slow(index, 100)))).toThrow(
      /has more than 2000 stars/,
    );
  });

  it.for([
    ["{a,aa}+c/*", "a"],
    ["[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+[ab]+c", "a"],
    ["{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}b", "a"],
    ["*a*a*ab", "a"],
    ["*a".repeat(100), "a"],
    ["*a*a*a/".repeat(20), "aaaa/"],
    [`${"**/a/".repeat(40)}b`, "a/"],
    ["{name}*a*a/{namespace}*a*a*b", "aaaaa/aaaaa"],
    ["*?*?*?*?*?*?*?*?*?*?*?b", "a"],
  ] as const)("%j is matched in time that grows with the path", ([pattern, fragment]) => {
    const [rule] = rules(pattern).rules;
    // The small ones first: what is exponential shows there, and would not end with the large one.
    const slow = [4, 6, 9, 13, 20, 30, 45, 70, 100, 200, 1000].find(
      (size) =>
        superlinear(
          (path) => rule?.match(path),
          (length) => `${fragment.repeat(length)}!`,
          size,
        ) !== undefined,
    );
    expect(slow).toBe(undefined);
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
