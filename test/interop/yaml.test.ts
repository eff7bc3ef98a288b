// Proof that we read every YAML document as Kubernetes' own library does, or refuse it.

import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests, type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import type { Node } from "../../shared/manifest/tree.ts";
import { partPath } from "../parts/parts.ts";

interface Answer {
  readonly json?: string;
  readonly error?: string;
}

/** What sigs.k8s.io/yaml makes of each document, its last line ended as Kubernetes' reader does. */
function ask(documents: readonly string[]): Answer[] {
  const input = JSON.stringify(documents.map((text) => (text.endsWith("\n") ? text : `${text}\n`)));
  const output = execFileSync(partPath("yaml-oracle"), { input, maxBuffer: 2 ** 30 });
  return JSON.parse(output.toString()) as Answer[];
}

/** JSON text with sorted keys and every digit of every integer, as Go prints it. */
function printed(node: Node): string {
  switch (node.type) {
    case "alias":
      return printed(node.target);
    case "sequence":
      return `[${node.items.map(printed).join(",")}]`;
    case "mapping": {
      const entries = node.entries.map(({ key, value }) => [key, printed(value)] as const);
      // Go sorts by UTF-8 bytes.
      entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
    }
    case "scalar": {
      const { value, integer } = node.resolved;
      if (integer !== undefined) return integer.toString();
      return Object.is(value, -0) ? "-0" : JSON.stringify(value);
    }
  }
}

/** Go escapes what HTML might trip over; the escapes of letters differ in nothing else. */
function unescaped(json: string): string {
  return json.replace(/\\u([0-9a-f]{4})|\\./g, (whole, hex: string | undefined) => {
    if (hex === undefined) return whole;
    return JSON.stringify(String.fromCharCode(Number.parseInt(hex, 16))).slice(1, -1);
  });
}

type Verdict = "same" | "both refuse" | "only we refuse" | "only Go refuses" | "different";

function compare(text: string, go: Answer): { verdict: Verdict; ours: string; reason: string } {
  let ours: string;
  try {
    const documents = parseManifests(text);
    expect(documents.length).toBeLessThanOrEqual(1);
    ours = documents[0] === undefined ? "null" : printed(documents[0].root);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const verdict = go.json === undefined ? "both refuse" : "only we refuse";
    return { verdict, ours: "", reason: error.message };
  }
  if (go.json === undefined) return { verdict: "only Go refuses", ours, reason: "" };
  const same = unescaped(go.json) === unescaped(ours);
  return { verdict: same ? "same" : "different", ours, reason: "" };
}

const SCALARS = [
  ..."y Y yes Yes YES n N no No NO on On ON off Off OFF true True TRUE false False FALSE".split(
    " ",
  ),
  ..."yEs tRUE oN nO t f ye null Null NULL nULL ~ ~~ nil none".split(" "),
  ..."0 00 07 0777 08 09 0o777 0O17 0o8 0x1F 0X1f 0xg 0b101 0B11 0b2 0b-1 -0b1 -0x1F -0777".split(
    " ",
  ),
  ..."1 -1 +1 -0 +0 1_000 1__0 _1 1_ -_1 0_7 0x_F 9007199254740993 -9007199254740993".split(" "),
  ..."9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809".split(" "),
  ..."18446744073709551615 18446744073709551616 +18446744073709551615 0xFFFFFFFFFFFFFFFF".split(
    " ",
  ),
  ..."12345678901234567890 123456789012345678901234567890 0x10000000000000000".split(" "),
  ..."1.5 1. .5 -.5 +.5 .5_5 ._5 .5_ . .. 1.5.2 1_0.5 1e3 1E3 1e+3 1e-3 1e 1e1000 .5e1000 1.0 1.50".split(
    " ",
  ),
  ..."-0.0 1e21 1e-7 123456789.123456789 0.1 3.4e38 1e39 1e300 0x1p3 1e1_0 100000.5 1234567.5".split(
    " ",
  ),
  ..."2001-01-01 2001-1-1 2001-01-01T00:00:00Z 1:30 190:20:30 1:30.5 12:00 -1:30".split(" "),
  ..."<< = - -- -a -- a ?a :a a:b a#b a? , a,b %a é 😀 \\ \\n .inf -.inf +.inf .Inf .INF .nan .NaN inf nan".split(
    " ",
  ),
];

