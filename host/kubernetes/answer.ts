// Reads responses of the API server, and limits the memory that they use.

import type { Readable } from "node:stream";
import type { Json } from "../../shared/manifest/manifest.ts";

/**
 * The API server accepts objects of up to 3 MiB, so a page with one object is within both limits.
 */
const MAX_OBJECT_BYTES = 3 * 1024 * 1024;
const MAX_BYTES = 8 * 1024 * 1024;
/** A part has one character at least, and takes up to 60 bytes once it is parsed. */
const MAX_PARTS = MAX_OBJECT_BYTES;

/** The response would use too much memory. */
export class AnswerTooLarge extends Error {
  override readonly name = "AnswerTooLarge";
}

/** @throws AnswerTooLarge */
export async function readAnswer(stream: Readable): Promise<string> {
  const text = (await bytesOf(stream)).toString("utf8");
  if (hasMoreParts(text, MAX_PARTS)) {
    throw new AnswerTooLarge("the API server's response has too many parts");
  }
  return text;
}

/** With events, because to iterate over the stream takes several times as long for a short one. */
async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes <= MAX_BYTES) return;
      stream.destroy(new AnswerTooLarge("the API server's response is too large"));
    });
    stream.on("end", () => {
      resolve(Buffer.concat(chunks));
    });
    stream.on("error", reject);
    stream.on("close", () => {
      // After an end or an error this changes nothing.
      reject(new Error("the connection was closed"));
    });
  });
}

/** Null if it is not JSON. */
export function parseAnswer(text: string): Json {
  try {
    return text === "" ? null : (JSON.parse(text) as Json);
  } catch {
    return null;
  }
}

/** Whether a JSON text has more than `max` arrays, objects, and values in them. */
function hasMoreParts(text: string, max: number): boolean {
  if (text.length <= max) return false;
  let parts = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === COMMA || code === BRACE || code === BRACKET) {
      if (++parts > max) return true;
    }
  }
  return false;
}

/** Where the string that begins at a quote ends. Most of a list is in long strings, which are skipped fast. */
function endOfString(text: string, start: number): number {
  for (let from = start + 1; ;) {
    const end = text.indexOf('"', from);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (end - 1 - backslashes >= from && text.charCodeAt(end - 1 - backslashes) === BACKSLASH) {
      backslashes++;
    }
    if (backslashes % 2 === 0) return end;
    from = end + 1;
  }
}

const [QUOTE, BACKSLASH, COMMA, BRACE, BRACKET] = [34, 92, 44, 123, 91];
