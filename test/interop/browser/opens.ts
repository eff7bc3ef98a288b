// Opens hybrid envelopes in a page, as no published file does: private keys are for Node.

import { openHybrid, parseHybridEnvelope } from "../../../shared/envelopes/hybrid.ts";
import { browserPrimitives } from "../../../shared/hpke/browserprimitives.ts";
import { xwingFromSeed } from "../../../shared/hpke/xwing.ts";

const bytesOf = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** All in base64. Returns the value of each envelope, or null for one that does not open. */
export async function opens(
  seed: string,
  label: string,
  envelopes: readonly string[],
): Promise<(string | null)[]> {
  const key = xwingFromSeed(browserPrimitives, bytesOf(seed));
  return Promise.all(
    envelopes.map(async (text) => {
      const envelope = parseHybridEnvelope(bytesOf(text));
      const value =
        envelope === null
          ? null
          : await openHybrid(browserPrimitives, key, envelope, bytesOf(label));
      return value === null
        ? null
        : btoa(Array.from(value, (byte) => String.fromCharCode(byte)).join(""));
    }),
  );
}
