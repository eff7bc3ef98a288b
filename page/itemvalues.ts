// The values of items as a person gave them, and their conversion to bytes that are wiped after use.

import { SignetError } from "../shared/errors.ts";
import { isItemName } from "../shared/kubernetes/secret.ts";
import { generatePassword } from "../shared/sealing/randompassword.ts";

export type ValueSource =
  | { readonly from: "text"; readonly text: string }
  | { readonly from: "file"; readonly bytes: Uint8Array }
  | { readonly from: "generated"; readonly length: number };

/** The API server accepts no larger Secret. */
const MAX_DATA_BYTES = 1024 * 1024;

/** Values by item name. */
export type Values = Map<string, Uint8Array>;

/**
 * Returns the values as new bytes. Generated ones differ with each call.
 * @throws SignetError secret-invalid for a name that is invalid or given twice, or more than 1 MiB
 */
export function valuesOf(items: readonly (readonly [string, ValueSource])[]): Values {
  const values: Values = new Map();
  let size = 0;
  for (const [item, source] of items) {
    checkItemName(item);
    if (values.has(item)) throw new SignetError("secret-invalid", `the item ${item} appears twice`);
    const bytes = bytesOf(source);
    size += bytes.length;
    if (size > MAX_DATA_BYTES) {
      throw new SignetError(
        "secret-invalid",
        "more than 1 MiB of values, which no cluster accepts",
      );
    }
    values.set(item, bytes);
  }
  return values;
}

/** @throws SignetError secret-invalid; never quotes the name, because a value may be in its place */
export function checkItemName(name: string): void {
  if (name === "") throw new SignetError("secret-invalid", "an item has no name");
  if (isItemName(name)) return;
  const reason = "the name of an item is invalid: use letters, digits, '-', '_' and '.' only";
  throw new SignetError("secret-invalid", reason);
}

function bytesOf(source: ValueSource): Uint8Array {
  switch (source.from) {
    case "text":
      return new TextEncoder().encode(source.text);
    case "file":
      return Uint8Array.from(source.bytes);
    case "generated":
      return new TextEncoder().encode(generatePassword(source.length));
  }
}

/** Overwrites the bytes of values that are no longer needed. */
export function wipe(values: Iterable<Uint8Array>): void {
  for (const bytes of values) bytes.fill(0);
}