const DOCUMENTS = [
  ...SCALARS.map((scalar) => `a: ${scalar}\n`),
  ...SCALARS.map((scalar) => `? ${scalar}\n: a\n`),
  ...SCALARS.map((scalar) => `{a: ${scalar}}`),
  ...[
    "!!str",
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!binary",
    "!",
    "!x",
    "!!x",
    "!<tag:yaml.org,2002:str>",
  ].flatMap((tag) =>
    ["1", "1.5", "yes", "~", "", '"1"', "'yes'", "aGk=", "text", "18446744073709551615"].map(
      (text) => `a: ${tag} ${text}\n`,
    ),
  ),
  // Quotes and escapes.
  ..."\\0 \\a \\b \\t \\n \\v \\f \\r \\e \\\" \\\\ \\N \\_ \\L \\P \\x41 \\u00e9 \\U0001F600 \\/ \\' \\q \\x4 \\ud83d \\ud83d\\ude00 \\U00110000 \\U0010FFFF \\U0000D800"
    .split(" ")
    .map((escape) => `a: "x${escape}y"\n`),
  'a: "x\\\n  y"\n',
  'a: "x\n\n  y"\n',
  'a: "x  \n  y"\n',
  "a: 'x\n\n\n  y'\n",
  "a: 'it''s'\n",
  "a: ''\n",
  'a: ""\n',
  'a: "b" c\n',
  'a: "b"\n"c": d\n',
  "a: 'b\n",
  'a: "x\ty"\n',
  "'a b': c\n",
  '"a\\tb": c\n',
  '"a": b\n"a ": c\n',
  "a: 'x\ny'\n",
  // Plain scalars over lines.
  "a: b\n  c\n",
  "a: b\n\n  c\n",
  "a: b # c\n  d\n",
  "a: b\n  # c\n  d\n",
  "a: b\nc\n",
  "a\nb\n",
  "a: b:c\n",
  "a: b: c\n",
  "a: b :c\n",
  "a : b\n",
  "a:b\n",
  "a:\n",
  "a: -\n",
  // Blocks of text.
  ...[
    "|",
    ">",
    "|-",
    ">-",
    "|+",
    ">+",
    "|2",
    "|2-",
    "|-2",
    "|1",
    "|0",
    "|9",
    "| # c",
    "|#c",
    "|x",
  ].flatMap((header) => [
    `a: ${header}\n  b\n  c\n`,
    `a: ${header}\n  b\n\n  c\n\n\nd: e\n`,
    `a: ${header}\n  b\n   c\n  d\n`,
    `a: ${header}\n\n  b\n`,
    `a: ${header}\n`,
    `a: ${header}\n   b\n`,
    `a:\n- ${header}\n  b\n- c\n`,
    `a: ${header}\n  b\n c\n`,
    `a: ${header}\n  b \n  \n  c\n`,
    `a: ${header}\n  # b\n# c\nd: e\n`,
    `a: ${header}\r\n  b\r\n  c\r\n`,
  ]),
  "a: |\n  b\n \td\n",
  "a: |\n\tb\n",
  "a: |\n  \tb\n",
  "a: |\n  b\n  \tc\n",
  "a: >\n  b\n  \tc\n  d\n",
  "a: |\n    \n  b\n",
  "|\n a\n",
  "a: |\n  b",
  "a: |+\n  b\n   ",
  // Collections.
  "- a\n- b\n",
  "-\n- b\n",
  "- - a\n  - b\n",
  "- a: b\n  c: d\n",
  "-   a: b\n    c: d\n",
  "a:\n- b\n- c\nd: e\n",
  "a:\n  - b\n",
  "a: - b\n",
  "- a\n b\n",
  "- a\n - b\n",
  "-a\n",
  "a:\n   b: c\n  d: e\n",
  "a:\n b: c\n d: e\n",
  "  a: b\n  c: d\n",
  " a: b\nc: d\n",
  "a: b\n c: d\n",
  "? a\n",
  "? a\n? b\n",
  "? - a\n: b\n",
  "? {a: b}\n: c\n",
  "[a]: b\n",
  ": a\n",
  "{}",
  "[]",
  "{a: b, c: d}",
  "{a, b: c}",
  "{a: , b: }",
  "{a: b,}",
  "{,}",
  "[a, b,]",
  "[,]",
  "[a,,b]",
  "[a: b, c]",
  "[? a : b]",
  "{? a : b}",
  "{a: [b, {c: d}]}",
  '{"a":"b"}',
  '{"a":1,"b":[true,null]}',
  "{'a':'b'}",
  "{a:b}",
  "{a:}",
  "{a:, b: c}",
  "[a:]",
  "[a:b]",
  "[:a]",
  "[?a]",
  "[a?b]",
  "{a: b?}",
  "{a: b",
  "[a",
  "{a: b}}",
  "[a]]",
  "{a: b} c",
  "{\n  a: b,\n  c: d\n}",
  "{a\n: b}",
  "{a: b\n, c: d}",
  "{ a : b }",
  "a: [b,\n c]\n",
  "a: [\nb]\n",
  "a: [\n  b,\n]\nc: d\n",
  "a: {\n  b: c\n}\nd: e\n",
  "a:\n  b: [ # x\n  c, # y\n # z\n  ]\nd: e\n",
  'a: "b\nc\n\nd"\ne: f\n',
  'a: "b\\\n\n  c"\n',
  "a: [b\nc]\n",
  "a: [b]\n]\n",
  "a: [\n...\n]\n",

  "{a: |\n b}",
  "[a #b\n]",
  "[a#b]",
  "{a: b}#c",
  "[-]",
  "[- a]",
  "[--a]",
  "{-a: b}",
  // Tabs.
  "a:\tb\n",
  "a: \tb\n",
  "a: b\t\n",
  "a: b\t# c\n",
  "a:\t\n  b: c\n",
  "a:\n\tb: c\n",
  "a:\n  \tb: c\n",
  "-\ta\n",
  "- \ta\n",
  "- a\n\t\n- b\n",
  "\ta: b\n",
  "a: b\n\t# c\n",
  "a: b\n\n\t\nc: d\n",
  "{a:\tb,\n\tc: d}",
  ...[
    "a:\t",
    "a: \t",
    "- a:\t",
    "x:\n  a:\t",
    "-\t",
    "- \t",
    "? ",
    "'a b':\t",
    "a -\tb: ",
    "a,\tb: ",
  ].flatMap((before) =>
    [
      "{b: c}",
      "[b]",
      "{}",
      "{b:\tc}",
      "{b: c\t, d: e}",
      "{ \tb: {c:\td}\t}",
      "&x\t{b: c}",
      "!!map\t{b: c}",
      "{\n\tb: c}",
      "{\nb:\tc}",
      "[b]\t# c",
      "['b,\tc']",
      "[b -\tc]",
    ].map((after) => `${before}${after}\n`),
  ),
  "a: b\n  \tc\n",
  "a: 'b\n\tc'\n",
  "a: 'b\n  \tc'\n",
  "? \ta\n",
  "\t",
  "# a\tb\n",
  "a: b\tc\n",
  // Comments and emptiness.
  "",
  "\n",
  "# a\n",
  " # a\n",
  "a: b # c\n",
  "a: b#c\n",
  "a: 'b' # c\n",
  "# a\na: b\n# c\n",
  "a:\n  # c\n  b: d\n",
  "a: # c\n  b\n",
  "a: # c\n",
  "...\n",
  "a: b\n...\n",
  "a: b\n... # c\n",
  "a: b\n...\nc: d\n",
  "%YAML 1.1\n",
  "@a",
  "`a",
  "a: @b\n",
  "a: `b\n",
  "a: %b\n",
  "a: |b\n",
  "a: >b\n",
  "%a: b\n",
  "a: &\n",
  "a: *\n",
  "a: !\n",
  "]",
  "}",
  ",",
  "a: ]\n",
  "a: }\n",
  "a: ,b\n",
  // Anchors, aliases and merge keys.
  "a: &x b\nc: *x\n",
  "a: &x {b: c}\nd: *x\n",
  "&x a: b\nc: *x\n",
  "a: &x\nb: *x\n",
  "a: *x\n",
  "a: &x [*x]\n",
  "a: &x b\nc: &x d\ne: *x\n",
  "*x : a\n",
  "a: &x b\n*x : c\n",
  "a: &x.y b\n",
  "a: &x,y b\n",
  "[&x a, *x]",
  "[&x a, *x ,b]",
  "{&x a: *x}",
  "a: &x !!str 1\nb: *x\n",
  "a: !!str &x 1\nb: *x\n",
  "a: &x &y b\n",
  "a: &x *y\n",
  "&x\na: b\n",
  "&x a\n",
  "a: &x |\n  b\nc: *x\n",
  "a: &x\n  b: c\nd: *x\n",
  "a: &x\n- b\nd: *x\n",
  "a: &x - b\n",
  "a: &x b: c\n",
  "a: !x b: c\n",
  "- &x a: b\n- *x\n",
  "- !x a: b\n",
  "a: &x\n  &y b: c\n",
  "a:\n  &x &y b: c\n",
  "a: &x {b: c}\nd:\n  <<: *x\n",
  "a: &x {b: c}\nd:\n  <<: *x\n  b: e\n",
  "a: &x {b: c}\nd:\n  b: e\n  <<: *x\n",
  "a: &x {b: c}\ny: &y {b: d, e: f}\nd:\n  <<: [*x, *y]\n",
  "a:\n  <<: {b: c}\n",
  "a:\n  <<: [{b: c}, {b: d}]\n",
  "a:\n  <<: []\n",
  "a:\n  <<: b\n",
  "a:\n  <<:\n",
  "a:\n  <<: [b]\n",
  "a: &x [b]\nc:\n  <<: *x\n",
  "a:\n  '<<': {b: c}\n",
  "a:\n  !!merge <<: {b: c}\n",
  "a:\n  ! <<: {b: c}\n",
  "a:\n  !!str <<: {b: c}\n",
  "a: &x {b: c}\nd:\n  <<: *x\n  <<: *x\n",
  "a: &x\n  b: c\ny: &y\n  <<: *x\n  d: e\nz:\n  <<: *y\n  b: f\n",
  "a: &x {1: c}\nd:\n  <<: *x\n  '1': e\n",
  "<<: {a: b}\n",
  "a: <<\n",
  // Duplicates, oddities of characters, lengths.
  "a: b\na: c\n",
  "{a: b, a: c}",
  "1: a\n'1': b\n",
  "yes: a\ntrue: b\n",
  "1.0: a\n1: b\n",
  "a: b\nA: c\n",
  "a: b\x85c: d\n",
  "a: 'b\u2028c'\n",
  "a: b\u2029\n",
  "a: b\uFEFFc\n",
  "a: '\uFEFF'\n",
  "a: \x7F\n",
  "a: \x01\n",
  "a: \x9F\n",
  "a: \uFFFE\n",
  "a: \uFFFD\n",
  "a: \u00A0b\n",
  "a: b\rc: d\r",
  "a: |\r  b\r  c\r",
  "__proto__: a\n",
  "constructor: a\n",
  `${"k".repeat(1023)}: a\n`,
  `${"k".repeat(1024)}: a\n`,
  `${"k".repeat(1025)}: a\n`,
  `"${"k".repeat(1030)}": a\n`,
  `{${"k".repeat(1030)}: a}`,
  `? ${"k".repeat(1030)}\n: a\n`,
  `a: ${"k".repeat(5000)}\n`,
  `- ${"k".repeat(5000)}\n`,
];

