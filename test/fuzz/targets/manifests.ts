// YAML and JSON streams: reading them, and writing what was read.

import { asObject } from "../../../shared/kubernetes/object.ts";
import { formatManifests, type Json, parseManifests } from "../../../shared/manifest/manifest.ts";
import { mutateManifest } from "../mutate.ts";
import { plainSecret, manifestTexts, SEALED_WORDS, seedsOf } from "../material.ts";
import { attempt, CANARY, checkSame, checkUntold, type Target, textOf, toldBy } from "../target.ts";

const SEEDS = [
  JSON.stringify(plainSecret()),
  `---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db # comment\nstringData:\n  password: ${CANARY}\n  file: |-\n    ${CANARY}\n    two\n`,
  "a: &x {b: [1, 2.5, 0x1f, 1e3, ~]}\nc: *x\n? d\n: 'e''f'\ng: >+\n  folded\n  text\n\n--- !!map\n<<: *x\n",
  '{"a": [1, -0, 1e400, "\\u0041\\ud83d\\ude00"], "b": {"c": null}}\n{"d": true}\n',
  "%YAML 1.1\n---\na: !!binary aGk=\nb: 2001-01-01\nc: 1_000\nd: 190:20:30\n...\n",
];

/** Whether the canary is where a name is, which errors may quote. */
export function isNamed(value: Json | readonly Json[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some((each: Json) => isNamed(each));
  return Object.entries(value).some(([key, inner]) => {
    const isName = ["name", "namespace", "kind", "apiVersion"].includes(key);
    return (
      key.includes(CANARY) || (isName && JSON.stringify(inner).includes(CANARY)) || isNamed(inner)
    );
  });
}

export const manifests: Target = {
  name: "manifests",
  seeds: () => seedsOf([...SEEDS, ...manifestTexts()]),
  generate: (random, seeds) => mutateManifest(random, seeds, SEALED_WORDS),
  short: 400,
  run: async (input) => {
    const text = textOf(input);
    const read = await attempt(() => parseManifests(text));
    if ("errors" in read) {
      // A key that occurs twice is named.
      const isKey = new RegExp(`${CANARY}[^\\n]*:`).test(text);
      if (!isKey) for (const error of read.errors) checkUntold(toldBy(error), "an error");
      return;
    }
    // What is no mapping is no manifest, and need not be written.
    const values = read.value.map(({ value }) => value).filter((value) => asObject(value) !== null);
    for (const format of ["yaml", "json"] as const) {
      const again = parseManifests(formatManifests(values, format));
      checkSame(JSON.stringify(again.map(({ value }) => value)), JSON.stringify(values), format);
    }
  },
};
