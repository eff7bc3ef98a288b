// Decides what to keep in memory of each SealedSecret: little, no matter how large or how many they
// are.
// SPEC.md, "Limits".

import { getHeapStatistics } from "node:v8";
import type { SignetError } from "../shared/errors.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { type DeliverySource, deliverySourceOf } from "./deliveryplan.ts";
import type { Under } from "./keyrecord.ts";
import { type Observed, observedOf } from "./observed.ts";
import { leftClaimOf } from "./record.ts";
import { Resting } from "./resting.ts";
import { selectorOf } from "./selection.ts";
import { ignoresDrift, isBeingDeleted, sourceOf } from "./sourceof.ts";
import { saysUnsealed } from "./status.ts";
import { type Summary, summaryOf } from "./summary.ts";

/** Nearly all SealedSecrets are smaller. Larger ones are read again when there is work to do. */
const MAX_TEXT_BYTES = 32_768;
/** The part of the heap for texts. Once it is full, smaller SealedSecrets are read again too. */
const HEAP_SHARE = 1 / 4;

/** One SealedSecret as last seen. */
export type Kept = Resting | Pending;

/** A SealedSecret for which there may be something to do. */
export interface Pending {
  readonly summary: Summary;
  readonly excess: SignetError | null;
  /** Whether it depends on the labels of its namespace. */
  readonly hasSelector: boolean;
  /** What it asks to be delivered; null for nothing, and where nobody may ask. */
  readonly delivery: DeliverySource | null;
  /** The observed object as JSON, which takes less memory; undefined if it must be read again. */
  readonly text: string | undefined;
}

/** Most SealedSecrets are under one key, and have items of the same few names. */
const MAX_SHARED = 1_000;
/** What is under more keys is not shared, so that strangers cannot fill the memory with it. */
const MAX_SHARED_KEYS = 3;

/** Decides what is kept of each SealedSecret. */
export class Keeper {
  readonly #maxBytes: number;
  #bytes = 0;
  readonly #shared = new Map<string, Under>();

  readonly #mayDeliver: (namespace: string) => boolean;

  /** `mayDeliver`: whether the SealedSecrets of a namespace may be delivered; by default none may. */
  constructor(
    maxBytes = getHeapStatistics().heap_size_limit * HEAP_SHARE,
    mayDeliver: (namespace: string) => boolean = () => false,
  ) {
    this.#maxBytes = maxBytes;
    this.#mayDeliver = mayDeliver;
  }

  /** `key`: its `namespace/name`, as a text that is kept anyway. */
  keep(sealed: JsonObject, key: string): Kept {
    const { object, excess } = observedOf(sealed);
    const summary = this.#summaryOf(object, excess === null ? object : sealed);
    const delivery = this.#mayDeliver(summary.namespace)
      ? deliverySourceOf({ object, excess })
      : null;
    const resting = excess === null && delivery === null ? restingOf(object, summary, key) : null;
    if (resting !== null) return resting;
    const hasSelector = selectorOf(object) !== null;
    return { summary, excess, hasSelector, delivery, text: this.#textOf(object) };
  }

  /** `whole`: the object with all values, even if they are too many. */
  #summaryOf(object: JsonObject, whole: JsonObject): Summary {
    const summary = summaryOf(object, whole);
    const { record } = summary;
    if (record === null) return summary;
    return { ...summary, record: { ...record, under: this.#share(record.under) } };
  }

  /** What is alike is kept once. */
  #share(under: Under): Under {
    const shared = this.#shared.get(under.hash);
    if (shared !== undefined) return shared;
    const isSmall = under.counts.length <= MAX_SHARED_KEYS;
    if (isSmall && this.#shared.size < MAX_SHARED) this.#shared.set(under.hash, under);
    return under;
  }

  /** Undefined if it is large, or the texts of others fill the memory. */
  #textOf(object: JsonObject): string | undefined {
    const text = JSON.stringify(object);
    const bytes = Buffer.byteLength(text);
    return bytes <= MAX_TEXT_BYTES && this.#bytes + bytes <= this.#maxBytes ? text : undefined;
  }

  /** Call this with what is stored, and with what it replaces. */
  count(stored: Kept | undefined, before: Kept | undefined): void {
    this.#bytes += bytesOf(stored) - bytesOf(before);
  }
}

/** Undefined if it is at rest. */
export function pendingIn(kept: Kept | undefined): Pending | undefined {
  return kept instanceof Resting ? undefined : kept;
}

export function summaryIn(kept: Kept): Summary {
  return kept instanceof Resting ? kept : kept.summary;
}

/** Undefined if it has to be read again: nearly all of them rest, so nobody needs their texts. */
export function observedIn(kept: Kept): Observed | undefined {
  const { text, excess = null } = pendingIn(kept) ?? {};
  return text === undefined ? undefined : { object: JSON.parse(text) as JsonObject, excess };
}

function bytesOf(kept: Kept | undefined): number {
  const { text = "" } = pendingIn(kept) ?? {};
  return Buffer.byteLength(text);
}

/** Null if there is, or may soon be, anything to do. */
function restingOf(object: JsonObject, summary: Summary, key: string): Resting | null {
  const { record } = summary;
  if (record === null || !saysUnsealed(object)) return null;
  if (isBeingDeleted(object) || ignoresDrift(object) || selectorOf(object) !== null) return null;
  const written = leftClaimOf(object);
  if (written?.left.source !== sourceOf(object)) return null;
  return Resting.of(key, summary, record, written);
}
