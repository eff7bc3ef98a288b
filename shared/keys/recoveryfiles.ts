// The recovery files of a sealing key: the key encrypted for those who may recover it, any of them or a
// quorum. The names of the files are in recoverynames.ts, which loads no cryptography.
// SPEC.md, "Recovery".

import { combine, split } from "shamir-secret-sharing";
import { decodeBase64, encodeBase64 } from "../base64.ts";
import { SignetError } from "../errors.ts";
import { formatManifests } from "../manifest/manifest.ts";
import type { JsonObject } from "../kubernetes/object.ts";
import { ageFileFor, checkRecipients, isIdentity, oneTimePair } from "./agefile.ts";
import { KEY_FILE, MAX_RECIPIENTS, type RecoveryPolicy, shareFile } from "./recoverynames.ts";

/** @throws SignetError usage */
export function checkRecoveryPolicy({ recipients, quorum }: RecoveryPolicy): void {
  checkRecipients(recipients);
  if (recipients.length > MAX_RECIPIENTS) {
    throw new SignetError("usage", `more than ${MAX_RECIPIENTS} recovery recipients`);
  }
  if (new Set(recipients).size < recipients.length) {
    throw new SignetError("usage", "duplicate recovery recipient");
  }
  if (quorum === null) return;
  if (quorum < 2 || quorum > recipients.length) {
    throw new SignetError(
      "usage",
      `a quorum of ${quorum} cannot be reached by ${recipients.length} recovery recipients`,
      { hint: "use at least 2, and at most the number of recipients" },
    );
  }
}

/**
 * Encrypts a key Secret. Returns texts by the name of the file: KEY_FILE and, for a quorum, a share for
 * each recipient, in their order.
 */
export async function recoveryFilesOf(
  secret: JsonObject,
  fingerprint: string,
  { recipients, quorum }: RecoveryPolicy,
): Promise<Record<string, string>> {
  const text = formatManifests([secret], "yaml");
  if (quorum === null) return { [KEY_FILE]: await ageFileFor(text, recipients) };
  const { identity, recipient } = await oneTimePair(recipients);
  const shares = await split(new TextEncoder().encode(identity), recipients.length, quorum);
  const files: Record<string, string> = { [KEY_FILE]: await ageFileFor(text, [recipient]) };
  for (const [index, bytes] of shares.entries()) {
    const share = formatShare({ fingerprint, quorum, bytes });
    files[shareFile(index + 1)] = await ageFileFor(share, recipients.slice(index, index + 1));
  }
  return files;
}

/** What one of several holders has of the identity that opens a key's recovery file. */
export interface Share {
  readonly fingerprint: string;
  /** The number of shares required. */
  readonly quorum: number;
  readonly bytes: Uint8Array;
}

const SHARE_LINE = /^signet-share-1 (SHA256:[A-Za-z0-9+/]{43}) (\d{1,3}) ([A-Za-z0-9+/]+={0,2})$/;

/** A share as one line of text. */
export function formatShare({ fingerprint, quorum, bytes }: Share): string {
  return `signet-share-1 ${fingerprint} ${quorum} ${encodeBase64(bytes)}\n`;
}

/** Returns null if the line is not a share. */
export function parseShare(line: string): Share | null {
  const [, fingerprint, quorum, base64] = SHARE_LINE.exec(line.trim()) ?? [];
  const bytes = decodeBase64(base64 ?? "");
  if (fingerprint === undefined || bytes === null || bytes.length < 2) return null;
  return { fingerprint, quorum: Number(quorum), bytes };
}

/** With wrong shares among the right ones, each combination costs a try. */
const MAX_CHOICES = 2000;

/**
 * Yields the age identities that the shares of one key combine to. Anyone can write a share, so if
 * there are more than needed, each combination is tried. There can be several identities if the key
 * was encrypted again and the shares come from before and after.
 */
export async function* identitiesOf(shares: readonly Share[]): AsyncGenerator<string> {
  const distinct = [...new Map(shares.map((each) => [encodeBase64(each.bytes), each])).values()];
  const made = new Set<string>();
  let left = MAX_CHOICES;
  for (const quorum of new Set(distinct.map((each) => each.quorum))) {
    const fitting = distinct.filter((each) => each.quorum === quorum && quorum >= 2);
    for (const chosen of choicesOf(fitting, quorum)) {
      if (left-- === 0) return;
      const text = await combined(chosen);
      if (text === null || made.has(text)) continue;
      made.add(text);
      yield text;
    }
  }
}

async function combined(shares: readonly Share[]): Promise<string | null> {
  try {
    const bytes = await combine(shares.map((each) => Uint8Array.from(each.bytes)));
    const text = new TextDecoder("latin1").decode(bytes);
    return (await isIdentity(text)) ? text : null;
  } catch {
    // Of different lengths, or twice the same point.
    return null;
  }
}

/** Every choice of `size` of these, in order. */
function* choicesOf<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (const [index, first] of all.entries()) {
    if (all.length - index < size) return;
    for (const others of choicesOf(all.slice(index + 1), size - 1)) yield [first, ...others];
  }
}
