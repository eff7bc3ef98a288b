// Env files as Docker Compose and dotenv read them. The tables name where their documents say so:
// https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax
// and https://github.com/motdotla/dotenv#faq ("What rules does the parsing engine follow?").

import { describe, expect, it } from "vitest";
import { parseDotenv } from "../../cli/sealing/dotenv.ts";
import type { SignetError } from "../../shared/errors.ts";
import { thrownBy } from "../vectors/fixtures.ts";

function values(text: string): Record<string, string | undefined> {
  return Object.fromEntries(parseDotenv(text).map(({ name, value }) => [name, value]));
}

const fault = (text: string): SignetError => thrownBy(() => parseDotenv(text));

/** The text, and what `VAR` is. */
type Row = readonly [string, string];

const COMPOSE: readonly Row[] = [
  ["# a comment\n\n  # another\nVAR=VAL", "VAL"],
  ["VAR=VAL", "VAL"],
  ['VAR="VAL"', "VAL"],
  ["VAR='VAL'", "VAL"],
  ["VAR: VAL", "VAL"],
  ["VAR = VAL", "VAL"],
  ["VAR=VAL # comment", "VAL"],
  ['VAR="VAL # not a comment"', "VAL # not a comment"],
  ['VAR="VAL" # comment', "VAL"],
  ["VAR='VAL' # comment", "VAL"],
  ["VAR='$OTHER'", "$OTHER"],
  ["VAR='${OTHER}'", "${OTHER}"],
  ["VAR='Let\\'s go!'", "Let's go!"],
  ['VAR="{\\"hello\\": \\"json\\"}"', '{"hello": "json"}'],
  ['VAR="some\\tvalue"', "some\tvalue"],
  ["VAR='some\\tvalue'", "some\\tvalue"],
  ["VAR=some\\tvalue", "some\\tvalue"],
  ['VAR="a\\nb\\rc\\\\d"', "a\nb\rc\\d"],
  ['VAR="\\$OTHER"', "$OTHER"],
  ["VAR='SOME\nVALUE'", "SOME\nVALUE"],
  ["export VAR=VAL", "VAL"],
];

const DOTENV: readonly Row[] = [
  ["VAR=", ""],
  ["VAR=''", ""],
  ["VAR=   some value   ", "some value"],
  ["VAR='   some value   '", "   some value   "],
  ['VAR="   some value   "', "   some value   "],
  ['VAR={"foo": "bar"}', '{"foo": "bar"}'],
  ['VAR="MULTI\\nLINE"', "MULTI\nLINE"],
  [
    'VAR="-----BEGIN KEY-----\nabc=\n-----END KEY-----"\nX=1',
    "-----BEGIN KEY-----\nabc=\n-----END KEY-----",
  ],
  ['VAR=`it\'s "quoted"`', `it's "quoted"`],
  ['VAR="it\'s"', "it's"],
  ["VAR='say \"hi\"'", 'say "hi"'],
  ["VAR=it's", "it's"],
  ["VAR='a # b'", "a # b"],
  ["VAR= # comment", ""],
  ["VAR=a=b", "a=b"],
  ["\texport\tVAR=x\r\nX=2\r\n", "x"],
  ['VAR="a\r\nb"\r\n', "a\nb"],
];

describe("an env file", () => {
  it.for(COMPOSE)("is read as Compose's documents say: %j", ([text, value]) => {
    expect(values(text)["VAR"]).toBe(value);
  });

  it.for(DOTENV)("is read as dotenv's documents say: %j", ([text, value]) => {
    expect(values(text)["VAR"]).toBe(value);
  });

  it("keeps the order and the lines, also after a value of several lines", () => {
    const entries = parseDotenv("A=1\nB='x\n\ny' # c\n\nC # c\nexport D\n");
    expect(entries).toEqual([
      { name: "A", value: "1", line: 1 },
      { name: "B", value: "x\n\ny", line: 2 },
      { name: "C", value: undefined, line: 6 },
      { name: "D", value: undefined, line: 7 },
    ]);
  });

  it.for<[string, RegExp]>([
    ["VAR=hunter2#x", /has a # that Compose and dotenv read differently/],
    ["VAR=#hunter2", /has a # that/],
    ["VAR=hunter2$OTHER", /has a \$ that Compose and dotenv read differently/],
    ["VAR=${hunter2}", /has a \$ that/],
    ['VAR="hunter2${OTHER:-x}"', /has a \$ that/],
    ["VAR=hunter2$$x", /has a \$ that/],
    ['VAR="hunter2', /a quote \("\) is not closed/],
    ["VAR='hunter2\\'", /a quote \('\) is not closed/],
    ["VAR=`hunter2", /a quote \(`\) is not closed/],
    ['VAR="hunter2" x', /has text after the closing quote/],
    ["VAR='hunter2'x", /has text after the closing quote/],
    ['VAR="hunter2\\x"', /has an unknown escape after a backslash/],
    ["1VAR=hunter2", /does not begin with the name of a variable/],
    ["hunter2 hunter2", /does not begin with the name/],
    ["VAR:hunter2", /does not begin with the name/],
    ["VAR#hunter2", /does not begin with the name/],
    ["=hunter2", /does not begin with the name/],
    ["export hunter2 x=1", /does not begin with the name/],
  ])(
    "is refused where it is doubtful, with the line and without the value: %j",
    ([line, words]) => {
      const error = fault(`A=1\n${line}\nB=2\n`);
      expect(error).toMatchObject({ code: "secret-invalid", place: { line: 2 } });
      expect(error.message).toMatch(words);
      expect(JSON.stringify([error.message, error.hint])).not.toContain("hunter2");
    },
  );

  it("keeps a $ that no variable can follow", () => {
    expect(values("VAR=cash$\nX=a$ b")).toEqual({ VAR: "cash$", X: "a$ b" });
  });
});
