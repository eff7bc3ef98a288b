// renovate.json finds each version that test/parts/build.ts pins.

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

interface Settings {
  readonly customManagers: readonly {
    readonly managerFilePatterns: readonly string[];
    readonly matchStrings: readonly string[];
  }[];
}

const FILE = "test/parts/build.ts";

/** Names of packages with the versions that Renovate would read in `text`. */
function found(text: string): Map<string, string> {
  const { customManagers } = JSON.parse(readFileSync("renovate.json", "utf8")) as Settings;
  const versions = new Map<string, string>();
  for (const { managerFilePatterns, matchStrings } of customManagers) {
    expect(managerFilePatterns.some((pattern) => new RegExp(pattern.slice(1, -1)).test(FILE))).toBe(
      true,
    );
    for (const pattern of matchStrings) {
      for (const { groups } of text.matchAll(new RegExp(pattern, "g"))) {
        versions.set(groups?.["depName"] ?? "", groups?.["currentValue"] ?? "");
      }
    }
  }
  return versions;
}

it("finds the version of each program that is built from source", () => {
  const text = readFileSync(FILE, "utf8");
  const pinned = [...text.matchAll(/^const [A-Z_]+ = "(?:.*@)?(v\d[^"]+)";$/gm)];
  const versions = found(text);
  expect(pinned.length).toBeGreaterThan(8);
  expect([...versions.values()].sort()).toEqual(pinned.map(([, version = ""]) => version).sort());
  expect(versions.get("k8s.io/kubernetes")).toMatch(/^v1\./);
  expect(versions.get("github.com/rhysd/actionlint")).toMatch(/^v1\./);
});
