// Checks on names of items from the command line. No message quotes one, as it may be a value.
// SPEC.md, "Command line", "Values".

import { SignetError } from "../../shared/errors.ts";
import { isItemName } from "../../shared/kubernetes/secret.ts";

/** @throws SignetError usage */
export function checkItem(item: string): void {
  if (isItemName(item)) return;
  checkNoValue(item);
  throw new SignetError("usage", "that is not a name for an item", {
    hint: "letters, digits, '-', '_' and '.' only",
  });
}

/** Refuses ITEM=VALUE in place of a name or a path. @throws SignetError usage */
export function checkNoValue(text: string): void {
  if (!/^[-._a-zA-Z0-9]+=/.test(text)) return;
  throw new SignetError("usage", "a value on the command line is seen by others on this machine", {
    hint: "name the item alone: its value is asked for, or read from standard input",
  });
}
