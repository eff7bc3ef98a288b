import { describe, expect, it } from "vitest";
import { mergeTexts } from "../../cli/commands/git/mergedriver.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";

const OLD = `SHA256:${"o".repeat(43)}`;
const NEW = `SHA256:${"n".repeat(43)}`;

interface Parts {
  readonly name?: string;
  readonly stamp?: string;
  readonly labels?: string;
  readonly head?: string;
}

/** A SealedSecret with these items. */
function sealed(items: Record<string, string>, parts: Parts = {}): string {
  const { name = "db", stamp, labels, head = "" } = parts;
  return [
    `${head}apiVersion: bitnami.com/v1alpha1`,
    "kind: SealedSecret",
    "metadata:",
    ...(stamp === undefined ? [] : ["  annotations:", `    kube-signet/sealed-under: ${stamp}`]),
    ...(labels === undefined ? [] : [`  labels: ${labels}`]),
    `  name: ${name}`,
    "spec:",
    "  encryptedData:",
    ...Object.entries(items).map(([item, value]) => `    ${item}: ${value}`),
    "",
  ].join("\n");
}

const BASE = sealed({ a: "A1", b: "B1" });

/** The merged text, or what conflicts. */
function merged(base: string, ours: string, theirs: string, byLines?: string): unknown {
  const result = mergeTexts(base, ours, theirs, () => byLines ?? null);
  if (result === null) return null;
  return "text" in result ? result.text : result.conflicts;
}

describe("changes of different items", () => {
  it.for([
    ["each side another one", { a: "A2", b: "B1" }, { a: "A1", b: "B2" }, { a: "A2", b: "B2" }],
    ["one side alone", { a: "A1", b: "B1" }, { a: "A1", b: "B2" }, { a: "A1", b: "B2" }],
    ["both the same", { a: "A2", b: "B1" }, { a: "A2", b: "B1" }, { a: "A2", b: "B1" }],
    [
      "new ones on both",
      { a: "A1", b: "B1", c: "C" },
      { a: "A1", b: "B1", d: "D" },
      { a: "A1", b: "B1", c: "C", d: "D" },
    ],
    ["taken away and changed", { a: "A1" }, { a: "A2", b: "B1" }, { a: "A2" }],
    ["taken away there", { a: "A2", b: "B1" }, { a: "A1" }, { a: "A2" }],
    ["taken away on both", { a: "A1" }, { a: "A1" }, { a: "A1" }],
  ] as const)("come together: %s", ([, ours, theirs, result]) => {
    expect(merged(BASE, sealed(ours), sealed(theirs))).toBe(sealed(result));
  });

  it("keep what ours has around them", () => {
    const ours = sealed({ a: "A2", b: "B1" }, { head: "# Ours.\n" }).replace(
      "a: A2",
      "a:   A2 # x",
    );
    expect(merged(BASE, ours, sealed({ a: "A1", b: "B2" }))).toBe(ours.replace("B1", "B2"));
  });

  it("come together with fields of other kinds", () => {
    const ours = sealed({ a: "A2", b: "B1" }, { labels: "{p: one}" });
    const theirs = sealed({ a: "A1", b: "B1" }, { labels: "{q: two}" });
    expect(merged(BASE, ours, theirs)).toBe(
      sealed({ a: "A2", b: "B1" }, { labels: '{p: one, "q": "two"}' }),
    );
  });

  it("come together where both sides added the file", () => {
    expect(merged("", sealed({ a: "A1" }), sealed({ b: "B1" }))).toBe(sealed({ a: "A1", b: "B1" }));
    expect(merged("", sealed({ a: "A1" }), sealed({ a: "A2" }))).toEqual(["spec.encryptedData.a"]);
  });

  it("come together in each of several documents, and in JSON", () => {
    const two = (one: string, other: string): string =>
      `${sealed({ a: one })}---\n${sealed({ a: other }, { name: "other" })}`;
    expect(merged(two("v1", "v1"), two("v2", "v1"), two("v1", "v2"))).toBe(two("v2", "v2"));
    const json = (one: string, other: string): string =>
      JSON.stringify(
        {
          apiVersion: "bitnami.com/v1alpha1",
          kind: "SealedSecret",
          metadata: { name: "a" },
          spec: { encryptedData: { a: one, b: other } },
        },
        null,
        2,
      );
    expect(merged(json("v1", "v1"), json("v2", "v1"), json("v1", "v2"))).toBe(json("v2", "v2"));
  });
});

describe("a change of scope", () => {
  const wide = (items: Record<string, string>): string =>
    sealed(items).replace(
      "metadata:",
      'metadata:\n  annotations:\n    sealedsecrets.bitnami.com/namespace-wide: "true"',
    );

  it("comes together with what touches no value", () => {
    const theirs = sealed({ a: "A1", b: "B1" }, { labels: "{p: one}" });
    expect(merged(BASE, wide({ a: "A2", b: "B2" }), theirs)).toContain("a: A2");
    expect(merged(BASE, theirs, wide({ a: "A2", b: "B2" }))).toContain("namespace-wide");
  });

  it("is for a person where the other side sealed a value for the scope before", () => {
    const added = sealed({ a: "A1", b: "B1", c: "C1" });
    for (const base of [BASE, wide({ a: "A1", b: "B1" })]) {
      const changed = base === BASE ? wide({ a: "A2", b: "B2" }) : sealed({ a: "A2", b: "B2" });
      const other = base === BASE ? added : wide({ a: "A1", b: "B1", c: "C1" });
      expect(merged(base, changed, other)).toEqual(["spec.encryptedData.c"]);
      expect(merged(base, other, changed)).toEqual(["spec.encryptedData.c"]);
    }
  });
});

