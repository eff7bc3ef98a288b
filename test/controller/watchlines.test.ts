// The stream of a watch, cut into lines: however it arrives, and without looking at a part twice.
import { describe, expect, it } from "vitest";
import { AnswerTooLarge } from "../../host/kubernetes/answer.ts";
import { WatchLines } from "../../host/kubernetes/watchlines.ts";
import { superlinear } from "../shared/growth.ts";

/** What comes of a stream that arrives in parts of `size` bytes. */
function linesOf(text: string, size: number): string[] {
  const lines = new WatchLines();
  const bytes = Buffer.from(text);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    found.push(...lines.take(bytes.subarray(at, at + size)));
  }
  return found;
}

describe("the lines of a watch", () => {
  it.each([1, 2, 3, 5, 1000])("are the same in parts of %i bytes", (size) => {
    expect(linesOf("größe\n\n😀 b\nthe rest", size)).toEqual(["größe", "", "😀 b"]);
  });

  it("cost what the stream is long, also where one line arrives in many parts", () => {
    const line = (size: number): string => `${"a".repeat(size)}\n`;
    const grown = superlinear((text) => linesOf(text, 256), line, 2_000_000);
    expect(grown).toBeUndefined();
  });

  it("must end", () => {
    const lines = new WatchLines();
    const part = Buffer.alloc(1024 * 1024, "a");
    for (let count = 0; count < 8; count++) expect(lines.take(part)).toEqual([]);
    expect(() => lines.take(part)).toThrow(AnswerTooLarge);
  });
});
