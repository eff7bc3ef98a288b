// What a client posts to verify and rotate: one SealedSecret, or a List of them.
// SPEC.md, "HTTP".

import { SignetError } from "../shared/errors.ts";
import { checkExtent } from "../shared/kubernetes/extent.ts";
import { asObject, type JsonObject, objectsOf } from "../shared/kubernetes/object.ts";
import { parseManifests } from "../shared/manifest/manifest.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";

export interface Submission {
  readonly objects: readonly { readonly object: JsonObject; readonly sealed: SealedSecret }[];
  /** The List that holds them; null for a single object, which is all that the original accepts. */
  readonly list: JsonObject | null;
}

/** @throws SignetError if `body` is not one SealedSecret or a List of them, as YAML or JSON */
export function parseSubmission(body: Uint8Array): Submission {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new SignetError("manifest-syntax", "is not UTF-8 text");
  }
  const documents = parseManifests(text).filter(({ value }) => value !== null);
  const object = asObject(documents[0]?.value ?? null);
  if (documents.length !== 1 || object === null) {
    throw new SignetError("wrong-kind", "there is not one object");
  }
  // A response would write out every YAML alias.
  checkExtent(object);
  const isList = object["kind"] === "List";
  const objects = (isList ? objectsOf({ value: object }) : [object]).map((each) => ({
    object: each,
    sealed: parseSealedSecret(each),
  }));
  if (objects.length === 0) throw new SignetError("wrong-kind", "there is no object");
  return { objects, list: isList ? object : null };
}