describe("the stamp", () => {
  const stampIn = (text: unknown): unknown => {
    const [document] = parseManifests(text as string);
    const value = document?.value as { metadata: { annotations?: Record<string, string> } };
    return value.metadata.annotations?.["kube-signet/sealed-under"];
  };
  const base = sealed({ a: "A1", b: "B1" }, { stamp: OLD });

  it("tells each item's key as the side does that it comes from", () => {
    const ours = sealed({ a: "A2", b: "B2" }, { stamp: NEW });
    const theirs = sealed({ a: "A1", b: "B1", c: "C1" }, { stamp: OLD });
    expect(stampIn(merged(base, ours, theirs))).toBe(`${NEW}; c=${OLD}`);
    expect(stampIn(merged(base, theirs, ours))).toBe(`${NEW}; c=${OLD}`);
  });

  it("is right also where Git's merge by lines is another one", () => {
    const ours = sealed({ a: "A2", b: "B2" }, { stamp: NEW });
    const theirs = sealed({ a: "A1", b: "B1", c: "C1" }, { stamp: OLD });
    const byLines = sealed({ a: "A2", b: "B2", c: "C1" }, { stamp: NEW, head: "# Kept.\n" });
    const text = merged(base, ours, theirs, byLines);
    expect(stampIn(text)).toBe(`${NEW}; c=${OLD}`);
    expect(text).toContain("# Kept.");
  });

  it("comes along where ours had none", () => {
    const bare = sealed({ a: "A1", b: "B1" });
    const ours = sealed({ a: "A1", b: "B1", c: "C1" });
    const theirs = sealed({ a: "A2", b: "B2" }, { stamp: NEW });
    expect(stampIn(merged(bare, ours, theirs))).toBe(`; a=${NEW}; b=${NEW}`);
    expect(stampIn(merged(bare, theirs, ours))).toBe(`; a=${NEW}; b=${NEW}`);
  });

  it("stays where one side told it of a value that is as it was", () => {
    const bare = sealed({ a: "A1", b: "B1" });
    const stamped = sealed({ a: "A1", b: "B1" }, { stamp: NEW });
    const other = sealed({ a: "A1", b: "B1" }, { labels: "{p: one}" });
    expect(stampIn(merged(bare, stamped, other))).toBe(NEW);
    expect(stampIn(merged(bare, other, stamped))).toBe(NEW);
  });
});

describe("comments", () => {
  it("of both sides stay, from Git's merge by lines", () => {
    const ours = sealed({ a: "A2", b: "B1" });
    const theirs = `# Theirs.\n${sealed({ a: "A1", b: "B2" })}`;
    const byLines = `# Theirs.\n${ours}`;
    expect(merged(BASE, ours, theirs, byLines)).toBe(`# Theirs.\n${sealed({ a: "A2", b: "B2" })}`);
  });

  it.for([
    ["is broken", "kind: [\n"],
    ["has other objects", sealed({ a: "A1" }, { name: "x" })],
  ])("are ours where Git's merge by lines %s", ([, byLines]) => {
    const ours = sealed({ a: "A2", b: "B1" });
    expect(merged(BASE, ours, sealed({ a: "A1", b: "B2" }), byLines)).toBe(
      sealed({ a: "A2", b: "B2" }),
    );
  });
});

describe("a conflict", () => {
  it.for([
    ["the same item", { a: "A2", b: "B1" }, { a: "A3", b: "B1" }, ["spec.encryptedData.a"]],
    [
      "two items",
      { a: "A2", b: "B2" },
      { a: "A3", b: "B3" },
      ["spec.encryptedData.a", "spec.encryptedData.b"],
    ],
    [
      "the same new item",
      { a: "A1", b: "B1", c: "C1" },
      { a: "A1", b: "B1", c: "C2" },
      ["spec.encryptedData.c"],
    ],
    ["changed and taken away", { a: "A2", b: "B1" }, { b: "B1" }, ["spec.encryptedData.a"]],
  ] as const)("is named, whatever Git makes of the lines: %s", ([, ours, theirs, conflicts]) => {
    expect(merged(BASE, sealed(ours), sealed(theirs), BASE)).toEqual(conflicts);
  });
});

describe("Git's own work", () => {
  const configMap = "kind: ConfigMap\napiVersion: v1\ndata: {a: b}\n";

  it.for([
    ["a file of another kind", configMap, configMap.replace("b", "c"), configMap.replace("b", "d")],
    ["a file with other objects beside", `${BASE}---\n${configMap}`, BASE, BASE],
    [
      "a further document on one side",
      BASE,
      `${BASE}---\n${sealed({ a: "A1" }, { name: "x" })}`,
      BASE,
    ],
    ["another name on one side", BASE, sealed({ a: "A1" }, { name: "x" }), BASE],
    [
      "two objects of one name",
      `${BASE}---\n${BASE}`,
      `${BASE}---\n${BASE}`,
      `${BASE}---\n${BASE}`,
    ],
    ["what cannot be read", BASE, "kind: [\n", BASE],
    ["nothing", "", "", ""],
  ] as const)("is %s", ([, base, ours, theirs]) => {
    expect(merged(base, ours, theirs)).toBeNull();
  });
});
