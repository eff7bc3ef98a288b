// `signet edit`: opens an editor on the items of a sealed file, and reopens it after a mistake.
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
This opens $VISUAL, $EDITOR or vi (notepad on Windows), with one line for each item and placeholders instead of
values. New values are sealed with the certificate when you save; placeholders keep their ciphertext. If the
text has a mistake, the editor opens again with an error above the text. To cancel, leave the text unchanged,
empty it, or quit the editor with an error (:cq in vi).

The editor's file is in memory (a tmpfs), readable only by you, and removed when you quit, even if signet is
killed. If the whole session is killed, the next \`signet edit\` removes it. --recovery-key, --recovery-identity
and --from-cluster show the values themselves. Vim's own copies (swap, undo, registers) are turned off. If your
editor keeps a history of files on disk, as VS Code does, turn that off yourself.

Examples:
  $ signet edit prod/shop/db.yaml
  $ EDITOR=nano signet edit prod/shop/db.yaml --all-clusters
  $ signet edit prod/shop/db.yaml --from-cluster`;

export function define(command: Command): void {
  withChange(
    command
      .argument("<FILE>")
      .usage("[OPTION...] FILE")
      .description("Edit the items of a sealed file in an editor.")
      .addOption(recoveryKeyOption("private key that opens the values, to show them"))
      .addOption(recoveryIdentityOption())
      .addOption(flag("--from-cluster", "show the values from the Secret in the cluster"))
      .addOption(flag("--allow-disk", "allow a file on disk if no folder in memory is available")),
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
  "use `signet set`, which needs none, or --allow-disk for a file on disk, which is overwritten and removed afterwards";

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
      // A program in place of an editor would write the same wrong text forever.
      if (failed !== undefined && (failed.text === edited || tries > MAX_TRIES)) {
        throw failed.error.at({ file: path });
      }
      if (isEmptied(edited)) {
        throw new SignetError("cancelled", "cancelled, as the text is empty; no changes made");
      }
      try {
        if (!isUtf8) throw new SignetError("usage", "the text was not saved as UTF-8");
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

/** For an editor that was closed without fixing the error. */
function givenUp(error: SignetError | undefined): SignetError {
  const words = "cancelled; no changes made";
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
      hint: "run `signet new` to create one",
      place: { file: path },
    });
  }
  const names = file.objects.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    throw new SignetError("sealedsecret-invalid", "contains two SealedSecrets with the same name", {
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

/** Applies the changes to the current files, which may have changed while the editor was open. */
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
      throw new SignetError("usage", `${moved} was changed in the file while the editor was open`);
    }
    result.set(target, change);
    if (!options.allClusters) continue;
    for (const sibling of siblingsOf(target, project, files)) {
      result.set(sibling, restrictedTo(sibling.object, change));
    }
  }
  if (result.size < changes.size) {
    throw new SignetError(
      "usage",
      "a SealedSecret was removed from the file while the editor was open",
    );
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
    throw new SignetError("usage", `${given} and --from-cluster are mutually exclusive`);
  }
  if (isGiven || fromCluster) {
    warn("the editor shows secret values in plain text; they stay in memory until you quit");
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

/** Null for bytes that are not text, or that an editor might change. */
function asText(bytes: Uint8Array | undefined): string | null {
  if (bytes === undefined || bytes.length === 0) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[^\P{Cc}\n\t]|\uFEFF/u.test(text) ? null : text;
  } catch {
    return null;
  }
}
