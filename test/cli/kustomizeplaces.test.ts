// Kustomizations that include each other in very many ways, or without an end.

import { resolve } from "node:path";
import { expect, it } from "vitest";
import { Kustomized } from "../../cli/checks/kustomizeplaces.ts";
import { type Kustomization, kustomizationsIn } from "../../cli/repository/kustomizations.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { SealedFile } from "../../cli/repository/sealedfiles.ts";

const SEALED = parseSealedSecret({
  apiVersion: "bitnami.com/v1alpha1",
  kind: "SealedSecret",
  metadata: { name: "db" },
});
const FILE: SealedFile = {
  path: "base/db.yaml",
  below: "",
  root: undefined,
  text: "",
  objects: [],
};

function kustomizedBy(texts: Readonly<Record<string, string>>): Kustomized {
  const all: Kustomization[] = Object.entries({ base: "resources: [db.yaml]", ...texts }).flatMap(
    ([folder, text]) => kustomizationsIn(`${folder}/kustomization.yaml`, text),
  );
  return new Kustomized([FILE], all);
}

/** The names that one SealedSecret in `base` gets. */
function namesBy(texts: Readonly<Record<string, string>>): string[] {
  const placements = kustomizedBy(texts).placementsOf(resolve(FILE.path), SEALED);
  return placements.map(({ prefix, suffix }) => `${prefix}db${suffix}`);
}

it("follows each way", () => {
  expect(
    namesBy({
      a: "{namePrefix: a-, resources: [../base]}",
      b: "{nameSuffix: -b, resources: [../base]}",
      c: "{namePrefix: c-, resources: [../a, ../b]}",
    }),
  ).toEqual(["c-a-db", "c-db-b"]);
});

it("ends where one includes itself, or two include each other", () => {
  expect(namesBy({ a: "{namePrefix: a-, resources: [../a, ../base]}" })).toEqual(["a-db"]);
  expect(namesBy({ a: "resources: [../b, ../base]", b: "resources: [../a]" })).toEqual([]);
  expect(kustomizedBy({ a: "resources: [../a, ../base]" }).unfollowed.size).toBe(0);
});

it("ends where there are more ways than anybody could follow", () => {
  const levels = Array.from({ length: 50 }, (_, at): [string, string][] => {
    const next = at === 49 ? "[../base]" : `[../a${at + 1}, ../b${at + 1}]`;
    return ["a", "b"].map((name) => [`${name}${at}`, `{namePrefix: ${name}, resources: ${next}}`]);
  });
  const texts = Object.fromEntries(levels.flat());
  expect(namesBy(texts).length).toBeLessThanOrEqual(1000);
  expect([...kustomizedBy(texts).unfollowed].sort()).toEqual(
    ["a0", "b0"].map((folder) => `${folder}/kustomization.yaml`),
  );
});

it("ends where one is within very many others", () => {
  const chain = Array.from({ length: 2000 }, (_, at): [string, string] => [
    `a${at}`,
    `{namePrefix: a, resources: [${at === 1999 ? "../base" : `../a${at + 1}`}]}`,
  ]);
  const texts = Object.fromEntries(chain);
  expect(namesBy(texts)).toEqual([]);
  expect([...kustomizedBy(texts).unfollowed]).toEqual(["a0/kustomization.yaml"]);
});

it("takes one that cannot be read for none", () => {
  expect(namesBy({ a: "{namePrefix: a-, resources: [../base]", b: "[]", c: "text" })).toEqual([
    "db",
  ]);
});
