import { describe, expect, it } from "vitest";
import { blockersOf, keyUse } from "../../cli/repository/keyusage.ts";
import type { ClusterKeys } from "../../cli/repository/clustercertificates.ts";
import type { Inventory, SealedFile, SealedObject } from "../../cli/repository/sealedfiles.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { SignetError } from "../../shared/errors.ts";

const certificate = (fingerprint: string, year: number): Certificate =>
  ({ fingerprint, notBefore: new Date(Date.UTC(year, 0)) }) as Certificate;

/** Keys of a cluster, the current one first. */
function keys(name: string, ...known: Certificate[]): [string, ClusterKeys] {
  const cluster = { name, certificate: `${name}.pem` };
  const byFingerprint = new Map(known.map((each) => [each.fingerprint, each]));
  return [
    name,
    {
      cluster,
      file: cluster.certificate,
      text: "",
      current: known[0] ?? null,
      known: byFingerprint,
    },
  ];
}

/** A file for a cluster, with a value under each of these keys. */
function file(path: string, cluster: string | null, ...under: (string | undefined)[]): SealedFile {
  const object = {
    file: path,
    meaning: cluster === null ? null : { cluster: { name: cluster } },
    values: under.map((fingerprint, index) => ({ item: `item${index}`, fingerprint })),
  } as unknown as SealedObject;
  return { path, below: path, root: undefined, text: "", objects: [object] };
}

const inventory = (
  files: readonly SealedFile[],
  unreadable: readonly SignetError[] = [],
): Inventory => ({
  files,
  unreadable,
  kustomizations: [],
  otherFiles: 0,
  skipped: 0,
  clusters: new Map([
    keys("prod", certificate("new", 2026), certificate("old", 2024), certificate("unused", 2025)),
    keys("test", certificate("test", 2026)),
    keys("none"),
  ]),
});

describe("the keys of a cluster", () => {
  it("are told with their values, the newest first", () => {
    const uses = keyUse(
      inventory([file("a", "prod", "new", "old", "old"), file("b", "prod", undefined, "other")]),
      "prod",
    );
    expect(
      uses.map(({ fingerprint, state, values }) => [fingerprint, state, values.length]),
    ).toEqual([
      ["new", "sealing", 1],
      ["unused", "former", 0],
      ["old", "former", 2],
      [undefined, "unknown", 1],
      ["other", "unknown", 1],
    ]);
  });

  it("do not count what is under another cluster's", () => {
    const uses = keyUse(inventory([file("a", "test", "test", undefined, "other")]), "prod");
    expect(uses.flatMap(({ values }) => values)).toEqual([]);
  });

  it("are those of the values where there is no certificate", () => {
    const uses = keyUse(inventory([file("a", "none", "x")]), "none");
    expect(uses.map(({ fingerprint, state }) => [fingerprint, state])).toEqual([["x", "unknown"]]);
  });
});

describe("what still needs a key", () => {
  it("is each file with a value under it, counted", () => {
    const files = [file("a", "prod", "old", "old", "new"), file("b", "prod", "old")];
    expect(blockersOf(inventory(files), "prod", "old")).toEqual([
      "a: 2 values sealed with it",
      "b: 1 value sealed with it",
    ]);
    expect(blockersOf(inventory(files), "prod", "unused")).toEqual([]);
  });

  it("may be a file of which nothing is known", () => {
    const files = [
      file("a", "prod", undefined),
      file("b", "test", undefined),
      file("d", null, undefined),
    ];
    const unreadable = [new SignetError("manifest-syntax", "no", { place: { file: "c" } })];
    expect(blockersOf(inventory(files, unreadable), "prod", "old")).toEqual([
      "a: 1 value without a stamp",
      "d: 1 value without a stamp",
      "c: cannot be read",
    ]);
  });

  it("may be a file in the place of another cluster, or of none", () => {
    const files = [file("a", "test", "old"), file("b", null, "old"), file("c", null, "test")];
    expect(blockersOf(inventory(files), "prod", "old")).toEqual([
      "a: 1 value sealed with it",
      "b: 1 value sealed with it",
    ]);
  });
});
