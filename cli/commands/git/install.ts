// `signet git install` and `uninstall`: the hook, attributes and settings of a repository.
// SPEC.md, "Git".

import { dirname, join, relative, resolve } from "node:path";
import { SignetError } from "../../../shared/errors.ts";
import { slashed } from "../../../host/platform.ts";
import { readTextWithin, samePlace, statIfThere } from "../../../host/readfile.ts";
import { isWithin, MAX_SETTINGS_BYTES, targetOf } from "../../../host/rootedfiles.ts";
import { removeFile, writeFiles } from "../../../host/writefiles.ts";
import { findProjectFolder, PROJECT_FILE } from "../../repository/projectfolder.ts";
import { findProject } from "../../repository/project.ts";
import { alternatives } from "../../repository/pathpattern.ts";
import { printJson } from "../../terminal/results.ts";
import { say, warn } from "../../terminal/messages.ts";
import { git, gitText, needWorkTree, runGit } from "../../git/gitprocess.ts";

export interface InstallOptions {
  /** Replaces another hook. */
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const MARK = "# Installed by `signet git install`.";

/** `below`: the folder of signet.yaml; empty for the top. */
const hookText = (below: string): string => `#!/bin/sh
${MARK}
# Refuses a commit with a Secret in plain text, or with a sealed file that no cluster would open.
command -v signet >/dev/null || {
  echo "the pre-commit hook requires signet, which was not found in PATH" >&2
  exit 1
}
${below === "" ? "" : intoFolder(below)}signet git check || exit 1
`;

/** Git may have set GIT_DIR relative to the top, which is wrong in another folder. */
function intoFolder(below: string): string {
  const quoted = `'${below.replaceAll("'", "'\\''")}'`;
  return `GIT_WORK_TREE=$(pwd) && GIT_DIR=$(git rev-parse --absolute-git-dir) || exit 1
export GIT_WORK_TREE GIT_DIR
if [ -d ${quoted} ]; then cd ${quoted} || exit 1; fi
`;
}

/**
 * If signet is missing or does not start, as in graphical programs whose PATH lacks it or Node, Git
 * shows and merges files as it does without a driver. The `--` is for files whose names begin with a
 * dash.
 */
const SETTINGS: readonly (readonly [string, string])[] = [
  [
    "diff.signet.textconv",
    `sh -c 'command -v signet >/dev/null 2>&1 && signet git textconv -- "$1" || exec cat -- "$1"' signet`,
  ],
  // A cache would keep the output from when signet was missing.
  ["diff.signet.cachetextconv", "false"],
  ["merge.signet.name", "sealed files, item by item"],
  [
    "merge.signet.driver",
    // The exit status of a conflict is also that of a program that does not start.
    "signet --version >/dev/null 2>&1 || exec git merge-file -L ours -L base -L theirs -- %A %O %B; exec signet git merge -- %O %A %B %P",
  ],
];

/** Where Git caches the output of the diff driver, if a former version enabled that. */
const CACHE_REF = "refs/notes/textconv/signet";

const MANIFESTS = ["*.yaml", "*.yml", "*.json"];

const ATTRIBUTES_START = "# signet: sealed files (kept by `signet git install`)";
const ATTRIBUTES_END = "# signet: end";

/** @throws SignetError; then nothing was changed */
export async function runGitInstall(options: InstallOptions): Promise<void> {
  const top = samePlace(needWorkTree());
  const hook = hookPath(top);
  const hookRoot = rootOfHook(hook, top);
  if (hookRoot === undefined && !options.force) {
    throw new SignetError("io", "Git's core.hooksPath points outside of this repository", {
      hint: "run `git config --local core.hooksPath .git/hooks` to use this repository's own hooks, or use --force to write there",
      place: { file: shown(hook) },
    });
  }
  // The user chose the outside folder of hooks, but not where a link in it leads.
  const root = hookRoot ?? targetOf(dirname(hook));
  const existing = textOf(root, hook);
  const isOthers = existing !== undefined && !existing.includes(MARK) && !options.force;
  const attributes = join(top, ".gitattributes");
  const before = textOf(top, attributes) ?? "";
  const patterns = attributePatterns(top);
  const lines = patterns.map((pattern) => `${pattern} diff=signet merge=signet`);
  const after = withoutOurs(before) + [ATTRIBUTES_START, ...lines, ATTRIBUTES_END, ""].join("\n");
  const text = hookText(projectFolder(top));
  const settings = SETTINGS.filter(([key, value]) => !isSet(key, value, top));
  if (!options.dryRun) {
    await writeFiles([
      ...(isOthers ? [] : [{ path: hook, text, mode: 0o755, root }]),
      { path: attributes, text: after, root: top },
    ]);
    for (const [key, value] of settings) git(["config", "--local", key, value], { cwd: top });
    if (answers(["show-ref", "--verify", "--quiet", CACHE_REF], top)) {
      git(["update-ref", "-d", CACHE_REF], { cwd: top });
    }
  }
  const changes = [
    ...(isOthers || text === existing
      ? []
      : [`${shown(hook)}: refuses plaintext and broken sealed files`]),
    ...(after === before ? [] : [`${shown(attributes)}: ${patterns.join(", ")}; commit it`]),
    ...(settings.length === 0
      ? []
      : ["git config: the diff and merge drivers; run this command once in each clone"]),
  ];
  const isUnchecked = isOthers && !/signet (git check|(scan|verify) --staged)/.test(existing);
  await tell(
    options,
    "install",
    changes,
    `${isUnchecked ? "the drivers are " : ""}already installed; nothing to change`,
  );
  if (isUnchecked) warnOfOtherHook(hook, top);
}

/** Tools that manage a repository's hooks, by their files, and where to add a command. */
const HOOK_TOOLS: readonly (readonly [string, string])[] = [
  [".pre-commit-config.yaml", "add a local hook with this `entry` to .pre-commit-config.yaml"],
  [".husky", "add this line to .husky/pre-commit"],
  ["lefthook.yml", "add this `run` below pre-commit in lefthook.yml"],
  [".lefthook.yml", "add this `run` below pre-commit in .lefthook.yml"],
];

/** Leaves another hook unchanged: the user must add the checks to it. */
function warnOfOtherHook(hook: string, top: string): void {
  const known = HOOK_TOOLS.find(([file]) => statIfThere(join(top, file)) !== undefined);
  const how = known?.[1] ?? "add this line to it";
  warn(
    `${shown(hook)}: another pre-commit hook exists and was not changed, so commits are not checked yet`,
  );
  say(`hint: ${how}: signet git check (--force replaces the hook)`);
}

/** @throws SignetError io */
export async function runGitUninstall(options: Omit<InstallOptions, "force">): Promise<void> {
  const top = samePlace(needWorkTree());
  const hook = hookPath(top);
  const attributes = join(top, ".gitattributes");
  const done: string[] = [];
  if (isInstalled(hook, top)) {
    if (!options.dryRun) removeFile(hook);
    done.push(`${shown(hook)}: removed`);
  }
  const before = textOf(top, attributes);
  if (before !== undefined) {
    const after = withoutOurs(before);
    if (after !== before) {
      const isEmpty = after.trim() === "";
      if (!options.dryRun) {
        if (isEmpty) removeFile(attributes);
        else await writeFiles([{ path: attributes, text: after, root: top }]);
      }
      done.push(`${shown(attributes)}: ${isEmpty ? "removed" : "our lines removed"}`);
    }
  }
  for (const section of ["diff.signet", "merge.signet"]) {
    if (!answers(["config", "--local", "--get-regexp", `^${section}\\.`], top)) continue;
    if (!options.dryRun) git(["config", "--local", "--remove-section", section], { cwd: top });
    done.push(`git config: ${section} removed`);
  }
  if (answers(["show-ref", "--verify", "--quiet", CACHE_REF], top)) {
    if (!options.dryRun) git(["update-ref", "-d", CACHE_REF], { cwd: top });
    done.push("the cache of the diff driver: removed");
  }
  await tell(options, "uninstall", done, "not installed; nothing to remove");
}

async function tell(
  { dryRun, json }: Pick<InstallOptions, "dryRun" | "json">,
  action: string,
  lines: readonly string[],
  unchanged: string,
): Promise<void> {
  if (json) await printJson({ action, dryRun, changes: lines });
  else if (lines.length === 0) say(unchanged);
  else for (const line of lines) say(dryRun ? `would change ${line}` : line);
}

/** The path of the hook, from Git, which knows core.hooksPath and work trees. */
function hookPath(top: string): string {
  const path = gitText(["rev-parse", "--git-path", "hooks/pre-commit"], { cwd: top });
  return resolve(top, path.replace(/\n$/, ""));
}

/**
 * The folder that a hook must be below, with its links resolved: the working tree, or Git's folder
 * for all working trees of the repository. Undefined if the hook's folder is in neither.
 */
function rootOfHook(hook: string, top: string): string | undefined {
  const common = gitText(["rev-parse", "--git-common-dir"], { cwd: top }).replace(/\n$/, "");
  const folder = targetOf(dirname(hook));
  return [top, samePlace(resolve(top, common))].find((root) => isWithin(root, folder));
}

/** A hook that cannot be read, or that links elsewhere, is not ours. */
function isInstalled(hook: string, top: string): boolean {
  try {
    const root = rootOfHook(hook, top) ?? targetOf(dirname(hook));
    return textOf(root, hook)?.includes(MARK) === true;
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}

/** Undefined if there is no such file. @throws SignetError io if it is not below `root` */
function textOf(root: string, path: string): string | undefined {
  if (statIfThere(path) === undefined) return undefined;
  return readTextWithin(root, path, MAX_SETTINGS_BYTES);
}

/** Whether the repository's own settings have exactly this value. */
function isSet(key: string, value: string, cwd: string): boolean {
  const { status, stdout } = runGit(["config", "--local", "--get-all", key], { cwd });
  return status === 0 && stdout.toString() === `${value}\n`;
}

/** Whether Git succeeds. */
function answers(args: readonly string[], cwd: string): boolean {
  try {
    git(args, { cwd });
    return true;
  } catch (error) {
    if (error instanceof SignetError) return false;
    throw error;
  }
}

function shown(path: string): string {
  return relative(process.cwd(), path) || path;
}

/**
 * The folder of signet.yaml below the top, separated by `/`; empty for the top, or where there is
 * none.
 */
function projectFolder(top: string): string {
  const folder = findProjectFolder();
  const below = folder === null ? "" : relative(samePlace(top), samePlace(folder));
  return below.startsWith("..") ? "" : slashed(below);
}

/** The paths of signet.yaml as Git patterns; without any, every manifest. */
function attributePatterns(top: string): string[] {
  const project = findProject();
  if (project === null || project.rules.length === 0) return MANIFESTS;
  const prefix = projectFolder(top);
  const globs = project.rules.flatMap(({ pattern }) =>
    // Git has no braces.
    alternatives(pattern.replace(/\{(namespace|name)\}/g, "*")),
  );
  return globs.flatMap((glob) => {
    const path = `/${prefix === "" ? "" : `${prefix}/`}${glob}`;
    checkPlain(path);
    // The `?` of Git's patterns is any one character.
    const rooted = path.replace(/ /g, "[[:space:]]").replace(/'/g, "?");
    // A folder may contain other kinds of files, which need Git's own drivers.
    const [, folder, last = ""] = /^(.*\/)(\*|\*\*|\*\*\/\*)$/.exec(rooted) ?? [];
    const deeper = last.startsWith("**") ? "**/" : "";
    return folder === undefined ? [rooted] : MANIFESTS.map((name) => `${folder}${deeper}${name}`);
  });
}

/**
 * The paths of signet.yaml are written to a file that programs other than Git may read. So they must
 * not contain line breaks, or characters that a shell interprets.
 * @throws SignetError project-invalid
 */
function checkPlain(pattern: string): void {
  if (!/[\p{C}\p{Z}"`$;&|<>()\\]/u.test(pattern.replaceAll(" ", ""))) return;
  throw new SignetError("project-invalid", "a path contains characters that a shell interprets", {
    hint: "use * or ? instead; rename a folder with such a name",
    place: { file: PROJECT_FILE, field: `paths.${JSON.stringify(pattern)}` },
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