// Why we refuse a document that Go reads. Anything else is a fault of ours.
const REFUSED_ON_PURPOSE: readonly (string | RegExp)[] = [
  /^a value (?:that|with) .* must be in quotes$/,
  /^a quote \(["']\) is not closed$/,
  /^text after a closing quote/,
  /^a bracket or brace \([[{]\) is not closed/,
  "a duplicate key",
  "a duplicate key <<",
  "<< overrides a key that precedes it",
  "aliases that expand too far",
  "more than one document without a line '---' between them",
  "a block of text without a key",
  "an unescaped U+0085, U+2028 or U+2029, which is a line break to some parsers",
  "a ? or : between brackets that YAML parsers read differently: put the text in quotes",
  "an empty line after an escaped line break",
  "a timestamp tag, which has no effect: remove it",
  "a binary value that is not UTF-8",
  "the name of an anchor or alias may hold only letters, digits, - and _",
  "a tag that is not valid",
  // YAML 1.2 is stricter than go-yaml here, or go-yaml drops the rest of the file.
  "a tab where only spaces may indent",
  "a continued line must be indented further",
  "the indentation is wrong",
  "not valid YAML",
  "text after a JSON document",
  "a comma is missing between brackets or braces",
  "a bracket or brace is not closed",
  "a space is missing after a colon",
  "an anchor or alias that is not valid",
  "an unknown escape after a backslash",
  "a key that is not in double quotes",
  "a key without a colon",
];

function isRefusedOnPurpose(reason: string): boolean {
  return REFUSED_ON_PURPOSE.some((each) =>
    typeof each === "string" ? each === reason : each.test(reason),
  );
}

function report(documents: readonly string[]) {
  const answers = ask(documents);
  const counts: Record<Verdict, number> = {
    same: 0,
    "both refuse": 0,
    "only we refuse": 0,
    "only Go refuses": 0,
    different: 0,
  };
  const faults: string[] = [];
  const refused: string[] = [];
  documents.forEach((text, index) => {
    const go = answers[index] ?? {};
    const { verdict, ours, reason } = compare(text, go);
    counts[verdict]++;
    if (verdict === "only we refuse") refused.push(`${reason}: ${JSON.stringify(text)}`);
    const onPurpose = verdict === "only we refuse" && isRefusedOnPurpose(reason);
    if (verdict === "same" || verdict === "both refuse" || onPurpose) return;
    faults.push(
      `${JSON.stringify(text)}: ${verdict}: ours ${ours}${reason}, Go ${go.json ?? go.error ?? ""}`,
    );
  });
  return { counts, faults, refused };
}

/** For a table that is read by people: nothing invisible in it. */
const escaped = (line: string): string =>
  line.replace(/[^ -~]/g, (char) => `U+${char.charCodeAt(0).toString(16)}`);

describe("reading as Kubernetes does", () => {
  test("agrees with Go on a table of documents", () => {
    const { counts, faults, refused } = report(DOCUMENTS);
    expect(faults).toEqual([]);
    expect(new Set(DOCUMENTS).size).toBeGreaterThan(700);
    expect(counts.same).toBeGreaterThan(500);
    // Pinned, so that a new refusal is seen.
    expect(refused.map(escaped)).toMatchInlineSnapshot(`
      [
        "a comma is missing between brackets or braces: "{a: -}"",
        "a binary value that is not UTF-8: "a: !!binary text\\n"",
        "a binary value that is not UTF-8: "a: !!binary 18446744073709551615\\n"",
        "an unknown escape after a backslash: "a: \\"x\\\\'y\\"\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n  b\\n  c\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n  b\\n\\n  c\\n\\n\\nd: e\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n  b\\n   c\\n  d\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n\\n  b\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n   b\\n"",
        "a value that begins with "|" must be in quotes: "a:\\n- |#c\\n  b\\n- c\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n  b \\n  \\n  c\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\n  # b\\n# c\\nd: e\\n"",
        "a value that begins with "|" must be in quotes: "a: |#c\\r\\n  b\\r\\n  c\\r\\n"",
        "a block of text without a key: "|\\n a\\n"",
        "not valid YAML: " a: b\\nc: d\\n"",
        "a ? or : between brackets that YAML parsers read differently: put the text in quotes: "{a:}"",
        "a ? or : between brackets that YAML parsers read differently: put the text in quotes: "{a:, b: c}"",
        "a ? or : between brackets that YAML parsers read differently: put the text in quotes: "[a:]"",
        "a ? or : between brackets that YAML parsers read differently: put the text in quotes: "[?a]"",
        "not valid YAML: "{a: b}}"",
        "not valid YAML: "[a]]"",
        "not valid YAML: "{a: b} c"",
        "an empty line after an escaped line break: "a: \\"b\\\\\\n\\n  c\\"\\n"",
        "not valid YAML: "{a: b}#c"",
        "a comma is missing between brackets or braces: "[-]"",
        "a tab where only spaces may indent: "a: b\\n  \\tc\\n"",
        "more than one document without a line '---' between them: "a: b\\n...\\nc: d\\n"",
        "<< overrides a key that precedes it: "a: &x {b: c}\\nd:\\n  b: e\\n  <<: *x\\n"",
        "a duplicate key <<: "a: &x {b: c}\\nd:\\n  <<: *x\\n  <<: *x\\n"",
        "a duplicate key: "a: &x {1: c}\\nd:\\n  <<: *x\\n  '1': e\\n"",
        "a duplicate key: "a: b\\na: c\\n"",
        "a duplicate key: "{a: b, a: c}"",
        "a duplicate key: "1: a\\n'1': b\\n"",
        "a duplicate key: "yes: a\\ntrue: b\\n"",
        "a duplicate key: "1.0: a\\n1: b\\n"",
        "an unescaped U+0085, U+2028 or U+2029, which is a line break to some parsers: "a: bU+85c: d\\n"",
        "an unescaped U+0085, U+2028 or U+2029, which is a line break to some parsers: "a: 'bU+2028c'\\n"",
        "an unescaped U+0085, U+2028 or U+2029, which is a line break to some parsers: "a: bU+2029\\n"",
      ]
    `);
  });

  test("agrees with Go on documents put together from pieces", () => {
    const piece = fc.constantFrom(
      ..."a b : - ? # & * ! | > ' \" [ ] { } , % @ ` \\ ~ . 2 = 0777 1e3 yes null |- |+ >- |2 '' \"x\" 'y' é 😀 ... -- &a *a !!int !!str !!null !x".split(
        " ",
      ),
      "\n",
      "\n  ",
      "\n ",
      "\n\n",
      "\n    ",
      " ",
      "  ",
      "\t",
      "\r\n",
      "\r",
      ": ",
      "- ",
      "? ",
      ", ",
      " # c",
      "a: ",
      "\nb: ",
      "\n- ",
      "&a ",
      "! ",
      "!!str ",
      "<<: ",
      "<<: *a",
      "a: b\n",
      "\\n",
      "\\x41",
      "\n\t",
    );
    const start = fc.constantFrom(
      "",
      "a: ",
      "a:\n  ",
      "- ",
      "k: v\nb: ",
      "a:\n  b: ",
      "{",
      "[a, ",
      "a: |\n  ",
      "a: >\n  ",
      'a: "',
      "a: '",
      "x: &a\n  b: c\nd:\n  ",
    );
    const documents = fc
      .sample(fc.tuple(start, fc.array(piece, { maxLength: 12 })), {
        numRuns: 20_000,
        seed: 20_261,
      })
      .map(([head, pieces]) => head + pieces.join(""))
      .filter((text) => !/^---/m.test(text));
    const { counts, faults } = report(documents);
    expect(faults.slice(0, 5)).toEqual([]);
    expect(counts.same).toBeGreaterThan(2000);
  });

  test("agrees with Go on every kind of number, as a value and as a key", () => {
    const part = fc.constantFrom(
      ..."0123456789+-._eExXobBaFn:".split(""),
      "0x",
      "0b",
      "0o",
      "1.5",
      "e10",
      ".inf",
      "9223372036854775807",
      "18446744073709551615",
    );
    const documents = fc
      .sample(fc.array(part, { minLength: 1, maxLength: 7 }), { numRuns: 20_000, seed: 20_262 })
      .flatMap((parts) => [
        `a: ${parts.join("")}`,
        `? ${parts.join("")}\n: a`,
        `a: !!float ${parts.join("")}`,
      ]);
    const { counts, faults } = report(documents);
    expect(faults.slice(0, 5)).toEqual([]);
    expect(counts.same).toBeGreaterThan(20_000);
  });
});

describe("writing", () => {
  test("Go reads what we write as what was meant", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }).filter((value) => !/\p{Surrogate}/u.test(value)),
      fc
        .array(
          fc.constantFrom(
            ..."a b : # - ' \" \\ | > é 😀 y 0 1 . ~ , [ { ! & * % @ ` = ? --- ...".split(" "),
            " ",
            "\n",
            "\n\n",
            "\t",
            "\r",
            "\u2028",
            "\x85",
            "\uFEFF",
            "\xA0",
          ),
          { maxLength: 8 },
        )
        .map((parts) => parts.join("")),
      fc.constantFrom(...SCALARS),
    );
    const value = fc.letrec<{ json: Json }>((tie) => ({
      json: fc.oneof(
        { depthSize: "small" },
        text,
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger(),
        fc
          .double({ noNaN: true, noDefaultInfinity: true })
          .map((number) => (number === 0 ? 0 : number)),
        fc.array(tie("json"), { maxLength: 3 }),
        fc.dictionary(text, tie("json"), { maxKeys: 3, noNullPrototype: false }),
      ),
    })).json;
    const values = fc.sample(value, { numRuns: 5000, seed: 20_263 });
    const documents = values.map((item) => formatManifests([item], "yaml").replace("---\n", ""));
    const faults = ask(documents).flatMap((go, index) => {
      const read = go.json === undefined ? undefined : (JSON.parse(go.json) as Json);
      try {
        expect(read).toEqual(values[index]);
        return [];
      } catch {
        return [`${documents[index] ?? ""} -> ${go.json ?? go.error ?? ""}`];
      }
    });
    expect(faults.slice(0, 5)).toEqual([]);
  });
});
