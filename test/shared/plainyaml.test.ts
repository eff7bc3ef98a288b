// Proof that the quick reader of plain YAML makes of a text what the whole parser makes of it.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests, type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { composePlainYaml, readPlainYaml } from "../../shared/manifest/plainyaml.ts";
import { type Node, nodeAt } from "../../shared/manifest/tree.ts";
import { composeYaml } from "../../shared/manifest/yaml.ts";

const BASE = 7;
const RUNS = 4_000;

/** What the whole parser makes of it: a tree, or an error. */
function whole(text: string): Node | undefined {
  return composeYaml(text, BASE, (reason, offset, code = "manifest-syntax") => {
    throw new SignetError(code, reason, { place: { line: offset } });
  });
}

/** Whether the quick reader takes a text. Then it must read it as the whole parser does. */
function isTaken(text: string): boolean {
  const quick = composePlainYaml(text, BASE);
  const value = readPlainYaml(text);
  if (quick === null) {
    // Only the tree shows that a key is there twice, if the value itself shows that it needs a tree.
    expect([null, "tree"]).toContain(value);
    return false;
  }
  expect(quick).toEqual(whole(text));
  if (value === "tree") {
    expect(hasSurprise(quick)).toBe(true);
  } else {
    expect(value).toEqual({ value: valueOf(quick), start: quick.start - BASE });
    expect(hasSurprise(quick)).toBe(false);
  }
  return true;
}

function valueOf(node: Node): Json {
  if (node.type === "sequence") return node.items.map(valueOf);
  if (node.type === "mapping") {
    return Object.fromEntries(node.entries.map(({ key, value }) => [key, valueOf(value)]));
  }
  return node.type === "scalar" ? node.resolved.value : valueOf(node.target);
}

/** Whether some scalar is not read as it looks. */
function hasSurprise(node: Node): boolean {
  if (node.type === "sequence") return node.items.some(hasSurprise);
  if (node.type === "mapping") {
    return node.entries.some(({ keyNode, value }) => hasSurprise(keyNode) || hasSurprise(value));
  }
  return node.type === "scalar" ? node.surprising : hasSurprise(node.target);
}

const SEALED = formatManifests(
  [
    {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: {
        name: "db",
        namespace: "shop",
        annotations: { "kube-signet/sealed-under": "SHA256:AbCd+/1234" },
      },
      spec: {
        encryptedData: { password: "AgBy3i4OJSWK+PiTySYZZA9rO43cGDEq==" },
        template: { metadata: { name: "db", namespace: "shop" }, type: "Opaque" },
      },
    },
  ],
  "yaml",
).replace("---\n", "");

