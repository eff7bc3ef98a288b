// The ConfigMap in which the controller publishes its certificates, as it is written and read.
// SPEC.md, "Published certificates".

import { SignetError } from "../errors.ts";
import { asObject, type JsonObject, metadataOf } from "../kubernetes/object.ts";

/** The current sealing certificate, as `GET /v1/cert.pem` returns it. */
const CURRENT = "cert.pem";
/** The certificates of former keys, newest first. */
const FORMER = "former.pem";
/** The UID of the ConfigMap itself. A copy, such as one in another cluster, has another UID. */
const PUBLISHED_AS_ANNOTATION = "kube-signet/published-as";

/** PEM texts. */
export interface PublishedCertificates {
  readonly current: string;
  /** Empty if there are none. */
  readonly former: string;
}

/** Returns the name of the ConfigMap that belongs to the controller's Service `service`. */
export function publishedName(service: string): string {
  return `${service}-certificates`;
}

/**
 * Returns `live` with these certificates and nothing else as its data, marked with its own UID;
 * `live` itself if nothing needs to change.
 */
export function withPublished(
  live: JsonObject,
  { current, former }: PublishedCertificates,
): JsonObject {
  const metadata = metadataOf(live);
  const annotations = asObject(metadata["annotations"] ?? null) ?? {};
  const data = { [CURRENT]: current, ...(former === "" ? {} : { [FORMER]: former }) };
  const { uid } = metadata;
  const isMarked = annotations[PUBLISHED_AS_ANNOTATION] === uid;
  const { binaryData = null, ...rest } = live;
  if (isMarked && binaryData === null && isSame(asObject(live["data"] ?? null) ?? {}, data)) {
    return live;
  }
  const marked = typeof uid === "string" ? { [PUBLISHED_AS_ANNOTATION]: uid } : {};
  return { ...rest, metadata: { ...metadata, annotations: { ...annotations, ...marked } }, data };
}

function isSame(one: JsonObject, other: JsonObject): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
  );
}

/** @throws SignetError certificate-invalid if the controller of this cluster did not publish it */
export function readPublished(object: JsonObject): PublishedCertificates {
  const { uid, annotations = null } = metadataOf(object);
  const markedUid = asObject(annotations)?.[PUBLISHED_AS_ANNOTATION];
  const data = asObject(object["data"] ?? null) ?? {};
  const current = data[CURRENT];
  if (typeof current !== "string" || markedUid === undefined) {
    throw new SignetError("certificate-invalid", "the controller has not published a certificate");
  }
  if (typeof uid !== "string" || markedUid !== uid) {
    throw new SignetError("certificate-invalid", "it is a copy, for example from another cluster");
  }
  const former = data[FORMER];
  return { current, former: typeof former === "string" ? former : "" };
}
