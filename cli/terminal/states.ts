// The styles of states, of keys, SealedSecrets and certificates alike.

import { type Part, type Style, styled } from "./line.ts";

const STYLES: ReadonlyMap<string, Style> = new Map([
  ["sealing", "green"],
  ["former", "dim"],
  ["retired", "dim"],
  ["unconfirmed", "yellow"],
  ["foreign", "red"],
  ["compromised", "red"],
  ["current", "green"],
  ["stale", "yellow"],
  ["unknown", "yellow"],
  ["wrong", "red"],
  ["EXPIRED", "red"],
]);

export function styledState(state: string): Part {
  return styled(state, STYLES.get(state));
}

const MARKS: ReadonlyMap<string, Style> = new Map([
  ["+", "green"],
  ["-", "red"],
  ["~", "yellow"],
]);

/** A line of a comparison, by the mark that it begins with. */
export function styledChange(words: string): Part {
  return styled(words, MARKS.get(words.slice(0, 1)));
}
