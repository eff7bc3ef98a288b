// `signet scan`: finds Secrets in plain text in the working tree, the index or a range of commits.
// SPEC.md, "Whole repositories".

import { join, relative, resolve } from "node:path";
import { locate, SignetError } from "../../shared/errors.ts";
import { manifestsBelow } from "../../host/manifestfiles.ts";
import { readInputs } from "../terminal/inputs.ts";
import { errnoOf } from "../../host/errno.ts";
import { readBytes, stat } from "../../host/readfile.ts";
import { MAX_FOUND_BYTES, readWithin, rootOf } from "../../host/rootedfiles.ts";
import { type Finding, FINDING_FORMATS, type FindingFormat, report } from "../checks/findings.ts";
import {
  gitList,
  looseText,
  needWorkTree,
  readBlobs,
  stagedBlobs,
  workTree,
} from "../git/gitprocess.ts";
import { historyOf } from "../git/history.ts";
import { findPlaintext, type Plaintext } from "../checks/plaintext.ts";
import type { AllowedPlaintext, Project } from "../repository/projectfile.ts";
import { findProject } from "../repository/project.ts";
import { count } from "../terminal/counts.ts";
import { say } from "../terminal/messages.ts";
import type { Command } from "commander";
import { findingFormatOption, flag, jsonOption } from "../options.ts";

const HELP = `
YAML and JSON are looked through, with Lists, several documents, charts' templates, literals of a
Kustomization, and Secrets that kubectl quotes in an annotation. SealedSecrets, empty values and
placeholders are no findings. Plaintext that may be there is allowed in signet.yaml, with a reason.

Exit status: 0 nothing found, 3 plaintext found, 1 it could not run.

Examples:
  $ signet scan
  $ signet scan --staged
  $ signet scan --range origin/main..HEAD --format github
  $ helm template charts/shop | signet scan -`;

export function define(command: Command): void {
  command
    .argument("[FILE|FOLDER...]")
    .usage("[OPTION...] [FILE|FOLDER...]")
    .description("Finds Secrets in plain text: in the tree, the index or a range of commits.")
    .addOption(flag("--staged", "look at what is about to be committed"))
    .option("--range <COMMITS>", "look at what these commits brought, such as main..HEAD")
    .addOption(findingFormatOption(FINDING_FORMATS))
    .addOption(jsonOption().implies({ format: "json" }))
    .addHelpText("after", HELP)
    .action((paths: string[], flags: ScanOptions) => runScan(paths, flags));
}

interface ScanOptions {
  /** The index instead of the working tree. */
  readonly staged: boolean;
  /** A range of commits instead, such as `main..HEAD`. */
  readonly range?: string;
  readonly format: FindingFormat;
}

/** A text to scan. `path`: relative to the current folder, as messages name it. */
interface Text {
  readonly path: string;
  readonly text: string;
  /** The commit that added it, in a range. */
  readonly commit?: string;
}

/** Names of files that hold manifests, including templates of charts. */
const MANIFEST = /\.(ya?ml|json|tpl)(\.(tmpl|gotmpl|j2|tpl))?$/i;

/** @throws SignetError check-found where there is plaintext; io, usage */
async function runScan(paths: readonly string[], options: ScanOptions): Promise<void> {
  if (options.staged && options.range !== undefined) {
    throw new SignetError("usage", "--staged and --range exclude each other");
  }
  const project = findProject();
  const texts = options.staged
    ? stagedTexts(paths)
    : options.range !== undefined
      ? rangeTexts(options.range, paths)
      : treeTexts(paths);
  const findings: Finding[] = [];
  const passed: string[] = [];
  const used = new Set<AllowedPlaintext>();
  let scanned = 0;
  for await (const { path, text, commit } of texts) {
    scanned++;
    const found = locate({ file: path }, () => findPlaintext(text));
    const allowed = allowedBy(project, path);
    if (found.length > 0 && allowed !== undefined) used.add(allowed);
    if (found.length === 0 || allowed !== undefined) passed.push(path);
    else findings.push(...found.map((each) => findingOf(each, path, commit)));
  }
  for (const { pattern, reason } of used) say(`allowed: ${pattern}: ${reason}`);
  await report(
    findings,
    { command: "scan", what: `${count(scanned, "file")} scanned`, passed },
    { format: options.format, strict: false },
  );
}

