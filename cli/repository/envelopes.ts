// The envelopes of sealed values, and the algorithms that they are of.

import type { Envelope } from "../../shared/envelopes/envelope.ts";
import { decodeEnvelope, KIND_NAMES, parseEnvelope } from "../../shared/keys/kinds.ts";
import type { SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { SealedObject } from "./sealedfiles.ts";

/** Several rules and counts look at each envelope. */
const parsedBefore = new WeakMap<SealedSecret, Map<string, Envelope | null>>();

/** The envelope of a value; null if the value is not an envelope. */
export function envelopeOf(sealed: SealedSecret, item: string): Envelope | null {
  const known = parsedBefore.get(sealed) ?? new Map<string, Envelope | null>();
  parsedBefore.set(sealed, known);
  let envelope = known.get(item);
  if (envelope === undefined) {
    const { legacyData, encryptedData } = sealed;
    envelope =
      legacyData === undefined
        ? decodeEnvelope(encryptedData.get(item) ?? "")
        : parseEnvelope(legacyData);
    known.set(item, envelope);
  }
  return envelope;
}

/** How many values are of each algorithm; what is no envelope is of none. */
export function countAlgorithms(objects: Iterable<SealedObject>): Record<string, number> {
  const counts = Object.fromEntries(KIND_NAMES.map((name) => [name, 0]));
  for (const { sealed, values } of objects) {
    for (const { item } of values) {
      const kind = envelopeOf(sealed, item)?.kind;
      if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1;
    }
  }
  return counts;
}
