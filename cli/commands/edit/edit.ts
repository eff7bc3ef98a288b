// `signet edit`: opens an editor on the items of a sealed file, and again after a mistake.
// SPEC.md, "Changing values".

import type { Command } from "commander";
import { MemoryFolder } from "../../../host/memoryfolder.ts";
import { formatPlace, locate, SignetError } from "../../../shared/errors.ts";
import { Keyring } from "../../../shared/keys/keyring.ts";
import { checkPlace, type ItemChanges } from "../../../shared/sealing/seal.ts";
import { openValues } from "../../../shared/sealing/unseal.ts";
import {
  type ChangeOptions,
  type Connected,
  connection,
  flag,
  recoveryIdentityOption,
  recoveryKeyOption,
  withChange,
} from "../../options.ts";
import {
  checkAllClusters,
  filesOf,
  siblingsOf,
  type Target,
} from "../../repository/changetargets.ts";
import { Certificates, connectionTo } from "../../repository/clustercertificates.ts";
import { areKeysGiven, type GivenKeys, readGivenKeys } from "../../repository/openingkeys.ts";
import { findProject } from "../../repository/project.ts";
import type { Project } from "../../repository/projectfile.ts";
import { inItsNamespace } from "../../repository/sealingplace.ts";
import { applyChanges } from "../../repository/sealedchanges.ts";
import { readSealedFile, type SealedObject } from "../../repository/sealedfiles.ts";
import { say, warn } from "../../terminal/messages.ts";
import {
  formatBuffer,
  isEmptied,
  parseBuffer,
  type ShownObject,
  withError,
  withoutError,
} from "./buffer.ts";
import { edit, missingWait, wipeOnSignals } from "./editor.ts";

const HELP = `
$VISUAL, $EDITOR or vi (notepad on Windows) opens with a line for each item, a placeholder in place of each value. What you
type is sealed with the certificate when you save; what stays a placeholder keeps its ciphertext. A
mistake is told above your text, and the editor opens again. To give up, leave the text as it is,
empty it, or end the editor with a failure, such as :cq.

The editor's file is in memory (a tmpfs), readable to you alone, and removed when you leave, also where
signet is killed; where a whole session is killed at once, by the next \`signet edit\`. --recovery-key,
--recovery-identity and --from-cluster show the values themselves. Vim's own copies (swap, undo, registers) are turned off;
of an editor that keeps a history of files on disk, as VS Code does, turn that off yourself.

Examples:
  $ signet edit prod/shop/db.yaml
  $ EDITOR=nano signet edit prod/shop/db.yaml --all-clusters
  $ signet edit prod/shop/db.yaml --from-cluster`;

export function define(command: Command): void {
  withChange(
    command
      .argument("<FILE>")
      .usage("[OPTION...] FILE")
      .description("Opens an editor on the items of a sealed file.")
      .addOption(recoveryKeyOption("private key to show the values with"))
      .addOption(recoveryIdentityOption())
      .addOption(flag("--from-cluster", "show the values of the Secret in the cluster"))
      .addOption(flag("--allow-disk", "take a file on disk where no folder in memory is found")),
  )
    .addHelpText("after", HELP)
    .action((file: string, flags: Connected<EditOptions>) => runEdit(file, connection(flags)));
}

interface EditOptions extends Omit<ChangeOptions, "name">, GivenKeys {
  /** Shows the values of the Secrets in the cluster. */
  readonly fromCluster: boolean;
  readonly allowDisk: boolean;
}

const NO_MEMORY =
  "`signet set` needs none; --allow-disk uses a file on disk, overwritten and removed afterwards";

/** More than a person needs. */
const MAX_TRIES = 20;

/** @throws SignetError; then no file was changed */
async function runEdit(path: string, options: EditOptions): Promise<void> {
  checkAllClusters(options);
  const project = findProject();
  const read = (): Target[] => readTargets(path, project);
  const targets = read();
  const certificates = new Certificates(options);
  // Report errors before the user types.
  for (const { file, object } of withSiblings(targets, project, options)) {
    locate(object.place, () => {
      checkPlace(inItsNamespace(object, undefined));
    });
    await certificates.for(file.path);
  }
  const shown = await shownObjects(targets, options);
  const start = formatBuffer(shown, notesFor(path, targets, options));
  const scratch = new MemoryFolder("edit", NO_MEMORY, options.allowDisk);
  const release = wipeOnSignals(scratch);
  try {
    let text = start;
    let failed: { readonly text: string; readonly error: SignetError } | undefined;
    for (let tries = 1; ; tries++) {
      const { text: saved, isUtf8 } = await edit(scratch, text);
      if (saved === start) {
        say(`${path}: nothing changed`);
        const waiting = missingWait();
        if (waiting !== undefined) {
          say(`hint: the editor may have returned before you saved: EDITOR="${waiting}" waits`);
        }
        return;
      }
      if (saved === text) throw givenUp(failed?.error);
      const edited = withoutError(saved);
      // A program that edits would write a wrong text forever.
      if (failed !== undefined && (failed.text === edited || tries > MAX_TRIES)) {
        throw failed.error.at({ file: path });
      }
      if (isEmptied(edited)) {
        throw new SignetError("cancelled", "the text was emptied; nothing was changed");
      }
      try {
        if (!isUtf8) throw new SignetError("usage", "this was not saved as UTF-8");
        const changes = parseBuffer(edited, shown);
        if (changes.size === 0) {
          say(`${path}: nothing changed`);
          return;
        }
        await applyChanges(
          changesNow(changes, targets, read(), project, options),
          certificates,
          options,
        );
        return;
      } catch (error) {
        if (!(error instanceof SignetError)) throw error;
        failed = { text: edited, error };
        text = withError(edited, error);
      }
    }
  } finally {
    release();
    scratch.wipe();
  }
}

