// Hybrid envelopes: changed bytes of one, and what is rightly encrypted with any padding.

import { openHybrid, parseHybridEnvelope } from "../../../shared/envelopes/hybrid.ts";
import { browserPrimitives } from "../../../shared/hpke/browserprimitives.ts";
import { loadPrimitives } from "../../../shared/hpke/chosenprimitives.ts";
import { hpkeSeal } from "../../../shared/hpke/hpke.ts";
import type { Primitives } from "../../../shared/hpke/primitives.ts";
import { xwingFromPublicKey, xwingFromSeed } from "../../../shared/hpke/xwing.ts";
import { bytesOfPem, pemBlocks } from "../../../shared/keys/pem.ts";
import { flipBytes, mutateBytes } from "../mutate.ts";
import { keyText, vectorTexts } from "../material.ts";
import type { Random } from "../random.ts";
import { bytesOf, checkSame, Find, type Target } from "../target.ts";

const LABEL = bytesOf("demo/db");
const INFO = bytesOf("kube-signet/value/1");
const HEAD_BYTES = 12;
/** The first byte of an input says what the others are. */
const ENVELOPE = 0;
const PADDED = 1;

const seed = (bytesOfPem(pemBlocks(keyText("both", "key"), "PRIVATE KEY")[0] ?? "") ?? LABEL).slice(
  -32,
);
let originals: readonly Uint8Array[] = [];

function marked(mark: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(mark, ...bytes);
}

/** The size that Padme gives, from the bits of the paper's algorithm 1; at least 64. */
function sizeOfPadding(length: number): number {
  if (length <= 64) return 64;
  const exponent = BigInt(length).toString(2).length - 1;
  const last = exponent - exponent.toString(2).length;
  const mask = 2 ** last - 1;
  return length + mask - ((length + mask) % 2 ** last);
}

/** The value that padded bytes hold, or null if they are not the one padding of a value. */
function valueIn(padded: Uint8Array): Uint8Array | null {
  const end = padded.findLastIndex((byte) => byte !== 0);
  if (padded[end] !== 0x80 || sizeOfPadding(end + 1) !== padded.length) return null;
  return padded.slice(0, end);
}

/** A value and its padding, mostly of a right size, with something wrong now and then. */
function paddedOf(random: Random): Uint8Array {
  const length = random.chance(0.3) ? 55 + random.below(20) : random.below(6000);
  const size = sizeOfPadding(length + 1) + (random.chance(0.3) ? random.below(17) - 8 : 0);
  const padded = new Uint8Array(Math.max(0, size));
  padded.fill(random.pick([0, 1, 0x80]), 0, length);
  if (random.chance(0.8)) padded[length] = 0x80;
  if (random.chance(0.2)) padded[random.below(padded.length)] = random.pick([0, 1, 0x80]);
  return padded;
}

async function openedBy(primitives: Primitives, bytes: Uint8Array): Promise<Uint8Array | null> {
  const envelope = parseHybridEnvelope(bytes);
  if (envelope === null) return null;
  const opened = await openHybrid(primitives, xwingFromSeed(primitives, seed), envelope, LABEL);
  return opened === null ? null : new Uint8Array(opened);
}

/** What every back end makes of the bytes. @throws Find if they disagree */
async function opened(bytes: Uint8Array): Promise<Uint8Array | null> {
  const chosen = await openedBy(await loadPrimitives(), bytes);
  checkSame(await openedBy(browserPrimitives, bytes), chosen, "what a browser opens");
  return chosen;
}

async function tryPadded(padded: Uint8Array): Promise<void> {
  const primitives = await loadPrimitives();
  const head = (originals[0] ?? LABEL).slice(0, HEAD_BYTES);
  const aad = Uint8Array.of(...head, 0, LABEL.length, ...LABEL);
  const publicKey = xwingFromPublicKey(primitives, xwingFromSeed(primitives, seed).publicKey);
  const sealed = await hpkeSeal(primitives, publicKey, { info: INFO, aad }, padded);
  const bytes = Uint8Array.of(...head, ...sealed.encapsulated, ...sealed.ciphertext);
  checkSame(await opened(bytes), valueIn(padded), "the value in its padding");
}

export const hybrids: Target = {
  name: "hybrids",
  seeds: () => {
    const opening = vectorTexts("hybrid", /^(strict|empty|bytes-6.|zeros)-/);
    originals = opening.map((text) => new Uint8Array(Buffer.from(text, "base64")));
    return originals;
  },
  examples: () => [
    ...originals.map((bytes) => marked(ENVELOPE, bytes)),
    ...[0, 62, 63, 64, 71, 72, 300].map((length) => {
      const padded = new Uint8Array(sizeOfPadding(length + 1)).fill(0x80, 0, length + 1);
      return marked(PADDED, padded);
    }),
  ],
  generate: (random, seeds) => {
    if (random.chance(0.4)) return marked(PADDED, paddedOf(random));
    const flipped = random.chance(0.7);
    return marked(ENVELOPE, flipped ? flipBytes(random, seeds) : mutateBytes(random, seeds, []));
  },
  short: 40,
  run: async (input) => {
    const bytes = input.subarray(1);
    if (input[0] === PADDED) {
      await tryPadded(bytes);
      return;
    }
    const isOriginal = originals.some((each) => Buffer.compare(each, bytes) === 0);
    if (((await opened(bytes)) !== null) !== isOriginal) {
      throw new Find(isOriginal ? "an envelope does not open" : "a changed envelope opened");
    }
  },
};
