// Writes the version of package.json wherever else a version is written. `npm version` runs it;
// RELEASE.md, "The version", tells when.
//
// It works on the folder that it is started in, and changes nothing where a place is not found.
import { readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
/** A pre-release leaves the changelog and the README to the release that follows it. */
const isPrerelease = version.includes("-");
const today = new Date().toISOString().slice(0, 10);

const PLACES = [
  ["charts/signet/Chart.yaml", /^(version|appVersion): .+$/gm, `$1: ${version}`],
  // Whoever uses the action or a component of this version gets the programs of it.
  ...["action.yml", "templates/check.yml", "templates/reseal.yml"].map((path) => [
    path,
    /^( +version:\n(?: +(?:description|regex): .+\n)* +default: ).+$/m,
    `$1"${version}"`,
  ]),
  ...(isPrerelease
    ? []
    : [
        ["CHANGELOG.md", /^## \[[^\]]+\] - unreleased$/m, `## [${version}] - ${today}`],
        [
          "README.md",
          /(signet-controller:|image\.tag=|kube-signet-)\d+\.\d+\.\d+/g,
          `$1${version}`,
        ],
      ]),
];

const changed = PLACES.map(([path, place, text]) => {
  const before = readFileSync(path, "utf8");
  if (before.search(place) < 0) throw new Error(`${path}: nothing there matches ${place}`);
  return { path, text: before.replace(place, text) };
});
for (const { path, text } of changed) writeFileSync(path, text);
