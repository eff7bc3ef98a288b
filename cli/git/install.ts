// Owns: `signet git install` and `uninstall`: the hook, the attributes and the settings of a repository.
// Does not own: what they run (scan.ts, verify.ts, textconv.ts, merge.ts). SPEC.md, "Git".

import { chmodSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { readText, statIfThere, writeFiles } from "../files.ts";
import { findProject } from "../project/project.ts";
import { printJson, say } from "../terminal.ts";
import { git, gitText, needWorkTree } from "./repository.ts";

export interface InstallOptions {
  /** Puts our hook in place of another. */
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const MARK = "# Installed by `signet git install`.";
const HOOK = `#!/bin/sh
${MARK}
# Refuses a commit with a Secret in plain text, or with a sealed file that no cluster would open.
signet scan --staged || exit 1
signet verify --staged || exit 1
`;

const SETTINGS: readonly (readonly [string, string])[] = [
  ["diff.signet.textconv", "signet git textconv"],
  ["diff.signet.cachetextconv", "true"],
  ["merge.signet.name", "sealed files, item by item"],
  ["merge.signet.driver", "signet git merge %O %A %B %P"],
];

const MANIFESTS = ["*.yaml", "*.yml", "*.json"];

const ATTRIBUTES_START = "# signet: sealed files (kept by `signet git install`)";
const ATTRIBUTES_END = "# signet: end";

/** @throws SignetError; then nothing was changed */
export async function runGitInstall(options: InstallOptions): Promise<void> {
  const top = needWorkTree();
  const hook = hookPath(top);
  const existing = statIfThere(hook) === undefined ? undefined : readText(hook);
  if (existing !== undefined && !existing.includes(MARK) && !options.force) {
    throw new SignetError("io", "there is another pre-commit hook, which is left as it is", {
      hint: "add `signet scan --staged && signet verify --staged` to it; --force replaces it",
      place: { file: hook },
    });
  }
  const attributes = join(top, ".gitattributes");
  const before = statIfThere(attributes) === undefined ? "" : readText(attributes);
  const patterns = attributePatterns(top);
  const lines = patterns.map((pattern) => `${pattern} diff=signet merge=signet`);
  const after = withoutOurs(before) + [ATTRIBUTES_START, ...lines, ATTRIBUTES_END, ""].join("\n");
  if (!options.dryRun) {
    await writeFiles([
      { path: hook, text: HOOK, mode: 0o755 },
      { path: attributes, text: after },
    ]);
    chmodSync(hook, 0o755);
    for (const [key, value] of SETTINGS) git(["config", "--local", key, value], { cwd: top });
  }
  await tell(options, "install", [
    `${shown(hook)}: refuses plaintext and broken sealed files`,
    `${shown(attributes)}: ${patterns.join(", ")}; commit it`,
    "git config: the diff and merge drivers; everybody who clones runs this command once",
  ]);
}

/** @throws SignetError io */
export async function runGitUninstall(options: Omit<InstallOptions, "force">): Promise<void> {
  const top = needWorkTree();
  const hook = hookPath(top);
  const attributes = join(top, ".gitattributes");
  const done: string[] = [];
  if (statIfThere(hook) !== undefined && readText(hook).includes(MARK)) {
    if (!options.dryRun) rmSync(hook);
    done.push(`${shown(hook)}: removed`);
  }
  if (statIfThere(attributes) !== undefined) {
    const before = readText(attributes);
    const after = withoutOurs(before);
    if (after !== before) {
      if (!options.dryRun) await writeFiles([{ path: attributes, text: after }]);
      done.push(`${shown(attributes)}: our lines removed`);
    }
  }
  for (const section of ["diff.signet", "merge.signet"]) {
    try {
      if (!options.dryRun) git(["config", "--local", "--remove-section", section], { cwd: top });
      done.push(`git config: ${section} removed`);
    } catch (error) {
      // It was not there.
      if (!(error instanceof SignetError)) throw error;
    }
  }
  await tell(options, "uninstall", done.length === 0 ? ["nothing of ours was there"] : done);
}

async function tell(
  { dryRun, json }: Pick<InstallOptions, "dryRun" | "json">,
  action: string,
  lines: readonly string[],
): Promise<void> {
  if (json) await printJson({ action, dryRun, changes: lines });
  else for (const line of lines) say(dryRun ? `would change ${line}` : line);
}

/** Where Git looks for it: core.hooksPath and work trees are Git's to know. */
function hookPath(top: string): string {
  const path = gitText(["rev-parse", "--git-path", "hooks/pre-commit"], { cwd: top });
  return resolve(top, path.replace(/\n$/, ""));
}

function shown(path: string): string {
  return relative(process.cwd(), path) || path;
}

/** The paths of signet.yaml in Git's spelling; every manifest where it has none. */
function attributePatterns(top: string): string[] {
  const project = findProject();
  if (project === null || project.rules.length === 0) return MANIFESTS;
  const prefix = relative(top, project.root).split("\\").join("/");
  return project.rules.flatMap(({ pattern }) => {
    const globbed = pattern.replace(/\{(namespace|name)\}/g, "*").replace(/ /g, "[[:space:]]");
    const rooted = `/${prefix === "" ? "" : `${prefix}/`}${globbed}`;
    // A whole folder may hold files of other kinds, which are Git's own to compare and merge.
    const [, folder] = /^(.*\/)\*\*$/.exec(rooted) ?? [];
    return folder === undefined ? [rooted] : MANIFESTS.map((name) => `${folder}**/${name}`);
  });
}

function withoutOurs(text: string): string {
  const start = text.indexOf(ATTRIBUTES_START);
  const end = text.indexOf(ATTRIBUTES_END);
  const body =
    start === -1 || end < start
      ? text
      : text.slice(0, start) + text.slice(end + ATTRIBUTES_END.length).replace(/^\n/, "");
  return body === "" || body.endsWith("\n") ? body : `${body}\n`;
}
