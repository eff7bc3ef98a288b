// Envelopes: base64 text, their bytes, and opening them.

import { envelopeText, bytesOfEnvelopeText } from "../../../shared/envelopes/envelope.ts";
import { decodeEnvelope, parseEnvelope } from "../../../shared/keys/kinds.ts";
import type { Keyring } from "../../../shared/keys/keyring.ts";
import { mutateBytes } from "../mutate.ts";
import { keyring, sealedObjects, seedsOf } from "../material.ts";
import { bytesOf, CANARY, checkSame, Find, type Target, textOf } from "../target.ts";

let keys: Keyring | undefined;
let sealed: ReadonlySet<string> = new Set();

export const envelopes: Target = {
  name: "envelopes",
  seeds: async () => {
    const specs = (await sealedObjects()).map(({ spec }) => spec as { encryptedData: object });
    const texts = specs.flatMap(({ encryptedData }) => Object.values(encryptedData) as string[]);
    sealed = new Set(texts);
    return seedsOf(texts);
  },
  generate: (random, seeds) => {
    if (random.chance(0.3)) return mutateBytes(random, seeds, ["=", "==", "AAAA", "\n", "\r\n"]);
    const raw = seeds.map((seed) => new Uint8Array(Buffer.from(textOf(seed), "base64")));
    return bytesOf(envelopeText(mutateBytes(random, raw, ["\0\0", "\u0001\0", "\0"])));
  },
  short: 200,
  run: async (input) => {
    const text = textOf(input);
    const bytes = bytesOfEnvelopeText(text);
    const envelope = decodeEnvelope(text);
    if (bytes === null) {
      if (envelope !== null) throw new Find("an envelope of a text that is not base64");
      return;
    }
    checkSame(envelopeText(bytes), text.replace(/[\r\n]/g, ""), "the text of the bytes");
    checkSame(parseEnvelope(bytes), envelope, "the envelope of the bytes");
    if (envelope === null) return;
    keys ??= keyring();
    const opened = await keys.open(envelope, bytesOf("demo/db"));
    if (opened === null) return;
    const plain = textOf(opened.plaintext);
    if (!plain.startsWith(CANARY) || !sealed.has(text.replace(/[\r\n]/g, ""))) {
      throw new Find("a changed envelope opened");
    }
  },
};
