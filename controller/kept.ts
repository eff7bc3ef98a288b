// Decides what to keep in memory of each SealedSecret: little, no matter how large or how many they
// are.
// SPEC.md, "Limits".

import { getHeapStatistics } from "node:v8";
import type { SignetError } from "../shared/errors.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { type DeliverySource, deliverySourceOf } from "./deliveryplan.ts";
import type { Claim, Under } from "./keyrecord.ts";
import { type Observed, observedOf } from "./observed.ts";
import { leftClaimOf } from "./record.ts";
import type { Resting } from "./resting.ts";
import { selectorOf } from "./selection.ts";
import { ignoresDrift, isBeingDeleted, sourceOf } from "./sourceof.ts";
import { saysUnsealed } from "./status.ts";
import { hybridValuesIn, type Summary, summaryOf, valuesIn } from "./summary.ts";

/** Nearly all SealedSecrets are smaller. Larger ones are read again when there is work to do. */
const MAX_TEXT_BYTES = 32_768;
/** The part of the heap for texts. Once it is full, smaller SealedSecrets are read again too. */
const HEAP_SHARE = 1 / 4;

/** One SealedSecret as last seen. */
export interface Kept {
  readonly summary: Summary;
  readonly excess: SignetError | null;
  /** Whether it depends on the labels of its namespace. */
  readonly hasSelector: boolean;
  /** What it asks to be delivered; null for nothing, and where nobody may ask. */
  readonly delivery: DeliverySource | null;
  /** What shows that nothing is to be done, as long as its Secret stays; null if something may be. */
  readonly resting: Resting | null;
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

  keep(sealed: JsonObject): Kept {
    const { object, excess } = observedOf(sealed);
    const { record, ...facts } = summaryOf(object);
    const summary = {
      ...facts,
      record: record === null ? null : { ...record, under: this.#share(record.under) },
      values: valuesIn(sealed),
      hybridValues: hybridValuesIn(sealed),
    };
    const hasSelector = selectorOf(object) !== null;
    const mayDeliver = this.#mayDeliver(summary.namespace);
    const delivery = mayDeliver ? deliverySourceOf({ object, excess }) : null;
    const isOpen = excess !== null || delivery !== null;
    const resting = isOpen ? null : restingOf(object, summary.record);
    // Nearly all of them rest, so nobody needs their texts.
    const text = resting === null ? this.#textOf(object) : undefined;
    return { summary, excess, hasSelector, delivery, resting, text };
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

/** Undefined if it has to be read again. */
export function observedIn({ text, excess }: Kept): Observed | undefined {
  return text === undefined ? undefined : { object: JSON.parse(text) as JsonObject, excess };
}

function bytesOf(kept: Kept | undefined): number {
  return kept?.text === undefined ? 0 : Buffer.byteLength(kept.text);
}

/** Null if there is, or may soon be, anything to do. `record`: the claim in the object's status. */
function restingOf(object: JsonObject, record: Claim | null): Resting | null {
  if (record === null || !saysUnsealed(object)) return null;
  if (isBeingDeleted(object) || ignoresDrift(object) || selectorOf(object) !== null) return null;
  const written = leftClaimOf(object);
  return written?.left.source === sourceOf(object) ? { written, record } : null;
}
