// Seals changed items, writes the files, and reports what changed.
// SPEC.md, "Changing values".

import { type Output, writeFiles } from "../../host/writefiles.ts";
import { formatPlace, locateAsync, SignetError } from "../../shared/errors.ts";
import { changeItems, type ItemChanges } from "../../shared/sealing/seal.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import type { SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { say, warn } from "../terminal/messages.ts";
import { printJson } from "../terminal/results.ts";
import { shortFingerprint } from "../terminal/counts.ts";
import type { Target } from "./changetargets.ts";
import type { Certificates } from "./clustercertificates.ts";
import { inItsNamespace } from "./sealingplace.ts";
import { editedText, type SealedFile, type SealedObject } from "./sealedfiles.ts";

const NONE: ReadonlyMap<string, never> = new Map<string, never>();

/** @throws SignetError; then no file was changed */
export async function applyChanges(
  changes: ReadonlyMap<Target, ItemChanges>,
  certificates: Certificates,
  options: {
    readonly dryRun: boolean;
    readonly json: boolean;
    readonly allowEmpty?: boolean;
    /** Where a file says none. */
    readonly namespace?: string;
  },
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
        changed(object, change, certificate, options.namespace),
      );
      if (options.allowEmpty !== true) checkNotEmptied(object, sealed);
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
          : `, sealed${cluster === undefined ? "" : ` for ${cluster}`} with key ${shortFingerprint(fingerprint)}`;
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
    outputs.push({ path: file.path, root: file.root, text: editedText(file, after) });
  }
  if (!options.dryRun) await writeFiles(outputs);
  if (options.json) await printJson({ dryRun: options.dryRun, changed: facts });
  else for (const line of lines) say(options.dryRun ? `would change ${line}` : line);
}

/** The file says of its namespace what it said before. */
async function changed(
  object: SealedObject,
  change: ItemChanges,
  certificate: Certificate | null,
  given: string | undefined,
): Promise<SealedSecret> {
  const before = object.sealed;
  if ((change.set?.size ?? 0) === 0) return changeItems(before, change, certificate);
  const after = await changeItems(inItsNamespace(object, given), change, certificate);
  const { namespace } = before.metadata;
  return { ...after, metadata: { ...after.metadata, namespace } };
}

/** @throws SignetError secret-invalid where the last item would go: the Secret would be empty */
function checkNotEmptied({ sealed: before, place }: SealedObject, after: SealedSecret): void {
  if (before.encryptedData.size === 0 || after.encryptedData.size > 0) return;
  if (after.template.data.size > 0) return;
  throw new SignetError(
    "secret-invalid",
    "this would remove the last item: keep one, or remove the file",
    {
      hint: "use `signet unset --allow-empty` to leave a SealedSecret without items",
      place: { ...place, field: "spec.encryptedData" },
    },
  );
}

/** A template that uses a missing item fails in the cluster only. */
function warnOfTemplates({ sealed, place, name }: SealedObject, gone: readonly string[]): void {
  for (const item of gone) {
    const field = [...sealed.template.data].find(([, text]) => text.includes(item))?.[0];
    if (field === undefined) continue;
    const words = `its template seems to use ${item}, which is removed`;
    warn(
      `${formatPlace({ ...place, object: name, field: `spec.template.data.${field}` })}: ${words}`,
    );
  }
}
