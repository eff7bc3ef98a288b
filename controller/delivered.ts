// The marks of a delivered Secret: from which SealedSecret it is, authenticated, because anyone who may
// write Secrets can write them.
// SPEC.md, "Deliveries".

import {
  asObject,
  type JsonObject,
  metadataOf,
  objectsIn,
  type ObjectMeta,
} from "../shared/kubernetes/object.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import type { Delivered } from "./world.ts";
import { DELIVERED, HANDING_OVER, MADE_FROM_ANNOTATION, SECRET_LABEL } from "./decide.ts";

/** `NAMESPACE/NAME` of the SealedSecret. */
const FROM_ANNOTATION = "kube-signet/delivered-from";
/** What the Secret was made from, as `sourceOf` says it, and the tag. */
const TAG_ANNOTATION = "kube-signet/delivered-tag";

/** Longer than any name of a SealedSecret with its namespace, and than any source with its tag. */
const MAX_LENGTH = 512;

/**
 * Returns what a Secret says of its delivery. Null if it says nothing that can be true: it is from its
 * own namespace or has another name than the SealedSecret, or it has an owner that controls it.
 */
export function deliveredOf(secret: JsonObject): Delivered | null {
  const metadata = metadataOf(secret);
  const labels = asObject(metadata["labels"] ?? null) ?? {};
  if (labels[SECRET_LABEL] !== DELIVERED) return null;
  const annotations = asObject(metadata["annotations"] ?? null) ?? {};
  const from = annotations[FROM_ANNOTATION];
  const tagged = annotations[TAG_ANNOTATION];
  if (typeof from !== "string" || typeof tagged !== "string") return null;
  if (from.length > MAX_LENGTH || tagged.length > MAX_LENGTH) return null;
  const [namespace = "", name, ...more] = from.split("/");
  const [source, tag, ...others] = tagged.split(".");
  if (name === undefined || source === undefined || tag === undefined) return null;
  if (more.length > 0 || others.length > 0 || namespace === "") return null;
  if (name !== metadata["name"] || namespace === metadata["namespace"]) return null;
  const owners = objectsIn(metadata["ownerReferences"]);
  if (owners.some(({ controller }) => controller === true)) return null;
  return { from, source, tag };
}

/**
 * Whether the controller wrote the marks, for this namespace. A key that was marked compromised
 * counts: whoever has it and may write the marks may write the Secret, and gains nothing.
 */
export function isFromUs(
  { from, source, tag }: Delivered,
  namespace: string,
  { keys }: Keyring,
): boolean {
  const message = messageOf(from, source, namespace);
  return keys.some((key) => key.confirmed && tagWith(key, message) === tag);
}

/** Whether the tag is by the key that seals. Others are written again, before their key is retired. */
export function isCurrent(
  { from, source, tag }: Delivered,
  namespace: string,
  { newest }: Keyring,
): boolean {
  return newest !== null && tagWith(newest, messageOf(from, source, namespace)) === tag;
}

/**
 * The Secret of the SealedSecret `from` as it is delivered to `namespace`. Without an owner, which
 * cannot be in another namespace; without finalizers, which would hold up the deletion of the namespace;
 * and without annotations that hand it over.
 * @throws Error if there is no key that seals
 */
export function deliveredSecret(
  secret: Secret,
  { from, source, namespace }: { from: string; source: string; namespace: string },
  { newest }: Keyring,
): Secret {
  const tag = newest === null ? undefined : tagWith(newest, messageOf(from, source, namespace));
  if (tag === undefined) throw new Error("there is no key to tag a delivered Secret with");
  const { name, labels, annotations } = secret.metadata;
  const own = new Set([...HANDING_OVER, MADE_FROM_ANNOTATION]);
  const metadata: ObjectMeta = {
    name,
    namespace,
    labels: { ...labels, [SECRET_LABEL]: DELIVERED },
    annotations: {
      ...Object.fromEntries(Object.entries(annotations).filter(([each]) => !own.has(each))),
      [FROM_ANNOTATION]: from,
      [TAG_ANNOTATION]: `${source}.${tag}`,
    },
    rest: {},
  };
  return { ...secret, metadata };
}

function messageOf(from: string, source: string, namespace: string): string {
  return JSON.stringify(["delivered", from, source, namespace]);
}

function tagWith({ halves }: SealingKey, message: string): string | undefined {
  return halves.find(({ tag }) => tag !== undefined)?.tag?.(message);
}
