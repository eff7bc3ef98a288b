// `signet unseal`: recovery of plaintext with private keys that the user holds as files.
// SPEC.md, "Command line", "Recovery".

import type { Command } from "commander";
import { formatOption, recoveryKeyOption } from "../options.ts";
import { availableParallelism } from "node:os";
import { type ErrorPlace, locate, SignetError, throwAll } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { formatManifests, type ManifestDocument, type ManifestFormat, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import { API_VERSION, KIND, parseSealedSecret, type SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { formatSecret } from "../../shared/kubernetes/secret.ts";
import { type JsonObject, objectName, objectsOf, withKind } from "../../shared/kubernetes/object.ts";
import { type Input, readInputs } from "../terminal/inputs.ts";
import { statIfThere } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { loadRenderer } from "../recovery/renderer.ts";
import { READABLE_BY_OTHERS } from "../../host/keyfolder.ts";
import { readKeys } from "../recovery/recoverykeys.ts";
import { advise } from "../terminal/messages.ts";
import { printResult } from "../terminal/results.ts";

const HELP = `
This is for recovery, when a cluster or its controller is lost: it needs the private key, which
should never leave the cluster but for a backup, and it writes secret values in plain text.

A key FILE is PEM, the YAML or JSON of sealing key Secrets, or a backup of \`signet keys backup\`; a
folder of them is read as well. What --output names is readable to you alone, and is refused where
others may read it already. Nothing else of it stays on the disk, also where signet is killed.

Example:
  $ signet keys backup --output keys.age
  $ signet unseal db.yaml --recovery-key keys.age | kubectl apply --filename -`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("--recovery-key FILE [OPTION...] [FILE...]")
    .description("Opens SealedSecrets with private keys from a backup. Prints plain text.")
    .addOption(recoveryKeyOption("private key to open with; may be given several times"))
    .option("-n, --namespace <NAMESPACE>", "the namespace of SealedSecrets that declare none")
    .addOption(formatOption("format of the result (default: that of the input)"))
    .option("-w, --output <FILE>", "write there, readable to you alone")
    .option("--no-accept-legacy", "refuse the form from before 2019 (spec.data)")
    .addHelpText("after", HELP)
    .action((names: string[], flags: UnsealOptions) => runUnseal(names, flags));
}

export interface UnsealOptions {
  /** Files, and folders of files. */
  readonly recoveryKey: readonly string[];
  readonly acceptLegacy: boolean;
  readonly namespace?: string;
  readonly format?: ManifestFormat;
  readonly output?: string;
}

interface Found {
  readonly sealed: SealedSecret;
  readonly place: ErrorPlace;
}

/** @throws SignetError, or an AggregateError of them; then nothing was printed or written */
export async function runUnseal(names: readonly string[], options: UnsealOptions): Promise<void> {
  if (options.recoveryKey.length === 0) {
    throw new SignetError("usage", "unsealing needs the private key: give --recovery-key FILE", {
      hint: "the key is what a backup of the controller's sealing key Secrets holds",
    });
  }
  if (options.output !== undefined) refuseReadable(options.output);
  const inputs = await readInputs(names, "a SealedSecret");
  const { secrets, format } = await openInputs(inputs, options.recoveryKey, options);
  const text = formatManifests(secrets, options.format ?? format);
  if (options.output === undefined) await printResult(text);
  else await writeFiles([{ path: options.output, text, mode: 0o600, isPlain: true }]);
}

export interface OpenOptions {
  readonly acceptLegacy: boolean;
  /** Takes an object that does not say what it is for a SealedSecret. */
  readonly mayLackKind?: boolean;
  /** The namespace of those that declare none; another one is refused. */
  readonly namespace?: string;
  /** The same, but those that declare another keep theirs. */
  readonly defaultNamespace?: string;
}

/**
 * Every SealedSecret of the inputs opened with the keys of some files, as the manifests of Secrets.
 * `format`: that of the first.
 * @throws SignetError, or an AggregateError of them
 */
export async function openInputs(
  inputs: readonly Input[],
  keyFiles: readonly string[],
  options: OpenOptions,
): Promise<{ readonly secrets: JsonObject[]; readonly format: ManifestFormat }> {
  const keyring = new Keyring(await readKeys(keyFiles), availableParallelism());
  const documents = inputs.flatMap((input) =>
    documentsOf(input).map((found) => ({ input, found })),
  );
  const all = documents.flatMap(({ input, found }) => sealedIn(input, found, options));
  const render = all.some(({ sealed }) => sealed.template.data.size > 0)
    ? await loadRenderer()
    : neverRender;
  const errors: SignetError[] = [];
  const secrets: JsonObject[] = [];
  for (const { sealed, place } of all) {
    try {
      const { secret } = await unseal(sealed, keyring, {
        render,
        acceptLegacy: options.acceptLegacy,
      });
      secrets.push(formatSecret(secret));
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      errors.push(error.at({ ...place, object: objectName(sealed.metadata) }));
    }
  }
  throwAll(errors);
  advise(
    "what is written now are secret values in plain text: keep them out of Git, logs and chats",
  );
  return { secrets, format: documents[0]?.found.document.format ?? "yaml" };
}

interface Document {
  readonly document: ManifestDocument;
  /** How many there are in its file. */
  readonly of: number;
}

function documentsOf({ name, text }: Input): Document[] {
  const documents = parseManifests(text, { file: name });
  if (documents.length === 0) {
    throw new SignetError("manifest-syntax", "holds no SealedSecret", { place: { file: name } });
  }
  return documents.map((document) => ({ document, of: documents.length }));
}

function sealedIn({ name }: Input, { document, of }: Document, options: OpenOptions): Found[] {
  const place = placeOf(name, document, of);
  return locate(place, () =>
    objectsOf(document).map((object) => {
      const sealed = parseSealedSecret(
        options.mayLackKind === true ? withKind(object, KIND, API_VERSION) : object,
      );
      const { metadata } = sealed;
      const given = options.namespace ?? options.defaultNamespace ?? "";
      const namespace = metadata.namespace === "" ? given : metadata.namespace;
      if (options.namespace !== undefined && namespace !== options.namespace) {
        throw new SignetError(
          "usage",
          `it is in namespace "${namespace}" but "${options.namespace}" was specified`,
          { hint: "--namespace is for SealedSecrets that declare none" },
        );
      }
      return { sealed: { ...sealed, metadata: { ...metadata, namespace } }, place };
    }),
  );
}

/** @throws SignetError io where plaintext would go into a file that others may read */
function refuseReadable(path: string): void {
  const existing = statIfThere(path);
  if (existing === undefined || (existing.mode & READABLE_BY_OTHERS) === 0) return;
  if (!existing.isFile()) return;
  throw new SignetError(
    "io",
    "refused: others may read this file, and plain text would go into it",
    {
      hint: "name a new file; it is made readable to you alone",
      place: { file: path },
    },
  );
}

function neverRender(): never {
  throw new Error("a template came up that was not there before");
}
