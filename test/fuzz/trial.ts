// Tries one input: what breaks a promise, also one that holds at every boundary.

import type { Target } from "./target.ts";
import { Find } from "./target.ts";

const PROTOTYPES = [Object.prototype, Array.prototype, Function.prototype, String.prototype];
const namesOf = (): string =>
  PROTOTYPES.map((each) => Reflect.ownKeys(each).map(String).join()).join("\n");
const CLEAN = namesOf();

/** @throws Find, or the undocumented error */
export async function tryInput(target: Target, input: Uint8Array): Promise<void> {
  try {
    await target.run(input);
  } finally {
    if (namesOf() !== CLEAN) {
      throw new Find("a prototype has another property");
    }
  }
}

/** What sort of fault an error is: the same fault by another input is one find. */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error).slice(0, 200)}`;
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const place = frames.slice(0, error instanceof Find ? 2 : 3).map((line) => line.trim());
  const words = error.message.replace(/[0-9]+/g, "0").slice(0, 60);
  return `${error.name}: ${words}\n${place.join("\n")}`;
}

const MAX_TRIES = 300;

/** A smaller input with the same fault: parts are taken away, large ones first. */
export async function smaller(
  target: Target,
  input: Uint8Array,
  fault: string,
): Promise<Uint8Array> {
  let best = input;
  let tries = 0;
  for (let size = Math.ceil(best.length / 2); size >= 1 && tries < MAX_TRIES; size = size >> 1) {
    for (let at = 0; at < best.length && tries < MAX_TRIES; tries++) {
      const shorter = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      try {
        await tryInput(target, shorter);
        at += size;
      } catch (error) {
        if (faultOf(error) === fault) best = shorter;
        else at += size;
      }
    }
  }
  return best;
}
