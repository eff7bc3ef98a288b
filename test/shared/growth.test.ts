// Proofs that the time to read what a stranger wrote grows no faster than its length.

import { describe, expect, test } from "vitest";
import { findPlaintext } from "../../cli/checks/plaintext.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { FRAGMENTS, superlinear } from "./growth.ts";

/** Faults are answers too; any other error is not. */
const judged = (read: (text: string) => unknown) => (text: string) => {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
  }
};

const SECRET = "kind: Secret\nstringData:\n  a: ";
const READERS: readonly (readonly [string, string, string, (text: string) => unknown])[] = [
  ["a manifest", "", "", parseManifests],
  ["a value", "a: ", "\n", parseManifests],
  ["a quoted value", 'a: "', '"\n', parseManifests],
  ["a block", "a: |\n  ", "\n", parseManifests],
  ["a list in brackets", "a: [", "]\n", parseManifests],
  ["plaintext", "kind: Secret\n", "", findPlaintext],
  ["plaintext of a chart", "{{ if a }}\nkind: Secret\nstringData:\n  a: ", "\n", findPlaintext],
  ["plaintext beside a hole", `${SECRET}'{{ a }}`, "'\n", findPlaintext],
  ["plaintext of literals", "kind: Secret\nstringData:\n  a: |\n    {{ a }}", "\n", findPlaintext],
];

describe("time grows with the length of", () => {
  test.each(READERS)("%s", (_, before, after, read) => {
    const found = FRAGMENTS.flatMap((fragment) => {
      const input = (size: number) =>
        before + fragment.repeat(Math.ceil(size / fragment.length)) + after;
      const slow = superlinear(judged(read), input, 10_000);
      return slow === undefined ? [] : [`${JSON.stringify(fragment)}: ${slow}`];
    });
    expect(found).toEqual([]);
  });
});
