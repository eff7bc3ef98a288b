// When a name is to be reconciled again although nothing failed.

import type { Outcome } from "./queue.ts";

/** Rounded up, because a timer may fire a little early. */
export function later(afterMs: number): Outcome {
  return { kind: "later", afterMs: Math.ceil(afterMs) + 1 };
}
