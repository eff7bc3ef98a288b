// `signet scan`: finds Secrets in plain text in the working tree, the index or a range of commits.
// SPEC.md, "Whole repositories".

import { dirname, join, relative, resolve } from "node:path";
import type { Command } from "commander";
import { slashed } from "../../host/platform.ts";
import { samePlace } from "../../host/readfile.ts";
import { locate, SignetError } from "../../shared/errors.ts";
import { type Finding, FINDING_FORMATS, type FindingFormat, report } from "../checks/findings.ts";
import { findInGeneratorFile, type GeneratorFile, generatorFilesIn } from "../checks/generators.ts";
import { findPlaintext } from "../checks/plaintext.ts";
import type { Plaintext } from "../checks/plaintextfindings.ts";
import {
  isNamedTemplate,
  rangeSource,
  type ScannedFile,
  stagedSource,
  storedEncrypted,
  treeSource,
  type UnreadFile,
} from "../checks/scannedfiles.ts";
import { basesOf, fileAt, needWorkTree } from "../git/gitprocess.ts";
import { isEncrypted, looseText } from "../git/loosetext.ts";
import { findingFormatOption, flag, jsonOption } from "../options.ts";
import { findProject } from "../repository/project.ts";
import { type AllowedFiles, parseProject, type Project } from "../repository/projectfile.ts";
import { PROJECT_FILE } from "../repository/projectfolder.ts";
import { isChartTemplate } from "../repository/sealedfiles.ts";
import { count } from "../terminal/counts.ts";
import { say } from "../terminal/messages.ts";

const HELP = `
This searches YAML, JSON and Terraform files, and templates and copies of them (secret.yaml.j2,
secret.yaml.bak). It understands Lists, files with several documents, charts' templates, literals and files
of a Kustomization, kubernetes_secret resources, and Secrets quoted in other text. SealedSecrets, empty
values and placeholders are not reported; files that cannot be read are. To allow plaintext, list it in signet.yaml, with a reason; with --range, entries that
these commits add are reported as warnings.

Exit status: 0 no problems found, or no files to check, 3 plaintext found, 1 the check could not run.

Examples:
  $ signet scan
  $ signet scan --staged
  $ signet scan --range origin/main..HEAD --format github
  $ helm template charts/shop | signet scan -`;

