// Copies the version in package.json to every other place that contains it. `npm version` runs it;
// RELEASE.md, "The version", says when.
//
// It works on the current folder, and changes nothing if a place is not found.
import { readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
/** A pre-release does not change the changelog and the README; the release that follows does. */
const isPrerelease = version.includes("-");
const today = new Date().toISOString().slice(0, 10);

const PLACES = [
  ["charts/signet/Chart.yaml", /^(version|appVersion): .+$/gm, `$1: ${version}`],
  // Users of this version of the action or a component get the programs of the same version.
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
  if (before.search(place) < 0) throw new Error(`${path}: nothing matches ${place}`);
  return { path, text: before.replace(place, text) };
});
for (const { path, text } of changed) writeFileSync(path, text);
