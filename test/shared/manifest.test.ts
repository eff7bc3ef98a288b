// Proofs that manifests are read, written and edited as SPEC.md "Manifests" says.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Edit, editManifest } from "../../shared/manifest/edit.ts";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests, type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { thrownBy } from "../vectors/fixtures.ts";

const values = (text: string) => parseManifests(text).map(({ value }) => value);

const fault = (text: string): SignetError =>
  thrownBy(() => parseManifests(text, { file: "f.yaml" }));

describe("streams", () => {
  test.each<[string, string, Json[]]>([
    ["one document", "a: b\n", [{ a: "b" }]],
    ["two documents", "a: b\n---\nc: d\n", [{ a: "b" }, { c: "d" }]],
    ["no line break at the end", "a: b\n---\nc: d", [{ a: "b" }, { c: "d" }]],
    ["a leading separator", "---\na: b\n", [{ a: "b" }]],
    [
      "separators with comments and spaces",
      "--- # one\na: b\n---   \nc: d",
      [{ a: "b" }, { c: "d" }],
    ],
    ["empty documents", "---\n---\n\n---\na: b\n---\n", [{ a: "b" }]],
    ["documents of comments only", "# x\n---\n# y\n---\na: b\n---\n# z", [{ a: "b" }]],
    ["nothing", "", []],
    ["blank lines only", "\n \n", []],
    ["Windows line ends", "a: b\r\n---\r\nc: |\r\n  d\r\n", [{ a: "b" }, { c: "d\n" }]],
    ["a byte order mark", "\uFEFFa: b\n", [{ a: "b" }]],
    ["a byte order mark before a separator", "\uFEFF---\na: b\n", [{ a: "b" }]],
    ["JSON", '{"a": "b"}', [{ a: "b" }]],
    ["JSON documents in a row", '{\n  "a": 1\n}\n{\n  "b": 2\n}\n', [{ a: 1 }, { b: 2 }]],
    ["JSON documents without a gap", "{}{}", [{}, {}]],
    [
      "YAML and JSON mixed",
      'a: b\n---\n{"c": [1]}\n---\n\n{"d": 2}\n{"e": 3}\n',
      [{ a: "b" }, { c: [1] }, { d: 2 }, { e: 3 }],
    ],
    ["JSON with tabs", '{\n\t"a":\t"b"\n}\n', [{ a: "b" }]],
    ["JSON escapes", '{"a": "\\/\\ud83d\\ude00\\u0041"}', [{ a: "/😀A" }]],
    ["a flow mapping that is not JSON", "{a: b,}", [{ a: "b" }]],
    ["a document end mark", "a: b\n...\n# c\n", [{ a: "b" }]],
    ["a literal null", "null\n", [null]],
    ["a list", "- a\n- b\n", [["a", "b"]]],
    ["a block of text that ends the file without a line break", "a: |\n  b", [{ a: "b\n" }]],
  ])("reads %s", (_, text, expected) => {
    expect(values(text)).toEqual(expected);
  });

  test("numbers documents as they are counted, and knows their lines and formats", () => {
    const text = '# head\n---\n# one\na: b\n---\n# none\n---\n{"c": 1}\n{"d": 2}\n';
    expect(
      parseManifests(text).map(({ document, line, format }) => [document, line, format]),
    ).toEqual([
      [1, 4, "yaml"],
      [2, 8, "json"],
      [3, 9, "json"],
    ]);
  });

  test("keeps keys that name parts of a JavaScript object as plain data", () => {
    for (const text of [
      "__proto__:\n  a: b\nconstructor: c\ntoString: d\n",
      '{"__proto__": {"a": "b"}, "constructor": "c", "toString": "d"}',
    ]) {
      const [value] = values(text) as [Record<string, Json>];
      expect(Object.keys(value)).toEqual(["__proto__", "constructor", "toString"]);
      expect(Object.getPrototypeOf(value)).toBeNull();
      expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
      expect(values(formatManifests([value], "yaml"))).toEqual([value]);
    }
  });

  test("gives each use of an alias its own value", () => {
    const [value] = values("a: &x\n  b: c\nd: *x\n") as [Record<string, Json>];
    expect(value["d"]).toEqual({ b: "c" });
    expect(value["d"]).not.toBe(value["a"]);
  });

  test("reads brackets and quotes whose lines are indented no further than their key", () => {
    const text = "a: [ # c\n  b,\n]\nd:\n  e: {\n  f: g\n}\nh: 'i\nj'\nk: [l\n]\n";
    const [document] = parseManifests(text);
    expect(document?.value).toEqual({ a: ["b"], d: { e: { f: "g" } }, h: "i j", k: ["l"] });
    const found = [["a"], ["d", "e"], ["d", "e", "f"], ["h"], ["k", 0]].map((path) => {
      const node = document && nodeAt(document.root, path);
      return text.slice(node?.start, node?.end);
    });
    expect(found).toEqual(["[ # c\n  b,\n]", "{\n  f: g\n}", "g", "'i\nj'", "l"]);
    expect(fault(`${text}d: x\n`).place.line).toBe(12);
    const [edited] = document
      ? [editManifest(text, document, [{ path: ["d", "e", "f"], value: "x" }])]
      : [];
    expect(edited).toBe(text.replace("g", '"x"'));
  });

  test("knows the line of every value", () => {
    const text = "a: b\n---\nc:\n  - d: e\n    f: g\n";
    const [, second] = parseManifests(text);
    const node = second && nodeAt(second.root, ["c", 0, "f"]);
    expect(text.slice(node?.start, node?.end)).toBe("g");
    expect(second && nodeAt(second.root, ["c", 1])).toBeUndefined();
    expect(second && nodeAt(second.root, ["c", 0, "f", "x"])).toBeUndefined();
  });
});

