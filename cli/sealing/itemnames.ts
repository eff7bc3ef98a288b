// Checks on names of items from the command line. No message quotes one, as it may be a value.
// SPEC.md, "Command line", "Values".

import { SignetError } from "../../shared/errors.ts";
import { isItemName } from "../../shared/kubernetes/secret.ts";

/** @throws SignetError usage */
export function checkItem(item: string): void {
  if (isItemName(item)) return;
  checkNoValue(item);
  throw new SignetError("usage", "not a valid item name", {
    hint: "use only letters, digits, '-', '_' and '.'",
  });
}

/** Refuses ITEM=VALUE in place of a name or a path. @throws SignetError usage */
export function checkNoValue(text: string): void {
  if (!/^[-._a-zA-Z0-9]+=/.test(text)) return;
  throw new SignetError("usage", "other users of this machine can see values on the command line", {
    hint: "give only the item's name: its value is prompted for, or read from standard input",
  });
}
