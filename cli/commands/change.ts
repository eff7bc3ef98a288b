// `signet set`, `unset` and `rename`: single values of a sealed file, in one cluster or in all.
// SPEC.md, "Changing values".

import type { Command } from "commander";
import type { EditOptions } from "./edit/edit.ts";
import { checkItem, checkNoValue, readClusterValues, type ValueFlags } from "../sealing/values.ts";
import { type Connected, connection, dryRunOption, flag, jsonOption, recoveryKeyOption, withCertificate, withValues } from "../options.ts";
import { formatPlace, locate, locateAsync, SignetError } from "../../shared/errors.ts";
import { changeItems, checkPlace, type ItemChanges } from "../../shared/sealing/seal.ts";
import { Certificates, type GivenCertificate } from "../repository/clustercertificates.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import { statIfThere } from "../../host/readfile.ts";
import { findProject, type Project } from "../repository/project.ts";
import { chooseObject, editedText, readSealedFile, readSealedFiles, type SealedFile, type SealedObject } from "../repository/sealedfiles.ts";
import { printJson } from "../terminal/results.ts";
import { say, warn } from "../terminal/messages.ts";
import { shortFingerprint } from "../terminal/words.ts";

const UNTOUCHED = `
Only the certificate is needed. Every other value keeps its ciphertext, and every other line of the
file stays as it is written: the diff is what changed.`;

const SET_HELP = `${UNTOUCHED}

The value is asked for and not shown, or read from standard input without its last line end.

Examples:
  $ signet set prod/shop/db.yaml password
  $ pwgen 32 1 | signet set prod/shop/db.yaml password
  $ signet set prod/shop/db.yaml --from-file ca.crt --generate token=40
  $ signet set prod/shop/db.yaml password --all-clusters
  $ signet set prod/shop/db.yaml --generate password --all-clusters --per-cluster`;

const UNSET_HELP = `${UNTOUCHED}

Example:
  $ signet unset prod/shop/db.yaml old-password`;

const RENAME_HELP = `${UNTOUCHED}
No key is needed at all: a sealed value is not bound to the name of its item.

Example:
  $ signet rename prod/shop/db.yaml pass password`;

const EDIT_HELP = `
$VISUAL, $EDITOR or vi opens with a line for each item, a placeholder in place of each value. What you
type is sealed with the certificate when you save; what stays a placeholder keeps its ciphertext. A
mistake is told above your text, and the editor opens again. To give up, leave the text as it is,
empty it, or end the editor with a failure, such as :cq.

The editor's file is in memory (a tmpfs), readable to you alone, and removed when you leave, also where
signet is killed; where a whole session is killed at once, by the next \`signet edit\`. --recovery-key
and --from-cluster show the values themselves. Vim's own copies (swap, undo, registers) are turned off;
of an editor that keeps a history of files on disk, as VS Code does, turn that off yourself.

Examples:
  $ signet edit prod/shop/db.yaml
  $ EDITOR=nano signet edit prod/shop/db.yaml --all-clusters
  $ signet edit prod/shop/db.yaml --from-cluster`;

function withChange(command: Command): Command {
  return withCertificate(
    command
      .addOption(
        flag("--all-clusters", "the same SealedSecret in the files of the other clusters as well"),
      )
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  );
}

const withName = (command: Command): Command =>
  command.option("--name <[NAMESPACE/]NAME>", "the SealedSecret, where FILE holds several");

type Flags<T = object> = Connected<ChangeOptions & T>;

export function defineSet(command: Command): void {
  withChange(
    withValues(
      withName(
        command
          .argument("<FILE>")
          .argument("[ITEM...]")
          .usage("[OPTION...] FILE [ITEM...]")
          .description("Sets items of a sealed file: new ones, or others' values.")
          .addOption(
            flag(
              "--per-cluster",
              "with --all-clusters: ask for, or generate, another value for each",
            ),
          ),
      ),
    ),
  )
    .addHelpText("after", SET_HELP)
    .action((file: string, items: string[], flags: Flags<ValueFlags & { perCluster: boolean }>) =>
      runSet(file, items, connection(flags)),
    );
}

export function defineUnset(command: Command): void {
  withChange(
    withName(
      command
        .argument("<FILE>")
        .argument("<ITEM...>")
        .usage("[OPTION...] FILE ITEM...")
        .description("Takes items out of a sealed file."),
    ),
  )
    .addHelpText("after", UNSET_HELP)
    .action((file: string, items: string[], flags: Flags) =>
      runUnset(file, items, connection(flags)),
    );
}

export function defineRename(command: Command): void {
  withChange(
    withName(
      command
        .argument("<FILE>")
        .argument("<ITEM>")
        .argument("<NEW-NAME>")
        .usage("[OPTION...] FILE ITEM NEW-NAME")
        .description("Gives an item of a sealed file another name."),
    ),
  )
    .addHelpText("after", RENAME_HELP)
    .action((file: string, item: string, newName: string, flags: Flags) =>
      runRename(file, item, newName, connection(flags)),
    );
}

