// Standard input, read to its end.

import { fstatSync, readSync } from "node:fs";
import { errnoOf, ioError } from "../../host/errno.ts";
import { say } from "./messages.ts";

const STDIN = 0;

/**
 * Reads all of standard input; prints `prompt` as a message where it is a terminal.
 * @throws SignetError io
 */
export async function readStdin(prompt: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    if (fstatSync(STDIN).isCharacterDevice() && (await import("node:tty")).isatty(STDIN)) {
      say(prompt);
    }
    for (;;) {
      const chunk = Buffer.allocUnsafe(65_536);
      const length = readSync(STDIN, chunk);
      if (length === 0) break;
      chunks.push(chunk.subarray(0, length));
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EAGAIN") for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    else if (code !== "EOF") throw ioError("cannot read standard input", error);
  }
  return Buffer.concat(chunks);
}
