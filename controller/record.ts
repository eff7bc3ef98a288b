// The record of the controller's last write of a Secret. It is in the status of the SealedSecret, which
// others may be allowed to write, so it is authenticated.
// SPEC.md, "Status".

import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { maySeal, type SealingKey } from "../shared/keys/sealingkey.ts";

/** One state of a Secret, without its content. */
export interface SecretMark {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Whether both are the same version of the same Secret; false without either of them. */
export function isSameMark(
  one: SecretMark | null | undefined,
  other: SecretMark | null | undefined,
): boolean {
  if (!one || !other) return false;
  return one.uid === other.uid && one.resourceVersion === other.resourceVersion;
}

/** The Secret as the controller last wrote it. */
export interface Left extends SecretMark {
  /** Hash of everything that the Secret was generated from. */
  readonly source: string;
  /** Whether someone else owns the Secret and the controller only added items to it. */
  readonly patched: boolean;
}

/** A record as a status has it: anyone may have written it. It keeps no reference to the object. */
export interface LeftClaim {
  readonly left: Left;
  /** The UID of the SealedSecret; null in a folder, where nothing has one. */
  readonly owner: string | null;
  readonly tag: string;
}

/** Longer than any UID, version, hash or tag. A claim stays in memory, and anyone may have written it. */
const MAX_LENGTH = 128;

/** Returns null if the status has no record that the controller can have written. */
export function leftClaimOf(sealed: JsonObject): LeftClaim | null {
  const { secret = null } = asObject(sealed["status"] ?? null) ?? {};
  const { uid, resourceVersion, source, patched, tag } = asObject(secret) ?? {};
  const owner = metadataOf(sealed)["uid"] ?? null;
  if (!isShort(uid) || !isShort(resourceVersion) || !isShort(source)) return null;
  if (!isShort(tag) || (owner !== null && !isShort(owner))) return null;
  return { left: { uid, resourceVersion, source, patched: patched === true }, owner, tag };
}

/** Whether the controller wrote the record. */
export function isTagOurs({ left, owner, tag }: LeftClaim, { keys }: Keyring): boolean {
  // Others may know the private half of a key that may not seal.
  return keys.some((key) => maySeal(key) && tagWith(key, owner, left) === tag);
}

/**
 * Returns the Secret as last written, according to the status; null if it is not recorded, or if
 * the controller did not write the record.
 */
export function leftOf(sealed: JsonObject, keyring: Keyring): Left | null {
  const claim = leftClaimOf(sealed);
  return claim !== null && isTagOurs(claim, keyring) ? claim.left : null;
}

/** Returns the record of `left`. Without a key that may seal, the record is not relied on. */
export function formatLeft(sealed: JsonObject, left: Left, { newest }: Keyring): JsonObject {
  const owner = metadataOf(sealed)["uid"] ?? null;
  const tag = newest === null ? undefined : tagWith(newest, owner, left);
  return { ...left, ...(tag === undefined ? {} : { tag }) };
}

/**
 * The tag is bound to one SealedSecret by its UID, so that another one with the same name does not
 * inherit the record.
 */
function tagWith({ halves }: SealingKey, owner: Json, left: Left): string | undefined {
  const { uid, resourceVersion, source, patched } = left;
  const message = JSON.stringify(["status.secret", owner, uid, resourceVersion, source, patched]);
  return halves.find(({ tag }) => tag !== undefined)?.tag?.(message);
}

function isShort(value: Json | undefined): value is string {
  return typeof value === "string" && value.length <= MAX_LENGTH;
}
