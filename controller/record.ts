// The record of the controller's last write of a Secret. It is in the status of the SealedSecret, which
// others may be allowed to write, so it is authenticated.
// SPEC.md, "Status".

import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { maySeal, type SealingKey } from "../shared/keys/sealingkey.ts";
import type { SecretMark } from "./world.ts";

/** The Secret as the controller last wrote it. */
export interface Left extends SecretMark {
  /** Hash of everything that the Secret was generated from. */
  readonly source: string;
  /** Whether someone else owns the Secret and the controller only added items to it. */
  readonly patched: boolean;
}

/**
 * Returns the Secret as last written, according to the status; null if it is not recorded, or if
 * the controller did not write the record.
 */
export function leftOf(sealed: JsonObject, { keys }: Keyring): Left | null {
  const { secret = null } = asObject(sealed["status"] ?? null) ?? {};
  const { uid, resourceVersion, source, patched, tag } = asObject(secret) ?? {};
  if (typeof uid !== "string" || typeof resourceVersion !== "string") return null;
  if (typeof source !== "string" || typeof tag !== "string") return null;
  const left = { uid, resourceVersion, source, patched: patched === true };
  // Others may know the private half of a key that may not seal.
  return keys.some((key) => maySeal(key) && tagWith(key, sealed, left) === tag) ? left : null;
}

/** Returns the record of `left`. Without a key that may seal, the record is not relied on. */
export function formatLeft(sealed: JsonObject, left: Left, { newest }: Keyring): JsonObject {
  const tag = newest === null ? undefined : tagWith(newest, sealed, left);
  return { ...left, ...(tag === undefined ? {} : { tag }) };
}

/**
 * The tag is bound to one SealedSecret, so that another one with the same name does not inherit the
 * record.
 */
function tagWith({ halves }: SealingKey, sealed: JsonObject, left: Left): string | undefined {
  const { uid, resourceVersion, source, patched } = left;
  const owner = metadataOf(sealed)["uid"] ?? null;
  const message = JSON.stringify(["status.secret", owner, uid, resourceVersion, source, patched]);
  return halves.find(({ tag }) => tag !== undefined)?.tag?.(message);
}
