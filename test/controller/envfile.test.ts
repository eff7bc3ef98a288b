// The env-file form, proven by the shell that reads it.
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatEnvFile } from "../../controller/envfile.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

describe("an env file", () => {
  it("leaves plain values as they are, and quotes the rest", () => {
    const items = new Map([
      ["B", bytes("two words")],
      ["A", bytes("postgres://u:p@host/db")],
      ["C", bytes('$HOME "`\\')],
      ["EMPTY", bytes("")],
    ]);
    expect(formatEnvFile(items).text).toBe(
      'A=postgres://u:p@host/db\nB="two words"\nC="\\$HOME \\"\\`\\\\"\nEMPTY=""\n',
    );
  });

  it("names the items that cannot stand in it", () => {
    const items = new Map([
      ["tls.crt", bytes("x")],
      ["BINARY", new Uint8Array([0xff])],
      ["NUL", new Uint8Array([0x61, 0])],
      ["FINE", bytes("x")],
    ]);
    expect(formatEnvFile(items)).toEqual({ text: "FINE=x\n", left: ["BINARY", "NUL", "tls.crt"] });
  });

  it("is read back by a shell, whatever the value", () => {
    const text = fc.string({ unit: "grapheme", minLength: 0, maxLength: 30 });
    fc.assert(
      fc.property(
        text.filter((value) => !value.includes("\0") && !/\p{Surrogate}/u.test(value)),
        (value) => {
          const file = formatEnvFile(new Map([["X", bytes(value)]])).text;
          const shell = spawnSync("sh", ["-c", `${file}printf %s "$X"`], { encoding: "utf8" });
          expect(shell.stdout).toBe(value);
        },
      ),
      { numRuns: 150 },
    );
  });
});
