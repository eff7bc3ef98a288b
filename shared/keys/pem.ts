// Finds PEM blocks in a text. Runs in a browser.

import { decodeBase64 } from "../base64.ts";

/**
 * Returns every block whose label matches `label`, the source of a regular expression, in order. An
 * expression for whole blocks would read the rest of the text for each first line without a last one.
 */
export function pemBlocks(text: string, label: string): string[] {
  // What ends one block can begin another, so the last dashes are not part of a match.
  const marks = [...text.matchAll(new RegExp(`-----(BEGIN|END) (${label})(?=-----)`, "g"))];
  /** Where each label's last lines are, the next one at the end. */
  const lasts = new Map<string, { readonly from: number; readonly to: number }[]>();
  for (const { 0: mark, 1: side, 2: name = "", index } of marks.toReversed()) {
    if (side === "BEGIN") continue;
    const last = { from: index, to: index + mark.length + DASHES };
    const others = lasts.get(name);
    if (others === undefined) lasts.set(name, [last]);
    else others.push(last);
  }
  const blocks: string[] = [];
  let done = 0;
  for (const { 0: mark, 1: side, 2: name = "", index } of marks) {
    if (side === "END" || index < done) continue;
    const ends = lasts.get(name) ?? [];
    while ((ends.at(-1)?.from ?? Infinity) < index + mark.length + DASHES) ends.pop();
    const last = ends.at(-1);
    if (last === undefined) continue;
    blocks.push(text.slice(index, last.to));
    done = last.to;
  }
  return blocks;
}

/** Returns the bytes of a PEM block, or null if they are not base64. */
export function bytesOfPem(block: string): Uint8Array | null {
  return decodeBase64(block.replace(/-----[A-Z ]+-----|[ \t]/g, ""));
}

const DASHES = "-----".length;
