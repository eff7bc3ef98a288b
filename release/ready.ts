// Checks that a release can be made: the same version everywhere, a tag, and no placeholders left.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { load, loadAll } from "js-yaml";

const read = (path: string): string => readFileSync(path, "utf8");

export interface Manifest {
  readonly version: string;
  readonly repository?: { readonly url?: string };
}

export const readManifest = (): Manifest => JSON.parse(read("package.json")) as Manifest;

const git = (...args: string[]): string =>
  execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();

/** Time of the commit that is checked out, in seconds since 1970. */
export const commitTime = (): number => Number(git("log", "-1", "--format=%ct"));

interface Inputs {
  readonly inputs: { readonly version: { readonly default: unknown } };
}

/** Where the version is written, besides package.json. */
function versionsElsewhere(): [string, unknown][] {
  const chart = load(read("charts/signet/Chart.yaml")) as Record<string, unknown>;
  const ofInputs = ({ inputs }: Inputs): unknown => inputs.version.default;
  return [
    ["version of charts/signet/Chart.yaml", chart["version"]],
    ["appVersion of charts/signet/Chart.yaml", chart["appVersion"]],
    ["inputs.version of action.yml", ofInputs(load(read("action.yml")) as Inputs)],
    ...["templates/check.yml", "templates/reseal.yml"].map((path): [string, unknown] => {
      const [header] = loadAll(read(path)) as [{ spec: Inputs }];
      return [`spec.inputs.version of ${path}`, ofInputs(header.spec)];
    }),
  ];
}

/** The entry of CHANGELOG.md, without its heading; undefined if it has none with a date. */
export function changelogEntry(version: string): string | undefined {
  const entries = read("CHANGELOG.md").split(/^## /m);
  const entry = entries.find((each) => each.startsWith(`[${version}] - `));
  return entry === undefined || !/^\S+ - \d{4}-\d\d-\d\d\n/.test(entry)
    ? undefined
    : entry.slice(entry.indexOf("\n")).trim();
}

/**
 * Returns a reason for each requirement that is not met. `name`: owner and name of the repository.
 */
export function notReady({ version, repository }: Manifest, name: string): string[] {
  const reasons = versionsElsewhere()
    .filter(([, each]) => each !== version)
    .map(([where, each]) => `the ${where} is ${String(each)}, not ${version}`);
  const tags = git("tag", "--points-at", "HEAD").split("\n");
  if (!tags.includes(`v${version}`)) reasons.push(`the commit has no tag v${version}`);
  const changed = git("status", "--porcelain");
  if (changed !== "") reasons.push(`uncommitted files:\n${changed}`);
  // npm compares this before it accepts provenance.
  if (repository?.url === undefined || !repository.url.includes(`/${name}.git`)) {
    reasons.push(`the repository in package.json is not ${name}`);
  }
  if (!version.includes("-") && changelogEntry(version) === undefined) {
    reasons.push(`CHANGELOG.md has no dated entry for ${version}`);
  }
  if (!/^ARG NODE_IMAGE=[^ @]+@sha256:[0-9a-f]{64}$/m.test(read("Dockerfile"))) {
    reasons.push("NODE_IMAGE in the Dockerfile has no digest");
  }
  return reasons;
}
