// What a client posts to verify and rotate: one SealedSecret, or a List of them.
// SPEC.md, "HTTP".

import { SignetError } from "../shared/errors.ts";
import { checkExtent } from "../shared/kubernetes/extent.ts";
import { asObject, objectsOf } from "../shared/kubernetes/object.ts";
import { parseManifests } from "../shared/manifest/manifest.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";

/** JSON may be longer than YAML, which can repeat a part by an alias. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;
/** Maximum number of objects in a List, because each is copied to the main thread. */
const MAX_OBJECTS = 1_000;

/** Contains only what the routes need, because it is copied between threads. */
export interface Submission {
  /** Without their templates. */
  readonly sealed: readonly SealedSecret[];
  /** The object as JSON, or the List whose items `sealed` are; UTF-8. */
  readonly json: Uint8Array<ArrayBuffer>;
  /** The original accepts only a single object. */
  readonly isList: boolean;
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
    throw new SignetError("wrong-kind", "expected exactly one object");
  }
  // A response would write out every YAML alias.
  checkExtent(object);
  const isList = object["kind"] === "List";
  const objects = isList ? objectsOf({ value: object }) : [object];
  if (objects.length > MAX_OBJECTS) {
    throw new SignetError("wrong-kind", `more than ${MAX_OBJECTS} objects`);
  }
  const sealed = objects.map((each) => withoutTemplate(parseSealedSecret(each, "any")));
  if (objects.length === 0) throw new SignetError("wrong-kind", "the List is empty");
  const json = JSON.stringify(isList ? { ...object, items: objects } : object);
  const bytes = new TextEncoder().encode(json);
  if (bytes.length > MAX_JSON_BYTES) {
    throw new SignetError("sealedsecret-invalid", "the object is too large");
  }
  return { sealed, json: bytes, isList };
}

function withoutTemplate(sealed: SealedSecret): SealedSecret {
  const metadata = { ...sealed.metadata, labels: {}, rest: {} };
  const nothing = { name: "", namespace: "", labels: {}, annotations: {}, rest: {} };
  const template = { metadata: nothing, type: "", immutable: undefined, data: new Map() };
  return { ...sealed, metadata, template };
}
