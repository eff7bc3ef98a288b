// Makes inputs from seeds: by bytes, by fragments, and by the structure of manifests.

import fc from "fast-check";
import { formatManifests, type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { Random } from "./random.ts";
import { bytesOf, type Target, textOf } from "./target.ts";

/** Larger inputs take time and seldom show more. */
const MAX_BYTES = 64 * 1024;

/** What is hostile anywhere. */
const WORDS = [
  ...["\0", "\r", "\r\n", "\n", "\t", " ", "\u00a0", "\u001b[2J", "\u001e", "\u001f", "\u007f"],
  ...["\u0085", "\u2028", "\u202e", "\u200b", "\ufeff", "\ufffd", "\ud83d\ude00", "e\u0301"],
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "then"],
  ...["../", "..", "/", "/etc/passwd", "-rf.yaml", "::stop-commands::", "--", "'", '"', "`", "$("],
  ...["{", "}", "[", "]", "{{", "}}", ": ", "- ", "---\n", "...\n", "#", "&a", "*a", "<<: *a"],
  ...["!!binary", "!!str", "!!float", "? ", "|\n", ">-\n", ",", "~", "null", "true", "no", "0x1f"],
  ...["0", "-1", "1e999", "9007199254740993", "1.0e-400", "-0", ".nan", ".inf", "0777", "1_000"],
  ...["2147483648", "4294967296", "18446744073709551616", "\\u0000", "\\ud800", "\\x00", "=", "=="],
];

/** Bytes that no text has. */
const RAW = [[0xff], [0xfe, 0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0x80], [0xf8, 0x88]];

/** An input of a target, which the seed and the index determine. */
export function inputOf(
  target: Target,
  seeds: readonly Uint8Array[],
  seed: number,
  index: number,
): Uint8Array {
  const random = new Random(seed, index);
  const input = target.generate?.(random, seeds) ?? mutateBytes(random, seeds, target.words ?? []);
  return input.length > MAX_BYTES ? input.slice(0, MAX_BYTES) : input;
}

/** A seed with some of its bytes and fragments changed, or mixed with another seed. */
export function mutateBytes(
  random: Random,
  seeds: readonly Uint8Array[],
  words: readonly string[],
): Uint8Array {
  let bytes = random.pick(seeds);
  const changes = countOfChanges(random);
  for (let each = 0; each < changes && bytes.length <= MAX_BYTES; each++) {
    bytes = changed(bytes, random, seeds, words);
  }
  return bytes;
}

/** Mostly one: with several, few inputs get farther than the first check. */
function countOfChanges(random: Random): number {
  if (random.chance(0.5)) return 1;
  return 1 + random.below(random.chance(0.2) ? 16 : 4);
}

/** A seed with a few bytes that are others, where a length that changes would end everything. */
export function flipBytes(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  const bytes = random.pick(seeds).slice();
  const changes = countOfChanges(random);
  for (let each = 0; each < changes; each++) {
    const byte = random.pick([0, 1, 2, 3, 0x7f, 0x80, 0xff, random.below(256)]);
    bytes[random.below(bytes.length)] = byte;
  }
  return bytes;
}

function replaced(bytes: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  const result = new Uint8Array(from + by.length + bytes.length - to);
  result.set(bytes.subarray(0, from));
  result.set(by, from);
  result.set(bytes.subarray(to), from + by.length);
  return result;
}

function changed(
  bytes: Uint8Array,
  random: Random,
  seeds: readonly Uint8Array[],
  words: readonly string[],
): Uint8Array {
  const at = random.below(bytes.length + 1);
  const until = Math.min(bytes.length, at + 1 + random.below(random.chance(0.5) ? 4 : 80));
  const word = (): Uint8Array =>
    random.chance(0.05)
      ? Uint8Array.from(random.pick(RAW))
      : bytesOf(random.pick(words.length > 0 && random.chance(0.6) ? words : WORDS));
  switch (random.below(10)) {
    case 0: {
      const copy = bytes.slice();
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      return copy;
    }
    case 1:
      return replaced(bytes, at, until, new Uint8Array());
    case 2:
      return replaced(bytes, at, at, Uint8Array.of(random.below(256)));
    case 3:
    case 4:
      return replaced(bytes, at, random.chance(0.5) ? at : until, word());
    case 5: {
      // Many of one thing show what grows faster than its input.
      const part = random.chance(0.5) ? word() : bytes.slice(at, until);
      const times = Math.min(1 + random.below(3000), Math.floor(MAX_BYTES / (part.length || 1)));
      const many = new Uint8Array(part.length * times);
      for (let each = 0; each < times; each++) many.set(part, each * part.length);
      return replaced(bytes, at, at, many);
    }
    case 6: {
      const other = random.pick(seeds);
      const from = random.below(other.length + 1);
      const part = other.slice(from, from + 1 + random.below(200));
      return replaced(bytes, at, random.chance(0.5) ? at : until, part);
    }
    default:
      return lineChanged(bytes, random);
  }
}

