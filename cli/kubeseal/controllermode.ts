// `kubeseal --validate` and --re-encrypt: asks the controller about each object.
// docs/kubeseal.md.

import { type ErrorPlace, locate, SignetError, throwAll } from "../../shared/errors.ts";
import { type Edit, editManifests } from "../../shared/manifest/edit.ts";
import { type ManifestDocument, parseManifests, placeOf } from "../../shared/manifest/manifest.ts";
import {
  API_VERSION,
  formatSealedSecret,
  KIND,
  parseSealedSecret,
  type SealedSecret,
  withValuesOf,
} from "../../shared/sealing/sealedsecret.ts";
import { DECRYPT_HINT } from "../../shared/sealing/unseal.ts";
import {
  type JsonObject,
  jsonObjectIn,
  placedObjectsOf,
  serverFieldsRemoved,
  withKind,
} from "../../shared/kubernetes/object.ts";
import {
  answerHint,
  answerWords,
  connectController,
  type Controller,
  type ControllerAnswer,
} from "../cluster/controller.ts";
import type { ClusterOptions } from "../cluster/clusteroptions.ts";
import {
  algorithmHeaders,
  isSealedIn,
  type Patience,
  postPatiently,
} from "../cluster/controllerwork.ts";
import { editsBetween } from "../../shared/sealing/manifestedits.ts";
import { samePlace } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { algorithmOf, clusterOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { readInput } from "./input.ts";
import { deliver, formatObjects, formatOf } from "./output.ts";

interface Found {
  readonly document: ManifestDocument;
  /** Path to the object within its document; empty outside of a List. */
  readonly path: readonly string[];
  readonly object: JsonObject;
  readonly sealed: SealedSecret;
  readonly place: ErrorPlace;
}

/** Refuses other objects, which must not be sent to a server. */
function sealedIn(text: string, name: string): Found[] {
  const documents = parseManifests(text, { file: name });
  const found = documents.flatMap((document) => {
    const place = placeOf(name, document, documents.length);
    return locate(place, () =>
      placedObjectsOf(document).map(({ object: each, path }) => {
        const object = withKind(each, KIND, API_VERSION);
        return { document, path, object, sealed: parseSealedSecret(object, "any"), place };
      }),
    );
  });
  if (found.length > 0) return found;
  throw new SignetError("manifest-syntax", "no sealed secrets found", {
    hint: "ensure the input is valid and UTF-8 encoded",
    place: { file: name },
  });
}

/** Like the original, reports at once that the controller is unavailable. */
const PATIENCE: Patience = { tooOften: 20, away: 1 };

/**
 * @throws SignetError, or an AggregateError of them, if one cannot be opened or the request fails
 */
export async function runValidate(flags: Flags): Promise<void> {
  const { name, text } = await readInput(flags);
  const found = sealedIn(text, name);
  const options = clusterOptions(flags);
  const controller = await connectController(options);
  const errors: SignetError[] = [];
  for (const { object, sealed } of found) {
    const answer = await postPatiently(controller, "/v1/verify", object, PATIENCE);
    const { name: which } = sealed.metadata;
    if (answer.status === 409) {
      errors.push(
        new SignetError("decrypt-failed", `unable to decrypt sealed secret: ${which}`, {
          hint: DECRYPT_HINT,
        }),
      );
    } else if (answer.status !== 200) {
      throw failed("cannot validate sealed secret", answer, options);
    }
  }
  throwAll(errors);
}

/** @throws SignetError; then nothing was printed, and no file was changed */
export async function runReEncrypt(flags: Flags): Promise<void> {
  const input = await readInput(flags);
  const output = flags.text("sealed-secret-file");
  const inPlace =
    input.path !== undefined &&
    (output === undefined || samePlace(output) === samePlace(input.path));
  const format = formatOf(flags);
  const found = sealedIn(input.text, input.name);
  const converts = flags.has("format") && found.some(({ document }) => document.format !== format);
  const options = clusterOptions(flags);
  const controller = await connectController(options);
  const algorithm = algorithmOf(flags);
  const renewed: SealedSecret[] = [];
  for (const each of found) renewed.push(await reEncrypt(controller, options, each, algorithm));
  if (!inPlace) {
    await deliver(formatObjects(renewed.map(declared), format), flags);
    return;
  }
  const path = input.path ?? "";
  const text = converts
    ? formatObjects(renewed.map(declared), format)
    : spliced(input.text, found, renewed);
  if (text !== input.text) await writeFiles([{ path, root: undefined, text }]);
}

/** Without `algorithm`, each value keeps its own. */
async function reEncrypt(
  controller: Controller,
  options: ClusterOptions,
  found: Found,
  algorithm: string | undefined,
): Promise<SealedSecret> {
  const { object, sealed, place } = found;
  const headers = algorithmHeaders(algorithm);
  const answer = await postPatiently(controller, "/v1/rotate", object, PATIENCE, headers);
  if (answer.status === 409) throw new SignetError("decrypt-failed", "unable to rotate secret");
  if (answer.status !== 200) {
    throw failed("cannot re-encrypt secret", answer, options).at(place);
  }
  const renewed = locate(place, () => parseAnswer(answer.text));
  const taken = withValuesOf(sealed, renewed);
  if (taken === null || !isSealedIn(taken, algorithm)) throw unusable().at(place);
  return taken;
}

function failed(what: string, answer: ControllerAnswer, options: ClusterOptions): SignetError {
  const hint = answerHint(answer, options);
  const words = `${what}: ${answerWords(answer)}`;
  return new SignetError("network", words, hint === undefined ? {} : { hint });
}

function parseAnswer(text: string): SealedSecret {
  const object = jsonObjectIn(text);
  if (object === null) throw unusable();
  return parseSealedSecret(withKind(object, KIND, API_VERSION), "any");
}

function unusable(): SignetError {
  return new SignetError(
    "network",
    "cannot re-encrypt secret: the response does not match the request",
  );
}

/** Without fields that the server added. */
function declared(sealed: SealedSecret): JsonObject {
  const { metadata } = sealed;
  const rest = serverFieldsRemoved(metadata.rest);
  return formatSealedSecret({ ...sealed, metadata: { ...metadata, rest } });
}

/** The file's text with the new values in place of the old ones. */
function spliced(text: string, found: readonly Found[], renewed: readonly SealedSecret[]): string {
  const edits = new Map<ManifestDocument, Edit[]>();
  for (const [index, { document, path, sealed }] of found.entries()) {
    const changed = editsBetween(sealed, renewed[index] ?? sealed, path);
    edits.set(document, [...(edits.get(document) ?? []), ...changed]);
  }
  return editManifests(text, edits);
}
