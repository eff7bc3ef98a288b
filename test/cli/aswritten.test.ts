// Values that YAML reads as another text than they are written: refused when they are sealed, with words
// that name the character, the line and the field, and never the value.

import { describe, expect, it } from "vitest";
import { checkAsWritten, checkSurprises } from "../../cli/sealing/secretcheck.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";

function refusal(text: string, mayBeTyped = false): SignetError | undefined {
  try {
    for (const document of parseManifests(text)) {
      checkAsWritten(text, document, { mayBeTyped });
      checkSurprises(document);
    }
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  return undefined;
}

const secret = (value: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: ${value}\n  other: z\n`;

const begins = (character: string): string =>
  `a value that begins with "${character}" must be in quotes`;
const comment = 'text after " #" is a comment and would be dropped: put the value in quotes';
const tab = "a value that begins or ends with a tab must be in quotes";
const empty = (mark: string): string =>
  `no text is indented below "${mark}"; a value that begins with it must be in quotes`;

/** With whether `kubeseal` refuses it too. */
const REFUSED: readonly (readonly [string, string, boolean])[] = [
  ["&hunter2", begins("&"), true],
  ["&hunter2 x", begins("&"), true],
  ["!hunter2", begins("!"), true],
  ["!hunter2 x", begins("!"), true],
  ["!", begins("!"), true],
  ["!!str", begins("!"), true],
  ["a #hunter2", comment, true],
  ["#hunter2", comment, true],
  ["a \t#hunter2", comment, true],
  ["[hunter2]", begins("["), true],
  ["{hunter2}", begins("{"), true],
  ["{hunter2: x}", begins("{"), true],
  ["|", empty("|"), true],
  [">-", empty(">"), true],
  [" \tx", tab, true],
  ["x\t", tab, true],
  ["~", "is read as nothing (null), not as text", false],
  ["null", "is read as nothing (null), not as text", false],
  ["NULL", "is read as nothing (null), not as text", false],
  ["5432", "is read as a number, not as text", false],
  ["-1.5", "is read as a number, not as text", false],
  ["true", "is read as true or false, not as text", false],
  ["True", "is read as true or false, not as text", true],
  ["yes", "is read as true or false, not as text", true],
  ["1_000", "is read as a number, not as text", true],
  ["0o7", "is read as a number, not as text", true],
  ["0777", "is read as a number, not as text", true],
  ["1.50", "is read as a number, not as text", true],
];

describe("a value that YAML changes", () => {
  it.for(REFUSED)("is refused in words that name the character: %s", ([value, message, both]) => {
    const error = refusal(secret(value));
    expect(error?.code).toBe("manifest-ambiguous");
    expect(error?.message).toBe(message);
    expect(error?.place).toEqual({ line: 5, field: "stringData.password" });
    expect(JSON.stringify([error?.message, error?.hint, error?.place])).not.toContain("hunter2");
    expect(refusal(secret(value), true)?.message).toBe(both ? message : undefined);
  });

  it.for(REFUSED)(
    "is refused with Windows' line ends and at the end of a file: %s",
    ([value, message]) => {
      const text = `kind: Secret\nstringData:\n  password: ${value}`;
      expect(refusal(text)?.message).toBe(message);
      expect(refusal(`${text}\n`.replaceAll("\n", "\r\n"))?.message).toBe(message);
    },
  );

  it("is refused in a List, below data, through an alias and in a merged mapping", () => {
    const inList = "items:\n- kind: Secret\n  stringData:\n    a: &hunter2\n";
    expect(refusal(inList)?.place).toEqual({ line: 4, field: "stringData.a" });
    expect(refusal("data:\n  a: null\n")?.place).toEqual({ line: 2, field: "data.a" });
    const aliased = "metadata: &m\n  a: ~\nstringData: *m\n";
    expect(refusal(aliased)?.place).toEqual({ line: 2, field: "stringData.a" });
    expect(refusal("x: &m {a: '1', b: ~}\nstringData:\n  <<: *m\n")?.place.line).toBe(1);
  });

  it("does not show a name that is not valid, as it may hold the value", () => {
    const error = refusal("stringData: {'hunter2 x': ~}\n");
    expect(error?.place.field).toBe("stringData");
  });
});

describe("a value that YAML does not change", () => {
  it.for([
    "1:30",
    "12:30:45",
    "2020-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "a#b",
    "a:b",
    "a # a comment",
    "'a' #comment",
    "'&x'",
    "&x 'text'",
    "&x |\n    text",
    '"!x"',
    "'#x'",
    "a\tb",
    "-x",
    "?x",
    "=",
    "<<",
    "!!str x",
    "a&b*c!d%e@f",
    "|\n    lines\n    of text",
    "",
    "''",
  ])("is taken: %j", (value) => {
    expect(refusal(secret(value))).toBe(undefined);
  });

  it("is taken after a tab that parts it from its key", () => {
    expect(refusal("stringData:\n  a:\tx\n")).toBe(undefined);
  });

  it("may have an anchor that an alias uses, and be one", () => {
    expect(refusal("stringData:\n  a: &x text\n  b: *x\n")).toBe(undefined);
    expect(refusal("metadata: {name: &n db}\nstringData:\n  a: *n\n")).toBe(undefined);
  });

  it("may stand elsewhere", () => {
    expect(refusal("metadata: {creationTimestamp: null, labels: {}}\ndata: {}\n")).toBe(undefined);
  });

  it("may be JSON's null", () => {
    expect(refusal('{"kind": "Secret", "stringData": {"a": null}}')).toBe(undefined);
  });
});