describe("surprises", () => {
  const list = (text: string) =>
    parseManifests(text).flatMap(({ surprises }) =>
      surprises.map(
        ({ what, path, line, becomes }) => `${what} ${path.join(".")} ${line} ${becomes}`,
      ),
    );

  test.each([
    ["yes", "boolean"],
    ["Off", "boolean"],
    ["y", "boolean"],
    ["0777", "number"],
    ["0o777", "number"],
    ["0x1F", "number"],
    ["1_000", "number"],
    ["1e3", "number"],
    ["1.50", "number"],
    ["+1", "number"],
    ["12345678901234567890", "number"],
    ["!!int '5'", "number"],
    ["!!binary aGk=", "string"],
    ["!vault x", "string"],
  ])("tells that %s becomes a %s", (text, becomes) => {
    expect(list(`k:\n  a: ${text}\n`)).toEqual([`value k.a 2 ${becomes}`]);
  });

  test.each([
    "8080",
    "1.5",
    "-3",
    "true",
    "False",
    "~",
    "null",
    "",
    "abc",
    "'yes'",
    '"0777"',
    "1:30",
  ])("is quiet about %s, which is what it looks like", (text) => {
    expect(list(`a: ${text}\n`)).toEqual([]);
  });

  test("tells what keys become", () => {
    expect(list("on: a\n0777: b\n8080: c\nfalse: d\n'no': e\n")).toEqual([
      "key true 1 boolean",
      "key 511 2 number",
    ]);
  });

  test("follows lists and aliases", () => {
    expect(list("a: &x [b, yes]\nc: *x\n")).toEqual(["value a.1 1 boolean", "value c.1 1 boolean"]);
  });

  test("tells of integers that JavaScript rounds, in JSON too, and keeps their digits", () => {
    const [document] = parseManifests('{"a": 9007199254740993, "b": 9007199254740991}');
    expect(document?.surprises).toEqual([
      { what: "value", path: ["a"], line: 1, becomes: "number" },
    ]);
    const node = document && nodeAt(document.root, ["a"]);
    expect(node?.type === "scalar" && node.resolved.integer).toBe(9007199254740993n);
  });

  test("never holds the text of a value", () => {
    const [document] = parseManifests("password: 1e99\n");
    expect(JSON.stringify(document?.surprises)).not.toContain("1e99");
  });
});