/** A line twice, gone, elsewhere, or farther in. */
function lineChanged(bytes: Uint8Array, random: Random): Uint8Array {
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  const at = random.below(lines.length);
  const line = lines[at] ?? "";
  switch (random.below(4)) {
    case 0:
      lines.splice(at, 0, line);
      break;
    case 1:
      lines.splice(at, 1);
      break;
    case 2:
      lines.splice(at, 1);
      lines.splice(random.below(lines.length + 1), 0, line);
      break;
    default:
      lines[at] = random.chance(0.5) ? ` ${line}` : line.replace(/^ /, "");
  }
  return new Uint8Array(Buffer.from(lines.join("\n"), "latin1"));
}

/** Any value of JSON, with names and texts that are hostile. */
const text = fc.oneof(
  fc.constantFrom(...WORDS),
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.string({ unit: "binary", maxLength: 12 }).map((each) => Buffer.from(each).toString()),
);
const value = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, -1, 1.5, 2 ** 53, 1e300),
    text,
    fc.array(tie("value"), { maxLength: 4 }),
    fc
      .array(fc.tuple(text, tie("value")), { maxLength: 4 })
      .map((entries) => Object.fromEntries(entries) as Json),
  ),
})).value;

const POOL_SIZE = 500;
const pools = new Map<number, readonly Json[]>();

/** One of many hostile values. Making one takes long, so there is a store of them. */
function hostileValue(random: Random): Json {
  const seed = random.below(4);
  let pool = pools.get(seed);
  if (pool === undefined) {
    pool = fc.sample(value, { seed, numRuns: POOL_SIZE });
    pools.set(seed, pool);
  }
  return random.pick(pool);
}

/** A manifest with some of its values, entries and names changed, in YAML or JSON. */
export function mutateManifest(
  random: Random,
  seeds: readonly Uint8Array[],
  words: readonly string[],
): Uint8Array {
  if (random.chance(0.4)) return mutateBytes(random, seeds, words);
  let values: Json[];
  try {
    values = parseManifests(textOf(random.pick(seeds))).map((document) => document.value);
  } catch {
    return mutateBytes(random, seeds, words);
  }
  const changes = countOfChanges(random);
  for (let each = 0; each < changes; each++) {
    values = values.map((document) => mutateValue(document, random, words));
  }
  try {
    return bytesOf(formatManifests(values, random.chance(0.5) ? "json" : "yaml"));
  } catch {
    // A text that is not well-formed is for JSON alone.
    return bytesOf(values.map((document) => JSON.stringify(document)).join("\n"));
  }
}

/** A value with one node of it changed. */
function mutateValue(node: Json, random: Random, words: readonly string[]): Json {
  const isInner = typeof node === "object" && node !== null && Object.keys(node).length > 0;
  if (!isInner || random.chance(0.1)) {
    return words.length > 0 && random.chance(0.4) ? random.pick(words) : hostileValue(random);
  }
  if (Array.isArray(node)) {
    const at = random.below(node.length);
    const copy = [...node];
    if (random.chance(0.1)) copy.splice(at, 1);
    else if (random.chance(0.1)) copy.splice(at, 0, hostileValue(random));
    else copy[at] = mutateValue(copy[at] ?? null, random, words);
    return copy;
  }
  const entries = Object.entries(node);
  const at = random.below(entries.length);
  const [key, inner] = entries[at] ?? ["", null];
  const name = (): string => {
    const found =
      words.length > 0 && random.chance(0.5) ? random.pick(words) : hostileValue(random);
    return typeof found === "string" ? found : "";
  };
  const kind = random.fraction();
  if (kind < 0.08) entries.splice(at, 1);
  else if (kind < 0.16) entries[at] = [name(), inner];
  else if (kind < 0.3) entries.push([name(), hostileValue(random)]);
  else entries[at] = [key, mutateValue(inner, random, words)];
  return Object.fromEntries(entries);
}
