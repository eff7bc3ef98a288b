// Decides what to keep in memory of each SealedSecret: little, no matter how large or how many they
// are.
// SPEC.md, "Limits".

import { getHeapStatistics } from "node:v8";
import type { SignetError } from "../shared/errors.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { type DeliverySource, deliverySourceOf } from "./deliveryplan.ts";
import type { Claim } from "./keyrecord.ts";
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
  text: string | undefined;
}

/** Decides what is kept of each SealedSecret. */
export class Keeper {
  readonly #maxBytes: number;
  #bytes = 0;

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
    const text = JSON.stringify(object);
    const bytes = Buffer.byteLength(text);
    const summary = {
      ...summaryOf(object),
      values: valuesIn(sealed),
      hybridValues: hybridValuesIn(sealed),
    };
    const fits = bytes <= MAX_TEXT_BYTES && this.#bytes + bytes <= this.#maxBytes;
    const hasSelector = selectorOf(object) !== null;
    const mayDeliver = this.#mayDeliver(summary.namespace);
    const delivery = mayDeliver ? deliverySourceOf({ object, excess }) : null;
    const isOpen = excess !== null || delivery !== null;
    const resting = isOpen ? null : restingOf(object, summary.record);
    return { summary, excess, hasSelector, delivery, resting, text: fits ? text : undefined };
  }

  /** Keeps the text of a stored SealedSecret no longer: its Secret is in sync, so nobody needs it. */
  rest(stored: Kept): void {
    this.#bytes -= bytesOf(stored);
    stored.text = undefined;
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
