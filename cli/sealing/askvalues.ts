// Values that a person types, or that standard input holds.
// SPEC.md, "Command line", "Values".

import { SignetError } from "../../shared/errors.ts";
import { readStdin } from "../terminal/stdin.ts";

/** Standard input can be read once; read again, it would be an empty value. */
let stdinTaken = false;

/**
 * Asks for values without showing them; without a terminal, standard input is the one value.
 * @throws SignetError usage, io, cancelled
 */
export async function askValues(
  items: readonly string[],
  cluster: string | undefined,
): Promise<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  if (items.length === 0) return values;
  const { isatty } = await import("node:tty");
  if (!isatty(0)) {
    const [item = "", ...others] = items;
    if (others.length > 0 || stdinTaken || cluster !== undefined) {
      throw new SignetError("usage", "standard input can provide only one value", {
        hint:
          cluster === undefined
            ? "name one item, or use --from-file and --from-env-file, which also accept /dev/fd/3"
            : "omit --per-cluster, or set the value for each cluster separately",
      });
    }
    stdinTaken = true;
    const value = withoutLineEnd(await readStdin(""));
    // A command that failed before the pipe must not leave an empty password.
    if (value.length > 0) return values.set(item, value);
    throw new SignetError("usage", "standard input is empty, but a value is required", {
      hint: "to set an empty value, use --from-file ITEM=/dev/null",
    });
  }
  const { askHidden } = await import("../terminal/prompts.ts");
  for (const item of items) {
    const words = cluster === undefined ? item : `${item} in ${cluster}`;
    const value = await askHidden(`Value of ${words}:`, (answer) =>
      answer === "" ? "empty: type a value, or press Ctrl-C" : null,
    );
    values.set(item, new TextEncoder().encode(value));
  }
  return values;
}

/**
 * Removes the line end of a single line, as `echo` and editors add one; keeps several lines as they
 * are.
 */
function withoutLineEnd(bytes: Buffer): Uint8Array {
  const first = bytes.indexOf("\n");
  if (first === -1 || first !== bytes.length - 1) return bytes;
  return bytes.subarray(0, bytes[first - 1] === 0x0d ? first - 1 : first);
}
