// The cases of test/vectors/hybrid.
// SPEC.md, "Hybrid envelopes".

import {
  HYBRID,
  keyIdOf,
  openHybrid,
  parseHybridEnvelope,
  sealHybrid,
} from "../../shared/envelopes/hybrid.ts";
import { hpkeSeal } from "../../shared/hpke/hpke.ts";
import { loadPrimitives } from "../../shared/hpke/chosenprimitives.ts";
import { xwingFromSeed, xwingFromPublicKey } from "../../shared/hpke/xwing.ts";
import { bytesOfPem, pemBlocks } from "../../shared/keys/pem.ts";
import { labelBytes } from "../../shared/sealing/scope.ts";
import { partPath } from "../parts/parts.ts";
import {
  base64,
  bytes,
  type Case,
  CLUSTER_WIDE,
  keyPem,
  NAMESPACE_WIDE,
  OURS,
  type Place,
  run,
  type Sections,
  SELECTOR,
  sha256,
  STRICT,
} from "./tools.ts";

const GO = "crypto/hpke of Go 1.26";
const PASSWORD = bytes("hunter2");
const INFO = bytes("kube-signet/value/1");

interface HybridCase {
  readonly name: string;
  readonly comment: string;
  readonly by?: string;
  readonly place?: Place;
  readonly make: () => Promise<Uint8Array>;
}

function hybrid(
  { name, comment, by = "hand", place = STRICT, make }: HybridCase,
  result: Sections,
): Case {
  return {
    kind: HYBRID,
    name,
    comment,
    by,
    make: async () => ({
      headers: { keys: "both", ...place, ...result },
      sections: { sealed: `${base64(await make())}\n` },
    }),
  };
}

function opened(plaintext: Uint8Array, vector: HybridCase): Case {
  const said: Sections =
    plaintext.length > 1024
      ? { "plaintext-bytes": String(plaintext.length), "plaintext-sha256": sha256(plaintext) }
      : { plaintext: base64(plaintext) };
  return hybrid(vector, { expect: "opened", ...said });
}

function refused(vector: HybridCase): Case {
  return hybrid({ ...vector, name: `refused-${vector.name}` }, { expect: "refused" });
}

const labelOf = ({ scope, namespace, name }: Place): Uint8Array =>
  labelBytes(scope, namespace, name);

function seedOf(): Uint8Array {
  const block = pemBlocks(keyPem("both", "key"), "PRIVATE KEY")[0] ?? "";
  return (bytesOfPem(block) ?? new Uint8Array()).slice(-32);
}

async function keyBoth() {
  const primitives = await loadPrimitives();
  const pair = xwingFromSeed(primitives, seedOf());
  const publicKey = xwingFromPublicKey(primitives, pair.publicKey);
  return { primitives, pair, publicKey, keyId: keyIdOf(primitives, pair.publicKey) };
}

async function ours(plaintext = PASSWORD, place = STRICT): Promise<Uint8Array> {
  const { primitives, publicKey, keyId } = await keyBoth();
  return sealHybrid(primitives, { keyId, publicKey }, plaintext, labelOf(place));
}

function byGo(plaintext: Uint8Array, place = STRICT): Promise<Uint8Array> {
  const question = { seed: base64(seedOf()), label: base64(labelOf(place)), value: base64(plaintext) };
  const answer = run([partPath("hybrid-oracle")], JSON.stringify([question])).toString();
  const [{ envelope = "" } = {}] = JSON.parse(answer) as { envelope?: string }[];
  return Promise.resolve(new Uint8Array(Buffer.from(envelope, "base64")));
}

/** Ours, and then changed; the original must open, so that the change is the one fault. */
async function changed(change: (sealed: Uint8Array) => Uint8Array): Promise<Uint8Array> {
  const { primitives, pair } = await keyBoth();
  const sealed = await ours();
  const envelope = parseHybridEnvelope(sealed);
  if (envelope === null || !(await openHybrid(primitives, pair, envelope, labelOf(STRICT)))) {
    throw new Error("not sealed");
  }
  return change(sealed);
}

const flip =
  (at: number, bit = 1) =>
  (sealed: Uint8Array): Uint8Array => {
    const index = at < 0 ? sealed.length + at : at;
    sealed[index] = (sealed[index] ?? 0) ^ bit;
    return sealed;
  };

/** Rightly encrypted, with another info, other additional data or another padding. */
async function odd({
  info = INFO,
  aad,
  padded = Uint8Array.of(...PASSWORD, 0x80, ...new Uint8Array(56)),
}: {
  readonly info?: Uint8Array;
  readonly aad?: (head: Uint8Array, label: Uint8Array) => Uint8Array;
  readonly padded?: Uint8Array;
}): Promise<Uint8Array> {
  const { primitives, publicKey, keyId } = await keyBoth();
  const head = Uint8Array.of(0x3d, 0x0d, 0x40, 0, ...keyId);
  const label = labelOf(STRICT);
  const bound = aad?.(head, label) ?? Uint8Array.of(...head, 0, label.length, ...label);
  const sealed = await hpkeSeal(primitives, publicKey, { info, aad: bound }, padded);
  return Uint8Array.of(...head, ...sealed.encapsulated, ...sealed.ciphertext);
}

