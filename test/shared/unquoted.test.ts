// Errors for values without quotes that YAML does not read as text: they name the character, the line
// and the field, and never the value.

import { describe, expect, it } from "vitest";
import type { SignetError } from "../../shared/errors.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { thrownBy } from "../vectors/fixtures.ts";

const HEAD = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n";

const fault = (text: string): SignetError =>
  thrownBy(() => parseManifests(text, { file: "f.yaml" }));

const begins = (characters: string): string =>
  `a value that begins with "${characters}" must be in quotes`;
const open = (bracket: string): string =>
  `a bracket or brace (${bracket}) is not closed: if it is text, put it in quotes`;
const alias = "an alias of an unknown anchor: put text that begins with * in quotes";

const CASES: readonly (readonly [string, string])[] = [
  ["@hunter2", begins("@")],
  ["`hunter2", begins("`")],
  ["%hunter2", begins("%")],
  [",hunter2", begins(",")],
  ["]hunter2", begins("]")],
  ["}hunter2", begins("}")],
  ["- hunter2", begins("-")],
  ["-", begins("-")],
  ["? hunter2", begins("?")],
  [": hunter2", begins(":")],
  ["*hunter2", alias],
  ["*hunter2 x", begins("*")],
  ["*", begins("*")],
  ["& hunter2", begins("&")],
  ["&", begins("&")],
  ["|hunter2", begins("|")],
  [">hunter2", begins(">")],
  ["|2hunter2", begins("|")],
  ["[hunter2", open("[")],
  ["{hunter2", open("{")],
  ["[hunter2] x", begins("[")],
  ["{hunter2: x} y", begins("{")],
  ["hunter2: x", 'a value with ": " in it must be in quotes'],
  ["hunter2:\tx", 'a value with ": " in it must be in quotes'],
  ["hunter2:", 'a value that ends with ":" must be in quotes'],
  ['"hunter2" x', 'text after a closing quote ("): within these quotes, write a quote as \\"'],
  ['"hunter2"x"', 'text after a closing quote ("): within these quotes, write a quote as \\"'],
  ["'hunter2's'", "text after a closing quote ('): within these quotes, write a quote as ''"],
  ['"hunter2', 'a quote (") is not closed'],
  ['"hunter2\\"', 'a quote (") is not closed'],
  ["'hunter2", "a quote (') is not closed"],
  ["'''hunter2", "a quote (') is not closed"],
];

describe("a value that needs quotes", () => {
  it.for(CASES)("is named by its character: %s", ([value, message]) => {
    const error = fault(`${HEAD}stringData:\n  user: u\n  password: ${value}\n  other: z\n`);
    expect(error.message).toBe(message);
    expect(error.place).toEqual({ file: "f.yaml", line: 6, field: "stringData.password" });
    expect(JSON.stringify([error.message, error.hint, error.place])).not.toContain("hunter2");
  });

  it.for(CASES)(
    "is named on the last line, in a List and with Windows' line ends: %s",
    ([value, message]) => {
      const text = `kind: List\nitems:\n  - kind: Secret\n    stringData: # x\n\n      password: ${value}\n`;
      const error = fault(text.replaceAll("\n", "\r\n"));
      expect(error.message).toBe(message);
      expect(error.place).toEqual({ file: "f.yaml", line: 6, field: "stringData.password" });
    },
  );

  it("is found in a list", () => {
    expect(fault("a:\n  - x\n  - @hunter2\n")).toMatchObject({
      message: begins("@"),
      place: { line: 3 },
    });
  });

  it("has no field where what stands above is no key", () => {
    const error = fault("a: text of\n  several lines\n  hunter2: @x\n");
    expect(error.place.field).toBe(undefined);
    expect(JSON.stringify([error.message, error.place])).not.toContain("hunter2");
  });

  it("is not named where something else is wrong", () => {
    expect(fault("a: {b: c d: e}\n").message).toBe("a comma is missing between brackets or braces");
    expect(fault("a: {\n  b: c\n  d: e\n}\n").message).not.toContain("quotes");
    expect(fault("a: b\n   c: d\n").message).not.toContain("quotes");
    expect(fault('a: "\\q"\n').message).toBe("an unknown escape after a backslash");
  });
});

describe("a tab by brackets", () => {
  it.for([
    ["metadata:\t{name: a}\n", { metadata: { name: "a" } }],
    ["a: \t[b,\tc]\n", { a: ["b", "c"] }],
    ["a: {b:\t{c: d}\t}\t# e\n", { a: { b: { c: "d" } } }],
    ["a:\t&x\t{b: c}\n", { a: { b: "c" } }],
    ['a: {\n\t"b": "c"\n}\n', { a: { b: "c" } }],
    ["a b:\t{'c,\td': 'e:\tf'}\n", { "a b": { "c,\td": "e:\tf" } }],
    ["a -\tb: {c -\td: e}\n", { "a -\tb": { "c -\td": "e" } }],
  ])("is read as Go reads it: %j", ([text, value]) => {
    const [document] = parseManifests(text as string);
    expect(document?.value).toEqual(value);
  });

  it.for(["-\t{a: b}\n", "? \t{a: b}\n: c\n", "a:\n\tb: {c: d}\n", "a:\n\t{b: c}\nd: e\n\t# f\n"])(
    "is refused where Go refuses it: %j",
    (text) => {
      expect(fault(text).code).toBe("manifest-syntax");
    },
  );
});
