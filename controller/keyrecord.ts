// The record of the key that each value is sealed with. It is in the status of the SealedSecret, which
// others may be allowed to write, so it is authenticated.
// SPEC.md, "Status".

import { hash } from "node:crypto";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { maySeal, type SealingKey } from "../shared/keys/sealingkey.ts";
import { type SealedUnder, sealedUnderOf } from "../shared/sealing/sealedunder.ts";
import { FINGERPRINT } from "../shared/sealing/stamp.ts";

/** A record as a status has it: anyone may have written it. It keeps no reference to the object. */
export interface Claim {
  readonly under: Under;
  /** What it is about: the SealedSecret, and a hash of its ciphertexts. */
  readonly namespace: Json;
  readonly name: Json;
  readonly uid: Json;
  readonly ciphertexts: string;
  readonly tag: string;
  /** Whether the controller wrote it, according to `checkedWith`: metrics ask at each scrape. */
  isOurs?: boolean;
  checkedWith?: Keyring["keys"];
}

/** What a record says. Most SealedSecrets have the same. */
export interface Under {
  /** How many values are under each key, by fingerprint; an array, because there may be 100,000. */
  readonly counts: readonly (readonly [fingerprint: string, values: number])[];
  /** Hash of all that is recorded. */
  readonly hash: string;
}

/** Longer than any tag. A claim stays in memory, and anyone may have written it. */
const MAX_TAG_LENGTH = 128;
/** More keys than this in one record are not counted. */
const MAX_KEYS = 100;

/** Returns null if the status has no record that the controller can have written. */
export function claimOf(sealed: JsonObject): Claim | null {
  const { sealedUnderTag: tag } = asObject(sealed["status"] ?? null) ?? {};
  if (typeof tag !== "string" || tag.length > MAX_TAG_LENGTH) return null;
  const under = sealedUnderOf(sealed);
  const counts = Object.entries(under)
    .filter(([fingerprint]) => FINGERPRINT.test(fingerprint))
    .slice(0, MAX_KEYS)
    .map(([fingerprint, items]) => [fingerprint, items.length] as const);
  return { under: { counts, hash: hashOf(sorted(under)) }, ...subjectOf(sealed), tag };
}

/** Whether the controller wrote the record, for the values that the object has now. */
export function isOurs(claim: Claim, { keys }: Keyring): boolean {
  if (claim.checkedWith !== keys) {
    const message = messageOf(claim, claim.under.hash);
    // Others may know the private half of a key that may not seal.
    claim.isOurs = keys.some((key) => maySeal(key) && tagWith(key, message) === claim.tag);
    claim.checkedWith = keys;
  }
  return claim.isOurs === true;
}

/**
 * Returns the record in the status; null if there is none, if the controller did not write it, or
 * if it is not about the object's present values.
 */
export function keyRecordOf(sealed: JsonObject, keyring: Keyring): SealedUnder | null {
  const claim = claimOf(sealed);
  return claim !== null && isOurs(claim, keyring) ? sealedUnderOf(sealed) : null;
}

/** Returns the fields of the status that record `under`. Returns none if no key may seal. */
export function formatKeyRecord(
  sealed: JsonObject,
  under: SealedUnder,
  keyring: Keyring,
): JsonObject {
  if (Object.keys(under).length === 0) return {};
  const { newest } = keyring;
  const before = keyRecordOf(sealed, keyring);
  const { sealedUnderTag } = asObject(sealed["status"] ?? null) ?? {};
  // A new key is no reason to write every status.
  const isSame =
    before !== null && JSON.stringify(sorted(before)) === JSON.stringify(sorted(under));
  const tag = isSame
    ? sealedUnderTag
    : newest === null
      ? undefined
      : tagWith(newest, messageOf(subjectOf(sealed), hashOf(sorted(under))));
  return { sealedUnder: under, ...(tag === undefined ? {} : { sealedUnderTag: tag }) };
}

function tagWith({ halves }: SealingKey, message: string): string | undefined {
  return halves.find(({ tag }) => tag !== undefined)?.tag?.(message);
}

type Subject = Pick<Claim, "namespace" | "name" | "uid" | "ciphertexts">;

function subjectOf(sealed: JsonObject): Subject {
  const { namespace = null, name = null, uid = null } = metadataOf(sealed);
  const { encryptedData = null, data = null } = asObject(sealed["spec"] ?? null) ?? {};
  // Only strings, because an unchecked object may be nested too deeply to format.
  const texts = sorted(asObject(encryptedData) ?? {}).filter(
    ([, text]) => typeof text === "string",
  );
  const ciphertexts = hashOf([texts, typeof data === "string" ? data : null]);
  return { namespace, name, uid, ciphertexts };
}

/** Binds the record to one SealedSecret and its ciphertexts, so that it is not valid for others. */
function messageOf({ namespace, name, uid, ciphertexts }: Subject, under: string): string {
  return JSON.stringify(["status.sealedUnder", namespace, name, uid, ciphertexts, under]);
}

function hashOf(value: Json): string {
  return hash("sha256", JSON.stringify(value), "base64url");
}

function sorted<T extends Json>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