/** The rule that allows a path. Rules are relative to signet.yaml, which may be below the top. */
function allowedBy(project: Project | null, path: string): AllowedPlaintext | undefined {
  if (project === null) return undefined;
  const below = relative(project.root, resolve(path)).split("\\").join("/");
  return project.allow.find(({ matches }) => matches(below));
}

const WORDS: Record<Plaintext["rule"], string> = {
  "plaintext-secret": "a Secret in plain text",
  "last-applied": "a Secret in plain text, quoted in an annotation",
  "kustomize-literal": "literals of a secretGenerator in plain text",
};

function findingOf(
  { rule, line, object, items }: Plaintext,
  file: string,
  commit?: string,
): Finding {
  const since = commit === undefined ? "" : `, by commit ${commit.slice(0, 12)}`;
  return {
    rule,
    severity: "error",
    file,
    line,
    ...(object === undefined ? {} : { object }),
    message: `${WORDS[rule]} (${items.join(", ")})${since}: seal it, and change what was ever pushed`,
  };
}

/** In a working tree the files that Git does not ignore; elsewhere every manifest. */
async function* treeTexts(paths: readonly string[]): AsyncGenerator<Text> {
  for (const path of paths.length === 0 ? ["."] : paths) {
    if (path === "-") {
      const [input] = await readInputs(["-"], "manifests");
      if (input !== undefined) yield { path: input.name, text: input.text };
      continue;
    }
    const root = stat(path).isDirectory() ? rootOf(path) : undefined;
    for (const file of root === undefined ? [path] : filesIn(path)) {
      const text = textOf(file, root);
      if (text !== null) yield { path: file, text };
    }
  }
}

function filesIn(folder: string): string[] {
  if (workTree(folder) === null) return manifestsBelow(folder).map((path) => join(folder, path));
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  return gitList(args, { cwd: folder })
    .filter((path) => MANIFEST.test(path))
    .map((path) => join(folder, path));
}

function textOf(path: string, root: string | undefined): string | null {
  if (root === undefined) return looseText(readBytes(path));
  try {
    // A submodule.
    if (stat(path).isDirectory()) return null;
    return looseText(readWithin(root, path, MAX_FOUND_BYTES));
  } catch (error) {
    // The index still has a file that was removed or replaced by a folder.
    const code = error instanceof SignetError ? errnoOf(error.cause) : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

function* stagedTexts(paths: readonly string[]): Generator<Text> {
  const top = needWorkTree();
  yield* blobTexts(stagedBlobs(paths), top);
}

function* rangeTexts(range: string, paths: readonly string[]): Generator<Text> {
  const top = needWorkTree();
  if (range.startsWith("-"))
    throw new SignetError("usage", `${range} is no range of commits`, {
      hint: "such as main..HEAD",
    });
  const args = range.includes("..") ? [range] : ["-1", range];
  const commits = historyOf([...args, "--no-renames", "--", ...paths], top);
  const blobs = commits.flatMap(({ id: commit, changes }) =>
    changes.flatMap(({ path, after }) => (after === null ? [] : [{ id: after, path, commit }])),
  );
  yield* blobTexts(blobs, top);
}

function* blobTexts(
  blobs: readonly { id: string; path: string; commit?: string }[],
  top: string,
): Generator<Text> {
  const manifests = blobs.filter(({ path }) => MANIFEST.test(path));
  const texts = readBlobs(
    manifests.map(({ id }) => id),
    top,
  );
  for (const { id, path, commit } of manifests) {
    const text = texts.get(id) ?? null;
    if (text === null) continue;
    const shown = relative(process.cwd(), join(top, path));
    yield { path: shown, text, ...(commit === undefined ? {} : { commit }) };
  }
}
