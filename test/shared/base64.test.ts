// Proofs that base64 is read and written as Go does.
// SPEC.md, "Encoded values".

import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeBase64, encodeBase64 } from "../../shared/base64.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

// A browser has no Buffer.
describe.each(["with Buffer", "without Buffer"])("%s", (where) => {
  const prepare = (): void => {
    if (where === "without Buffer") vi.stubGlobal("Buffer", undefined);
  };

  test("what is encoded decodes to the same bytes", () => {
    prepare();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = encodeBase64(bytes);
        expect(text).toMatch(/^[A-Za-z0-9+/]*={0,2}$/);
        expect(text.length % 4).toBe(0);
        expect(decodeBase64(text)).toEqual(bytes);
      }),
    );
  });

  test("encodes a part of a larger buffer alone, and more than one call of String takes", () => {
    prepare();
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index);
    const part = bytes.subarray(3, 99_999);
    expect(decodeBase64(encodeBase64(part))).toEqual(part.slice());
  });

  test.each([
    ["", []],
    ["\n", []],
    ["YQ==", [97]],
    ["YQ\r\n==\n", [97]],
    ["Y\nQ=\n=", [97]],
    ["YR==", [97]],
  ])("reads %j", (text, bytes) => {
    prepare();
    expect(decodeBase64(text)).toEqual(Uint8Array.from(bytes));
  });

  test.each([
    "Y",
    "YQ",
    "YQ=",
    "YQ===",
    "=YQ=",
    "YQ= =",
    "YQ==YQ==",
    "Y-_=",
    "YQ\t==",
    "====",
    "Ä",
  ])("refuses %j", (text) => {
    prepare();
    expect(decodeBase64(text)).toBeNull();
  });
});
