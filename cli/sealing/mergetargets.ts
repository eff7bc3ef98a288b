// Merges Secrets into the SealedSecrets of a file: which one fits, and the merged text.
// SPEC.md, "Command line", "Merging".

import { type ErrorPlace, locate, SignetError } from "../../shared/errors.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { asObject, type Names, objectName } from "../../shared/kubernetes/object.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";
import { editManifests } from "../../shared/manifest/edit.ts";
import { type ManifestDocument, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import { editsBetween } from "../../shared/sealing/manifestedits.ts";
import { type Scope, scopeOf, withScope } from "../../shared/sealing/scope.ts";
import { declaredScope, seal } from "../../shared/sealing/seal.ts";
import {
  KIND,
  merge,
  parseSealedSecret,
  type SealedSecret,
} from "../../shared/sealing/sealedsecret.ts";
import type { ReadySecret } from "./gather.ts";
import { complete } from "./preparesecret.ts";

/** A SealedSecret of the file. */
export interface MergeTarget {
  readonly document: ManifestDocument;
  readonly sealed: SealedSecret;
  readonly scope: Scope;
}

/**
 * The SealedSecrets of a file. `given`: the name and namespace that they must have. `names`: which
 * names and namespaces they may have.
 * @throws SignetError
 */
export function targetsIn(
  text: string,
  file: string,
  given: { readonly name?: string; readonly namespace?: string },
  names: Names = "valid",
): MergeTarget[] {
  const documents = parseManifests(text, { file });
  const targets = documents.flatMap((document) => {
    const object = asObject(document.value);
    if (object?.["kind"] !== KIND) return [];
    const place = placeOf(file, document, documents.length);
    return [
      locate(place, () => {
        const sealed = parseSealedSecret(object, names);
        if (sealed.legacyData !== undefined) {
          throw new SignetError("sealedsecret-invalid", "is in the form from before 2019", {
            hint: "seal the whole Secret again",
            place: { field: "spec.data" },
          });
        }
        complete(sealed.metadata, given);
        return { document, sealed, scope: scopeOf(sealed.metadata.annotations) };
      }),
    ];
  });
  if (targets.length === 0) {
    throw new SignetError("wrong-kind", "holds no SealedSecret to merge into", {
      hint: "create it first, with `signet seal --output FILE`; merging into a List is not supported",
      place: { file },
    });
  }
  return targets;
}

export function chooseTarget(
  { metadata }: Secret,
  targets: readonly MergeTarget[],
  file: string,
): MergeTarget {
  const fits = ({ sealed }: MergeTarget): boolean =>
    (["name", "namespace"] as const).every(
      (field) =>
        metadata[field] === "" ||
        sealed.metadata[field] === "" ||
        metadata[field] === sealed.metadata[field],
    );
  const fitting = targets.filter(fits);
  const [target] = fitting;
  if (target !== undefined && fitting.length === 1) return target;
  if (target === undefined) {
    const words = targets.map(({ sealed }) => `"${objectName(sealed.metadata)}"`).join(", ");
    throw new SignetError(
      "secret-invalid",
      `input secret is "${objectName(metadata)}", but ${file} holds ${words}`,
      { hint: "omit name and namespace from the input to use those of the file" },
    );
  }
  throw new SignetError("secret-invalid", `more than one SealedSecret in ${file} matches`, {
    hint: "set the name and namespace in the input",
  });
}

export function checkScope(
  { metadata }: Secret,
  { scope }: MergeTarget,
  asked: { readonly scope?: Scope | undefined; readonly file: string },
  place: ErrorPlace,
): void {
  const declared = declaredScope(metadata.annotations);
  const wanted = asked.scope ?? (declared === "strict" ? scope : declared);
  if (wanted === scope) return;
  throw new SignetError(
    "secret-invalid",
    `scope ${wanted} was requested, but the values in ${asked.file} are ${scope}`,
    {
      hint: "all values of a SealedSecret have one scope: to change it, seal the whole Secret again",
      place,
    },
  );
}

/** The file's text with each Secret sealed and merged into its target. */
export async function mergeSecrets(
  { file, text }: { readonly file: string; readonly text: string },
  secrets: readonly ReadySecret[],
  chosen: ReadonlyMap<Secret, MergeTarget>,
  certificate: Certificate,
): Promise<string> {
  const merged = new Map<MergeTarget, SealedSecret>();
  for (const { secret, scope, place } of secrets) {
    const target = chosen.get(secret);
    if (target === undefined) continue;
    const update = withoutScope(await seal(secret, certificate, scope));
    // For the comparison only: the file may leave the namespace to whatever applies it.
    const into = withNamespace(merged.get(target) ?? target.sealed, secret.metadata.namespace);
    merged.set(
      target,
      locate(place, () => merge(into, update)),
    );
  }
  const edits = new Map(
    [...merged].map(([{ document, sealed }, after]) => [document, editsBetween(sealed, after)]),
  );
  return locate({ file }, () => editManifests(text, edits));
}

function withoutScope(update: SealedSecret): SealedSecret {
  const { template } = update;
  // The target has the annotations of its scope already.
  const annotations = withScope(template.metadata.annotations, "strict");
  return { ...update, template: { ...template, metadata: { ...template.metadata, annotations } } };
}

function withNamespace(sealed: SealedSecret, namespace: string): SealedSecret {
  return { ...sealed, metadata: { ...sealed.metadata, namespace } };
}
