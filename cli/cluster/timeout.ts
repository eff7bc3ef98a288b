// A timeout as text, in the form of kubectl's --request-timeout.

import { SignetError } from "../../shared/errors.ts";
import { parseDuration } from "../../shared/duration.ts";

/** Longer than a timer can count. */
const LIMIT_MS = 2 ** 31;

/**
 * Milliseconds of a timeout such as `300ms` or `1m30s`. Rounded up, as 0 means no timeout. A whole
 * number without a unit is in seconds.
 * @throws SignetError usage
 */
export function parseTimeout(text: string): number {
  const duration = /^[+-]?\d+$/.test(text) ? `${text}s` : text;
  const nanos = parseDuration(Buffer.from(duration).toString("latin1"));
  const milliseconds = nanos === undefined ? -1 : Math.ceil(Number(nanos) / 1e6);
  if (nanos !== undefined && nanos >= 0n && milliseconds < LIMIT_MS) return milliseconds;
  throw new SignetError("usage", `not a duration: ${text}`, {
    hint: "such as 500ms, 10s or 1m30s; at most 24 days",
  });
}
