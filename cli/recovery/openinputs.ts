// Opens SealedSecrets with private keys from files, and returns the manifests of the Secrets.
// SPEC.md, "Command line", "Recovery".

import { type ErrorPlace, locate, SignetError, throwAll } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import {
  type JsonObject,
  objectName,
  objectsOf,
  withKind,
} from "../../shared/kubernetes/object.ts";
import { formatSecret } from "../../shared/kubernetes/secret.ts";
import {
  type ManifestDocument,
  type ManifestFormat,
  parseManifests,
  placeOf,
} from "../../shared/manifest/manifest.ts";
import {
  API_VERSION,
  KIND,
  parseSealedSecret,
  type SealedSecret,
} from "../../shared/sealing/sealedsecret.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import type { Input } from "../terminal/inputs.ts";
import { advise } from "../terminal/messages.ts";
import { loadRenderer } from "./renderer.ts";

interface OpenOptions {
  readonly acceptLegacy: boolean;
  /** Treats an object without a kind as a SealedSecret. */
  readonly mayLackKind?: boolean;
  /** The namespace of SealedSecrets without one; those with another are refused. */
  readonly namespace?: string;
  /** The namespace of SealedSecrets without one; those with another keep theirs. */
  readonly defaultNamespace?: string;
  /** What the path of an input says of its namespace, where a SealedSecret does not. */
  readonly namespaceOf?: (path: string) => string | undefined;
}

interface Found {
  readonly sealed: SealedSecret;
  readonly place: ErrorPlace;
}

/**
 * Opens every SealedSecret of the inputs with these keys. `format`: that of the first input.
 * @throws SignetError, or an AggregateError of them
 */
export async function openInputs(
  inputs: readonly Input[],
  keys: readonly SealingKey[],
  options: OpenOptions,
): Promise<{ readonly secrets: JsonObject[]; readonly format: ManifestFormat }> {
  const keyring = new Keyring(keys);
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
  advise("the output contains secret values in plain text: keep it out of Git, logs and chats");
  return { secrets, format: documents[0]?.found.document.format ?? "yaml" };
}

interface Document {
  readonly document: ManifestDocument;
  /** The number of documents in its file. */
  readonly of: number;
}

function documentsOf({ name, text }: Input): Document[] {
  const documents = parseManifests(text, { file: name });
  if (documents.length === 0) {
    throw new SignetError("manifest-syntax", "holds no SealedSecret", { place: { file: name } });
  }
  return documents.map((document) => ({ document, of: documents.length }));
}

function sealedIn(
  { name, path }: Input,
  { document, of }: Document,
  options: OpenOptions,
): Found[] {
  const place = placeOf(name, document, of);
  return locate(place, () =>
    objectsOf(document).map((object) => {
      const sealed = parseSealedSecret(
        options.mayLackKind === true ? withKind(object, KIND, API_VERSION) : object,
        "any",
      );
      const { metadata } = sealed;
      const ruled = path === undefined ? undefined : options.namespaceOf?.(path);
      const given = ruled ?? options.namespace ?? options.defaultNamespace ?? "";
      const namespace = metadata.namespace === "" ? given : metadata.namespace;
      if (options.namespace !== undefined && namespace !== options.namespace) {
        throw new SignetError(
          "usage",
          `it is in namespace "${namespace}" but "${options.namespace}" was specified`,
          { hint: "--namespace applies only to SealedSecrets that declare none" },
        );
      }
      return { sealed: { ...sealed, metadata: { ...metadata, namespace } }, place };
    }),
  );
}

function neverRender(): never {
  throw new Error("a template came up that was not there before");
}