export function defineEdit(command: Command): void {
  withChange(
    command
      .argument("<FILE>")
      .usage("[OPTION...] FILE")
      .description("Opens an editor on the items of a sealed file.")
      .addOption(recoveryKeyOption("private key to show the values with"))
      .addOption(flag("--from-cluster", "show the values of the Secret in the cluster"))
      .addOption(flag("--allow-disk", "take a file on disk where no folder in memory is found")),
  )
    .addHelpText("after", EDIT_HELP)
    .action(async (file: string, flags: Connected<EditOptions>) => {
      const { runEdit } = await import("./edit/edit.ts");
      await runEdit(file, connection(flags));
    });
}

export interface ChangeOptions extends GivenCertificate {
  /** The SealedSecret that is meant, where the file holds several. */
  readonly name?: string;
  /** The same SealedSecret in the files of other clusters as well. */
  readonly allClusters: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** A SealedSecret that is to be changed. */
export interface Target {
  readonly file: SealedFile;
  readonly object: SealedObject;
  /** As signet.yaml names it; undefined where it says nothing of the file. */
  readonly cluster: string | undefined;
}

/** @throws SignetError; then no file was changed */
export async function runSet(
  path: string,
  items: readonly string[],
  options: ChangeOptions & ValueFlags & { readonly perCluster: boolean },
): Promise<void> {
  if (options.perCluster && !options.allClusters) {
    throw new SignetError("usage", "--per-cluster needs --all-clusters", {
      hint: "without it, the file of one cluster is changed",
    });
  }
  const targets = findTargets(path, options);
  items.forEach(checkItem);
  const certificates = new Certificates(options);
  // What is wrong with it is better said before someone types.
  for (const { file, object } of targets) {
    locate(object.place, () => {
      checkPlace(object.sealed);
    });
    await certificates.for(file.path);
  }
  const flags = { ...options, fromLiteral: items };
  const clusters = options.perCluster ? targets.map(({ cluster = "" }) => cluster) : [];
  const { shared, own } = await readClusterValues(flags, [...new Set(clusters)]);
  const changes = new Map(
    targets.map((target) => {
      const set = new Map([...shared, ...(own.get(target.cluster ?? "") ?? [])]);
      return [target, { set }] as const;
    }),
  );
  if ([...changes.values()].some(({ set }) => set.size === 0)) {
    throw new SignetError("usage", "which item is to be set?", {
      hint: "signet set FILE ITEM asks for its value; --from-file and --generate name it themselves",
    });
  }
  await applyChanges(changes, certificates, options);
}

/** @throws SignetError; then no file was changed */
export async function runUnset(
  path: string,
  items: readonly string[],
  options: ChangeOptions,
): Promise<void> {
  const targets = findTargets(path, options);
  for (const target of targets) checkThere(target, items);
  const changes = targets.map((target) => [target, { unset: items }] as const);
  await applyChanges(new Map(changes), new Certificates(options), options);
}

/** @throws SignetError; then no file was changed */
export async function runRename(
  path: string,
  item: string,
  newName: string,
  options: ChangeOptions,
): Promise<void> {
  const targets = findTargets(path, options);
  for (const target of targets) checkThere(target, [item]);
  checkItem(newName);
  if (newName === item) throw new SignetError("usage", `${item} has this name already`);
  const rename = new Map([[item, newName]]);
  const changes = targets.map((target) => [target, { rename }] as const);
  await applyChanges(new Map(changes), new Certificates(options), options);
}

/** @throws SignetError secret-invalid; what cannot be an item's name is not quoted */
function checkThere({ object: { sealed, place } }: Target, items: readonly string[]): void {
  const { encryptedData, legacyData } = sealed;
  if (legacyData !== undefined) return;
  for (const item of items.filter((each) => !encryptedData.has(each))) {
    checkItem(item);
    throw new SignetError("secret-invalid", "is not there", {
      hint:
        encryptedData.size === 0
          ? "it holds none"
          : `it holds ${[...encryptedData.keys()].join(", ")}`,
      place: { ...place, field: `spec.encryptedData.${item}` },
    });
  }
}

/**
 * The SealedSecret of a file that is meant, and with --all-clusters those of the same name and
 * namespace in the files of other clusters.
 * @throws SignetError
 */
function findTargets(path: string, options: ChangeOptions): Target[] {
  checkAllClusters(options);
  if (statIfThere(path) === undefined) checkNoValue(path);
  const project = findProject();
  const file = readSealedFile(path, project);
  const object = chooseObject(file, options.name);
  const own = { file, object, cluster: object.meaning?.cluster.name };
  return options.allClusters ? [own, ...siblingsOf(own, project, filesOf(project))] : [own];
}

/** @throws SignetError usage where one certificate is named for the files of several clusters */
export function checkAllClusters({
  allClusters,
  cert,
  cluster,
}: Pick<ChangeOptions, "allClusters" | "cert" | "cluster">): void {
  if (!allClusters || (cert ?? cluster) === undefined) return;
  const other = cert === undefined ? "--cluster" : "--cert";
  throw new SignetError("usage", `--all-clusters and ${other} exclude each other`, {
    hint: "each file is sealed for the cluster that signet.yaml says it is for",
  });
}

/** An editor's file is looked at several times. */
const warned = new Set<string>();

/** Every sealed file of the project. @throws SignetError project-invalid, io */
export function filesOf(project: Project | null): readonly SealedFile[] {
  if (project === null) return [];
  const { files, unreadable } = readSealedFiles([], project);
  for (const { place, message } of unreadable) {
    const words = `${formatPlace(place)}: ${message}; whatever it holds is left as it is`;
    if (!warned.has(words)) warn(words);
    warned.add(words);
  }
  return files;
}

/** `files`: those of the project. @throws SignetError usage where there is none */
export function siblingsOf(
  { file, object, cluster }: Target,
  project: Project | null,
  files: readonly SealedFile[],
): Target[] {
  if (project === null) {
    throw new SignetError("usage", "--all-clusters goes by signet.yaml, and there is none", {
      hint: "`signet init` makes one",
    });
  }
  if (cluster === undefined) {
    throw new SignetError(
      "usage",
      "--all-clusters needs a rule of signet.yaml that fits the file",
      {
        hint: "add one under paths, such as `prod/**: prod`",
        place: { file: file.path },
      },
    );
  }
  const siblings = files.flatMap((each) =>
    each.objects.flatMap((other) => {
      const otherCluster = other.meaning?.cluster.name;
      const isSibling =
        other.name === object.name && otherCluster !== undefined && otherCluster !== cluster;
      return isSibling ? [{ file: each, object: other, cluster: otherCluster }] : [];
    }),
  );
  if (siblings.length === 0) {
    throw new SignetError("usage", `no other cluster has ${object.name}`, {
      hint: "leave --all-clusters out, or make it there with `signet new`",
      place: { file: file.path },
    });
  }
  return siblings;
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>();

/** Seals, writes and tells what changed. @throws SignetError; then no file was changed */
export async function applyChanges(
  changes: ReadonlyMap<Target, ItemChanges>,
  certificates: Certificates,
  options: Pick<ChangeOptions, "dryRun" | "json">,
): Promise<void> {
  const outputs: Output[] = [];
  const facts: object[] = [];
  const lines: string[] = [];
  const byFile = new Map<SealedFile, [Target, ItemChanges][]>();
  for (const [target, change] of changes) {
    byFile.set(target.file, [...(byFile.get(target.file) ?? []), [target, change]]);
  }
  for (const [file, each] of byFile) {
    const isSealed = each.some(([, { set = NONE }]) => set.size > 0);
    const certificate = isSealed ? await certificates.for(file.path) : null;
    const after = new Map<SealedObject, SealedObject["sealed"]>();
    for (const [{ object, cluster }, change] of each) {
      const sealed = await locateAsync(object.place, () =>
        changeItems(object.sealed, change, certificate),
      );
      after.set(object, sealed);
      const { set = NONE, unset = [], rename = NONE } = change;
      const words = [
        ...(set.size === 0 ? [] : [`set ${[...set.keys()].join(", ")}`]),
        ...(unset.length === 0 ? [] : [`unset ${unset.join(", ")}`]),
        ...[...rename].map(([from, to]) => `renamed ${from} to ${to}`),
      ];
      const fingerprint = set.size === 0 ? null : (certificate?.fingerprint ?? null);
      const under =
        fingerprint === null
          ? ""
          : `, sealed${cluster === undefined ? "" : ` for ${cluster}`} under ${shortFingerprint(fingerprint)}`;
      warnOfTemplates(object, [...unset, ...rename.keys()]);
      lines.push(`${file.path}: ${object.name}: ${words.join("; ")}${under}`);
      facts.push({
        file: file.path,
        name: object.name,
        cluster: cluster ?? null,
        set: [...set.keys()],
        unset,
        renamed: Object.fromEntries(rename),
        fingerprint,
      });
    }
    outputs.push({ path: file.path, text: editedText(file, after) });
  }
  if (!options.dryRun) await writeFiles(outputs);
  if (options.json) await printJson({ dryRun: options.dryRun, changed: facts });
  else for (const line of lines) say(options.dryRun ? `would change ${line}` : line);
}

/** A template that speaks of an item which is no longer there fails in the cluster only. */
function warnOfTemplates({ sealed, place, name }: SealedObject, gone: readonly string[]): void {
  for (const item of gone) {
    const field = [...sealed.template.data].find(([, text]) => text.includes(item))?.[0];
    if (field === undefined) continue;
    const words = `its template seems to use ${item}, which goes away`;
    warn(
      `${formatPlace({ ...place, object: name, field: `spec.template.data.${field}` })}: ${words}`,
    );
  }
}