describe("errors", () => {
  test.each<[string, string, string, number]>([
    ["a duplicate key", "a: 1\nb: 2\na: 3\n", "manifest-ambiguous", 3],
    ["a duplicate key after resolution", "1: a\n'1': b\n", "manifest-ambiguous", 2],
    ["a duplicate key in JSON", '{"a": 1,\n"a": 2}', "manifest-ambiguous", 2],
    ["a duplicate key in JSON, escaped", '{"a": 1, "\\u0061": 2}', "manifest-ambiguous", 1],
    ["two merge keys", "a: &a {b: c}\nd:\n  <<: *a\n  <<: *a\n", "manifest-ambiguous", 4],
    [
      "a merge over an earlier key",
      "a: &a {b: c}\nd:\n  b: e\n  <<: *a\n",
      "manifest-ambiguous",
      4,
    ],
    ["infinity", "a: .inf\n", "manifest-ambiguous", 1],
    ["not a number", "a: .nan\n", "manifest-ambiguous", 1],
    ["a raw line separator", "a: b\u2028c\n", "manifest-ambiguous", 1],
    ["a tab as indentation", "a:\n\tb: c\n", "manifest-syntax", 2],
    ["bad indentation", "a:\n  b: c\n d: e\n", "manifest-syntax", 3],
    ["an open quote", 'a: b\nc: "d\n', "manifest-syntax", 2],
    ["an open bracket", "a: [b, c\n", "manifest-syntax", 1],
    ["an unfinished JSON document", '{"a": 1,\n "b": ', "manifest-syntax", 2],
    ["text after JSON", '{"a": 1}\nb: c\n', "manifest-syntax", 2],
    ["text on a separator's line", "a: b\n--- c\n", "manifest-syntax", 2],
    ["a document that Kubernetes would drop", "a: b\n...\nc: d\n", "manifest-syntax", 1],
    ["a directive", "%YAML 1.2\n---\na: b\n", "manifest-syntax", 2],
    ["a missing anchor", "a: *b\n", "manifest-syntax", 1],
    ["an anchor within itself", "a: &a [*a]\n", "manifest-syntax", 1],
    ["a list as a key", "[a]: b\n", "manifest-syntax", 1],
    ["a null key", "~: b\n", "manifest-syntax", 1],
    ["a control character", "a: b\n# \x07\n", "manifest-syntax", 2],
    ["a NUL", "a: \0\n", "manifest-syntax", 1],
    ["half a character", "a: \uD800\n", "manifest-syntax", 1],
    ["half a character escaped in JSON", '{"a": "\\ud800"}', "manifest-syntax", 1],
    ["a value that does not fit its tag", "a: !!int b\n", "manifest-syntax", 1],
    ["binary that is not text", "a: !!binary /w==\n", "manifest-ambiguous", 1],
    ["a byte order mark in the middle", "a: b\n---\n\uFEFFc: d\n", "manifest-syntax", 3],
  ])("refuses %s and names the line", (_, text, code, line) => {
    const error = fault(text);
    expect([error.code, error.place.line, error.place.file]).toEqual([code, line, "f.yaml"]);
  });

  test("names the document where there are several", () => {
    expect(fault("a: b\n---\nc: [\n").place).toEqual({ file: "f.yaml", document: 2, line: 4 });
    expect(fault("c: [\n").place.document).toBeUndefined();
  });

  test("never quotes the input", () => {
    const secret = "hunter2";
    for (const text of [
      `a: !${secret}! b`,
      `a: !<${secret}{> b`,
      `a: *${secret}`,
      `a: "${secret}`,
      `a: "\\q${secret}"`,
      `{"a": "${secret}`,
      `{"a": ${secret}"`,
      `%TAG !${secret}! ${secret}\n---\n`,
      `a: b\n ${secret}\n  - c: d: e`,
      `a: !!int ${secret}`,
      `--- ${secret}`,
      `a: &${secret}[ b`,
      `${secret}: 1\n${secret}: 2`,
      `a: |1${secret}`,
    ]) {
      const error = fault(text);
      expect(`${error.message} ${String(error.hint)} ${JSON.stringify(error.place)}`).not.toContain(
        secret,
      );
      expect(error.cause).toBeUndefined();
    }
  });

  test("refuses aliases that expand beyond all use", () => {
    const levels = "b c d e f g h i".split(" ").map(
      (name, index) =>
        `${name}: &${name} [${Array(9)
          .fill(`*${"abcdefgh"[index] ?? ""}`)
          .join(",")}]`,
    );
    expect(fault(`a: &a [${Array(9).fill("x").join(",")}]\n${levels.join("\n")}`).code).toBe(
      "manifest-syntax",
    );
  });

  test.each([
    ["YAML lists", `a: ${"[".repeat(300)}${"]".repeat(300)}`],
    ["JSON lists", `{"a": ${"[".repeat(300)}${"]".repeat(300)}}`],
    ["blocks", Array.from({ length: 300 }, (_, index) => `${" ".repeat(index)}a:`).join("\n")],
    [
      "aliases",
      `a0: &a0 [x]\n${Array.from({ length: 300 }, (_, index) => `a${index + 1}: &a${index + 1} [*a${index}]`).join("\n")}`,
    ],
  ])("refuses nesting without end: %s", (_, text) => {
    expect(fault(text).code).toBe("manifest-syntax");
  });

  test("answers any text with documents or a SignetError", () => {
    const part = fc.constantFrom(
      ..."a b : - ? # & * ! | > ' \" [ ] { } , % @ ` \\ ~ . 0 1 < = / +".split(" "),
      "\n",
      " ",
      "  ",
      "\n  ",
      "\t",
      "\r",
      "---",
      "...",
      "\n---\n",
      "<<: ",
      "!!str ",
      "é",
      "😀",
      '{"a":',
      "\uFEFF",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        try {
          parseManifests(parts.join(""));
        } catch (error) {
          expect(error).toBeInstanceOf(SignetError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

/** Strings that YAML readers quarrel about, among arbitrary ones. */
export const nasty: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary" }).filter((text) => !/\p{Surrogate}/u.test(text)),
  fc.string(),
  fc
    .array(
      fc.constantFrom(
        "a",
        "b",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r",
        ":",
        "#",
        "-",
        "'",
        '"',
        "\\",
        "é",
        "😀",
        "\u2028",
        "\x85",
        "\uFEFF",
        "|",
        ">",
        "---",
        "...",
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join("")),
  fc.constantFrom(
    "",
    "yes",
    "no",
    "on",
    "null",
    "~",
    "0777",
    "1e3",
    "1_000",
    ".inf",
    "<<",
    "=",
    "2001-01-01",
    "1:30",
    "-",
    "--- a",
    "...",
    "? a",
    "- a",
    "a: b",
    "a #b",
    "!a",
    "&a",
    "*a",
    "%a",
    "@a",
    "`a",
    "{}",
    "[]",
    "__proto__",
    "aGVsbG8=",
    "0x1F",
    "+1",
    "1.",
    ".5",
    "12e4",
    " a",
    "a ",
    "a\n",
    "a\nb",
    "a\n\n",
    "\na",
    "line 1\n  line 2\n",
    "-----BEGIN\nx\n-----END\n",
  ),
);

export const json: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .map((number) => (number === 0 ? 0 : number)),
    nasty,
    fc.array(tie("json"), { maxLength: 4 }),
    fc.dictionary(nasty, tie("json"), { maxKeys: 4, noNullPrototype: false }),
  ),
})).json;

/** Text that is the same for the same value, whatever the order of its keys. */
const canonical = (value: Json): string =>
  JSON.stringify(value, (_, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))
      : item,
  );

describe("writing", () => {
  test("prints YAML as kubectl and kubeseal do", () => {
    const value = {
      apiVersion: "v1",
      kind: "List",
      items: [{ a: "yes", b: ["x", []], c: {} }],
      text: "one\n  two\n",
      stripped: "one\ntwo",
      port: 8080,
      none: null,
      "0777": `it's "quoted"`,
      base64: "QUJD".repeat(100),
    };
    expect(formatManifests([value], "yaml")).toBe(
      `---
apiVersion: v1
kind: List
items:
- a: "yes"
  b:
  - x
  - []
  c: {}
text: |
  one
    two
stripped: |-
  one
  two
port: 8080
none: null
"0777": it's "quoted"
base64: ${"QUJD".repeat(100)}
`,
    );
  });

  test("prints JSON documents one after another", () => {
    expect(formatManifests([{ a: 1 }, []], "json")).toBe('{\n  "a": 1\n}\n[]\n');
  });

  test.each(["yes", "0777", "1:30", "2001-01-01", "", "~", "1e3", "=", "null", "0o7"])(
    "quotes %s",
    (text) => {
      expect(formatManifests([{ a: text }], "yaml")).toBe(`---\na: ${JSON.stringify(text)}\n`);
    },
  );

  test.each([
    "a: b",
    "- a",
    "x #y",
    " a",
    "a ",
    "{{ .Release.Name }}",
    "*a",
    "&a",
    "@a",
    "it's: b",
  ])("puts %s into single quotes, as go-yaml does", (text) => {
    const quoted = `'${text.replaceAll("'", "''")}'`;
    expect(formatManifests([{ a: text }], "yaml")).toBe(`---\na: ${quoted}\n`);
    expect(parseManifests(`a: ${quoted}\n`)[0]?.value).toEqual({ a: text });
  });

  test.each([
    "abc",
    "aGVsbG8=",
    "a:b",
    "a#b",
    "1a",
    "-a",
    "/x",
    "it's",
    "AgB7+x/0==",
    "x, y",
    "a-b_c.d",
    "e3",
  ])("leaves %s plain", (text) => {
    expect(formatManifests([{ a: text }], "yaml")).toBe(`---\na: ${text}\n`);
  });

  test("refuses what cannot be written", () => {
    for (const value of ["\uD800", { "\uDC00": 1 }, [Infinity], NaN]) {
      expect(() => formatManifests([value], "yaml")).toThrow(SignetError);
      expect(() => formatManifests([value], "json")).toThrow(SignetError);
    }
  });

  test("reads back what it writes", () => {
    fc.assert(
      fc.property(fc.array(json, { maxLength: 3 }), (list) => {
        const read = parseManifests(formatManifests(list, "yaml"));
        expect(read.map(({ value }) => canonical(value))).toEqual(list.map(canonical));
        const objects = list.map((value) => ({ value }));
        const back = parseManifests(formatManifests(objects, "json"));
        expect(back.map(({ value }) => canonical(value))).toEqual(objects.map(canonical));
        expect(back.every(({ format }) => format === "json")).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  test("reads back a key longer than a YAML key may be", () => {
    const value = { ["k".repeat(5000)]: { a: "b" } };
    expect(values(formatManifests([value], "yaml"))).toEqual([value]);
  });
});

describe("edits", () => {
  const edit = (text: string, ...edits: Edit[]) => {
    const [document] = parseManifests(text);
    if (document === undefined) throw new Error("no document");
    return editManifest(text, document, edits);
  };
  const set = (path: string, value: Json | undefined): Edit => ({ path: path.split("."), value });

  test.each<[string, string, string, Json | undefined, string]>([
    ["changes a plain value", "# c\na: b # d\ne: f\n", "a", "x", "# c\na: x # d\ne: f\n"],
    ["quotes where it must", "a: b\n", "a", "yes", 'a: "yes"\n'],
    ["keeps single quotes", "a: 'b' # c\n", "a", "it's", "a: 'it''s' # c\n"],
    ["keeps double quotes", 'a: "b"\n', "a", "x", 'a: "x"\n'],
    ["keeps the gap", "a:   b\n", "a", "x", "a:   x\n"],
    ["fills an empty value", "a: # c\nb: d\n", "a", "x", "a: x # c\nb: d\n"],
    ["fills an empty value at the end", "b: d\na:", "a", "x", "b: d\na: x"],
    [
      "replaces a block of text",
      "a: |- # c\n  b\n  c\n\n# d\ne: f\n",
      "a",
      "x",
      "a: x # c\n\n# d\ne: f\n",
    ],
    ["writes a block of text", "a: b # c\ne: f\n", "a", "x\ny\n", "a: | # c\n  x\n  y\ne: f\n"],
    ["writes a block of text at the end", "a: b", "a", "x\ny", "a: |-\n  x\n  y"],
    [
      "replaces a block of text by another",
      "a:\n  b: |\n    c\n  d: e\n",
      "a.b",
      "x\ny",
      "a:\n  b: |-\n    x\n    y\n  d: e\n",
    ],
    ["replaces a folded value", "a: b\n  c\nd: e\n", "a", "x", "a: x\nd: e\n"],
    ["replaces a value below its key", "a:\n  b\nc: d\n", "a", "x", "a: x\nc: d\n"],
    ["replaces a mapping by a value", "a:\n  b: c\n  d: e\nf: g\n", "a", "x", "a: x\nf: g\n"],
    ["replaces a value by a mapping", "a: b\nf: g\n", "a", { c: "d" }, "a:\n  c: d\nf: g\n"],
    ["replaces a list", "a:\n- b\n- c\nd: e\n", "a", ["x"], "a:\n- x\nd: e\n"],
    [
      "adds an entry after the last",
      "a:\n  b: c # d\n\n# e\nf: g\n",
      "a.x",
      "w",
      "a:\n  b: c # d\n  x: w\n\n# e\nf: g\n",
    ],
    [
      "adds an entry with the indentation of its mapping",
      "a:\n    b: c\n",
      "a.x",
      "w",
      "a:\n    b: c\n    x: w\n",
    ],
    [
      "adds an entry after a block of text",
      "a:\n  b: |\n    c\n\nf: g\n",
      "a.x",
      "w",
      "a:\n  b: |\n    c\n  x: w\n\nf: g\n",
    ],
    [
      "adds an entry after a block that keeps its blank lines",
      "a:\n  b: |+\n    c\n\nf: g\n",
      "a.x",
      "w",
      "a:\n  b: |+\n    c\n\n  x: w\nf: g\n",
    ],
    [
      "quotes a text that would swallow the comment below it",
      "a: b\n  # c\nd: e\n",
      "a",
      "x\ny",
      'a: "x\\ny"\n  # c\nd: e\n',
    ],
    ["adds an entry at the end of a file without a line break", "a: b", "x", "w", "a: b\nx: w"],
    ["adds missing parents", "a: b\n", "x.w.z", "1", 'a: b\nx:\n  w:\n    z: "1"\n'],
    ["fills a parent that is null", "a:\nb: c\n", "a.x", "w", "a:\n  x: w\nb: c\n"],
    ["fills a parent that is empty", "a: {} # c\nb: c\n", "a.x", "w", "a: # c\n  x: w\nb: c\n"],
    ["takes an entry out", "a:\n  b: c # d\n  e: f\n", "a.b", undefined, "a:\n  e: f\n"],
    ["takes a block of text out", "a: |\n  b\n\n  c\nd: e\n", "a", undefined, "d: e\n"],
    ["takes the last entry out", "a:\n  b: c\nd: e\n", "a.b", undefined, "a: {}\nd: e\n"],
    ["takes an empty entry out", "a:\nd: e\n", "a", undefined, "d: e\n"],
    ["takes the first entry of a list item out", "- b: c\n  d: e\n", "0.b", undefined, "- d: e\n"],
    ["does nothing for an entry that is not there", "a: b\n", "x.w", undefined, "a: b\n"],
    [
      "keeps Windows line ends",
      "a:\r\n  b: c\r\nd: e\r\n",
      "a.x",
      "w",
      "a:\r\n  b: c\r\n  x: w\r\nd: e\r\n",
    ],
    [
      "writes a block with Windows line ends",
      "a: b\r\nc: d\r\n",
      "a",
      "x\ny\n",
      "a: |\r\n  x\r\n  y\r\nc: d\r\n",
    ],
    ["changes within braces", "a: {b: c, d: e} # f\n", "a.b", "x", 'a: {b: "x", d: e} # f\n'],
    ["adds within braces", "a: {b: c,}\n", "a.x", "w", 'a: {b: c, "x": "w",}\n'],
    ["takes out within braces", "a: {b: c, d: e}\n", "a.d", undefined, "a: {b: c}\n"],
    ["takes the first out within braces", "a: {b: c, d: e}\n", "a.b", undefined, "a: {d: e}\n"],
    ["takes the only one out within braces", "a: {b: c}\n", "a.b", undefined, "a: {}\n"],
    [
      "changes JSON",
      '{\n  "a": "b",\n  "c": 1\n}\n',
      "a",
      'x"y',
      '{\n  "a": "x\\"y",\n  "c": 1\n}\n',
    ],
    [
      "adds to JSON",
      '{\n  "a": {\n    "b": "c"\n  }\n}\n',
      "a.x",
      "w",
      '{\n  "a": {\n    "b": "c",\n    "x": "w"\n  }\n}\n',
    ],
    ["adds to JSON with tabs", '{\n\t"a": "b"\n}\n', "x", "w", '{\n\t"a": "b",\n\t"x": "w"\n}\n'],
    ["adds to JSON on one line", '{"a":"b"}', "x", { w: 1 }, '{"a":"b", "x": {"w": 1}}'],
    ["adds to empty JSON", "{}", "x", "w", '{\n  "x": "w"\n}'],
    ["takes out of JSON", '{\n  "a": 1,\n  "b": 2\n}', "b", undefined, '{\n  "a": 1\n}'],
    ["takes the first out of JSON", '{\n  "a": 1,\n  "b": 2\n}', "a", undefined, '{\n  "b": 2\n}'],
    [
      "reaches into a list",
      "items:\n- a: b\n- a: c\n",
      "items.1.a",
      "x",
      "items:\n- a: b\n- a: x\n",
    ],
    ["replaces a whole value of no text", "a: null\n", "a", 5, "a: 5\n"],
  ])("%s", (_, text, path, value, expected) => {
    expect(edit(text, set(path, value))).toBe(expected);
  });

  test("makes several edits, in one document of several, and leaves the others", () => {
    const text = "# head\na: 1\n---\n# two\na: b\nc: d\n---\na: 3";
    const second = parseManifests(text)[1];
    expect(
      second && editManifest(text, second, [set("a", "x"), set("c", undefined), set("e", "f")]),
    ).toBe("# head\na: 1\n---\n# two\na: x\ne: f\n---\na: 3");
  });

  test.each([
    ["an anchor", "a: &x b\nc: *x\n", "a"],
    ["an alias", "a: &x b\nc: *x\n", "c"],
    ["an alias above", "a: &x\n  b: c\nd: *x\n", "d.b"],
    ["a merge key", "a: &x\n  b: c\nd:\n  <<: *x\n", "d.b"],
    ["a tag", "a: !!str b\n", "a"],
    ["a value on the way", "a: b\n", "a.b"],
    ["a list on the way", "a: [b]\n", "a.x"],
    ["a key that stands alone", "? a\n: b\n", "a"],
  ])("refuses to edit across %s", (_, text, path) => {
    expect(() => edit(text, set(path, "x"))).toThrow(SignetError);
  });

  test("writes several edits as one after the other would write them", () => {
    const key = fc.constantFrom("a", "b", "c", "d");
    const inner = fc.oneof(nasty, fc.dictionary(key, nasty, { maxKeys: 3 }));
    const change = fc.record({
      path: fc.array(key, { minLength: 1, maxLength: 2 }),
      value: fc.oneof(
        { arbitrary: inner, weight: 9 },
        { arbitrary: fc.constant(undefined), weight: 1 },
      ),
    });
    const tries = <T>(action: () => T): T | undefined => {
      try {
        return action();
      } catch (error) {
        expect(error).toBeInstanceOf(SignetError);
        return undefined;
      }
    };
    let made = 0;
    fc.assert(
      fc.property(
        fc.dictionary(key, inner, { minKeys: 2, maxKeys: 4 }),
        fc.array(change, { minLength: 2, maxLength: 4 }),
        fc.constantFrom("yaml", "json"),
        fc.boolean(),
        (value, changes, format, crlf) => {
          const plain = formatManifests([{ first: "1", ...value }], format);
          const text = crlf ? plain.replaceAll("\n", "\r\n") : plain;
          const together = tries(() => edit(text, ...changes));
          const inTurn = tries(() => changes.reduce((before, each) => edit(before, each), text));
          if (inTurn !== undefined) made++;
          expect(together).toBe(inTurn);
        },
      ),
      { numRuns: 1500 },
    );
    expect(made).toBeGreaterThan(700);
  });

  test("writes what is meant or refuses, and touches no other line", () => {
    const key = fc.constantFrom("a", "b", "c");
    const path = fc.array(key, { minLength: 1, maxLength: 3 });
    const small = fc.dictionary(key, fc.oneof(nasty, fc.dictionary(key, nasty, { maxKeys: 2 })), {
      maxKeys: 3,
    });
    const change = fc.oneof(nasty, fc.constant(undefined), small);
    let made = 0;
    fc.assert(
      fc.property(
        small,
        path,
        change,
        fc.constantFrom("yaml", "json"),
        fc.boolean(),
        (value, at, next, format, crlf) => {
          const before = format === "yaml" ? "# head\nother: x # y\n---\n" : "";
          const plain =
            before +
            formatManifests([{ first: "1", ...value, last: "2" }], format).replace("---\n", "");
          const text = crlf ? plain.replaceAll("\n", "\r\n") : plain;
          const document = parseManifests(text).at(-1);
          if (document === undefined) throw new Error("no document");
          let edited: string;
          try {
            edited = editManifest(text, document, [{ path: at, value: next }]);
          } catch (error) {
            expect(error).toBeInstanceOf(SignetError);
            return;
          }
          made++;
          expect(edited.startsWith(text.slice(0, document.start))).toBe(true);
          const left = text.slice(document.start).split("\n");
          const right = edited.slice(document.start).split("\n");
          expect(edited.replaceAll("\r\n", "").includes(crlf ? "\n" : "\r")).toBe(false);
          // What differs is one run of lines, no longer than the entry and the line before it.
          let head = 0;
          while (head < left.length && left[head] === right[head]) head++;
          let tail = 0;
          while (tail < left.length - head && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
          const touched = nodeAt(document.root, at.slice(0, 1));
          const lines = text.slice(touched?.start, touched?.end ?? -1).split("\n").length;
          if (touched !== undefined)
            expect(left.length - head - tail).toBeLessThanOrEqual(lines + 1);
          else expect(left.length - head - tail).toBeLessThanOrEqual(1);
          const node = nodeAt(parseManifests(edited).at(-1)?.root ?? document.root, at);
          expect(node === undefined).toBe(next === undefined);
        },
      ),
      { numRuns: 1500 },
    );
    expect(made).toBeGreaterThan(900);
  });
});
