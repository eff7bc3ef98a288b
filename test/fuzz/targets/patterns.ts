// Patterns of paths in signet.yaml, and the paths of a repository: both are others' texts.

import { PatternFault, pathPattern } from "../../../cli/repository/pathpattern.ts";
import { mutateBytes } from "../mutate.ts";
import { seedsOf } from "../material.ts";
import { checkSame, Find, type Target, textOf } from "../target.ts";

/** A pattern, and on the next line a path. */
const SEEDS = [
  "clusters/{namespace}/**\nclusters/prod/demo/db.yaml",
  "apps/*/dev-*.yaml\napps/shop/dev-db.yaml",
  "{a,b/{c,d}}/**/{name}.y[a-z]ml\nb/c/x/y/db.yaml",
  "**/{namespace}/{name}*[!x-z]?\na/b/c/d",
  "./a\\*b/[^0-9]\na*b/c",
  `${"*a".repeat(30)}\n${"a".repeat(200)}`,
  `${"**/".repeat(30)}b\n${"a/".repeat(100)}`,
];
const WORDS = [
  ...["*", "**", "**/", "/**", "?", "{", "}", ",", "[", "]", "!", "^", "-", "\\", "/", ".", "./"],
  ...[
    "{namespace}",
    "{name}",
    "{a,b}",
    "[a-z]",
    "(",
    "|",
    "..",
    "\u0000",
    "\u0001",
    "é",
    "\n",
    "a",
  ],
];

export const patterns: Target = {
  name: "patterns",
  seeds: () => seedsOf(SEEDS),
  generate: (random, seeds) => mutateBytes(random, seeds, WORDS),
  short: 500,
  run: (input) => {
    const [pattern = "", path = ""] = textOf(input).split("\n");
    try {
      check(pattern, path);
    } catch (error) {
      if (!(error instanceof PatternFault)) throw error;
    }
  },
};

/** @throws PatternFault, Find */
function check(pattern: string, path: string): void {
  const captured = pathPattern(pattern).match(path);
  if (captured === null) return;
  let literal = pattern;
  for (const [name, value] of Object.entries(captured)) {
    if (value === "" || value.includes("/") || !path.includes(value)) {
      throw new Find(`${name} is no part of the path: ${JSON.stringify(value)}`);
    }
    // As a pattern, another text may mean something else, or be too long.
    if (!/^\w{1,50}$/.test(value)) return;
    literal = literal.replace(`{${name}}`, value);
  }
  const again = pathPattern(literal).match(path);
  checkSame(again !== null, true, "whether the path matches with what was captured");
}