const OPENED: readonly Case[] = [
  ...([OURS, GO] as const).flatMap((by) => {
    const make = by === GO ? byGo : ours;
    const end = by === GO ? "go" : "ours";
    const all = (length: number): Uint8Array => new Uint8Array(length).fill(0x80);
    return [
      opened(PASSWORD, { name: `strict-${end}`, comment: "The label is demo/db.", by, make: () => make(PASSWORD) }),
      opened(PASSWORD, { name: `namespace-wide-${end}`, comment: "The label is demo.", by, place: NAMESPACE_WIDE, make: () => make(PASSWORD, NAMESPACE_WIDE) }),
      opened(PASSWORD, { name: `cluster-wide-${end}`, comment: "The label is empty.", by, place: CLUSTER_WIDE, make: () => make(PASSWORD, CLUSTER_WIDE) }),
      opened(PASSWORD, { name: `selector-${end}`, comment: "The label is FF and the text kube-signet/selector team=a.", by, place: SELECTOR, make: () => make(PASSWORD, SELECTOR) }),
      opened(new Uint8Array(), { name: `empty-${end}`, comment: "A value of no bytes, in 64 of padding.", by, make: () => make(new Uint8Array()) }),
      opened(all(63), { name: `bytes-63-${end}`, comment: "The longest value in 64 bytes; each byte is what begins the padding.", by, make: () => make(all(63)) }),
      opened(all(64), { name: `bytes-64-${end}`, comment: "The shortest value in more: 72 bytes.", by, make: () => make(all(64)) }),
      opened(new Uint8Array(1000), { name: `zeros-${end}`, comment: "A value that is like the rest of the padding.", by, make: () => make(new Uint8Array(1000)) }),
      opened(all(70_000), { name: `large-${end}`, comment: "70,000 bytes, padded to 71,680.", by, make: () => make(all(70_000)) }),
    ];
  }),
];

const REFUSED: readonly Case[] = [
  refused({ name: "suite-one", comment: "Another suite, which nobody has defined.", make: () => changed(flip(2)) }),
  refused({ name: "flags", comment: "A flag is set.", make: () => changed(flip(3)) }),
  refused({ name: "key-id", comment: "The id of another key.", make: () => changed(flip(11)) }),
  refused({ name: "ml-kem-bit", comment: "One bit of ML-KEM's ciphertext.", make: () => changed(flip(500)) }),
  refused({ name: "x25519-bit", comment: "One bit of the X25519 share.", make: () => changed(flip(1110)) }),
  refused({ name: "x25519-high-bit", comment: "The bit of the X25519 share that X25519 itself ignores.", make: () => changed(flip(1131, 0x80)) }),
  refused({ name: "low-order-zero", comment: "The X25519 share is zero.", make: () => changed((sealed) => sealed.fill(0, 1100, 1132)) }),
  refused({ name: "low-order-one", comment: "The X25519 share is one.", make: () => changed((sealed) => sealed.fill(0, 1100, 1132).fill(1, 1100, 1101)) }),
  refused({ name: "body-bit", comment: "One bit of the encrypted value.", make: () => changed(flip(1132)) }),
  refused({ name: "tag-bit", comment: "The last bit of the tag.", make: () => changed(flip(-1)) }),
  refused({ name: "cut", comment: "The last byte is gone.", make: () => changed((sealed) => sealed.slice(0, -1)) }),
  refused({ name: "byte-added", comment: "A byte too many.", make: () => changed((sealed) => Uint8Array.of(...sealed, 0)) }),
  refused({ name: "no-body", comment: "It ends behind the encapsulated key.", make: () => changed((sealed) => sealed.slice(0, 1132)) }),
  refused({ name: "head-alone", comment: "It ends behind the key's id.", make: () => changed((sealed) => sealed.slice(0, 12)) }),
  refused({ name: "other-place", comment: "Sealed for demo/other.", make: () => ours(PASSWORD, { ...STRICT, name: "other" }) }),
  refused({ name: "wider-scope", comment: "Sealed namespace-wide, found as strict.", make: () => ours(PASSWORD, NAMESPACE_WIDE) }),
  refused({ name: "selector-as-strict", comment: "Sealed for a selector, found as strict.", make: () => ours(PASSWORD, SELECTOR) }),
  refused({ name: "other-selector", comment: "Sealed for another selector.", place: SELECTOR, make: () => ours(PASSWORD, { ...SELECTOR, scope: "selector team=b" }) }),
  refused({ name: "other-info", comment: "Another info: kube-signet/value/2.", make: () => odd({ info: bytes("kube-signet/value/2") }) }),
  refused({ name: "label-without-length", comment: "The additional data lack the length of the label.", make: () => odd({ aad: (head, label) => Uint8Array.of(...head, ...label) }) }),
  refused({ name: "padding-missing", comment: "64 bytes, none of which begins the padding.", make: () => odd({ padded: new Uint8Array(64).fill(1) }) }),
  refused({ name: "padding-zeros", comment: "Zeros alone.", make: () => odd({ padded: new Uint8Array(64) }) }),
  refused({ name: "padding-long", comment: "72 bytes, where 64 are enough.", make: () => odd({ padded: Uint8Array.of(...PASSWORD, 0x80, ...new Uint8Array(64)) }) }),
  refused({ name: "padding-short", comment: "32 bytes.", make: () => odd({ padded: Uint8Array.of(...PASSWORD, 0x80, ...new Uint8Array(24)) }) }),
  refused({ name: "padding-between", comment: "65 bytes, which is no length of Padme.", make: () => odd({ padded: Uint8Array.of(...new Uint8Array(64).fill(1), 0x80) }) }),
];

export const HYBRID_CASES: readonly Case[] = [...OPENED, ...REFUSED];
