// The envelopes of sealed values, and the algorithms that they are of.

import type { Envelope } from "../../shared/envelopes/envelope.ts";
import { decodeEnvelope, KIND_NAMES, parseEnvelope } from "../../shared/keys/kinds.ts";
import type { SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { SealedObject } from "./sealedfiles.ts";

/** The envelope of a value; null if the value is not an envelope. */
export function envelopeOf(
  { legacyData, encryptedData }: SealedSecret,
  item: string,
): Envelope | null {
  return legacyData === undefined
    ? decodeEnvelope(encryptedData.get(item) ?? "")
    : parseEnvelope(legacyData);
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
