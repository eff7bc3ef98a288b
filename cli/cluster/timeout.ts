// The text of a timeout, as kubectl reads its --request-timeout.

import { SignetError } from "../../shared/errors.ts";
import { parseDuration } from "../../shared/duration.ts";

/** Longer than a timer can count. */
const LIMIT_MS = 2 ** 31;

/**
 * Milliseconds of a timeout such as `300ms` or `1m30s`, rounded up: what is above zero must not become
 * 0, which means any time. A whole number alone counts seconds.
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