describe("the quick reader", () => {
  test("takes what `signet seal` writes", () => {
    expect(isTaken(SEALED)).toBe(true);
  });

  test("composes the tree of a document where someone asks for it", () => {
    const text = `a: 1\n---\n# two\n${SEALED}`;
    const [, document] = parseManifests(text);
    const spec = document === undefined ? undefined : nodeAt(document.root, ["spec"]);
    expect(document).toMatchObject({ document: 2, line: 4, start: 9, end: text.length });
    expect(document?.root).toBe(document?.root);
    expect(text.slice(0, spec?.start)).toMatch(/\nspec:\n {2}$/);
  });

  test.each([
    "a: 1\nb: yes\nc: 0777\nd: null\ne:\n",
    "a:\n- b\n- c: 1\n  d: 2\ne: f\n",
    "a:\n  - b: 1\n    c:\n    - d\n    - e\n  -   f: 2\n      g: 3\nh: {}\n",
    "# one\n\na: [] \n".replace(" \n", "\n"),
    "  # indented\na: 'x: y'\nb: \"x # y\"\n   # deeper\n\n  \nc: d#e\n",
    "yes: 1\nno: 2\n",
    "a:\nb:\n  c:\n  d:\n",
    "creationTimestamp: null\nimage: a.example/b:1.2@sha256:00\n",
  ])("takes %j", (text) => {
    expect(isTaken(text)).toBe(true);
  });

  test.each([
    ["a second line of a value", "a: b\n  c\n"],
    ["a second line after a comment", "a: b\n# x\n  c\n"],
    ["a comment behind a value", "a: b # c\n"],
    ["spaces behind a value", "a: b \n"],
    ["a key twice", "a: 1\nb: 2\na: 3\n"],
    ["a key that is null", "null: 1\n"],
    ["a block of text", "a: |\n  b\n"],
    ["an anchor", "a: &b c\n"],
    ["an alias", "a: *b\n"],
    ["a tag", "a: !!str b\n"],
    ["a merge", "<<: {}\n"],
    ["an escape", 'a: "\\n"\n'],
    ["a quote in quotes", "a: 'b''c'\n"],
    ["text behind a quote", "a: 'b' c'\n"],
    ["a flow mapping", "a: {b: c}\n"],
    ["a tab", "a:\tb\n"],
    ["a carriage return", "a: b\r\n"],
    ["a letter beyond ASCII", "a: é\n"],
    ["a list in a line of a list", "a:\n- - b\n"],
    ["a dash alone", "a:\n-\n"],
    ["a key in the line of a key", "a: b: c\n"],
    ["a colon at the end", "a: b:\n"],
    ["a wrong indent", "a:\n    b: 1\n  c: 2\n"],
    ["an indented document", " a: 1\n"],
    ["a list alone", "- a\n"],
    ["a word alone", "a\n"],
    ["a document end mark", "a: b\n...\n"],
    ["nothing", "\n"],
    ["no line end", "a: b"],
    ["a long key", `${"a".repeat(2000)}: b\n`],
    ["many levels", Array.from({ length: 100 }, (_, at) => `${" ".repeat(at)}a:\n`).join("")],
  ])("leaves %s to the whole parser", (_, text) => {
    expect(composePlainYaml(text, 0)).toBeNull();
  });

  test("reads nested maps and lists as the whole parser does", () => {
    const odd = fc.constantFrom(
      ...["a: b", "a #b", "'x'y'", "'a''b'", '"\\x41"', "a:", "b ", "-", "- c", "-1", "...", "---"],
      ...["{a: b}", "[a]", "|", ">-", "&a", "*a", "!t", "?", "% a", "@a", "`a`", ", b", "# c", "}"],
      ...["a\n  b", "a\n# c\n    b", "", "  ", "b  # c", "=", "<<"],
    );
    const even = fc.constantFrom(
      ...[
        "b",
        "1",
        "0x1F",
        "1e3",
        "yes",
        "null",
        "a:b",
        "a#b",
        "a b",
        "{}",
        "[]",
        "'x'",
        '"y"',
        "''",
      ],
      ...[
        '""',
        ".5",
        "+1",
        "_",
        "/",
        "",
        "SHA256:x/y+z==",
        "a]",
        "{}",
        "0b11",
        "1_0",
        "a, b",
        "a - b",
      ],
    );
    const value = fc.oneof({ weight: 30, arbitrary: even }, { weight: 1, arbitrary: odd });
    const key = fc.oneof(
      {
        weight: 40,
        arbitrary: fc.constantFrom("a", "b", "c", "d-e/f.g", "y", "on", "x1", "False"),
      },
      { weight: 1, arbitrary: fc.constantFrom("null", "1", "~", "a b", "'a'", "<<", "? a", "") },
    );
    const extra = fc.oneof(
      { weight: 20, arbitrary: fc.constant("") },
      { weight: 2, arbitrary: fc.constantFrom("\n", "# c\n", "   # c\n", "    \n") },
    );
    const width = fc.constantFrom(0, 1, 2, 2, 2, 4);
    const { map } = fc.letrec<{ map: Lines; list: Lines; node: Lines }>((tie) => ({
      map: fc
        .array(fc.tuple(key, tie("node"), width, extra), { minLength: 1, maxLength: 4 })
        .map((entries) =>
          entries.flatMap(([name, below, by, before]) => under(name, below, by, before)),
        ),
      list: fc
        .array(fc.tuple(tie("node"), fc.constantFrom("- ", "- ", "-   ")), {
          minLength: 1,
          maxLength: 3,
        })
        .map((items) => items.flatMap(([below, dash]) => item(below, dash))),
      node: fc.oneof(
        { maxDepth: 4, depthIdentifier: "tree" },
        value.map((text) => [text]),
        tie("map"),
        tie("list"),
      ),
    }));
    let taken = 0;
    fc.assert(
      fc.property(map, (lines) => {
        if (isTaken(lines.map((line) => `${line}\n`).join(""))) taken++;
      }),
      { numRuns: RUNS },
    );
    expect(taken).toBeGreaterThan(RUNS / 20);
  });

  test("reads manifests with a change in them as the whole parser does", () => {
    const texts = [SEALED, ...manifestsBelow("charts"), ...manifestsBelow("examples")].flatMap(
      (text) => text.split(/^---.*\n/m),
    );
    let taken = 0;
    const edit = fc.tuple(
      fc.nat({ max: texts.length - 1 }),
      fc.nat(),
      fc.nat({ max: 3 }),
      fc.constantFrom(
        ...[
          "\n",
          ":",
          "#",
          " ",
          "-",
          "'",
          '"',
          "{",
          "}",
          "[",
          "]",
          "a",
          "1",
          ".",
          "!",
          "&",
          "*",
          "?",
        ],
        ...["|", ">", "%", "@", "`", ",", "=", "", ": ", " #", "\n  ", "\n- ", "- "],
      ),
    );
    fc.assert(
      fc.property(edit, ([index, place, length, inserted]) => {
        const text = texts[index] ?? "";
        const at = text.length === 0 ? 0 : place % text.length;
        if (isTaken(`${text.slice(0, at)}${inserted}${text.slice(at + length)}\n`)) taken++;
      }),
      { numRuns: RUNS },
    );
    expect(taken).toBeGreaterThan(RUNS / 40);
  });
});

type Lines = string[];

/** A key with what is below it, or with a value in its line. */
function under(key: string, below: Lines, width: number, before: string): Lines {
  const [first = ""] = below;
  const isValue = below.length === 1 && !/^(- |.*:)/.test(first);
  const name = `${before}${key}:`;
  if (isValue) return [first === "" ? name : `${name} ${first}`];
  const by = " ".repeat(first.startsWith("- ") ? width : Math.max(1, width));
  return [name, ...below.map((line) => by + line)];
}

function item([first = "", ...others]: Lines, dash: string): Lines {
  return [dash + first, ...others.map((line) => " ".repeat(dash.length) + line)];
}

function manifestsBelow(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => readFileSync(join(folder, name), "utf8"));
}
