// `signet set`, `unset` and `rename`: change items of a sealed file, for one cluster or for all.
// SPEC.md, "Changing values".

import type { Command } from "commander";
import { statIfThere } from "../../host/readfile.ts";
import { locate, SignetError } from "../../shared/errors.ts";
import { checkPlace } from "../../shared/sealing/seal.ts";
import {
  type ChangeOptions,
  type Connected,
  connection,
  flag,
  withChange,
  withValues,
} from "../options.ts";
import { checkAllClusters, filesOf, siblingsOf, type Target } from "../repository/changetargets.ts";
import { Certificates } from "../repository/clustercertificates.ts";
import { findProject } from "../repository/project.ts";
import { inItsNamespace } from "../repository/sealingplace.ts";
import { applyChanges } from "../repository/sealedchanges.ts";
import { chooseObject, readSealedFile } from "../repository/sealedfiles.ts";
import { checkItem, checkNoValue } from "../sealing/itemnames.ts";
import { readClusterValues, type ValueFlags } from "../sealing/values.ts";

const UNTOUCHED = `Every other value keeps its ciphertext, and every other line of the
file stays unchanged, so the diff shows only your change.`;

const SET_HELP = `
This needs only the certificate. ${UNTOUCHED}

You are prompted for the value, which is not shown as you type. If standard input is not a terminal, the
value is read from it, without a final line break.

Examples:
  $ signet set prod/shop/db.yaml password
  $ pwgen 32 1 | signet set prod/shop/db.yaml password
  $ signet set prod/shop/db.yaml --from-file ca.crt --generate token=40
  $ signet set prod/shop/db.yaml password --all-clusters
  $ signet set prod/shop/db.yaml --generate password --all-clusters --per-cluster`;

const UNSET_HELP = `
This needs no certificate and no cluster. ${UNTOUCHED}

Example:
  $ signet unset prod/shop/db.yaml old-password`;

const RENAME_HELP = `
This needs no certificate and no cluster, since a sealed value is not bound to the name of its item. ${UNTOUCHED}

Example:
  $ signet rename prod/shop/db.yaml pass password`;

const withName = (command: Command): Command =>
  command.option("--name <[NAMESPACE/]NAME>", "SealedSecret to change, if FILE has several");

type SetFlags = ValueFlags & { readonly perCluster: boolean; readonly namespace?: string };
type Flags<T = object> = Connected<ChangeOptions & T>;

export function defineSet(command: Command): void {
  withChange(
    withValues(
      withName(
        command
          .argument("<FILE>")
          .argument("[ITEM...]")
          .usage("[OPTION...] FILE [ITEM...]")
          .description("Set items of a sealed file: add new ones, or replace values.")
          .addOption(
            flag(
              "--per-cluster",
              "with --all-clusters: prompt for, or generate, a different value for each cluster",
            ),
          )
          .option("-n, --namespace <NAMESPACE>", "namespace of the SealedSecret, if FILE has none"),
      ),
    ),
  )
    .addHelpText("after", SET_HELP)
    .action((file: string, items: string[], flags: Flags<SetFlags>) =>
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
        .description("Remove items from a sealed file.")
        .addOption(flag("--allow-empty", "allow removing the last item")),
    ),
  )
    .addHelpText("after", UNSET_HELP)
    .action((file: string, items: string[], flags: Flags<{ allowEmpty: boolean }>) =>
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
        .description("Rename an item of a sealed file."),
    ),
  )
    .addHelpText("after", RENAME_HELP)
    .action((file: string, item: string, newName: string, flags: Flags) =>
      runRename(file, item, newName, connection(flags)),
    );
}

/** @throws SignetError; then no file was changed */
async function runSet(
  path: string,
  items: readonly string[],
  options: ChangeOptions & SetFlags,
): Promise<void> {
  if (options.perCluster && !options.allClusters) {
    throw new SignetError("usage", "--per-cluster requires --all-clusters", {
      hint: "without --all-clusters, only one cluster's file is changed",
    });
  }
  const targets = findTargets(path, options);
  items.forEach(checkItem);
  const certificates = new Certificates(options);
  // Report errors before the user types.
  for (const { file, object } of targets) {
    locate(object.place, () => {
      checkPlace(inItsNamespace(object, options.namespace));
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
    throw new SignetError("usage", "no item was named", {
      hint: "name it, as in `signet set FILE ITEM`, or use --from-file or --generate",
    });
  }
  await applyChanges(changes, certificates, options);
}

/** @throws SignetError; then no file was changed */
async function runUnset(
  path: string,
  items: readonly string[],
  options: ChangeOptions & { readonly allowEmpty: boolean },
): Promise<void> {
  const targets = findTargets(path, options);
  for (const target of targets) checkThere(target, items);
  const changes = targets.map((target) => [target, { unset: items }] as const);
  await applyChanges(new Map(changes), new Certificates(options), options);
}

/** @throws SignetError; then no file was changed */
async function runRename(
  path: string,
  item: string,
  newName: string,
  options: ChangeOptions,
): Promise<void> {
  const targets = findTargets(path, options);
  for (const target of targets) checkThere(target, [item]);
  checkItem(newName);
  if (newName === item) throw new SignetError("usage", `${item} already has this name`);
  const rename = new Map([[item, newName]]);
  const changes = targets.map((target) => [target, { rename }] as const);
  await applyChanges(new Map(changes), new Certificates(options), options);
}

/** @throws SignetError secret-invalid; never quotes an invalid name of an item */
function checkThere({ object: { sealed, place } }: Target, items: readonly string[]): void {
  const { encryptedData, legacyData } = sealed;
  if (legacyData !== undefined) return;
  for (const item of items.filter((each) => !encryptedData.has(each))) {
    checkItem(item);
    throw new SignetError("secret-invalid", "not found", {
      hint:
        encryptedData.size === 0
          ? "the SealedSecret has no items"
          : `its items are ${[...encryptedData.keys()].join(", ")}`,
      place: { ...place, field: `spec.encryptedData.${item}` },
    });
  }
}

/**
 * The SealedSecret to change, and with --all-clusters those of the same name and namespace in the
 * files of other clusters.
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
