// How `npm run bench -- scanners` counts what scanners report, and what it calls the files.

import { expect, it } from "vitest";
import { groupOf, hasSecret, nameOf } from "../../bench/scannedfiles.ts";
import { type Answers, answerOf, linesOfObject, tallies } from "../../bench/scantally.ts";

const LIST = `- name: db
  stringData:
    user: shop
    password: a
  # a comment

  type: Opaque
- name: other
  port: 1
---
name: third
---
name: fourth`;

it.for([
  { of: "an item of a list", line: 1, lines: [1, 7] },
  { of: "an object in another", line: 3, lines: [3, 4] },
  { of: "the last item before another document", line: 8, lines: [8, 9] },
  { of: "a document", line: 11, lines: [11, 11] },
  { of: "the last document", line: 13, lines: [13, 13] },
  { of: "a line that is not there", line: 40, lines: [40, 40] },
])("finds the lines of $of", ({ line, lines }) => {
  expect(linesOfObject(LIST, line)).toEqual(lines);
});

const SAMPLE = { group: "a", hasSecret: true, folder: "001/" };
const at = (file: string, firstLine: number, lastLine = firstLine) => ({
  file,
  firstLine,
  lastLine,
});

it.for([
  { hits: [], answer: "nothing" },
  { hits: [at("002/a.yaml", 4)], answer: "nothing" },
  { hits: [at("001/a.yaml", 4)], answer: "in the object" },
  { hits: [at("001/a.yaml", 9)], answer: "elsewhere" },
  { hits: [at("001/a.yaml", 7, 9)], answer: "in the object" },
  { hits: [at("001/b.yaml", 4)], answer: "elsewhere" },
  { hits: [at("001/a.yaml", 9), at("001/a.yaml", 2)], answer: "in the object" },
])("says $answer of $hits", ({ hits, answer }) => {
  expect(answerOf(SAMPLE, hits, [at("001/a.yaml", 1)], () => LIST)).toBe(answer);
});

it("sees what stands before the object", () => {
  const objects = [at("001/a.yaml", 8)];
  expect(answerOf(SAMPLE, [at("001/a.yaml", 2)], objects, () => LIST)).toBe("elsewhere");
});

it("counts samples, not what is reported in them", () => {
  const answers = (group: string, hasSecret: boolean, ...each: Answers["answers"]): Answers => ({
    sample: { group, hasSecret, folder: "" },
    answers: each,
  });
  const none = { found: 0, inObject: 0, falseAlarms: 0 };
  expect(
    tallies([
      answers("a", true, "in the object", "elsewhere"),
      answers("a", true, "in the object", "nothing"),
      answers("a", false, "nothing", "elsewhere"),
      answers("b", false, "nothing", "nothing"),
    ]),
  ).toEqual([
    {
      group: "a",
      withSecret: 2,
      without: 1,
      scanners: [
        { found: 2, inObject: 2, falseAlarms: 0 },
        { found: 1, inObject: 0, falseAlarms: 1 },
      ],
    },
    { group: "b", withSecret: 0, without: 1, scanners: [none, none] },
    {
      group: "all",
      withSecret: 2,
      without: 2,
      scanners: [
        { found: 2, inObject: 2, falseAlarms: 0 },
        { found: 1, inObject: 0, falseAlarms: 1 },
      ],
    },
  ]);
});

it.for([
  { want: "nothing", known: false },
  { want: "unreadable", known: null },
  { want: "quoted-secret a", known: true },
  { want: "unreadable; plaintext-secret a", known: true },
  { want: "a/prod.env kustomize-file TOKEN", known: true },
])("knows whether `$want` is a Secret", ({ want, known }) => {
  expect(hasSecret(want)).toBe(known);
});

it.for([
  [
    "chart: a default",
    "kind: Secret",
    "charts/shop/templates/secret.yaml",
    "templates of Helm charts",
  ],
  ["A shell script", "#!/bin/sh\n", "scripts/deploy.sh", "scripts"],
  ["a dump of Secrets as JSON", '{\n  "items": []}', "secret.json", "dumps and output of tools"],
  ["a Kustomization", "kind: Kustomization\n", "kustomization.yaml", "Kustomize"],
  [
    "values with a tag for bytes",
    "kind: Secret\n",
    "deploy/secret.yaml",
    "other manifests and templates",
  ],
] as const)("names the file and the group of `%s`", ([title, text, name, group]) => {
  expect(nameOf({ title, text })).toBe(name);
  expect(groupOf(title)).toBe(group);
});
