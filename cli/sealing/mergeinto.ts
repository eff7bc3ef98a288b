// `signet seal --merge-into`: values added to a SealedSecret's file, all else in it left alone.
// SPEC.md, "Command line", "Merging".

import type { Certificate } from "../../shared/keys/certificate.ts";
import { editManifests } from "../../shared/manifest/edit.ts";
import { type ErrorPlace, locate, SignetError } from "../../shared/errors.ts";
import { type ManifestDocument, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import { type Scope, scopeOf, withScope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import {
  KIND,
  merge,
  parseSealedSecret,
  type SealedSecret,
} from "../../shared/sealing/sealedsecret.ts";
import { asObject, objectName } from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import { editsBetween } from "../../shared/sealing/manifestedits.ts";
import { readText, stat } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { complete } from "./preparesecret.ts";
import { gather, type Prepare, type ReadySecret, secretsIn } from "./gather.ts";
import { certificatesOf, readSecrets, type SealOptions } from "../commands/seal.ts";
import { checkFields, checkNotEmpty } from "./secretcheck.ts";

/** A SealedSecret of the file, to be merged into. */
export interface Target {
  readonly document: ManifestDocument;
  readonly sealed: SealedSecret;
  readonly scope: Scope;
}

/** @throws SignetError, or an AggregateError of them; then the file is as it was */
export async function runMerge(
  names: readonly string[],
  options: SealOptions & { readonly mergeInto: string },
): Promise<void> {
  checkUsage(names, options);
  const file = options.mergeInto;
  const text = readText(file);
  const targets = targetsIn(text, file, options);
  const { certificateFor } = await certificatesOf(options);
  const inputs = await readSecrets(names, options);
  const chosen = new Map<Secret, Target>();
  const { files } = gather(inputs, preparing(targets, chosen, file, options));
  const certificate = await certificateFor(file);
  const secrets = secretsIn(files);
  const result = await mergeSecrets({ file, text }, secrets, chosen, certificate);
  await writeFiles([{ path: file, text: result }]);
}

/** The file's text with each Secret sealed and put into the target that was chosen for it. */
export async function mergeSecrets(
  { file, text }: { readonly file: string; readonly text: string },
  secrets: readonly ReadySecret[],
  chosen: ReadonlyMap<Secret, Target>,
  certificate: Certificate,
): Promise<string> {
  const merged = new Map<Target, SealedSecret>();
  for (const { secret, scope, place } of secrets) {
    const target = chosen.get(secret);
    if (target === undefined) continue;
    const update = withoutScope(await seal(secret, certificate, scope));
    // For the comparison alone: a file may leave to others to say the namespace.
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

function checkUsage(names: readonly string[], { inPlace, output, format }: SealOptions): void {
  const other = inPlace
    ? "--in-place"
    : output !== undefined
      ? "--output"
      : format !== undefined
        ? "--format"
        : undefined;
  if (other !== undefined) {
    throw new SignetError("usage", `--merge-into and ${other} exclude each other`, {
      hint: "--merge-into changes the file that it names, in that file's own format",
    });
  }
  const folder = names.find((name) => name !== "-" && stat(name).isDirectory());
  if (folder !== undefined) {
    throw new SignetError("usage", `--merge-into cannot merge a folder (${folder}) into a file`);
  }
}

/**
 * The SealedSecrets of a file. `given`: the name and namespace that they must have.
 * @throws SignetError
 */
export function targetsIn(
  text: string,
  file: string,
  given: { readonly name?: string; readonly namespace?: string },
): Target[] {
  const documents = parseManifests(text, { file });
  const targets = documents.flatMap((document) => {
    const object = asObject(document.value);
    if (object?.["kind"] !== KIND) return [];
    const place = placeOf(file, document, documents.length);
    return [
      locate(place, () => {
        const sealed = parseSealedSecret(object);
        if (sealed.legacyData !== undefined) {
          throw new SignetError("sealedsecret-invalid", "is in the form from before 2019", {
            hint: "seal the whole Secret anew",
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
      hint: "create it first, with `signet seal --output FILE`; a List is not merged into",
      place: { file },
    });
  }
  return targets;
}

/** A Secret to be merged may leave its name, namespace and scope to the target. */
function preparing(
  targets: readonly Target[],
  chosen: Map<Secret, Target>,
  file: string,
  options: SealOptions,
): Prepare {
  return (object, place) => {
    checkFields(object);
    const parsed = parseSecret(object);
    if (!options.allowEmpty) checkNotEmpty(parsed);
    const target = chooseTarget(parsed, targets, file);
    const { metadata } = target.sealed;
    const { name, namespace } = complete(parsed.metadata, {
      name: metadata.name === "" ? (options.name ?? "") : metadata.name,
      ...(metadata.namespace === "" ? given(options.namespace) : { namespace: metadata.namespace }),
    });
    checkScope(parsed, target, options, place);
    const type = parsed.type;
    if (type !== "" && type !== "Opaque" && type !== target.sealed.template.type) {
      throw new SignetError("secret-invalid", `its type is not that of ${file}`, {
        hint: "a type is not merged: leave it out, or change spec.template.type there",
        place: { field: "type" },
      });
    }
    const secret = { ...parsed, metadata: { ...parsed.metadata, name, namespace } };
    chosen.set(secret, target);
    return { secret, scope: target.scope, place };
  };
}

function given(namespace: string | undefined): { namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}

export function chooseTarget(
  { metadata }: Secret,
  targets: readonly Target[],
  file: string,
): Target {
  const fits = ({ sealed }: Target): boolean =>
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
      { hint: "leave name and namespace out of the input to take those of the file" },
    );
  }
  throw new SignetError("secret-invalid", `more than one SealedSecret in ${file} fits`, {
    hint: "say the name and namespace in the input",
  });
}

export function checkScope(
  { metadata }: Secret,
  { scope }: Target,
  options: Pick<SealOptions, "scope" | "mergeInto">,
  place: ErrorPlace,
): void {
  const declared = scopeOf(metadata.annotations);
  const asked = options.scope ?? (declared === "strict" ? scope : declared);
  if (asked === scope) return;
  throw new SignetError(
    "secret-invalid",
    `the scope is to be ${asked}, but the values in ${options.mergeInto ?? ""} are ${scope}`,
    {
      hint: "all values of a SealedSecret have one scope: to change it, seal the whole Secret anew",
      place,
    },
  );
}

function withoutScope(update: SealedSecret): SealedSecret {
  const { template } = update;
  // The target says its scope already, in its own way.
  const annotations = withScope(template.metadata.annotations, "strict");
  return { ...update, template: { ...template, metadata: { ...template.metadata, annotations } } };
}

function withNamespace(sealed: SealedSecret, namespace: string): SealedSecret {
  return { ...sealed, metadata: { ...sealed.metadata, namespace } };
}
