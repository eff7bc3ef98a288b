// Selectors of labels: their one spelling, what is refused, and what they match.
// SPEC.md, "Scopes".
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  matchesLabels,
  matchesUnlabelled,
  parseLabelSelector,
  SelectorFault,
} from "../../shared/kubernetes/labelselector.ts";

describe("the canonical spelling", () => {
  it.each([
    ["team=a", "team=a"],
    ["team==a", "team=a"],
    [" team = a ", "team=a"],
    ["team in (a)", "team=a"],
    ["team in(a)", "team=a"],
    ["team!=a", "team!=a"],
    ["team notin (a)", "team!=a"],
    ["team in (b, a,b)", "team in (a,b)"],
    ["team notin (b,a)", "team notin (a,b)"],
    ["team", "team"],
    ["! team", "!team"],
    ["team=", "team="],
    ["team in (,a)", "team in (,a)"],
    ["team in (a,)", "team in (,a)"],
    ["team in (,)", "team="],
    ["tier=web,team=a", "team=a,tier=web"],
    ["team=a,team=a,team in (a)", "team=a"],
    ["in in (in,notin)", "in in (in,notin)"],
    ["notin", "notin"],
    [
      "kubernetes.io/metadata.name in (shop,billing)",
      "kubernetes.io/metadata.name in (billing,shop)",
    ],
    ["B=1,a=1,!c", "!c,B=1,a=1"],
  ])("of %j is %j", (text, canonical) => {
    expect(parseLabelSelector(text).text).toBe(canonical);
    expect(parseLabelSelector(canonical).text).toBe(canonical);
  });

  const name = fc.stringMatching(/^[A-Za-z0-9]([-_.A-Za-z0-9]{0,5}[A-Za-z0-9])?$/);
  const value = fc.oneof(fc.constant(""), name);
  const values = fc.uniqueArray(value, { minLength: 1, maxLength: 4 });
  const requirement = fc.oneof(
    name,
    name.map((key) => `!${key}`),
    fc.tuple(name, fc.constantFrom("=", "==", "!=", " = "), value).map((all) => all.join("")),
    fc
      .tuple(name, fc.constantFrom("in", "notin"), values)
      .map(([key, operator, all]) => `${key} ${operator} (${all.join(" , ")},)`),
  );
  const selectors = fc.array(requirement, { minLength: 1, maxLength: 5 });
  const labels = fc.dictionary(name, value, { maxKeys: 5, noNullPrototype: true });

  it("is the same for the same requirements in any order and number, and matches the same", () => {
    fc.assert(
      fc.property(selectors, labels, fc.integer({ min: 0, max: 4 }), (parts, some, turn) => {
        const turned = [...parts.slice(turn), ...parts];
        const [one, other] = [parts, turned].map((each) => parseLabelSelector(each.join(" ,")));
        expect(other?.text).toBe(one?.text);
        const again = parseLabelSelector(one?.text ?? "");
        expect(again).toEqual(one);
        expect(matchesLabels(again, some)).toBe(
          parts.every((part) => matchesLabels(parseLabelSelector(part), some)),
        );
      }),
    );
  });
});

it.each([
  ["", "is empty"],
  ["  ", "is empty"],
  [",", 'has "," where the key of a label is expected'],
  ["a=b,", "ends where the key of a label is expected"],
  ["a=b,,c", 'has "," where the key of a label is expected'],
  ["a b", 'has "b" where a comma is expected'],
  ["a=b c", 'has "c" where a comma is expected'],
  ["a=(b)", 'has "(" where a comma is expected'],
  ["!a=b", 'has "=" where a comma is expected'],
  ["a in b", 'has "b" where ( and values is expected'],
  ["a in ()", 'has ")" where a value is expected'],
  ["a in (b c)", 'has "c" where a comma or ) is expected'],
  ["a in (b", "ends where a comma or ) is expected"],
  ["a>1", "compares numbers with >, which is not supported here"],
  ["a===b", 'has "=" where a comma is expected'],
  ["-a=b", 'has "-a", which is not the key of a label'],
  ["a/b/c", 'has "a/b/c", which is not the key of a label'],
  ["A/b", 'has "A/b", which is not the key of a label'],
  ["/b", 'has "/b", which is not the key of a label'],
  ["a=-", 'has "-", which is not the value of a label'],
  ["a=b\u00a0c", 'has "b\u00a0c", which is not the value of a label'],
  ["a=b\u0000", 'has "b\\u0000", which is not the value of a label'],
  [`a=${"b".repeat(64)}`, `has "${"b".repeat(64)}", which is not the value of a label`],
  ["a".repeat(16_385), "is longer than 16384 characters"],
  [
    `a in (${Array.from({ length: 1_200 }, (_, n) => `v${n}`).join(",")})`,
    "is longer than 4096 characters",
  ],
])("%j is refused: %s", (text, words) => {
  expect(() => parseLabelSelector(text)).toThrow(new SelectorFault(words));
});

describe("labels", () => {
  const labels = { team: "a", empty: "" };
  it.each([
    ["team=a", true],
    ["team=b", false],
    ["team!=b", true],
    ["team!=a", false],
    ["other!=a", true],
    ["team in (a,b)", true],
    ["team notin (a,b)", false],
    ["other notin (a)", true],
    ["team", true],
    ["other", false],
    ["!other", true],
    ["!team", false],
    ["empty=", true],
    ["other=", false],
    ["constructor", false],
    ["team=a,other", false],
  ])("match %s: %s", (text, matches) => {
    expect(matchesLabels(parseLabelSelector(text), labels)).toBe(matches);
  });

  it.each([
    ["team!=a", true],
    ["!team,tier notin (a,b)", true],
    ["team,team!=a", false],
    ["team=", false],
  ])("are not needed for %s: %s", (text, is) => {
    expect(matchesUnlabelled(parseLabelSelector(text))).toBe(is);
    expect(matchesLabels(parseLabelSelector(text), {})).toBe(is);
  });
});