export function define(command: Command): void {
  command
    .argument("[FILE|FOLDER...]")
    .usage("[OPTION...] [FILE|FOLDER...]")
    .description(
      "Find Secrets in plain text, in the working tree, the index or a range of commits.",
    )
    .addOption(flag("--staged", "check what is about to be committed"))
    .option("--range <COMMITS>", "check what these commits added, such as main..HEAD")
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

/** @throws SignetError check-found if plaintext is found; io, usage */
export async function runScan(paths: readonly string[], options: ScanOptions): Promise<void> {
  if (options.staged && options.range !== undefined) {
    throw new SignetError("usage", "--staged and --range are mutually exclusive");
  }
  const { range } = options;
  if (range?.startsWith("-") === true) {
    throw new SignetError("usage", `${range} is not a range of commits`, {
      hint: "such as main..HEAD",
    });
  }
  const project = findProject();
  const source = options.staged
    ? stagedSource(paths)
    : range !== undefined
      ? rangeSource(range, paths)
      : treeSource(paths);
  const isOld =
    range === undefined || project === null ? () => true : allowedBefore(range, project);
  const result = new Report(project, isOld);
  const generated = new GeneratorFiles();
  const ofOthers = new GeneratorFiles();
  for await (const file of source.manifests()) {
    if (isLocked(file)) {
      result.addLocked();
      continue;
    }
    const text = textOf(file);
    result.add(file, text === null ? unreadFindings(file) : findingsIn(file.path, text));
    generated.addOf(file, text ?? "");
  }
  for (const file of source.beside()) ofOthers.addOf(file, textOf(file) ?? "");
  for (const [named, isNew] of [
    [generated, false],
    [ofOthers, true],
  ] as const) {
    for (const file of source.others(named.paths, isNew)) {
      if (isNew && generated.has(file.path)) continue;
      const isRead = "bytes" in file && file.bytes !== null;
      result.add(file, isRead ? named.findIn(file.path, file.bytes) : unreadFindings(file));
    }
  }
  if (!options.staged && range === undefined) result.dropEncrypted();
  result.leaveOut(source.submodules());
  await result.print(options.format);
}

/** Files that Kustomizations generate Secrets from, by path. */
class GeneratorFiles {
  /** One that takes the whole file, one that takes its lines, and one that applies it. */
  readonly #readings = new Map<string, Map<string, GeneratorFile>>();

  get paths(): readonly string[] {
    return [...this.#readings.keys()];
  }

  has(path: string): boolean {
    return this.#readings.has(path);
  }

  /** Adds what the Kustomizations in a file name. */
  addOf({ path }: { readonly path: string }, text: string): void {
    for (const each of generatorFilesIn(text)) {
      const read = join(dirname(path), each.path);
      const readings = this.#readings.get(read) ?? new Map<string, GeneratorFile>();
      this.#readings.set(read, readings.set(readingOf(each), each));
    }
  }

  /** A whole file takes precedence over its lines. */
  findIn(path: string, bytes: Buffer): Plaintext[] {
    const readings = this.#readings.get(path);
    for (const name of READINGS) {
      const reading = readings?.get(name);
      const found = reading === undefined ? [] : findInGeneratorFile(bytes, reading);
      if (found.length > 0) return found;
    }
    return [];
  }
}

const READINGS = ["file", "lines", "patch"] as const;

function readingOf({ isEnv, isPatch }: GeneratorFile): (typeof READINGS)[number] {
  if (isPatch === true) return "patch";
  return isEnv ? "lines" : "file";
}

/** Null if it is not one, or cannot be read. */
function textOf(file: ScannedFile | UnreadFile): string | null {
  return "bytes" in file && file.bytes !== null ? looseText(file.bytes) : null;
}

/** Whether it is encrypted as a whole, so that nothing in it can be checked. */
const isLocked = (file: ScannedFile | UnreadFile): boolean =>
  "bytes" in file && file.bytes !== null && isEncrypted(file.bytes);

function findingsIn(path: string, text: string): Plaintext[] {
  try {
    return locate({ file: path }, () =>
      findPlaintext(text, { isChartTemplate: isChartTemplate(path) || isNamedTemplate(path) }),
    );
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return [unread("error", error.message)];
  }
}

function unread(severity: Plaintext["severity"], reason: string): Plaintext {
  return { rule: "unreadable", severity, line: 1, object: undefined, items: [], reason };
}

/** Findings for a file that is not text. */
function unreadFindings(file: ScannedFile | UnreadFile): Plaintext[] {
  if ("reason" in file) return [unread(file.severity, file.reason)];
  if (file.bytes === null) return [unread("error", "it is too large")];
  return isEncrypted(file.bytes) ? [] : [unread("error", "it is not text")];
}

/** Names at most as many submodules as a person reads. */
const MAX_NAMED = 5;

/** What was found, and which of it signet.yaml allows. */
class Report {
  #findings: Finding[] = [];
  /** Encrypted in Git, but not in the working tree. */
  #encrypted = 0;
  /** Encrypted where they were read. */
  #locked = 0;
  #submodules = 0;
  readonly #passed: string[] = [];
  readonly #used = new Set<AllowedFiles>();
  readonly #project: Project | null;
  readonly #isOld: (allowed: AllowedFiles) => boolean;
  #files = 0;

  /** `isOld`: whether an entry of signet.yaml is from before the range of commits. */
  constructor(project: Project | null, isOld: (allowed: AllowedFiles) => boolean) {
    this.#project = project;
    this.#isOld = isOld;
  }

  add(
    { path, commit }: { readonly path: string; readonly commit?: string },
    found: readonly Plaintext[],
  ): void {
    this.#files++;
    const allowed = found.length === 0 ? undefined : allowedBy(this.#project, path);
    if (allowed !== undefined) this.#used.add(allowed);
    if (found.length === 0 || (allowed !== undefined && this.#isOld(allowed))) {
      this.#passed.push(path);
      return;
    }
    for (const each of found) {
      const finding = findingOf(each, path, commit);
      this.#findings.push(allowed === undefined ? finding : allowedFinding(finding, allowed));
    }
  }

  /** Counts a file that is encrypted, so it was not checked. */
  addLocked(): void {
    this.#locked++;
  }

  /** What Git stores counts, not what git-crypt shows in the working tree. */
  dropEncrypted(): void {
    const encrypted = storedEncrypted(this.#findings.map(({ file }) => file));
    if (encrypted.size === 0) return;
    this.#findings = this.#findings.filter(({ file }) => !encrypted.has(file));
    this.#passed.push(...encrypted);
    this.#encrypted = encrypted.size;
    say(`${count(encrypted.size, "file")} in plain text in the working tree, but encrypted in Git`);
  }

  /** Reports which submodules were not scanned. */
  leaveOut(submodules: readonly string[]): void {
    this.#submodules = submodules.length;
    if (submodules.length === 0) return;
    const named = submodules.slice(0, MAX_NAMED).join(", ");
    const more = submodules.length > MAX_NAMED ? ", ..." : "";
    const which = count(submodules.length, "submodule");
    say(`${which} not scanned (run \`signet scan\` inside): ${named}${more}`);
  }

  async print(format: FindingFormat): Promise<void> {
    for (const { pattern, reason } of this.#used) say(`allowed: ${pattern}: ${reason}`);
    const what = count(this.#files, "file");
    if (this.#locked > 0) say(`${count(this.#locked, "encrypted file")} not checked`);
    const encrypted = this.#encrypted + this.#locked;
    const counts = { files: this.#files, encrypted, submodules: this.#submodules };
    const checked = {
      command: "scan",
      what,
      files: this.#files,
      counts,
      passed: this.#passed,
    } as const;
    await report(this.#findings, checked, { format, strict: false });
  }
}

/** A range of commits may add the plaintext and the permission for it: then a reviewer decides. */
function allowedFinding(finding: Finding, { pattern, reason }: AllowedFiles): Finding {
  const by = `allowed by the entry ${JSON.stringify(pattern)} (${reason}), which these commits add to scan.allow`;
  return {
    ...finding,
    rule: "allowed-by-this-range",
    severity: "warning",
    message: `${finding.message}; ${by}`,
  };
}

/** Whether an entry of `scan.allow` is from before a range of commits. */
function allowedBefore(range: string, project: Project): (allowed: AllowedFiles) => boolean {
  const top = needWorkTree();
  const path = relative(samePlace(top), join(samePlace(project.root), PROJECT_FILE));
  const before = basesOf(range, top).map((commit) => {
    try {
      const text = fileAt(commit, slashed(path), top);
      return text === null ? [] : parseProject(text, project.root).allow;
    } catch (error) {
      if (error instanceof SignetError) return [];
      throw error;
    }
  });
  return ({ pattern }) =>
    before.length > 0 && before.every((allow) => allow.some((each) => each.pattern === pattern));
}

/** The rule that allows a path. Rules are relative to signet.yaml, which may be below the top. */
function allowedBy(project: Project | null, path: string): AllowedFiles | undefined {
  if (project === null) return undefined;
  const below = slashed(relative(project.root, resolve(path)));
  return project.allow.find(({ matches }) => matches(below));
}

const WORDS: Record<Exclude<Plaintext["rule"], "unreadable">, string> = {
  "plaintext-secret": "a Secret in plain text",
  "quoted-secret": "a Secret in plain text, quoted in another text",
  "last-applied": "a Secret in plain text, quoted in an annotation",
  "kustomize-literal": "literals of a secretGenerator in plain text",
  "kustomize-file": "values in plain text, read by a secretGenerator",
  "secret-command": "values in plain text, from which a command creates a Secret",
};

function findingOf(
  { rule, severity, line, object, items, reason = "" }: Plaintext,
  file: string,
  commit?: string,
): Finding {
  const since = commit === undefined ? "" : `, by commit ${commit.slice(0, 12)}`;
  const message =
    rule === "unreadable"
      ? `cannot be checked for Secrets${since}: ${reason}`
      : `${WORDS[rule]} (${items.join(", ")})${since}: seal it, and rotate any value that was ever pushed`;
  return { rule, severity, file, line, ...(object === undefined ? {} : { object }), message };
}
