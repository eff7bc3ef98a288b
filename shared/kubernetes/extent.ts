// Bounds the depth and the size of an object, before anything walks through all of it.
// SPEC.md, "SealedSecrets".

import { SignetError } from "../errors.ts";
import type { Json } from "../manifest/manifest.ts";
import { MAX_DEPTH } from "../manifest/tree.ts";

/** More than the largest object that etcd accepts, in characters of text and in nodes. */
const MAX_SIZE = 4 * 1024 * 1024;

/** An empty object takes some thirty times the memory of its two characters. Values are much longer. */
const MAX_PARTS = 50_000;

/**
 * Counts what the object is when it is written out: a YAML alias counts each time. The walk ends at
 * the first bound that it passes.
 * @throws SignetError sealedsecret-invalid if the object is nested too deeply, is too large, or has too many parts
 */
export function checkExtent(value: Json): void {
  let size = 0;
  let parts = 0;
  const count = (amount: number): void => {
    size += amount;
    if (size > MAX_SIZE) throw new SignetError("sealedsecret-invalid", "the object is too large");
  };
  const walk = (part: Json, depth: number): void => {
    count(1);
    if (++parts > MAX_PARTS)
      throw new SignetError("sealedsecret-invalid", "the object has too many parts");
    if (typeof part === "string") count(part.length);
    if (typeof part !== "object" || part === null) return;
    if (depth >= MAX_DEPTH) {
      throw new SignetError("sealedsecret-invalid", `nested deeper than ${MAX_DEPTH} levels`);
    }
    if (Array.isArray(part)) {
      for (const item of part) walk(item, depth + 1);
      return;
    }
    for (const name of Object.keys(part)) {
      count(name.length);
      walk(part[name] ?? null, depth + 1);
    }
  };
  walk(value, 0);
}
