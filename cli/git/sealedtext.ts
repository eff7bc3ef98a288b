// The sealed items of a text, and what changed between two texts.

import { encodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import {
  API_VERSION,
  KIND,
  parseSealedSecret,
  type SealedSecret,
  stampOf,
} from "../../shared/sealing/sealedsecret.ts";
import { LEGACY_ITEM } from "../../shared/sealing/unseal.ts";
import {
  mayDeclare,
  type JsonObject,
  objectName,
  placedObjectsOfKind,
} from "../../shared/kubernetes/object.ts";
import { parsedOnce } from "./parsedonce.ts";

export interface SealedText {
  /** `NAMESPACE/NAME`, or the name alone. */
  readonly name: string;
  readonly sealed: SealedSecret;
  readonly items: ReadonlyMap<string, SealedItem>;
}

export interface SealedItem {
  readonly ciphertext: string;
  readonly fingerprint: string | undefined;
}

/** The SealedSecrets of a text; none where it cannot be parsed. */
export function sealedTextsIn(text: string): SealedText[] {
  return sealedTextsOrNull(text) ?? [];
}

/** The same of an object of the cluster, which has no kind and version where it was listed. */
export function appliedIn(object: JsonObject): SealedText[] {
  return sealedTextsIn(JSON.stringify({ ...object, apiVersion: API_VERSION, kind: KIND }));
}

/** False where a text mentions SealedSecrets and cannot be parsed. */
export function isReadable(text: string): boolean {
  return sealedTextsOrNull(text) !== null;
}

/** The SealedSecrets of a text; null where it mentions some and cannot be parsed. */
export function sealedTextsOrNull(text: string): SealedText[] | null {
  if (!mayDeclare(KIND, text)) return [];
  try {
    return parsedOnce(text).flatMap((document) => {
      const type = { kind: KIND, apiVersion: API_VERSION };
      return placedObjectsOfKind(document, type).flatMap(({ object }) => {
        const sealed = parseSealedSecret(object);
        return [{ name: objectName(sealed.metadata), sealed, items: itemsOf(sealed) }];
      });
    });
  } catch (error) {
    // Without the word, it is a file of another kind.
    if (error instanceof SignetError) return text.includes(KIND) ? null : [];
    throw error;
  }
}

/** Each sealed item; in the legacy form, the one value that holds them all. */
export function itemsOf(sealed: SealedSecret): Map<string, SealedItem> {
  const { encryptedData, legacyData } = sealed;
  if (legacyData !== undefined) {
    const ciphertext = encodeBase64(legacyData);
    return new Map([[LEGACY_ITEM, { ciphertext, fingerprint: undefined }]]);
  }
  const stamp = stampOf(sealed);
  return new Map(
    [...encryptedData].map(([item, ciphertext]) => [
      item,
      { ciphertext: ciphertext.replace(/\s+/g, ""), fingerprint: stamp.get(item) },
    ]),
  );
}

export interface ItemChange {
  readonly name: string;
  readonly item: string;
  /** `resealed`: another ciphertext, of the same or another value. */
  readonly change: "added" | "removed" | "resealed" | "renamed";
  /** The key of the new ciphertext, or of the old one where the item is removed. */
  readonly fingerprint: string | undefined;
  /** The old name, where it is renamed. */
  readonly from?: string;
}

type NamedItems = Pick<SealedText, "name" | "items">;

/** The first text of each name. */
function itemsByName(texts: readonly NamedItems[]): Map<string, SealedText["items"]> {
  return new Map(texts.toReversed().map(({ name, items }) => [name, items]));
}

/** What changed in each item, sorted by name. */
export function changesBetween(
  before: readonly NamedItems[],
  after: readonly NamedItems[],
): ItemChange[] {
  const [oldItems, newItems] = [itemsByName(before), itemsByName(after)];
  const names = [...new Set([...oldItems.keys(), ...newItems.keys()])].sort();
  return names.flatMap((name) => {
    const old = oldItems.get(name) ?? new Map<string, SealedItem>();
    const now = newItems.get(name) ?? new Map<string, SealedItem>();
    const gone = new Set([...old.keys()].filter((item) => !now.has(item)));
    const sources = new Map([...gone].reverse().map((item) => [old.get(item)?.ciphertext, item]));
    const changes: ItemChange[] = [];
    for (const [item, { ciphertext, fingerprint }] of now) {
      if (old.get(item)?.ciphertext === ciphertext) continue;
      const from = sources.get(ciphertext);
      if (from !== undefined && !old.has(item) && gone.delete(from)) {
        changes.push({ name, item, change: "renamed", fingerprint, from });
      } else {
        changes.push({ name, item, change: old.has(item) ? "resealed" : "added", fingerprint });
      }
    }
    for (const item of gone) {
      changes.push({ name, item, change: "removed", fingerprint: old.get(item)?.fingerprint });
    }
    return changes.sort((a, b) => (a.item < b.item ? -1 : 1));
  });
}

const MARKS = { added: "+", removed: "-", resealed: "~", renamed: "~" } as const;
const WORDS = {
  added: "new",
  removed: "removed",
  resealed: "re-sealed",
  renamed: "renamed",
} as const;

/** `~ password  re-sealed, key SHA256:pV1EkPSm`. */
export function formatItemChange({ item, change, fingerprint, from }: ItemChange): string {
  const key = fingerprint === undefined ? "" : `, key ${fingerprint}`;
  const was = from === undefined ? "" : ` from ${from}`;
  return `${MARKS[change]} ${item}  ${WORDS[change]}${was}${change === "renamed" ? "" : key}`;
}
