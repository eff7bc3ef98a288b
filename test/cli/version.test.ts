// The version of the package is the same wherever it is written, and one command changes it.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { load } from "js-yaml";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const PACKAGE = "package.json";
const CHART = "charts/signet/Chart.yaml";
const CHANGELOG = "CHANGELOG.md";
const README = "README.md";
/** The action and the components, which say which version they run. */
const FORGES = ["action.yml", "templates/check.yml", "templates/reseal.yml"];
const SCRIPT = resolve("build/version.mjs");

const versionOf = (folder: string): string =>
  (JSON.parse(readFileSync(join(folder, PACKAGE), "utf8")) as { version: string }).version;

function chartOf(folder: string): unknown {
  return load(readFileSync(join(folder, CHART), "utf8"));
}

/** The versions of the image in the README's commands. */
function imagesIn(folder: string): string[] {
  const text = readFileSync(join(folder, README), "utf8");
  const named = text.matchAll(/(?:signet-controller:|image\.tag=)([\w.-]*\w)/g);
  return [...new Set([...named].map(([, version = ""]) => version))];
}

/** The versions that are run by default on forges. */
function defaultsIn(folder: string): (string | undefined)[] {
  return FORGES.map((path) => {
    const text = readFileSync(join(folder, path), "utf8");
    return /^ +version:\n(?: +(?!default).+\n)* +default: "(.+)"$/m.exec(text)?.[1];
  });
}

describe("the version", () => {
  const version = versionOf(".");

  it("is the same in the chart, the README, the changelog, the action and the components", () => {
    expect(chartOf(".")).toMatchObject({ version, appVersion: version });
    expect(imagesIn(".")).toEqual([version]);
    expect(defaultsIn(".")).toEqual(FORGES.map(() => version));
    expect(readFileSync(CHANGELOG, "utf8")).toContain(`## [${version}] - `);
  });
});

describe("build/version.mjs", () => {
  let folder = "";

  /** Does in a copy of the files what `npm version` does. */
  function become(version: string): void {
    const text = readFileSync(PACKAGE, "utf8");
    writeFileSync(
      join(folder, PACKAGE),
      text.replace(/"version": ".+"/, `"version": "${version}"`),
    );
    execFileSync(process.execPath, [SCRIPT], { cwd: folder, stdio: "pipe" });
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "signet-version-"));
    for (const path of [CHART, CHANGELOG, README, ...FORGES]) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      cpSync(path, join(folder, path));
    }
    const text = readFileSync(CHANGELOG, "utf8").replace(
      /^## \[/m,
      "## [next] - unreleased\n\n### Added\n\n- A thing.\n\n## [",
    );
    writeFileSync(join(folder, CHANGELOG), text);
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("gives a release its number and its date", () => {
    become("12.3.4");
    expect(chartOf(folder)).toMatchObject({ version: "12.3.4", appVersion: "12.3.4" });
    expect(imagesIn(folder)).toEqual(["12.3.4"]);
    expect(defaultsIn(folder)).toEqual(FORGES.map(() => "12.3.4"));
    const changelog = readFileSync(join(folder, CHANGELOG), "utf8");
    expect(changelog).toMatch(/^## \[12\.3\.4\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing\.$/m);
    expect(changelog).not.toContain("[next]");
  });

  it("leaves the changelog and the README alone for a pre-release", () => {
    const before = [CHANGELOG, README].map((path) => readFileSync(join(folder, path), "utf8"));
    become("12.3.4-rc.1");
    expect(chartOf(folder)).toMatchObject({ version: "12.3.4-rc.1", appVersion: "12.3.4-rc.1" });
    expect(defaultsIn(folder)).toEqual(FORGES.map(() => "12.3.4-rc.1"));
    const after = [CHANGELOG, README].map((path) => readFileSync(join(folder, path), "utf8"));
    expect(after).toEqual(before);
  });

  it("changes nothing where the changelog has no unreleased entry", () => {
    writeFileSync(join(folder, CHANGELOG), "# Changelog\n\n## [0.1.0] - 2026-11-01\n");
    const before = readFileSync(join(folder, CHART), "utf8");
    expect(() => {
      become("12.3.4");
    }).toThrow("CHANGELOG.md: nothing matches");
    expect(readFileSync(join(folder, CHART), "utf8")).toBe(before);
  });
});