/** The editor was closed with the error as it was. */
function givenUp(error: SignetError | undefined): SignetError {
  const words = "given up; nothing was changed";
  if (error === undefined) return new SignetError("cancelled", words);
  const parts = [formatPlace(error.place), error.message].filter((part) => part !== "");
  return new SignetError("cancelled", words, {
    hint: `the text had this error: ${parts.join(": ")}`,
  });
}

function readTargets(path: string, project: Project | null): Target[] {
  const file = readSealedFile(path, project);
  if (file.objects.length === 0) {
    throw new SignetError("wrong-kind", "holds no SealedSecret", {
      hint: "`signet new` makes one",
      place: { file: path },
    });
  }
  const names = file.objects.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    throw new SignetError("sealedsecret-invalid", "holds two SealedSecrets of one name", {
      place: { file: path },
    });
  }
  return file.objects.map((object) => ({ file, object, cluster: object.meaning?.cluster.name }));
}

function withSiblings(
  targets: readonly Target[],
  project: Project | null,
  { allClusters }: EditOptions,
): Target[] {
  if (!allClusters) return [...targets];
  const files = filesOf(project);
  return targets.flatMap((target) => [target, ...siblingsOf(target, project, files)]);
}

/** The changes for the files as they are now, which may have changed while the editor was open. */
function changesNow(
  changes: ReadonlyMap<string, ItemChanges>,
  before: readonly Target[],
  now: readonly Target[],
  project: Project | null,
  options: EditOptions,
): Map<Target, ItemChanges> {
  const result = new Map<Target, ItemChanges>();
  // Read once, so that two objects of a file share that file.
  const files = options.allClusters ? filesOf(project) : [];
  for (const target of now) {
    const { name, sealed } = target.object;
    const change = changes.get(name);
    if (change === undefined) continue;
    const old = before.find(({ object }) => object.name === name)?.object.sealed;
    const touched = [
      ...(change.set?.keys() ?? []),
      ...(change.unset ?? []),
      ...(change.rename?.keys() ?? []),
    ];
    const moved = touched.find(
      (item) => old?.encryptedData.get(item) !== sealed.encryptedData.get(item),
    );
    if (moved !== undefined) {
      throw new SignetError("usage", `someone else changed ${moved} in the file meanwhile`);
    }
    result.set(target, change);
    if (!options.allClusters) continue;
    for (const sibling of siblingsOf(target, project, files)) {
      result.set(sibling, restrictedTo(sibling.object, change));
    }
  }
  if (result.size < changes.size) {
    throw new SignetError("usage", "someone else took a SealedSecret out of the file meanwhile");
  }
  return result;
}

/**
 * The part of a change that applies to another cluster's SealedSecret, which may lack some items.
 */
function restrictedTo({ sealed }: SealedObject, change: ItemChanges): ItemChanges {
  const has = (item: string): boolean => sealed.encryptedData.has(item);
  return {
    ...change,
    unset: (change.unset ?? []).filter(has),
    rename: new Map([...(change.rename ?? [])].filter(([item]) => has(item))),
  };
}

function notesFor(path: string, targets: readonly Target[], options: EditOptions): string[] {
  const clusters = [...new Set(targets.map(({ cluster }) => cluster))].filter(
    (cluster) => cluster !== undefined,
  );
  const where = options.allClusters
    ? ", sealed for every cluster that has it"
    : clusters.length === 0
      ? ""
      : `, sealed for ${clusters.join(", ")}`;
  return [`signet edit: ${path}${where}`];
}

async function shownObjects(
  targets: readonly Target[],
  options: EditOptions,
): Promise<ShownObject[]> {
  const { fromCluster } = options;
  const isGiven = areKeysGiven(options);
  if (isGiven && fromCluster) {
    const given = options.recoveryKey.length > 0 ? "--recovery-key" : "--recovery-identity";
    throw new SignetError("usage", `${given} and --from-cluster exclude each other`);
  }
  if (isGiven || fromCluster) {
    warn("the editor shows secret values in plain text; they are in memory until you leave it");
  }
  const shown: ShownObject[] = [];
  const keyring = isGiven ? new Keyring(await readGivenKeys(options)) : null;
  for (const { object } of targets) {
    const { name } = object;
    const sealed = inItsNamespace(object, undefined);
    let values: ReadonlyMap<string, Uint8Array> = new Map();
    if (keyring !== null) values = (await openValues(sealed, keyring)).values;
    else if (fromCluster) values = await liveValues({ ...object, sealed }, options);
    const items = new Map<string, string | null>();
    for (const item of sealed.encryptedData.keys()) items.set(item, asText(values.get(item)));
    shown.push({ name, items });
  }
  return shown;
}

async function liveValues(
  { sealed, meaning }: SealedObject,
  options: EditOptions,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const { readSecret } = await import("../../cluster/apiobjects.ts");
  return (await readSecret(connectionTo(meaning?.cluster, options), sealed.metadata)).data;
}

/** Null for bytes that are not text, or that an editor might not preserve. */
function asText(bytes: Uint8Array | undefined): string | null {
  if (bytes === undefined || bytes.length === 0) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[^\P{Cc}\n\t]|\uFEFF/u.test(text) ? null : text;
  } catch {
    return null;
  }
}
