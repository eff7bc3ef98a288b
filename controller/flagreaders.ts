// Reads the values of the controller's flags. Each reader throws InvalidArgumentError.

import { InvalidArgumentError } from "commander";
import { parseDuration } from "../shared/duration.ts";
import { parseAddress } from "./httpserver.ts";

const NANOSECONDS_IN_MS = 1_000_000;
const MIN_LEASE_MS = 1_000;
/** Each replica reads or renews the Lease of each shard several times per duration. */
const MAX_SHARDS = 16;

/** Milliseconds of a Go duration such as `720h`, `1h30m` or `0`. Signs are not accepted. */
export function readDuration(text: string): number {
  // Go also reads `-1h`, `.5h` and `1µs`, which no flag of the controller accepts.
  const isPlain = text === "0" || /^(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+$/.test(text);
  const nanoseconds = isPlain ? parseDuration(text) : undefined;
  if (nanoseconds === undefined) {
    throw new InvalidArgumentError("must be a duration such as 720h, 90m or 30s.");
  }
  return Number(nanoseconds) / NANOSECONDS_IN_MS;
}

export function readLeaseDuration(text: string): number {
  const durationMs = readDuration(text);
  if (durationMs < MIN_LEASE_MS) throw new InvalidArgumentError("must be at least 1s.");
  return durationMs;
}

/** RFC 3339, or Go's RFC 1123 with a numeric zone: the formats that the original accepts. */
export function readMoment(text: string): Date {
  const isKnown =
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) ||
    /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/.test(text);
  const moment = new Date(text);
  if (!isKnown || Number.isNaN(moment.getTime())) {
    throw new InvalidArgumentError("must be a time such as 2026-01-31T12:00:00Z.");
  }
  return moment;
}

export function readBoolean(text: string): boolean {
  if (/^(true|t|1)$/i.test(text)) return true;
  if (/^(false|f|0)$/i.test(text)) return false;
  throw new InvalidArgumentError("must be true or false.");
}

export function readInteger(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError("must be a whole number.");
  return Number(text);
}

export function readShards(text: string): number {
  const shards = readInteger(text);
  if (shards < 1 || shards > MAX_SHARDS) {
    throw new InvalidArgumentError(`must be between 1 and ${MAX_SHARDS}.`);
  }
  return shards;
}

export function readNumber(text: string): number {
  if (text === "" || !Number.isFinite(Number(text))) {
    throw new InvalidArgumentError("must be a number.");
  }
  return Number(text);
}

export function readPositiveNumber(text: string): number {
  const number = readNumber(text);
  if (number <= 0) throw new InvalidArgumentError("must be more than 0.");
  return number;
}

export function readKeyPrefix(text: string): string {
  if (!/^[a-z0-9]([-a-z0-9]{0,243}[a-z0-9])?-?$/.test(text)) {
    throw new InvalidArgumentError("must have at most 245 characters, each of a-z, 0-9 or '-'.");
  }
  return text;
}

/** `k=v,k2=v2`; a value may contain `=`. */
export function readPairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const item of text.split(",").filter((part) => part.trim() !== "")) {
    const separator = item.indexOf("=");
    if (separator < 1) throw new InvalidArgumentError("must be a list such as team=a,env=prod.");
    pairs[item.slice(0, separator).trim()] = item.slice(separator + 1).trim();
  }
  return pairs;
}

export function readList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

export function readListenAddress(text: string): string {
  try {
    parseAddress(text);
  } catch {
    throw new InvalidArgumentError("must be an address such as :8080 or 127.0.0.1:8080.");
  }
  return text;
}

export function readHttpAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.username === "" && url.password === "";
  if (url === undefined || !/^https?:$/.test(url.protocol) || !isPlain) {
    throw new InvalidArgumentError("must be an address such as https://vault.example.org:8200.");
  }
  return url;
}
