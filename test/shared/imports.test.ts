// The rule by which lint holds the direction of imports: who may import whom.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";

const RULE = pathToFileURL("build/directions.mjs").href;
const { whyNot } = (await import(/* @vite-ignore */ RULE)) as {
  whyNot: (from: string, to: string) => string | undefined;
};

it.each<[string, string, string]>([
  [
    "shared/kubernetes/secret.ts",
    "host/pod.ts",
    "host/ is not among the folders that shared/kubernetes/ may import",
  ],
  [
    "shared/keys/keyring.ts",
    "shared/sealing/seal.ts",
    "shared/sealing/ is a higher layer than shared/keys/",
  ],
  ["shared/errors.ts", "shared/keys/keyring.ts", "shared/keys/ is a higher layer than shared/"],
  ["host/pod.ts", "cli/signet.ts", "cli/ is not among the folders that host/ may import"],
  ["host/pod.ts", "host/kubernetes/paging.ts", "host/kubernetes/ is a higher layer than host/"],
  ["library/library.ts", "host/pod.ts", "host/ is not among the folders that library/ may import"],
  [
    "controller/serve.ts",
    "cli/signet.ts",
    "cli/ is not among the folders that controller/ may import",
  ],
  [
    "cli/signet.ts",
    "controller/log.ts",
    "controller/ is not among the folders that cli/ may import",
  ],
  [
    "cli/cluster/a.ts",
    "cli/repository/b.ts",
    "cli/repository/ is a higher layer than cli/cluster/",
  ],
  [
    "cli/repository/a.ts",
    "cli/commands/seal.ts",
    "cli/commands/ is a higher layer than cli/repository/",
  ],
  [
    "cli/options.ts",
    "cli/commands/seal.ts",
    "cli/commands/ is a higher layer than cli/options.ts/",
  ],
  [
    "cli/commands/seal.ts",
    "cli/commands/unseal.ts",
    "the command seal may not import the command unseal",
  ],
  [
    "cli/commands/keys/a.ts",
    "cli/commands/keyring/b.ts",
    "the command keys may not import the command keyring",
  ],
  [
    "cli/commands/seal.ts",
    "cli/kubeseal/x.ts",
    "cli/kubeseal/ is a higher layer than cli/commands/",
  ],
  [
    "controller/a.ts",
    "test/controller/b.ts",
    "test/controller/ is not among the folders that controller/ may import",
  ],
])("%s may not import %s", (from, to, why) => {
  expect(whyNot(from, to)).toBe(why);
});

it.each([
  ["shared/sealing/seal.ts", "shared/keys/keyring.ts"],
  ["host/kubernetes/apiclient.ts", "shared/version.ts"],
  ["host/kubernetes/apiclient.ts", "host/pod.ts"],
  ["library/library.ts", "shared/sealing/seal.ts"],
  ["controller/serve.ts", "host/kubernetes/apiclient.ts"],
  ["cli/repository/a.ts", "cli/cluster/b.ts"],
  ["cli/commands/seal.ts", "cli/options.ts"],
  ["cli/commands/keys/a.ts", "cli/commands/keys/b.ts"],
  ["cli/commands/keys/a.ts", "cli/commands/keys.ts"],
  ["cli/signet.ts", "cli/commands/seal.ts"],
  // What is no program of ours is held to nothing.
  ["test/controller/api.test.ts", "controller/api.ts"],
])("%s may import %s", (from, to) => {
  expect(whyNot(from, to)).toBeUndefined();
});

it("knows every folder of the programs, so that a new one is put in its place", () => {
  const folders = ["shared", "host", "cli", "controller", "library"].flatMap((house) =>
    readdirSync(house, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${house}/${entry.name}`),
  );
  // A room that the rule does not know would count as its house, and stand with the house's own files.
  const unknown = folders.filter((folder) => {
    const [house = ""] = folder.split("/");
    const told =
      whyNot(`${house}/a.ts`, `${folder}/b.ts`) ?? whyNot(`${folder}/b.ts`, `${house}/a.ts`);
    return told === undefined;
  });
  expect(unknown).toEqual([]);
});

/** The files of ours that each file imports, types and imports on demand included. */
function importsByFile(): Map<string, string[]> {
  const folders = ["shared", "host", "cli", "controller", "library", "bench"];
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => join(folder, path)),
  );
  return new Map(
    files.map((file) => {
      const targets = readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g);
      return [file, [...targets].map(([, target = ""]) => join(dirname(file), target))];
    }),
  );
}

it("has no circle of files, not even of types", () => {
  const imports = importsByFile();
  expect(imports.size).toBeGreaterThan(150);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, above: readonly string[]): void => {
    if (above.includes(file))
      circles.push([...above.slice(above.indexOf(file)), file].join(" -> "));
    if (done.has(file) || above.includes(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...above, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  expect(circles).toEqual([]);
});
