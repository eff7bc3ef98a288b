// Splits the stream of a watch into lines, and limits the memory that a line uses.

import { StringDecoder } from "node:string_decoder";
import { AnswerTooLarge } from "./answer.ts";

/** More than the longest line: an object of 3 MiB, the most that the API server accepts. */
const MAX_LINE = 8 * 1024 * 1024;

/** What it costs depends on the length of the stream, not on how it arrives. */
export class WatchLines {
  readonly #decoder = new StringDecoder("utf8");
  /** What has arrived of the last line. */
  #pieces: string[] = [];
  #length = 0;

  /**
   * Takes the next part of the stream. Returns the lines that end in it.
   * @throws AnswerTooLarge
   */
  take(chunk: Buffer): string[] {
    const lines = this.#decoder.write(chunk).split("\n");
    const rest = lines.pop() ?? "";
    if (lines.length > 0) {
      // Joined once: to append each part would copy a long line as often as it has parts.
      lines[0] = this.#pieces.join("") + (lines[0] ?? "");
      this.#pieces = [];
      this.#length = 0;
    }
    this.#pieces.push(rest);
    this.#length += rest.length;
    if (this.#length > MAX_LINE) throw new AnswerTooLarge("the API server's event is too large");
    return lines;
  }
}
